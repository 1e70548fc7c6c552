"""Requests that share a run: each gets the reply it would have got alone, or is left to run alone."""

import io

import msgspec
import numpy as np
import orjson
import pytest
import safetensors.torch
import torch

from app.messages import Batching, Encoded, Failure, NetworkRef, RunForward
from app.worker.context import Worker
from app.worker.handlers import answer
from app.worker.shared_forward import run_shared
from tests.worker.conftest import create

JSON, SAFETENSORS, NPY = "application/json", "application/vnd.safetensors", "application/x-npy"
MLP = ["Linear(4, 8)", "ReLU()", "Linear(8, 2)"]
TWO = {
    "children": {"left": "Linear(4, 3)", "right": "LSTM(5, 3, batch_first=True)"},
    "inputs": ["x", "steps", "scale=1.0"],
    "forward": ["y, (h, c) = right(steps)", "return {'sum': left(x) * scale + y[:, -1], 'state': h}"],
}


def batched(worker: Worker, architecture: object) -> NetworkRef:
    return msgspec.structs.replace(create(worker, architecture, seed=3), batching=Batching(32, 2.0))


def task(ref: NetworkRef, inputs: object, accept: str = JSON, **more: object) -> RunForward:
    body = inputs if isinstance(inputs, bytes) else orjson.dumps({"inputs": inputs} | more)
    return RunForward(ref, body, JSON, accept)


def rows(count: int, *shape: int) -> list:
    return torch.rand(count, *shape).tolist()


def check(worker: Worker, tasks: list[RunForward], shared: list[bool]) -> None:
    """Runs tasks together: those that shared a run got what they get alone, the others nothing yet."""
    replies = run_shared(worker, tasks)
    assert [reply is not None for reply in replies] == shared
    for reply, one in zip(replies, tasks, strict=True):
        if reply is not None:
            alone = answer(worker, one)
            assert isinstance(alone, Encoded)
            assert (reply.media_type, reply.revision) == (alone.media_type, alone.revision)
            check_bodies(reply, alone)


def check_bodies(reply: Encoded, alone: Encoded) -> None:
    if reply.media_type == JSON:
        ours, theirs = orjson.loads(reply.body), orjson.loads(alone.body)
        assert {**ours, "outputs": None} == {**theirs, "outputs": None}
        assert list(ours["outputs"]) == list(theirs["outputs"])
        for name, value in ours["outputs"].items():
            other = theirs["outputs"][name]
            assert (value["dtype"], value["shape"]) == (other["dtype"], other["shape"])
            np.testing.assert_allclose(
                np.array(value["data"], float), np.array(other["data"], float), rtol=1e-5, atol=1e-6
            )
    elif reply.media_type == SAFETENSORS:
        ours, theirs = safetensors.torch.load(reply.body), safetensors.torch.load(alone.body)
        assert ours.keys() == theirs.keys()  # the library that reads them gives them in any order
        for name in ours:
            torch.testing.assert_close(ours[name], theirs[name])
    else:
        np.testing.assert_allclose(
            np.load(io.BytesIO(reply.body)), np.load(io.BytesIO(alone.body)), rtol=1e-5, atol=1e-6
        )


def test_requests_of_any_number_of_rows_share_a_run(make_worker):
    worker = make_worker()
    ref = batched(worker, MLP)
    check(worker, [task(ref, rows(count, 4)) for count in (1, 3, 2, 7)], [True] * 4)


def test_each_reply_is_written_as_its_request_accepts(make_worker):
    worker = make_worker()
    ref = batched(worker, MLP)
    check(worker, [task(ref, rows(2, 4), accept) for accept in (JSON, SAFETENSORS, NPY, JSON)], [True] * 4)


def test_binary_bodies_share_a_run(make_worker):
    worker = make_worker()
    ref = batched(worker, MLP)
    tasks = [
        RunForward(ref, safetensors.torch.save({"input": torch.rand(count, 4)}), SAFETENSORS, SAFETENSORS)
        for count in (2, 1)
    ]
    check(worker, tasks, [True, True])


def test_several_inputs_and_outputs_are_joined_and_taken_apart_by_name(make_worker):
    worker = make_worker()
    ref = batched(worker, TWO)
    given = [{"x": rows(count, 4), "steps": rows(count, 6, 5)} for count in (2, 1, 3)]
    check(worker, [task(ref, inputs) for inputs in given], [True] * 3)
    check(worker, [task(ref, inputs, SAFETENSORS) for inputs in given], [True] * 3)
    with_scale = [inputs | {"scale": rows(len(inputs["x"]), 1)} for inputs in given]
    check(worker, [task(ref, inputs) for inputs in [*given, *with_scale]], [True] * 6)


