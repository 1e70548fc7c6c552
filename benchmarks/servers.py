"""The servers that a forward is held against: a bare echo of the same bytes, and PyTorch in the event loop.

    python -m benchmarks.servers echo PORT REPLY_FILE CONTENT_TYPE    answers every POST with the bytes of a file
    python -m benchmarks.servers direct PORT STATE_FILE               the chapter's MLP, JSON or safetensors

`direct` is what one would write in an afternoon: no isolation, no queue, no limits, PyTorch called in the loop.
"""

import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def echo(reply: bytes, content_type: str) -> Starlette:
    async def endpoint(request: Request) -> Response:
        await request.body()
        return Response(reply, media_type=content_type)

    return Starlette(routes=[Route("/forward", endpoint, methods=["POST"])])


def direct(state_file: Path) -> Starlette:
    import numpy as np
    import orjson
    import safetensors.torch
    import torch

    from benchmarks.networks import chapter_mlp

    torch.set_num_threads(1)
    net = chapter_mlp()
    net.load_state_dict(safetensors.torch.load_file(state_file))
    net.eval()

    async def endpoint(request: Request) -> Response:
        body = await request.body()
        if request.headers["content-type"] == "application/json":
            data = np.array(orjson.loads(body)["inputs"], dtype=np.float32)
            with torch.inference_mode():
                output = net(torch.from_numpy(data))
            reply = {"outputs": {"output": {"dtype": "float32", "shape": list(output.shape), "data": output.numpy()}}}
            return Response(orjson.dumps(reply, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")
        inputs = safetensors.torch.load(body)
        with torch.inference_mode():
            output = net(inputs["input"])
        return Response(safetensors.torch.save({"output": output}), media_type="application/vnd.safetensors")

    return Starlette(routes=[Route("/forward", endpoint, methods=["POST"])])


def main() -> None:
    kind, port = sys.argv[1], int(sys.argv[2])
    app = echo(Path(sys.argv[3]).read_bytes(), sys.argv[4]) if kind == "echo" else direct(Path(sys.argv[3]))
    uvicorn.run(
        app, host="127.0.0.1", port=port, log_level="warning", access_log=False, http="httptools", loop="uvloop"
    )


if __name__ == "__main__":
    main()
