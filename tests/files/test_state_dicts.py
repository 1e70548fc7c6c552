"""state_dict over HTTP: what plain PyTorch, safetensors and NumPy write is loaded, and they read what comes out."""

import io

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from tests.files.conftest import MEDIA, equal, from_file, mlp, state, to_file

FORMATS = ["safetensors", "pt", "npz"]
TIED = {
    "children": {"encoder": "Linear(4, 4)", "decoder": "Linear(4, 4)"},
    "ties": [["decoder.weight", "encoder.weight"]],
    "inputs": ["x"],
    "forward": ["return decoder(encoder(x))"],
}


def problem(reply, status: int, code: str) -> dict:
    assert reply.status_code == status, reply.text
    assert reply.json()["code"] == code
    return reply.json()


@pytest.mark.parametrize("format_name", FORMATS)
def test_f2_a_saved_network_is_rebuilt_loaded_and_gives_the_same_bit_for_bit(files, network, fresh_name, format_name):
    net = mlp(3)
    X = torch.randn(2, 20)
    Y = net(X).detach()
    loaded = files.put(network, net.state_dict(), format_name)
    assert loaded.status_code == 200, loaded.text
    assert loaded.json() == {"revision": 2, "loaded": 4, "missing": [], "unexpected": []}
    assert loaded.headers["etag"] == '"2"'
    assert torch.equal(files.forward(network, X), Y)

    body = files.client.get(f"{network}/state_dict", params={"format": format_name}).content
    clone = mlp(4)
    clone.load_state_dict(from_file(body, format_name))
    clone.eval()
    assert torch.equal(clone(X), Y)

    again = files.make(fresh_name("clone"))
    assert files.send(f"{again}/state_dict", body, format_name).status_code == 200
    assert torch.equal(files.forward(again, X), Y)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_every_dtype_of_a_network_goes_both_ways(files, fresh_name, dtype):
    name = str(dtype).removeprefix("torch.")
    address = files.make(fresh_name(), ["Linear(3, 5)", "BatchNorm1d(5)"], dtype=name)
    net = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5)).to(dtype)
    net[1].num_batches_tracked += 7
    formats = ["safetensors", "pt"] if dtype is torch.bfloat16 else FORMATS
    for format_name in formats:
        assert files.put(address, net.state_dict(), format_name).status_code == 200
        assert equal(files.get(address, format_name), net.state_dict())
    if dtype is torch.bfloat16:
        problem(files.client.get(f"{address}/state_dict?format=npz"), 406, "not-acceptable")


def test_json_goes_both_ways_and_numbers_take_the_networks_dtypes(files, fresh_name):
    address = files.make(fresh_name(), ["Linear(3, 2)", "BatchNorm1d(2)"], dtype="float64")
    body = files.client.get(f"{address}/state_dict", params={"format": "json"})
    tensors = body.json()
    assert tensors["1.num_batches_tracked"] == {"dtype": "int64", "shape": [], "data": 0}
    assert files.send(f"{address}/state_dict", body.content, "json").status_code == 200
    plain = {name: tensor["data"] for name, tensor in tensors.items()} | {"1.num_batches_tracked": 5}
    plain["0.bias"] = [0.1, -1e300]
    assert files.client.put(f"{address}/state_dict", json=plain).status_code == 200
    now = files.get(address)
    assert now["0.bias"].tolist() == [0.1, -1e300]
    assert now["1.num_batches_tracked"].item() == 5


def test_p1_a_module_alone_by_name_and_by_position(files, network):
    whole = files.get(network)
    for prefix in ("2", "[2]"):
        part = files.get(network, prefix=prefix)
        assert equal(part, {"weight": whole["2.weight"], "bias": whole["2.bias"]})
    other = nn.Linear(256, 10)
    assert files.put(network, other.state_dict(), prefix="2").json()["loaded"] == 2
    now = files.get(network)
    assert torch.equal(now["2.weight"], other.weight)
    assert torch.equal(now["0.weight"], whole["0.weight"])
    assert files.get(network, prefix="1") == {}
    problem(files.client.get(f"{network}/state_dict?prefix=7"), 404, "not-found")
    problem(files.client.get(f"{network}/state_dict?prefix=2.weight"), 404, "not-found")
    problem(files.client.put(f"{network}/state_dict?prefix=7", json={}), 404, "not-found")


def test_an_older_revision_is_read_as_it_was(files, network):
    before = files.get(network)
    files.put(network, mlp(9).state_dict())
    assert equal(files.get(network, revision=1), before)
    assert equal(files.get(network), mlp(9).state_dict())
    problem(files.client.get(f"{network}/state_dict?revision=3"), 404, "not-found")