def test_dtypes_and_non_finite_numbers_are_as_alone(make_worker):
    worker = make_worker()
    ref = batched(worker, {"inputs": ["ids"], "forward": "return ids * 2, ids > 1, ids / 0"})
    tasks = [
        task(ref, {"dtype": "int64", "data": [[1, 2]]}),
        task(ref, {"dtype": "int64", "data": [[0, 3], [4, 5]]}),
        task(ref, [[1.5, -2.0]]),
        task(ref, [[0.0, "NaN"]]),
        task(ref, [[True, False]]),
        task(ref, [["Infinity", 1]]),
    ]
    check(worker, tasks, [True, True, True, True, False, True])


def test_the_bad_ones_are_left_out_and_their_neighbours_are_not(make_worker):
    worker = make_worker()
    ref = batched(worker, MLP)
    tasks = [
        task(ref, rows(2, 4)),
        task(ref, b"{"),
        task(ref, [[1, 2], [3]]),
        task(ref, rows(2, 5)),
        task(ref, [["a", 1, 2, 3]]),
        task(ref, b'{"inputs": [[1, 2, 3, 4]], "speed": 1}'),
        task(ref, rows(1, 4)),
    ]
    assert [reply is not None for reply in run_shared(worker, tasks)] == [True, *[False] * 5, True]
    assert all(isinstance(answer(worker, one), Failure) for one in tasks[1:6])


def test_one_that_fails_in_the_network_leaves_all_to_run_alone(make_worker):
    worker = make_worker()
    ref = batched(worker, ["Embedding(5, 3)"])
    tasks = [task(ref, {"dtype": "int64", "data": [[number]]}) for number in (1, 9, 2)]
    assert run_shared(worker, tasks) == [None] * 3
    assert [type(answer(worker, one)) for one in tasks] == [Encoded, Failure, Encoded]


def test_what_asks_for_more_than_outputs_runs_alone(make_worker):
    worker = make_worker()
    ref = batched(worker, MLP)
    alone = [{"seed": 1}, {"mode": "train"}, {"capture": ["0"]}, {"revision": 7}]
    tasks = [task(ref, rows(1, 4), **more) for more in [{}, *alone, {"mode": "eval"}, {"revision": 1}]]
    shared = [reply is not None for reply in run_shared(worker, tasks)]
    assert shared == [False, *[False] * 4, True, True]  # the first is alone among plain lists


@pytest.mark.parametrize("inputs", [[], {"data": 1.5}, 3, {"x": [[1.0]], "y": []}])
def test_what_holds_no_rows_runs_alone(make_worker, inputs):
    worker = make_worker()
    ref = batched(worker, ["ReLU()"])
    assert run_shared(worker, [task(ref, inputs)] * 2) == [None, None]


def test_inputs_with_different_numbers_of_rows_run_alone(make_worker):
    worker = make_worker()
    ref = batched(worker, {"inputs": ["x", "y"], "forward": "return x + y"})
    assert run_shared(worker, [task(ref, {"x": rows(2, 3), "y": rows(1, 3)})] * 2) == [None, None]
    check(worker, [task(ref, {"x": rows(2, 3), "y": rows(2, 3)})] * 2, [True, True])


def test_a_network_is_proven_for_the_ranks_that_come(make_worker):
    worker = make_worker()
    ref = batched(worker, ["Linear(4, 2)"])
    assert run_shared(worker, [task(ref, rows(4))] * 2) == [None, None]  # one vector: its numbers are no rows
    check(worker, [task(ref, rows(2, 4))] * 2, [True, True])
    check(worker, [task(ref, rows(2, 3, 4))] * 2, [True, True])


def test_a_network_that_mixes_rows_never_shares_a_run(make_worker):
    worker = make_worker()
    ref = batched(worker, {"inputs": ["x"], "forward": "return x - x.mean()"})
    assert run_shared(worker, [task(ref, rows(2, 4))] * 3) == [None] * 3


def test_several_rows_of_output_for_one_of_input_go_where_they_belong(make_worker):
    worker = make_worker()
    ref = batched(worker, {"inputs": ["x"], "forward": "return x.flatten(0, 1), x.transpose(0, 1)"})
    check(worker, [task(ref, rows(count, 3, 2)) for count in (1, 2)], [True, True])


def test_the_network_stays_as_it_was(make_worker):
    worker = make_worker()
    ref = batched(worker, ["Linear(4, 3)", "BatchNorm1d(3)"])
    before = {name: value.clone() for name, value in worker.residents.find(ref).module.state_dict().items()}
    answer(worker, task(ref, rows(3, 4), mode="train"))
    check(worker, [task(ref, rows(2, 4))] * 2, [True, True])
    after = worker.residents.find(ref).module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
