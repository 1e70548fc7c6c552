"""The budget of a device: who leaves, what is told of it, and memory that is really freed."""

import gc
import itertools
import sys
import weakref
from collections.abc import Callable
from types import FrameType

import pytest
import torch

from app.errors import Unprocessable
from app.messages import Resident
from app.worker import residency as residency_module
from app.worker.residency import Residency
from app.worker.turn import Withdrawn
from tests.worker.conftest import create

CPU = torch.device("cpu")


def network(name: str, byte_count: int, revision: int = 1) -> Resident:
    return Resident("network", name, revision, byte_count)


def test_the_least_recently_used_leave_until_there_is_room():
    residency = Residency(CPU, 100)
    for name in "abc":
        residency.make_room(30, "it")
        residency.add(network(name, 30), name.upper())
    assert residency.find(("network", "a")) == "A"
    residency.make_room(50, "it")
    assert [resident.id for resident in residency.report()] == ["a"]


def test_networks_and_tensors_share_the_budget():
    residency = Residency(CPU, 100)
    residency.add(network("a", 60), "A")
    residency.make_room(60, "The tensor")
    residency.add(Resident("tensor", "a", 1, 60), "T")
    assert residency.find(("network", "a")) is None
    assert residency.find(("tensor", "a")) == "T"


def test_what_can_never_fit_is_refused_and_nobody_leaves():
    residency = Residency(CPU, 100)
    residency.add(network("a", 60), "A")
    with pytest.raises(Unprocessable, match="MODEL_LAB_RESIDENT_BYTES") as caught:
        residency.make_room(101, "The network")
    assert caught.value.code == "limit-exceeded"
    assert residency.find(("network", "a")) == "A"


def test_changes_are_told_once_and_only_as_they_ended():
    residency = Residency(CPU, 100)
    residency.add(network("stays", 10), "S")
    residency.add(network("goes", 10), "G")
    residency.now_at(("network", "stays"), 2)
    residency.drop(("network", "goes"))
    assert residency.changed
    told = residency.changes()
    assert told.came == [network("stays", 10, revision=2)]
    assert told.left == [("network", "goes")]
    assert not residency.changed
    residency.drop(("network", "nobody"))
    assert not residency.changed


def test_where_memory_is_short_the_others_leave_and_it_is_tried_again():
    residency = Residency(CPU, 100)
    residency.add(network("a", 60), "A")
    tries = []

    def make() -> str:
        tries.append(len(residency.report()))
        if residency.report():
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        return "made"

    assert residency.allocate(make) == "made"
    assert tries == [1, 0]


def test_the_sums_are_right_wherever_a_task_is_broken_off():
    """The fault is put at one instruction after the other."""
    for place in range(1, 10_000):
        residency = Residency(CPU, 100)
        for name in "abc":
            residency.add(network(name, 30), name)
        known = {resident.id for resident in residency.changes().came}
        whole = _broken_off_at(place, lambda r=residency: r.make_room(30, "it") or r.add(network("d", 30), "d"))
        residency.mend()
        kept = {resident.id for resident in residency.report()}
        told = residency.changes()
        assert residency.byte_count == 30 * len(kept)
        assert (known | {resident.id for resident in told.came}) - {name for _, name in told.left} == kept
        if whole:
            break
    assert place > 50


def _broken_off_at(place: int, act: Callable[[], object]) -> bool:
    """Runs `act` and raises Withdrawn at its `place`-th instruction in the residency; True when it has not so many."""
    left = itertools.count(place, -1)

    def trace(frame: FrameType, event: str, _argument: object) -> object:
        if frame.f_code.co_filename != residency_module.__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and next(left) == 1:
            raise Withdrawn
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    except Withdrawn:
        return False
    finally:
        sys.settrace(before)
    return True


def test_another_failure_costs_nobody_its_place():
    residency = Residency(CPU, 100)
    residency.add(network("a", 60), "A")
    with pytest.raises(RuntimeError, match="shape"):
        residency.allocate(lambda: torch.ones(2, 3) @ torch.ones(2, 3) and pytest.fail("it is refused"))
    assert residency.find(("network", "a")) == "A"


def test_nothing_holds_a_network_that_has_left(make_worker):
    worker = make_worker()
    architecture = {"children": {"a": ["Linear(4, 4)", "BatchNorm1d(4)"]}, "inputs": ["x"], "forward": "return a(x)"}
    ref = create(worker, architecture)
    module = weakref.ref(worker.residents.find(ref).module)
    gc.disable()
    try:
        assert worker.residency.release([("network", ref.network_id)]) > 0
        assert module() is None
    finally:
        gc.enable()
