"""Artifacts over HTTP: one tensor, a list, a dict; every dtype; every format; into networks and forwards."""

import io

import numpy as np
import pytest
import safetensors.torch
import torch

from app.tensors.dtypes import DTYPES
from app.tensors.torch_dtypes import torch_dtype
from tests.files.conftest import MEDIA, equal, mlp, to_file
from tests.files.test_state_dicts import problem

ARTIFACTS = "/v1/artifacts"


def save(value: object) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def load(body: bytes) -> object:
    return torch.load(io.BytesIO(body), weights_only=True)


def same_bytes(left: torch.Tensor, right: torch.Tensor) -> bool:
    return (left.dtype, left.shape, save(left.clone())) == (right.dtype, right.shape, save(right.clone()))


@pytest.fixture
def address(fresh_name) -> str:
    return f"{ARTIFACTS}/{fresh_name('artifact')}"


def test_f1_one_tensor_a_list_and_a_dict_are_saved_and_loaded(files, address):
    x, y = torch.arange(4), torch.zeros(4)
    assert files.send(address, save(x), "pt").status_code == 201
    assert torch.equal(load(files.client.get(f"{address}?format=pt").content), x)

    made = files.send(address, save([x, y]), "pt")
    assert (made.status_code, made.json()["kind"], made.json()["tensor_count"]) == (200, "list", 2)
    x2, y2 = load(files.client.get(f"{address}?format=pt").content)
    assert torch.equal(x2, x)
    assert torch.equal(y2, y)

    made = files.send(address, save({"x": x, "y": y}), "pt").json()
    assert made["kind"] == "dict"
    assert made["tensors"][0] == {"name": "x", "dtype": "int64", "shape": [4]}
    mydict = load(files.client.get(f"{address}?format=pt").content)
    assert list(mydict) == ["x", "y"]
    assert equal(mydict, {"x": x, "y": y})


@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_that_pytorch_saves_comes_back_byte_for_byte(files, address, name):
    raw = torch.randint(0, 2, (12 * DTYPES[name].item_bytes,), dtype=torch.uint8)
    tensor = raw.view(torch_dtype(name)).view(3, 4)
    assert files.send(address, save({"t": tensor}), "pt").status_code == 201
    assert same_bytes(load(files.client.get(f"{address}?format=pt").content)["t"], tensor)
    if DTYPES[name].safetensors:
        body = files.client.get(f"{address}?format=safetensors").content
        assert same_bytes(safetensors.torch.load(body)["t"], tensor)
        assert files.send(address, body, "safetensors").status_code == 200
        assert same_bytes(load(files.client.get(f"{address}?format=pt").content)["t"], tensor)
    else:
        problem(files.client.get(f"{address}?format=safetensors"), 406, "not-acceptable")
    if DTYPES[name].numpy:
        read = np.load(io.BytesIO(files.client.get(f"{address}?format=npz").content))["t"]
        assert same_bytes(torch.from_numpy(read), tensor)


def test_json_of_each_kind_goes_both_ways(files, address):
    tensor = [[1, 2.5], [float("inf"), 0]]
    for sent, kind in [
        ({"dtype": "float64", "data": [[1, 2.5], ["Infinity", 0]]}, "tensor"),
        ([{"data": [1]}, {"dtype": "int64", "data": 2}], "list"),
        ({"x": {"data": [1]}, "y": [2, 3]}, "dict"),
        ([[1, 2], [3, 4]], "tensor"),
    ]:
        assert files.client.put(address, json=sent).json()["kind"] == kind
        first = files.client.get(address)
        assert files.send(address, first.content, "json").json()["kind"] == kind
        assert files.client.get(address).json() == first.json()
    files.client.put(address, json={"dtype": "float64", "data": [[1, 2.5], ["Infinity", 0]]})
    assert load(files.client.get(f"{address}?format=pt").content).tolist() == tensor


