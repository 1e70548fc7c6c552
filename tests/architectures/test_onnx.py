"""Every architecture as an ONNX file: onnxruntime computes the same from it, or the refusal says what it cannot say."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from tests.architectures.case import uniform
from tests.architectures.test_source import NETS, SEED, Net
from tests.laboratory import create, run_binary, state_of

REFUSED = {  # by what the refusal says
    "fixed_hidden": "depends on values at line 7 of forward,",
    "chimera": "depends on values at line 7 of forward of '2'",
    "ode_until": "depends on values at line 3 of forward",
    "early": "depends on values at line 6 of forward",
    "siamese": "ONNX has no operator for `aten.adaptive_max_pool2d`",
    "numbers": "max takes numbers or a tensor, not a number, a size that may be any",
    "numbers_16": "max takes numbers or a tensor, not a number, a size that may be any",
}
RANDOM = {"vae", "diffusion"}  # what draws in mode eval draws other numbers elsewhere
FIXED_BATCH = {"scratch", "scratch_state", "gcn"}  # loops over the first size, or a square of it
ALWAYS = {  # one of each kind; the others, two seconds each, are for `make soak`
    *("resnet", "unet", "lstm", "bilstm_masked", "scratch_state", "gpt", "transformer", "vae", "flow", "gcn", "film"),
    *("sets_masked", "capsules_64", "odd_names", "literals", "scopes"),
    *("mlp", "rgnet", "centered", "tied", "my_sequential", "my_linear"),
}
EXPORTED = [
    pytest.param(net, marks=() if net.name in ALWAYS else pytest.mark.slow) for net in NETS if net.name not in REFUSED
]


def session_of(content: bytes) -> onnxruntime.InferenceSession:
    onnx.checker.check_model(content)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run_onnx(session: onnxruntime.InferenceSession, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Outputs by name; inputs that the file does not look at are left out."""
    taken = {value.name for value in session.get_inputs()}
    results = session.run(None, {name: value.numpy() for name, value in inputs.items() if name in taken})
    names = [value.name.removesuffix(".output") for value in session.get_outputs()]
    return {name: torch.as_tensor(result) for name, result in zip(names, results, strict=True)}


def shapes(inputs: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        name: {"shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
        for name, value in inputs.items()
    }


def export(service: httpx.Client, name: str, **query: Any) -> httpx.Response:
    return service.get(f"/v1/networks/{name}/export", params={"format": "onnx", **query}, timeout=180)


@pytest.fixture(scope="module")
def exported(service: httpx.Client) -> Any:
    """Makes a network, and gives the answer to its export with the shapes of its inputs."""

    def made(net: Net) -> httpx.Response:
        create(service, f"onnx_{net.name}", net.architecture, seed=SEED, dtype=net.dtype)
        return export(service, f"onnx_{net.name}", input_shapes=json.dumps(shapes(net.inputs)))

    return made


@pytest.mark.parametrize("net", EXPORTED, ids=lambda net: net.name)
def test_the_onnx_file_of_a_network_computes_the_same(service: httpx.Client, exported: Any, net: Net) -> None:
    reply = exported(net)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/vnd.onnx"
    session = session_of(reply.content)
    inputs = dict(net.inputs)
    batches = [inputs]
    if net.name not in FIXED_BATCH and all(value.ndim for value in inputs.values()):
        batches.append({name: torch.cat([value, value[:1]]) for name, value in inputs.items()})  # another batch
    for given in batches:
        wanted = run_binary(service, f"onnx_{net.name}", given, seed=11)
        found = run_onnx(session, given)
        assert set(found) == set(wanted)
        for name, value in wanted.items():
            assert found[name].shape == value.shape
            if net.name not in RANDOM:
                torch.testing.assert_close(found[name].to(value.dtype), value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("net", [net for net in NETS if net.name in REFUSED], ids=lambda net: net.name)
def test_what_onnx_cannot_say_is_refused_with_its_place(exported: Any, net: Net) -> None:
    reply = exported(net)
    assert (reply.status_code, reply.json()["code"]) == (422, "not-exportable")
    assert REFUSED[net.name] in reply.json()["detail"]


def test_a_file_holds_the_parameters_by_name_and_nothing_of_where_it_was_made(service, fresh_name) -> None:
    name = fresh_name()
    children = {"block 0": "Linear(3, 3)", "lambda": "Linear(3, 3)", "x\\": "Linear(3, 3)"}
    forward = 'return self["x\\\\"](self["lambda"](self["block 0"](weight)))'
    create(service, name, {"children": children, "inputs": ["weight"], "forward": forward})
    reply = export(service, name)
    assert reply.headers["content-disposition"] == f'attachment; filename="{name}.onnx"'
    assert reply.headers["etag"] == '"1"'
    model = onnx.load_from_string(reply.content)
    kept = {value.name: torch.from_numpy(onnx.numpy_helper.to_array(value).copy()) for value in model.graph.initializer}
    state = state_of(service, name)
    assert {key: value.tolist() for key, value in kept.items() if key in state} == {
        key: value.tolist() for key, value in state.items()
    }
    assert (model.producer_name, model.graph.name) == ("Model Lab", name)
    for path in (b"/app/", b"site-packages", b".py"):
        assert path not in reply.content
    X = uniform(5, 3)
    found = run_onnx(session_of(reply.content), {"weight": X})
    torch.testing.assert_close(found["output"], run_binary(service, name, {"weight": X})["output"])


def test_a_revision_fixed_sizes_and_shapes_can_be_asked_for(service, fresh_name) -> None:
    name = fresh_name()
    create(service, name, ["Linear(3, 2)"], seed=SEED)
    service.patch(f"/v1/networks/{name}/parameters/0.bias", json={"edits": [{"index": ":", "value": 9}]})
    X = uniform(1, 3)
    old, new = (export(service, name, revision=revision) for revision in (1, 2))
    assert (old.headers["etag"], new.headers["etag"]) == ('"1"', '"2"')
    bias = (
        run_onnx(session_of(new.content), {"input": X})["output"]
        - run_onnx(session_of(old.content), {"input": X})["output"]
    )
    torch.testing.assert_close(bias[0], 9 - state_bias(service, name), rtol=1e-4, atol=1e-5)
    fixed = onnx.load_from_string(export(service, name, dynamic=False, input_shapes="[7, 3]").content)
    assert [size.dim_value for size in fixed.graph.input[0].type.tensor_type.shape.dim] == [7, 3]
    for query, status, code in (
        ({"input_shapes": "[7, 4]"}, 422, "shape-mismatch"),
        ({"input_shapes": "[7"}, 422, "bad-query"),
        ({"revision": 9}, 404, "not-found"),
        ({"format": "npz"}, 406, "not-acceptable"),
    ):
        reply = export(service, name, **query)
        assert (reply.status_code, reply.json()["code"]) == (status, code), reply.text
    assert export(service, "nobody").status_code == 404


def state_bias(service: httpx.Client, name: str) -> Tensor:
    reply = service.get(f"/v1/networks/{name}/parameters/0.bias?revision=1")
    return torch.tensor(reply.json()["value"]["data"])


def test_without_shapes_and_without_layers_that_tell_them_shapes_are_asked_for(service, fresh_name) -> None:
    name = fresh_name()
    create(service, name, {"inputs": ["x"], "forward": "return x.reshape(3, 5, 7, 11)"})
    reply = export(service, name)
    assert (reply.status_code, reply.json()["code"]) == (422, "missing-input")
    assert export(service, name, input_shapes="[5, 3, 77]", dynamic=False).status_code == 200
