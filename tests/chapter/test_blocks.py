"""Rows B1 to B7: layers and blocks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from torch import nn

from tests.chapter.textbook import (
    FIXED_HIDDEN_MLP_JSON,
    MLP,
    MLP_JSON,
    MY_SEQUENTIAL_JSON,
    NEST_MLP_JSON,
    FixedHiddenMLP,
    MySequential,
    NestMLP,
)
from tests.laboratory import assert_same, assert_same_state, create, listed, parameter, run, state_of, value_of
from tests.service import start_service

SEED = 7
FreshName = Callable[..., str]
X = torch.rand(2, 20, generator=torch.Generator().manual_seed(1))


def seeded(make: Callable[[], nn.Module], seed: int = SEED) -> nn.Module:
    """PyTorch's own network after `torch.manual_seed(seed)`, in eval mode."""
    torch.manual_seed(seed)
    return make().eval()


def sequential() -> nn.Sequential:
    return nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10))


def chimera() -> nn.Sequential:
    return nn.Sequential(NestMLP(), nn.Linear(16, 20), FixedHiddenMLP())


def assert_is_twin(service: httpx.Client, name: str, net: nn.Module, inputs: torch.Tensor) -> None:
    """The network `name` has the state of `net`, and gives what `net` gives."""
    assert_same_state(state_of(service, name), net)
    outputs = run(service, name, inputs)
    assert set(outputs) == {"output"}
    with torch.no_grad():
        assert_same(outputs["output"], net(inputs.clone()))


@pytest.mark.parametrize(
    "architecture",
    [
        ["Linear(20, 256)", "ReLU()", "Linear(256, 10)"],
        "nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10))",
        {"type": "Sequential", "args": ["Linear(20, 256)", "ReLU()", "Linear(256, 10)"]},
        {
            "type": "Sequential",
            "layers": [
                {"type": "Linear", "args": [20, 256]},
                {"type": "ReLU"},
                {"type": "Linear", "kwargs": {"in_features": 256, "out_features": 10}},
            ],
        },
        {"type": "Sequential", "layers": {"0": "Linear(20, 256)", "1": "ReLU()", "2": "Linear(256, 10)"}},
    ],
    ids=["list", "text", "args", "objects", "named"],
)
def test_b1_the_sequential_net_in_any_form_is_pytorch_s(
    service: httpx.Client, fresh_name: FreshName, architecture: object
) -> None:
    name = fresh_name("b1")
    created = create(service, name, architecture, seed=SEED)
    net = seeded(sequential)
    assert created["parameter_count"] == sum(value.numel() for value in net.parameters())
    assert created["parameter_bytes"] == 4 * created["parameter_count"]
    assert run(service, name, X)["output"].shape == (2, 10)
    assert_is_twin(service, name, net, X)


@pytest.mark.parametrize(
    "forward",
    [
        "return self.out(F.relu(self.hidden(X)))",
        ["        # 注意,这里我们使用ReLU的函数版本", "        return self.out(F.relu(self.hidden(X)))"],
        ["return out(relu(hidden(X)))"],
        "return out(torch.relu(hidden(X)))",
        ["h = hidden(X).relu()", "return out(h)"],
    ],
    ids=["chapter", "chapter-indented", "bare", "torch", "method"],
)
def test_b2_the_mlp_is_a_block_with_named_children_and_a_written_forward(
    service: httpx.Client, fresh_name: FreshName, forward: object
) -> None:
    name = fresh_name("b2")
    create(service, name, {**MLP_JSON, "forward": forward}, seed=SEED)
    assert_is_twin(service, name, seeded(MLP), X)
    assert [item["name"] for item in listed(service, name)] == [
        "hidden.weight",
        "hidden.bias",
        "out.weight",
        "out.bias",
    ]


def test_b2_the_mlp_as_a_graph_of_nodes_is_the_same_network(service: httpx.Client, fresh_name: FreshName) -> None:
    name = fresh_name("b2")
    nodes = [
        {"id": "y", "call": "out", "inputs": ["a"]},
        {"id": "a", "call": "relu", "inputs": ["h"]},
        {"id": "h", "call": "hidden", "inputs": ["X"]},
    ]
    graph = {"children": MLP_JSON["children"], "inputs": ["X"], "nodes": nodes, "outputs": ["y"]}
    create(service, name, graph, seed=SEED)
    assert_is_twin(service, name, seeded(MLP), X)