@pytest.mark.parametrize("format_name", FORMATS)
def test_names_must_be_the_same_on_both_sides_unless_strict_is_false(files, network, format_name):
    tensors = state(mlp(5))
    del tensors["0.bias"]
    tensors["9.weight"] = torch.ones(3)
    refused = problem(files.put(network, tensors, format_name), 422, "state-dict-mismatch")
    assert (refused["missing"], refused["unexpected"]) == (["0.bias"], ["9.weight"])
    before = files.get(network)
    loaded = files.put(network, tensors, format_name, strict="false").json()
    assert loaded == {"revision": 2, "loaded": 3, "missing": ["0.bias"], "unexpected": ["9.weight"]}
    now = files.get(network)
    assert torch.equal(now["0.bias"], before["0.bias"])
    assert torch.equal(now["2.bias"], tensors["2.bias"])


@pytest.mark.parametrize("format_name", FORMATS)
def test_shapes_and_dtypes_are_checked_and_nothing_is_cast(files, network, format_name):
    tensors = state(mlp(5))
    wrong = problem(files.put(network, {**tensors, "0.bias": torch.ones(255)}, format_name), 422, "shape-mismatch")
    assert wrong["errors"][0]["pointer"] == "/0.bias"
    assert "[255]" in wrong["detail"]
    assert "[256]" in wrong["detail"]
    wrong = problem(
        files.put(network, {**tensors, "0.bias": torch.ones(256).double()}, format_name), 422, "dtype-mismatch"
    )
    assert "float64" in wrong["detail"]
    assert files.client.get(network).json()["revision"] == 1


def test_tied_parameters_are_given_once_or_alike_and_come_out_under_every_name(files, fresh_name):
    address = files.make(fresh_name("tied"), TIED)
    names = {"encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias"}
    for format_name in FORMATS:
        tensors = files.get(address, format_name)
        assert set(tensors) == names
        assert torch.equal(tensors["encoder.weight"], tensors["decoder.weight"])
    tensors["decoder.weight"] = torch.full((4, 4), 2.0)
    for format_name in FORMATS:
        refused = problem(files.put(address, tensors, format_name), 409, "tied-conflict")
        assert set(refused["names"]) == {"encoder.weight", "decoder.weight"}
    tensors.pop("encoder.weight")  # as safetensors.torch.save_model leaves it out
    assert files.put(address, tensors).json()["missing"] == []
    now = files.get(address)
    assert torch.equal(now["encoder.weight"], torch.full((4, 4), 2.0))
    assert torch.equal(now["decoder.weight"], torch.full((4, 4), 2.0))
    part = {"weight": torch.full((4, 4), 3.0), "bias": torch.zeros(4)}
    assert files.put(address, part, prefix="encoder").status_code == 200
    assert torch.equal(files.get(address)["decoder.weight"], part["weight"])


def test_shared_storages_of_a_pt_file_load_as_pytorch_loads_them(files, fresh_name):
    address = files.make(fresh_name("tied"), TIED)
    encoder, decoder = nn.Linear(4, 4), nn.Linear(4, 4)
    decoder.weight = encoder.weight
    net = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
    assert files.put(address, net.state_dict(), "pt").status_code == 200
    assert equal(files.get(address), net.state_dict())
    views = {name: torch.stack([tensor, tensor], -1)[..., 0] for name, tensor in net.state_dict().items()}
    assert not views["encoder.weight"].is_contiguous()
    assert files.put(address, views, "pt").status_code == 200
    assert equal(files.get(address), net.state_dict())


def test_numpy_files_in_fortran_order_big_endian_and_compressed_are_loaded(files, network):
    net = mlp(6)
    arrays = {name: np.asfortranarray(tensor.numpy()) for name, tensor in net.state_dict().items()}
    arrays["0.bias"] = arrays["0.bias"].astype(">f4")
    for save in (np.savez, np.savez_compressed):
        stream = io.BytesIO()
        save(stream, **arrays)
        assert files.send(f"{network}/state_dict", stream.getvalue(), "npz").status_code == 200
        assert equal(files.get(network), net.state_dict())


def test_writes_respect_if_match_before_and_after_the_body(files, network):
    address = f"{network}/state_dict"
    body = to_file(mlp(1).state_dict(), "safetensors")
    headers = {"content-type": MEDIA["safetensors"], "if-match": '"1"'}
    assert files.client.put(address, content=body, headers=headers).status_code == 200
    problem(files.client.put(address, content=body, headers=headers), 412, "stale-revision")

    def slow():
        yield body[:1000]
        assert files.put(network, mlp(2).state_dict()).status_code == 200
        yield body[1000:]

    headers["if-match"] = '"2"'
    problem(files.client.put(address, content=slow(), headers=headers), 412, "stale-revision")
    assert equal(files.get(network), mlp(2).state_dict())

    def slow_again():
        yield body[:1000]
        assert files.put(network, mlp(3).state_dict()).status_code == 200
        yield body[1000:]

    reply = files.client.put(address, content=slow_again(), headers={"content-type": MEDIA["safetensors"]})
    assert reply.json()["revision"] == 5
    assert equal(files.get(network), mlp(1).state_dict())


