"""Every architecture of the tables, over HTTP, beside its twin in plain PyTorch.

The seed draws the twin's own parameters, under the twin's names and in its order; what the service gives back loads
into a fresh twin, and whatever goes in, the same comes out, in mode eval and, from a seed, in mode train.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace

import httpx
import pytest
import torch
from torch import Tensor, nn

from tests.architectures import attention, gates, generative, sequences, vision, vision_blocks, vision_paths
from tests.architectures.case import Case
from tests.laboratory import assert_same, assert_same_state, create, listed, run, run_binary, state_of

FreshName = Callable[..., str]
SEED = 7
CASES = [
    case
    for table in (vision, vision_blocks, vision_paths, sequences, attention, generative, gates)
    for case in table.CASES
]


def named(value: object, name: str = "output") -> Iterator[tuple[str, Tensor]]:
    """The outputs of a twin, named as the contract says."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from named(part, key)
    elif isinstance(value, tuple | list):
        for index, part in enumerate(value):
            yield from named(part, f"{name}_{index}")
    elif isinstance(value, int | float):
        yield name, torch.tensor(value)


def outputs_of(twin: nn.Module, case: Case, seed: int | None) -> dict[str, Tensor]:
    """What the twin gives after `torch.manual_seed(seed)`; the twin stays as it is."""
    copied = copy.deepcopy(twin)  # outside: what is copied in inference mode takes other kernels
    if seed is not None:
        torch.manual_seed(seed)
    with torch.inference_mode():
        return dict(named(copied(**{name: value.clone() for name, value in case.inputs.items()})))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_architecture_is_its_twin(service: httpx.Client, fresh_name: FreshName, case: Case) -> None:
    name = fresh_name(case.name)
    created = create(service, name, case.architecture, seed=SEED)
    torch.manual_seed(SEED)
    twin = case.twin()

    state = state_of(service, name)
    assert_same_state(state, twin)
    items = listed(service, name)
    names = [*dict(twin.named_parameters()), *dict(twin.named_buffers())]
    assert [item["name"] for item in items] == names
    assert created["parameter_count"] == sum(value.numel() for value in twin.parameters())

    loaded = case.twin()
    loaded.load_state_dict(state)
    seed = 11 if case.seeded else None
    fields = {} if seed is None else {"seed": seed}
    wanted = outputs_of(loaded.eval(), case, seed)
    for given in (run(service, name, case.inputs, **fields), run_binary(service, name, case.inputs, **fields)):
        assert_same_outputs(given, wanted)

    trained = outputs_of(loaded.train(), case, 11)
    assert_same_outputs(run(service, name, case.inputs, mode="train", seed=11), trained)
    assert_same_outputs(run(service, name, case.inputs, **fields), wanted)


def assert_same_outputs(given: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert set(given) == set(wanted)
    for name, value in wanted.items():
        assert_same(given[name], value, name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_resolved_architecture_is_checked_alone_and_prints_the_same(
    service: httpx.Client, fresh_name: FreshName, case: Case
) -> None:
    name = fresh_name(case.name)
    created = create(service, name, case.architecture)
    resolved = service.get(f"/v1/networks/{name}/architecture").json()
    inputs = {
        key: {"shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
        for key, value in case.inputs.items()
    }
    body = {"architecture": resolved, "input_shapes": inputs}
    reply = service.post("/v1/architectures/check", json=body)
    assert reply.status_code == 200, reply.text
    assert reply.json()["parameter_count"] == created["parameter_count"]
    assert reply.json()["tree"] == service.get(f"/v1/networks/{name}/modules?format=text").text.rstrip("\n")
    shapes = {
        key: {"dtype": str(value.dtype).removeprefix("torch."), "shape": list(value.shape)}
        for key, value in outputs_of(case.twin().eval(), case, 0).items()
    }
    found = reply.json()["output_shapes"]
    assert found == shapes or (found is None and reply.json()["note"])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    "name", ["lenet", "resnet", "lstm", "gpt", "bert", "vit", "ode", "capsules", "experts", "shared"]
)
def test_in_another_dtype_the_values_are_drawn_in_float32_and_then_cast(
    service: httpx.Client, fresh_name: FreshName, name: str, dtype: torch.dtype
) -> None:
    case = next(case for case in CASES if case.name == name)
    network = fresh_name(name)
    created = create(service, network, case.architecture, seed=SEED, dtype=str(dtype).removeprefix("torch."))
    torch.manual_seed(SEED)
    twin = case.twin().to(dtype).eval()
    assert_same_state(state_of(service, network), twin)
    assert created["parameter_bytes"] == sum(value.numel() * value.element_size() for value in twin.parameters())
    inputs = {key: value.to(dtype) if value.is_floating_point() else value for key, value in case.inputs.items()}
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)  # what a forward makes has the network's dtype
    try:
        wanted = outputs_of(twin, replace(case, inputs=inputs), None)
    finally:
        torch.set_default_dtype(before)
    assert_same_outputs(run(service, network, inputs), wanted)
    assert_same_outputs(run_binary(service, network, inputs), wanted)