def test_b3_blocks_nest_to_any_depth_and_are_addressed_by_their_path(
    service: httpx.Client, fresh_name: FreshName
) -> None:
    depth = 20

    def nested(levels: int) -> nn.Module:
        return nn.Sequential(nested(levels - 1), nn.Linear(4, 4)) if levels else nn.Sequential(nn.Linear(4, 4))

    architecture: Any = ["Linear(4, 4)"]
    for _ in range(depth):
        architecture = [architecture, "Linear(4, 4)"]
    name = fresh_name("b3")
    create(service, name, architecture, seed=SEED)
    net = seeded(lambda: nested(depth))
    assert_is_twin(service, name, net, torch.rand(3, 4))
    innermost = ".".join(["0"] * (depth + 1))
    assert_same(value_of(service, name, f"{innermost}.weight"), net.get_parameter(f"{innermost}.weight"))
    module = service.get(f"/v1/networks/{name}/modules/{innermost}").json()
    assert (module["path"], module["type"]) == (innermost, "Linear")


def test_b3_an_error_inside_a_nested_block_names_its_place(service: httpx.Client) -> None:
    architecture = [
        ["Linear(4, 4)", {"type": "Sequential", "layers": ["ReLU()", {"type": "Linear", "args": ["x", 4]}]}]
    ]
    reply = service.post("/v1/networks", json={"architecture": architecture})
    assert reply.status_code == 422
    assert reply.json()["code"] == "bad-arguments"
    assert reply.json()["errors"][0]["pointer"] == "/architecture/0/1/layers/1/args/0"


def test_b3_an_error_met_when_running_names_the_child_that_raised_it(
    service: httpx.Client, fresh_name: FreshName
) -> None:
    name = fresh_name("b3")
    create(service, name, ["Linear(4, 4)", {"type": "Sequential", "layers": {"inner": ["ReLU()", "Linear(5, 2)"]}}])
    reply = service.post(f"/v1/networks/{name}/forward", json={"inputs": [[1, 2, 3, 4]]})
    assert reply.status_code == 422
    assert reply.json()["code"] == "shape-mismatch"
    assert "1.inner.1" in reply.json()["detail"]


def test_b4_two_networks_of_one_architecture_hold_their_own_parameters(
    service: httpx.Client, fresh_name: FreshName
) -> None:
    first, second, again = fresh_name("net1"), fresh_name("net2"), fresh_name("net3")
    create(service, first, MLP_JSON, seed=1)
    create(service, second, MLP_JSON, seed=2)
    create(service, again, MLP_JSON, seed=1)
    assert_is_twin(service, first, seeded(MLP, 1), X)
    assert_is_twin(service, second, seeded(MLP, 2), X)
    assert_is_twin(service, again, seeded(MLP, 1), X)
    assert not torch.equal(run(service, first, X)["output"], run(service, second, X)["output"])
    service.delete(f"/v1/networks/{first}").raise_for_status()
    assert_is_twin(service, again, seeded(MLP, 1), X)


def test_b5_my_sequential_behaves_exactly_as_sequential(service: httpx.Client, fresh_name: FreshName) -> None:
    block, mine, theirs = fresh_name("MySequential"), fresh_name("b5"), fresh_name("b5")
    service.post("/v1/blocks", json={"name": block, "definition": MY_SEQUENTIAL_JSON}).raise_for_status()
    create(service, mine, f"{block}(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10))", seed=SEED)
    create(service, theirs, "Sequential(Linear(20, 256), ReLU(), Linear(256, 10))", seed=SEED)
    net = seeded(lambda: MySequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10)))
    for name in (mine, theirs):
        assert_is_twin(service, name, net, X)


