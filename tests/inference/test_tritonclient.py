"""NVIDIA's own client, synchronous and asynchronous, against the service: nothing of it is changed for us."""

import asyncio

import numpy as np
import pytest
import torch
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from ml_dtypes import bfloat16
from torch import Tensor
from tritonclient.utils import InferenceServerException

from tests.inference.nets import NETS, Net
from tests.laboratory import assert_same, create

BOTH = pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
COMPRESSIONS = pytest.mark.parametrize("encoding", [None, "gzip", "deflate"])


@pytest.fixture(scope="module")
def client(address):
    with triton.InferenceServerClient(address) as client:
        yield client


def input_of(name: str, value: Tensor, *, binary: bool = True, datatype: str = "FP32") -> triton.InferInput:
    given = triton.InferInput(name, list(value.shape), datatype)
    numbers = value.float().numpy().astype(bfloat16) if datatype == "BF16" else value.numpy()
    given.set_data_from_numpy(numbers, binary_data=binary)
    return given


def output_of(result: triton.InferResult, name: str = "output") -> Tensor:
    numbers = result.as_numpy(name)
    if numbers.dtype == bfloat16:
        return torch.from_numpy(numbers.astype("float32")).bfloat16()
    return torch.from_numpy(numbers.copy())


@COMPRESSIONS
@BOTH
@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_it_runs_the_networks_of_the_chapter(client, prefix: str, net: Net, binary: bool, encoding: str | None) -> None:
    result = client.infer(
        f"{prefix}_{net.name}",
        [input_of(net.input, net.X, binary=binary)],
        outputs=[triton.InferRequestedOutput("output", binary_data=binary)],
        request_id="42",
        request_compression_algorithm=encoding,
        response_compression_algorithm=encoding,
    )
    assert_same(output_of(result), net.wanted())
    answer = result.get_response()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == (f"{prefix}_{net.name}", "1", "42")


@BOTH
@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_its_asynchronous_form_runs_them_too(address: str, prefix: str, net: Net, binary: bool) -> None:
    async def ask() -> triton_aio.InferResult:
        async with triton_aio.InferenceServerClient(address) as client:
            assert await client.is_model_ready(f"{prefix}_{net.name}")
            return await client.infer(
                f"{prefix}_{net.name}",
                [input_of(net.input, net.X, binary=binary)],
                outputs=[triton_aio.InferRequestedOutput("output", binary_data=binary)],
                request_compression_algorithm="gzip" if binary else None,
            )

    assert_same(output_of(asyncio.run(ask())), net.wanted())


def test_without_outputs_named_all_of_them_come_in_binary(client, service, fresh_name) -> None:
    block = {"inputs": ["a", "b"], "forward": 'return {"sum": a + b, "both": (a > 0) & (b > 0), "n": a.shape[0]}'}
    name = fresh_name()
    create(service, name, block)
    a, b = torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0, 4.0]])
    result = client.infer(name, [input_of("b", b), input_of("a", a)])
    assert_same(output_of(result, "sum"), a + b)
    assert_same(output_of(result, "both"), torch.tensor([[True, False]]))
    assert_same(output_of(result, "n"), torch.tensor(1))
    assert all("binary_data_size" in item["parameters"] for item in result.get_response()["outputs"])
    only = client.infer(
        name, [input_of("b", b), input_of("a", a)], outputs=[triton.InferRequestedOutput("both", binary_data=False)]
    )
    assert [item["name"] for item in only.get_response()["outputs"]] == ["both"]
    assert only.get_output("both")["data"] == [True, False]


@pytest.mark.parametrize(
    ("dtype", "datatype"),
    [
        ("float64", "FP64"),
        ("float16", "FP16"),
        ("bfloat16", "BF16"),
        ("int64", "INT64"),
        ("int32", "INT32"),
        ("int16", "INT16"),
        ("int8", "INT8"),
        ("uint8", "UINT8"),
        ("bool", "BOOL"),
    ],
)
def test_every_datatype_goes_and_comes(client, service, fresh_name, dtype: str, datatype: str) -> None:
    name = fresh_name()
    create(service, name, {"inputs": ["x"], "forward": "return x.flip(0)"})
    x = torch.tensor([[0, 1, 1], [1, 0, 3]]).to(getattr(torch, dtype))
    result = client.infer(name, [input_of("x", x, datatype=datatype)])
    assert result.get_output("output")["datatype"] == datatype
    assert_same(output_of(result), x.flip(0))
    if dtype != "bfloat16":  # which the client writes in binary alone
        told = client.infer(
            name,
            [input_of("x", x, binary=False, datatype=datatype)],
            outputs=[triton.InferRequestedOutput("output", binary_data=False)],
        )
        assert_same(output_of(told), x.flip(0))


def test_numbers_that_are_not_finite_travel_both_ways(client, service, fresh_name) -> None:
    name = fresh_name()
    create(service, name, {"inputs": ["x"], "forward": "return -x"})
    x = torch.tensor([float("nan"), float("inf"), -0.0, 7.038531e-26])
    for binary in (True, False):
        asked = [triton.InferRequestedOutput("output", binary_data=binary)]
        assert_same(output_of(client.infer(name, [input_of("x", x)], outputs=asked)), -x)


