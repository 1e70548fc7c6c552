"""Runs networks with KServe's own client and prints what it got as JSON: `use_kserve.py ADDRESS < requests.json`.

Runs in the environment of the clients; knows nothing of us. Each request is (model, input's name, rows, binary).
"""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


async def main() -> None:
    address = sys.argv[1]
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    told = {"live": await client.is_server_live(address), "ready": await client.is_server_ready(address), "results": []}
    for model, name, rows, binary in json.load(sys.stdin):
        value = np.array(rows, np.float32)
        given = InferInput(name, list(value.shape), "FP32")
        given.set_data_from_numpy(value, binary_data=binary)
        wanted = RequestedOutput("output", parameters={"binary_data": binary})
        request = InferRequest(model, [given], request_id="7", request_outputs=[wanted])
        reply = await client.infer(address, request, model_name=model)
        result = reply.outputs[0].as_numpy()
        told["results"].append([reply.model_name, reply.id, list(result.shape), result.flatten().tolist()])
    told["model ready"] = await client.is_model_ready(address, model)
    try:
        await client.infer(address, InferRequest("nobody", [given]), model_name="nobody")
    except Exception as error:  # noqa: BLE001  # whatever its words come in
        told["refusal"] = str(error)
    await client.close()
    json.dump(told, sys.stdout)


asyncio.run(main())