def test_b5_my_sequential_takes_no_block_one_block_and_objects(service: httpx.Client, fresh_name: FreshName) -> None:
    def use(*args: object) -> dict[str, object]:
        return {"blocks": {"MySequential": MY_SEQUENTIAL_JSON}, "type": "MySequential", "args": list(args)}

    inside = ["Linear(4, 4)", "Tanh()"]
    empty, single, nested = fresh_name("b5"), fresh_name("b5"), fresh_name("b5")
    create(service, empty, use(), seed=SEED)
    create(service, single, use({"type": "Linear", "args": [20, 3]}), seed=SEED)
    create(
        service, nested, use("MySequential(Linear(20, 4), ReLU())", {"type": "Sequential", "layers": inside}), seed=SEED
    )
    assert_is_twin(service, empty, MySequential(), X)
    assert_is_twin(service, single, seeded(lambda: MySequential(nn.Linear(20, 3))), X)
    net = seeded(
        lambda: MySequential(MySequential(nn.Linear(20, 4), nn.ReLU()), nn.Sequential(nn.Linear(4, 4), nn.Tanh()))
    )
    assert_is_twin(service, nested, net, X)
    reply = service.post("/v1/architectures/check", json={"architecture": use("Linear(20, 4)", inside)})
    assert (reply.status_code, reply.json()["code"]) == (422, "bad-arguments")
    assert '"type": "Sequential"' in reply.json()["detail"]


def test_b5_the_chapter_s_own_loop_over_modules_values_works_as_it_stands(
    service: httpx.Client, fresh_name: FreshName
) -> None:
    lines = ["for block in self._modules.values():", "    X = block(X)", "return X"]
    name = fresh_name("b5")
    children = ["Linear(20, 256)", "ReLU()", "Linear(256, 10)"]
    blocks = {"MySequential": {**MY_SEQUENTIAL_JSON, "forward": lines}}
    create(service, name, {"blocks": blocks, "type": "MySequential", "args": children}, seed=SEED)
    net = seeded(lambda: MySequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10)))
    assert_is_twin(service, name, net, X)


def test_b6_the_fixed_hidden_mlp_halves_until_it_is_small_and_gives_a_scalar(
    service: httpx.Client, fresh_name: FreshName
) -> None:
    name = fresh_name("b6")
    create(service, name, FIXED_HIDDEN_MLP_JSON, seed=SEED)
    net = seeded(FixedHiddenMLP)
    assert_is_twin(service, name, net, X)
    assert_is_twin(service, name, net, 1e6 * X)  # many turns of the loop
    output = run(service, name, X)["output"]
    assert output.shape == ()
    kinds = {item["name"]: (item["kind"], item["requires_grad"]) for item in listed(service, name)}
    assert kinds == {
        "linear.weight": ("parameter", True),
        "linear.bias": ("parameter", True),
        "rand_weight": ("buffer", False),
    }


def test_b6_the_order_of_sections_is_the_order_of_drawing(service: httpx.Client, fresh_name: FreshName) -> None:
    class LinearFirst(FixedHiddenMLP):
        def __init__(self) -> None:
            nn.Module.__init__(self)
            self.linear = nn.Linear(20, 20)
            self.register_buffer("rand_weight", torch.rand(20, 20))

    keys = ("children", "constants", "inputs", "forward")
    name = fresh_name("b6")
    create(service, name, {key: FIXED_HIDDEN_MLP_JSON[key] for key in keys}, seed=SEED)
    assert_is_twin(service, name, seeded(LinearFirst), X)


def test_b6_a_constant_is_not_changed_by_a_forward_in_either_mode(service: httpx.Client, fresh_name: FreshName) -> None:
    name = fresh_name("b6")
    create(service, name, FIXED_HIDDEN_MLP_JSON, seed=SEED)
    before = parameter(service, name, "rand_weight")
    for mode in ("eval", "train"):
        run(service, name, X, mode=mode)
    assert parameter(service, name, "rand_weight") == before


def test_b6_infinite_inputs_end_the_loop_as_in_pytorch(service: httpx.Client, fresh_name: FreshName) -> None:
    name, inputs = fresh_name("b6"), torch.full((2, 20), torch.inf)
    create(service, name, FIXED_HIDDEN_MLP_JSON, seed=SEED)
    with torch.no_grad():
        wanted = seeded(FixedHiddenMLP)(inputs.clone())
    reply = service.post(f"/v1/networks/{name}/forward", json={"inputs": [["Infinity"] * 20] * 2})
    assert reply.status_code == 200
    assert (wanted.isnan(), reply.json()["outputs"]["output"]["data"]) == (True, "NaN")