def test_it_can_ask_for_an_older_version(client, service, prefix: str) -> None:
    name, net = f"{prefix}_mlp", NETS[0]
    service.patch(f"/v1/networks/{name}/parameters/out.bias", json={"edits": [{"index": ":", "expression": "param+1"}]})
    assert client.get_model_metadata(name)["versions"] == ["1", "2"]
    old = client.infer(name, [input_of("X", net.X)], model_version="1")
    new = client.infer(name, [input_of("X", net.X)], model_version="2")
    assert (old.get_response()["model_version"], new.get_response()["model_version"]) == ("1", "2")
    assert_same(output_of(old), net.wanted())
    assert not torch.equal(output_of(old), output_of(new))
    assert_same(output_of(client.infer(name, [input_of("X", net.X)])), output_of(new))
    assert client.is_model_ready(name, "2")
    assert not client.is_model_ready(name, "3")
    assert client.get_model_metadata(name, "1")["name"] == name
    service.post(f"/v1/networks/{name}/revisions/1/restore")


def test_it_reads_what_the_server_and_a_model_are(client, prefix: str) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    told = client.get_server_metadata()
    assert told["name"] == "model-lab"
    assert told["extensions"] == ["binary_tensor_data", "model_repository", "statistics"]
    metadata = client.get_model_metadata(f"{prefix}_my_sequential")
    assert metadata["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 20]}]
    assert metadata["outputs"] == [{"name": "output", "datatype": "FP32", "shape": [-1, 10]}]
    config = client.get_model_config(f"{prefix}_my_sequential")
    assert config["max_batch_size"] == 0
    assert config["input"] == [{"name": "X", "data_type": "TYPE_FP32", "dims": [-1, 20]}]
    fixed = client.get_model_metadata(f"{prefix}_fixed_hidden")  # its loop decides by values, so nothing is promised
    assert fixed["inputs"][0]["shape"][-1] == 20


def test_it_uses_the_repository(client, prefix: str) -> None:
    name = f"{prefix}_rgnet"
    entry = next(entry for entry in client.get_model_repository_index() if entry["name"] == name)
    assert entry == {"name": name, "version": "1", "state": "READY", "reason": ""}
    client.load_model(name)
    client.unload_model(name)
    net = next(net for net in NETS if net.name == "rgnet")
    assert client.is_model_ready(name)
    assert_same(output_of(client.infer(name, [input_of("input", net.X)])), net.wanted())


def test_statistics_grow_with_each_request(client, service, fresh_name) -> None:
    name = fresh_name()
    create(service, name, "Linear(3, 2)")
    before = client.get_inference_statistics(name)["model_stats"]
    assert [(entry["version"], entry["inference_count"]) for entry in before] == [("1", 0)]
    for _ in range(3):
        client.infer(name, [input_of("input", torch.ones(2, 3))])
    with pytest.raises(InferenceServerException):
        client.infer(name, [input_of("input", torch.ones(2, 4))])
    (entry,) = client.get_inference_statistics(name, "1")["model_stats"]
    assert (entry["name"], entry["version"]) == (name, "1")
    assert (entry["inference_count"], entry["execution_count"]) == (3, 3)
    parts = entry["inference_stats"]
    for part in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        assert parts[part]["count"] == 3
        assert parts[part]["ns"] > 0
    assert (parts["fail"]["count"], parts["cache_hit"]["count"], parts["cache_miss"]["count"]) == (1, 0, 0)
    assert entry in client.get_inference_statistics()["model_stats"]


def test_refusals_are_told_in_words(client, prefix: str) -> None:
    def refusal(*arguments, **more) -> str:
        with pytest.raises(InferenceServerException) as caught:
            client.infer(*arguments, **more)
        return caught.value.message()

    name = f"{prefix}_mlp"
    wide = input_of("X", torch.ones(2, 21))
    assert "no network 'nobody'" in refusal("nobody", [wide])
    assert "21" in refusal(name, [wide])
    assert "'Y'" in refusal(name, [input_of("Y", torch.ones(2, 20))])
    good = input_of("X", torch.ones(2, 20))
    assert "nowhere" in refusal(name, [good], outputs=[triton.InferRequestedOutput("nowhere")])
    assert "classes" in refusal(name, [good], outputs=[triton.InferRequestedOutput("output", class_count=3)])
    shared = triton.InferInput("X", [2, 20], "FP32")
    shared.set_shared_memory("region", 160)
    assert "shared memory" in refusal(name, [shared])
    words = triton.InferInput("X", [1], "BYTES")
    words.set_data_from_numpy(np.array([b"text"], dtype=object))
    assert "'BYTES' is not a datatype" in refusal(name, [words])
    with pytest.raises(InferenceServerException, match="nothing at /v2/systemsharedmemory"):
        client.register_system_shared_memory("region", "/key", 160)
    with pytest.raises(InferenceServerException, match="no network 'nobody'"):
        client.load_model("nobody")