def test_head_and_ranges_of_a_safetensors_file(files, network):
    address = f"{network}/state_dict"
    whole = files.client.get(address)
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["etag"] == '"1"'
    head = files.client.head(address)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) == len(whole.content)
    size = len(whole.content)
    for text, start, stop in [
        ("bytes=0-0", 0, 1),
        ("bytes=8-100", 8, 101),
        ("bytes=300-", 300, size),
        ("bytes=-5", size - 5, size),
        ("BYTES=1-2", 1, 3),
        (f"bytes=0-{size * 2}", 0, size),
        (f"bytes={size // 3}-{2 * size // 3}", size // 3, 2 * size // 3 + 1),
    ]:
        part = files.client.get(address, headers={"range": text})
        assert part.status_code == 206
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        assert part.content == whole.content[start:stop]
        head = files.client.head(address, headers={"range": text})  # parts are for GET alone (RFC 9110, 14.2)
        assert (head.status_code, int(head.headers["content-length"])) == (200, size)
    for ignored in ("bytes=5-2", "bytes=0-1,5-6", "lines=1-2", "bytes=-", "bytes=a-b"):
        assert files.client.get(address, headers={"range": ignored}).status_code == 200
    refused = files.client.get(address, headers={"range": f"bytes={size}-"})
    problem(refused, 416, "range-not-satisfiable")
    assert refused.headers["content-range"] == f"bytes */{size}"
    kept = files.client.get(address, headers={"range": "bytes=0-3", "if-range": '"1"'})
    assert kept.status_code == 206
    changed = files.client.get(address, headers={"range": "bytes=0-3", "if-range": '"0"'})
    assert (changed.status_code, changed.content) == (200, whole.content)
    first = safetensors.torch.load(whole.content)
    assert equal(first, files.get(network, "pt"))


@pytest.mark.parametrize(
    ("cut", "word"),
    [
        (lambda body: body[:-1], "ends after"),
        (lambda body: body + b"x", "goes on"),
        (lambda body: body[:5], "shorter than 8"),
        (lambda body: body[:20], "inside its header"),
        (lambda body: b"\xff" * 8 + body[8:], "header would be"),
        (lambda body: body[:8] + b"[" + body[9:], "header"),
        (lambda body: body[:0], "shorter than 8"),
    ],
)
def test_a_broken_safetensors_file_is_refused_and_changes_nothing(files, network, cut, word):
    body = cut(to_file(mlp(1).state_dict(), "safetensors"))
    refused = problem(files.send(f"{network}/state_dict", body, "safetensors"), 400, "malformed")
    assert word in refused["detail"]
    assert files.client.get(network).json()["revision"] == 1


@pytest.mark.parametrize("format_name", ["pt", "npz"])
@pytest.mark.parametrize("size", [0, 10, 2000])
def test_broken_zip_files_are_refused(files, network, format_name, size):
    body = to_file(mlp(1).state_dict(), format_name)[:size]
    problem(files.send(f"{network}/state_dict", body, format_name), 400, "malformed")


def test_what_is_no_state_dict_is_refused(files, network):
    stream = io.BytesIO()
    torch.save([torch.ones(2)], stream)
    problem(files.send(f"{network}/state_dict", stream.getvalue(), "pt"), 422, "bad-tensor")
    problem(files.client.put(f"{network}/state_dict", json=[1, 2]), 422, "bad-tensor")
    problem(files.client.put(f"{network}/state_dict", json={"0.bias": "x"}), 422, "bad-tensor")
    problem(files.send(f"{network}/state_dict", b"x", "npy"), 415, "unsupported-media-type")
    problem(files.client.put(f"{network}/state_dict", json={"artifact": "nothing"}), 404, "not-found")
    problem(files.client.put("/v1/networks/nobody/state_dict", json={}), 404, "not-found")
    problem(files.client.get("/v1/networks/nobody/state_dict"), 404, "not-found")
    problem(files.client.get(f"{network}/state_dict?format=npy"), 406, "not-acceptable")


def test_a_pt_file_that_would_run_code_is_refused(files, network, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "evil"), "w"))

    stream = io.BytesIO()
    torch.save({"0.weight": Evil()}, stream)
    problem(files.send(f"{network}/state_dict", stream.getvalue(), "pt"), 422, "bad-tensor")
    assert not list(tmp_path.iterdir())