def test_b6_a_loop_that_never_ends_ends_with_a_problem(service: httpx.Client, fresh_name: FreshName) -> None:
    endless = fresh_name("b6")
    create(service, endless, {"inputs": ["X"], "forward": ["while X.abs().sum() > 1:", "    X = X * 2", "return X"]})
    reply = service.post(f"/v1/networks/{endless}/forward", json={"inputs": [[1, 2]]})
    assert (reply.status_code, reply.json()["code"]) == (422, "limit-exceeded")
    assert "of forward" in reply.json()["detail"]


def test_b6_constants_survive_a_restart_of_the_service(tmp_path: Path) -> None:
    with start_service(tmp_path) as running, running.client() as client:
        create(client, "fixed", FIXED_HIDDEN_MLP_JSON, seed=SEED)
        create(client, "unseeded", FIXED_HIDDEN_MLP_JSON)
        before, output = state_of(client, "unseeded"), run(client, "unseeded", X)["output"]
        assert_is_twin(client, "fixed", seeded(FixedHiddenMLP), X)
        running.stop()
    with start_service(tmp_path) as running, running.client() as client:
        assert_is_twin(client, "fixed", seeded(FixedHiddenMLP), X)
        after = state_of(client, "unseeded")
        assert list(after) == list(before)
        for name, value in before.items():
            assert_same(after[name], value, name)
        assert_same(run(client, "unseeded", X)["output"], output)


def test_b7_the_chimera_is_made_of_registered_blocks(service: httpx.Client, fresh_name: FreshName) -> None:
    nest, fixed, name = fresh_name("NestMLP"), fresh_name("FixedHiddenMLP"), fresh_name("chimera")
    service.post("/v1/blocks", json={"name": nest, "definition": NEST_MLP_JSON}).raise_for_status()
    service.post("/v1/blocks", json={"name": fixed, "definition": FIXED_HIDDEN_MLP_JSON}).raise_for_status()
    create(service, name, f"nn.Sequential({nest}(), nn.Linear(16, 20), {fixed}())", seed=SEED)
    net = seeded(chimera)
    assert_is_twin(service, name, net, X)
    printed = service.get(f"/v1/networks/{name}/modules", headers={"Accept": "text/plain"}).text
    assert printed.rstrip("\n") == repr(net).replace("NestMLP", nest).replace("FixedHiddenMLP", fixed)


def test_b7_a_network_keeps_its_own_copy_of_the_blocks_it_uses(service: httpx.Client, fresh_name: FreshName) -> None:
    nest, name = fresh_name("NestMLP"), fresh_name("chimera")
    service.post("/v1/blocks", json={"name": nest, "definition": NEST_MLP_JSON}).raise_for_status()
    create(service, name, [f"{nest}()", "Linear(16, 2)"], seed=SEED)
    changed = {**NEST_MLP_JSON, "forward": ["return self.linear(self.net(X)) * 0"]}
    service.put(f"/v1/blocks/{nest}", json={"definition": changed}).raise_for_status()
    net = seeded(lambda: nn.Sequential(NestMLP(), nn.Linear(16, 2)))
    assert_is_twin(service, name, net, X)
    resolved, again = service.get(f"/v1/networks/{name}/architecture").json(), fresh_name("chimera")
    service.delete(f"/v1/blocks/{nest}").raise_for_status()
    create(service, again, resolved, seed=SEED)
    assert_is_twin(service, again, net, X)


def test_b7_blocks_given_inline_make_the_same_network(service: httpx.Client, fresh_name: FreshName) -> None:
    name = fresh_name("chimera")
    architecture = {
        "blocks": {"NestMLP": NEST_MLP_JSON, "FixedHiddenMLP": FIXED_HIDDEN_MLP_JSON},
        "type": "Sequential",
        "layers": ["NestMLP()", "Linear(16, 20)", {"type": "FixedHiddenMLP"}],
    }
    create(service, name, architecture, seed=SEED)
    net = seeded(chimera)
    assert_is_twin(service, name, net, X)
    assert service.get(f"/v1/networks/{name}/modules?format=text").text.rstrip("\n") == repr(net)