def test_numpy_and_safetensors_files_are_saved_and_loaded(files, address):
    array = np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3))
    stream = io.BytesIO()
    np.save(stream, array)
    assert files.send(address, stream.getvalue(), "npy").json()["kind"] == "tensor"
    reply = files.client.get(f"{address}?format=npy")
    assert np.array_equal(np.load(io.BytesIO(reply.content)), array)
    assert files.client.get(f"{address}?format=npy", headers={"range": "bytes=0-5"}).content == reply.content[:6]
    stream = io.BytesIO()
    np.savez_compressed(stream, a=array, b=np.array(True))
    assert files.send(address, stream.getvalue(), "npz").json()["kind"] == "dict"
    assert safetensors.torch.load(files.client.get(f"{address}?format=safetensors").content)["b"].item() is True
    problem(files.client.get(f"{address}?format=npy"), 406, "not-acceptable")


def test_a_list_and_a_tensor_stay_what_they_are_through_safetensors(files, address):
    files.send(address, save([torch.ones(1), torch.ones(2)]), "pt")
    body = files.client.get(f"{address}?format=safetensors").content
    assert files.send(address, body, "safetensors").json()["kind"] == "list"
    plain = to_file({"1": torch.ones(2), "0": torch.ones(1)}, "safetensors")
    assert files.send(address, plain, "safetensors").json()["kind"] == "dict"
    assert files.send(address, plain, "safetensors", kind="list").json()["kind"] == "list"
    assert [tuple(t.shape) for t in load(files.client.get(f"{address}?format=pt").content)] == [(1,), (2,)]
    problem(files.send(address, plain, "safetensors", kind="tensor"), 422, "bad-request")
    problem(files.send(address, to_file({"a": torch.ones(1)}, "npz"), "npz", kind="list"), 422, "bad-request")


def test_an_artifact_is_loaded_into_a_network_without_being_sent_again(files, network, address):
    net = mlp(8)
    files.send(address, save(net.state_dict()), "pt")
    name = address.rpartition("/")[2]
    loaded = files.client.put(f"{network}/state_dict", json={"artifact": name})
    assert loaded.json() == {"revision": 2, "loaded": 4, "missing": [], "unexpected": []}
    assert equal(files.get(network), net.state_dict())
    assert files.client.delete(address).status_code == 204
    assert equal(files.get(network), net.state_dict())
    files.client.put(address, json=[1, 2])
    problem(files.client.put(f"{network}/state_dict", json={"artifact": name}), 422, "bad-tensor")


def test_artifacts_are_inputs_of_a_forward(files, network, address, fresh_name):
    X = torch.randn(3, 20)
    expected = files.forward(network, X)
    name = address.rpartition("/")[2]

    def forward(inputs: object, net: str = network) -> torch.Tensor:
        reply = files.client.post(f"{net}/forward", json={"inputs": inputs})
        assert reply.status_code == 200, reply.text
        return torch.tensor(reply.json()["outputs"]["output"]["data"])

    def refused(inputs: object, code: str, pointer: str) -> None:
        wrong = problem(files.client.post(f"{network}/forward", json={"inputs": inputs}), 422, code)
        assert wrong["errors"][0]["pointer"] == pointer

    files.send(address, save(X), "pt")
    assert torch.equal(forward({"artifact": name}), expected)
    assert torch.equal(forward({"input": {"artifact": name}}), expected)
    refused({"artifact": name, "item": 0}, "bad-tensor", "/inputs/item")
    refused({"artifact": "nothing"}, "unknown-name", "/inputs/artifact")
    refused({"artifact": name, "index": ":"}, "unknown-key", "/inputs/index")
    files.send(address, save([X + 1, X]), "pt")
    assert torch.equal(forward({"artifact": name, "item": 1}), expected)
    refused({"artifact": name}, "bad-tensor", "/inputs")
    refused({"artifact": name, "item": 2}, "unknown-name", "/inputs/item")
    files.send(address, save({"input": X}), "pt")
    assert torch.equal(forward({"artifact": name}), expected)
    assert torch.equal(forward({"artifact": name, "item": "input"}), expected)
    refused({"input": {"artifact": name}}, "bad-tensor", "/inputs/input")
    two = files.make(fresh_name(), {"inputs": ["a", "artifact"], "forward": ["return a + artifact"]})
    assert forward({"a": [1.0], "artifact": [2.0]}, two).tolist() == [3.0]


