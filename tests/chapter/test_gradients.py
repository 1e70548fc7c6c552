"""Rows B8, P2 and P9 of the chapter as far as they speak of gradients: of inputs, of parameters, of tied ones."""

import httpx
import pytest
import torch
from torch import nn

from tests.chapter.nets import CONSTANT_JSON, MLP_JSON, TIED_JSON, create, mlp, tensor_of, tied
from tests.chapter.textbook import FIXED_HIDDEN_MLP_JSON, FixedHiddenMLP

X = torch.linspace(-1, 1, 8).reshape(2, 4)
Y = torch.tensor([[0.5], [-0.5]])


def backward(service: httpx.Client, path: str, inputs: torch.Tensor, **more: object) -> dict:
    reply = service.post(f"{path}/backward", json={"inputs": inputs.tolist(), **more})
    assert reply.status_code == 200, reply.text
    return reply.json()


def grad(service: httpx.Client, path: str, parameter: str, **query: object) -> torch.Tensor | None:
    reply = service.get(f"{path}/parameters/{parameter}", params=query)
    assert reply.status_code == 200, reply.text
    found = reply.json()["grad"]
    return None if found is None else tensor_of(found)


def assert_same_grads(service: httpx.Client, path: str, net: nn.Module) -> None:
    for name, parameter in net.named_parameters():
        kept = grad(service, path, name)
        assert (kept is None) == (parameter.grad is None), name
        assert kept is None or torch.equal(kept, parameter.grad), name


def test_b8_a_block_computes_the_gradient_of_its_output_with_respect_to_its_input(service, fresh_name):
    path, net, x = create(service, fresh_name(), MLP_JSON), mlp(), X.clone().requires_grad_()
    reply = backward(service, path, X)
    output = net(x).sum()
    output.backward()
    assert torch.equal(torch.tensor(reply["loss"]), output.detach())
    assert torch.equal(tensor_of(reply["input_gradients"]["input"]), x.grad)
    assert list(reply["parameter_gradients"]) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert reply["parameter_gradients"]["0.weight"]["shape"] == [8, 4]
    assert_same_grads(service, path, net)


def test_b8_the_gradient_passes_a_loop_that_depends_on_the_data(service, fresh_name):
    path, x = create(service, fresh_name(), FIXED_HIDDEN_MLP_JSON), torch.rand(2, 20)
    torch.manual_seed(7)
    net = FixedHiddenMLP()
    reply = backward(service, path, x)
    x.requires_grad_()
    net(x).backward()
    assert torch.equal(tensor_of(reply["input_gradients"]["X"]), x.grad)
    assert_same_grads(service, path, net)
    assert "rand_weight" not in reply["parameter_gradients"], "a constant is not trained"
    assert grad(service, path, "rand_weight") is None


def test_p2_a_parameter_has_no_gradient_before_backward_has_one_after_it_and_none_when_cleared(service, fresh_name):
    path, net = create(service, fresh_name(), MLP_JSON), mlp()
    assert grad(service, path, "2.weight") is None
    backward(service, path, X, targets={"y": Y.tolist()}, loss="mse_loss(output, y)")
    nn.functional.mse_loss(net(X), Y).backward()
    assert_same_grads(service, path, net)
    assert torch.equal(grad(service, path, "2.weight", index="0, ::2"), net[2].weight.grad[0, ::2])
    assert service.delete(f"{path}/gradients").status_code == 204
    assert grad(service, path, "2.weight") is None


def test_p9_the_gradients_of_a_layer_that_is_used_twice_add_up(service, fresh_name):
    path, net = create(service, fresh_name(), TIED_JSON), tied()
    reply = backward(service, path, X)
    net(X).sum().backward()
    assert_same_grads(service, path, net)
    assert list(reply["parameter_gradients"]) == [name for name, _ in net.named_parameters()]
    assert torch.equal(grad(service, path, "2.weight"), grad(service, path, "4.weight"))


def test_p9_the_gradient_of_a_tied_parameter_is_the_sum_of_what_its_uses_would_have_apart(service, fresh_name):
    """A weight used by two layers of a block, tied by name."""
    block = {
        "children": {"encoder": "Linear(4, 4, bias=False)", "decoder": "Linear(4, 4, bias=False)"},
        "ties": [["decoder.weight", "encoder.weight"]],
        "inputs": ["x"],
        "forward": ["return decoder(tanh(encoder(x)))"],
    }
    apart = {key: value for key, value in block.items() if key != "ties"}
    path, other = create(service, fresh_name(), block), create(service, fresh_name(), apart)
    weight = service.get(f"{path}/parameters/encoder.weight").json()["value"]
    for name in ("encoder", "decoder"):
        assert service.put(f"{other}/parameters/{name}.weight", json=weight).status_code == 200
    assert list(backward(service, path, X)["parameter_gradients"]) == ["encoder.weight"]
    backward(service, other, X)
    uses = [grad(service, other, f"{name}.weight") for name in ("encoder", "decoder")]
    torch.testing.assert_close(grad(service, path, "decoder.weight"), uses[0] + uses[1])


@pytest.mark.parametrize("cut", ["W.data", "W.detach()"])
def test_l2_data_and_detach_cut_the_gradient_as_in_pytorch(service, fresh_name, cut):
    block = {
        "parameters": {"W": "randn(4, 3)", "b": "randn(3)"},
        "inputs": ["X"],
        "forward": [f"return relu(X @ {cut} + b)"],
    }
    path = create(service, fresh_name(), block)
    torch.manual_seed(7)
    weight, bias = torch.randn(4, 3), torch.randn(3).requires_grad_()
    reply = backward(service, path, X)
    x = X.clone().requires_grad_()
    torch.relu(x @ weight + bias).sum().backward()
    assert list(reply["parameter_gradients"]) == ["b"]
    assert grad(service, path, "W") is None
    assert torch.equal(grad(service, path, "b"), bias.grad)
    assert torch.equal(tensor_of(reply["input_gradients"]["X"]), x.grad)


def test_frozen_parameters_have_no_gradient(service, fresh_name):
    path = create(service, fresh_name(), CONSTANT_JSON)
    reply = service.patch(f"{path}/parameters/linear.weight", json={"requires_grad": False})
    assert reply.status_code == 200
    found = backward(service, path, torch.rand(2, 20))
    assert list(found["parameter_gradients"]) == ["linear.bias"]
    assert found["revision"] == 2