def test_artifacts_are_listed_tagged_and_deleted(files, fresh_name):
    names = sorted(fresh_name("listed") for _ in range(3))
    for name in names:
        reply = files.client.put(f"{ARTIFACTS}/{name}", json=[1, 2])
        assert reply.headers["location"] == f"{ARTIFACTS}/{name}"
    items, token = [], None
    while token is not None or not items:
        page = files.client.get(ARTIFACTS, params={"page_size": 2, **({"page_token": token} if token else {})}).json()
        items += page["items"]
        token = page["next_page_token"]
    assert [item["name"] for item in items if item["name"] in names] == names
    address = f"{ARTIFACTS}/{names[0]}"
    tag = files.client.get(address).headers["etag"]
    assert files.client.put(address, json=[1, 2], headers={"if-match": tag}).headers["etag"] == tag
    problem(files.client.put(address, json=[3], headers={"if-match": '"x"'}), 412, "stale-revision")
    problem(files.client.delete(address, headers={"if-match": '"x"'}), 412, "stale-revision")
    assert files.client.delete(address, headers={"if-match": tag}).status_code == 204
    problem(files.client.get(address), 404, "not-found")
    problem(files.client.delete(address), 404, "not-found")
    problem(files.client.put(address, json=[3], headers={"if-match": tag}), 412, "stale-revision")
    problem(files.client.put(address, json=[3], headers={"if-match": "*"}), 412, "stale-revision")


def test_names_and_bodies_that_are_none_are_refused(files, address):
    problem(files.client.put(f"{ARTIFACTS}/a b", json=[1]), 422, "bad-name")
    problem(files.client.put(address, content=b"{", headers={"content-type": MEDIA["json"]}), 400, "malformed")
    problem(files.client.put(address, content=b"", headers={"content-type": MEDIA["json"]}), 400, "malformed")
    problem(
        files.client.put(address, content=b"x", headers={"content-type": "text/plain"}), 415, "unsupported-media-type"
    )
    problem(files.client.put(address, json={"": [1]}), 422, "bad-name")
    bad = to_file({"a": torch.tensor([True, False])}, "safetensors")
    problem(files.send(address, bad[:-1] + b"\x02", "safetensors"), 422, "bad-tensor")
    for format_name in ("npz", "pt", "npy"):
        problem(files.send(address, b"nonsense", format_name), 400, "malformed")
    problem(files.client.get(address), 404, "not-found")


@pytest.mark.parametrize("format_name", ["pt", "npz", "npy"])
def test_files_too_large_for_a_message_are_spooled_and_are_the_same(files, address, format_name):
    generator = torch.Generator().manual_seed(0)
    tensors = {"a": torch.randn(3_000_000, generator=generator), "flags": torch.rand(1_500_000) < 0.5}
    if format_name == "npy":
        stream = io.BytesIO()
        np.save(stream, tensors["a"].view(3, -1).T.numpy())
        assert files.send(address, stream.getvalue(), "npy").json()["tensors"][0]["shape"] == [1_000_000, 3]
        assert torch.equal(load(files.client.get(f"{address}?format=pt").content), tensors["a"].view(3, -1).T)
        return
    assert files.send(address, to_file(tensors, format_name), format_name).status_code == 201
    assert equal(load(files.client.get(f"{address}?format=pt").content), tensors)
    cut = to_file(tensors, format_name)[:-100]
    problem(files.send(address, cut, format_name), 400, "malformed")
    assert equal(load(files.client.get(f"{address}?format=pt").content), tensors)
