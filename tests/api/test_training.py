"""Training over HTTP: what is accepted and refused, what others may do meanwhile, cancelling, history and curve."""

import time
from contextlib import contextmanager

import httpx
import pytest
import torch

from tests.api.problem import check_problem
from tests.laboratory import create, in_json, run, state_of
from tests.training.runs import follow, start, wait

X = torch.linspace(-1, 1, 24).reshape(6, 4)
Y = X.sum(1, keepdim=True)
NET = ["Linear(4, 3)", "Tanh()", "Linear(3, 1)"]
REQUEST = {
    "inputs": X, "targets": {"y": Y}, "loss": "mse_loss(output, y)", "optimizer": "SGD(lr=0.01)", "batch_size": 2,
    "seed": 3,
}  # fmt: skip


@pytest.fixture
def network(service: httpx.Client, fresh_name) -> str:
    name = fresh_name()
    create(service, name, NET, seed=7)
    return name


def post(service: httpx.Client, network: str, headers: dict[str, str] | None = None, **changes: object):
    body = {key: in_json(value) for key, value in {**REQUEST, "epochs": 1, **changes}.items()}
    body = {key: value for key, value in body.items() if value is not None}
    return service.post(f"/v1/networks/{network}/train", json=body, headers=headers or {})


@contextmanager
def endless(service: httpx.Client, network: str, **changes: object):
    """A run that is at work, has told of itself, and is cancelled at the end."""
    job = start(service, network, **{**REQUEST, "steps": 10**9, "checkpoint": {"every_steps": 50}, **changes})
    for _, kind, data in follow(service, job):
        if kind == "progress" and data["revision"] > 1:
            break
    yield job
    service.post(f"{job}/cancel")


# --- the answer ---


def test_a_run_is_a_job_whose_result_tells_what_it_came_to(service, network):
    reply = post(service, network, epochs=2)
    assert reply.status_code == 202
    job = reply.headers["location"]
    assert (reply.json()["kind"], reply.json()["network"]) == ("train", network)
    result = wait(service, job)
    assert {key: result[key] for key in ("revision", "steps", "epochs", "samples", "stopped", "seed", "best")} == {
        "revision": 2, "steps": 6, "epochs": 2, "samples": 6, "stopped": "done", "seed": 3, "best": None
    }  # fmt: skip
    newest = service.get(f"/v1/networks/{network}/revisions").json()["items"][0]
    assert (newest["revision"], newest["operation"]) == (2, "train")
    assert newest["detail"] == {
        "job": job.rpartition("/")[2], "step": 6, "epoch": 2, "loss": result["loss"], "stopped": "done"
    }  # fmt: skip
    assert service.get(f"{job}/result").headers["etag"] == '"2"'


def test_without_a_seed_one_is_drawn_and_gives_the_same_run_again(service, network, fresh_name):
    result = wait(service, post(service, network, seed=None).headers["location"])
    twin = fresh_name()
    create(service, twin, NET, seed=7)
    wait(service, post(service, twin, seed=result["seed"]).headers["location"])
    assert all(torch.equal(value, state_of(service, network)[name]) for name, value in state_of(service, twin).items())


def test_a_target_that_is_spread_over_the_output_is_warned_of(service, network):
    result = wait(service, post(service, network, targets={"y": Y[:, 0]}).headers["location"])
    assert ["torch.Size([2, 1])" in warning for warning in result["warnings"]] == [True] * len(result["warnings"])
    assert result["warnings"]


def test_a_key_begins_one_run_however_often_it_is_sent(service, network, fresh_name):
    headers = {"Idempotency-Key": fresh_name("key")}
    replies = [post(service, network, headers) for _ in range(2)]
    assert replies[0].headers["location"] == replies[1].headers["location"]
    assert wait(service, replies[0].headers["location"])["revision"] == 2


def test_if_match_names_the_newest_revision(service, network):
    check_problem(post(service, network, {"If-Match": '"2"'}), 412, "stale-revision")
    wait(service, post(service, network, {"If-Match": '"1"'}).headers["location"])


WRONG = {
    "no loss": ({"loss": None}, "bad-request", ""),
    "no end": ({"epochs": None}, "bad-request", ""),
    "a word that is unknown": ({"lr": 0.1}, "unknown-key", "/lr"),
    "a word inside that is unknown": ({"checkpoint": {"every": 3}}, "unknown-key", "/checkpoint/every"),
    "no steps at all": ({"epochs": 0}, "bad-request", "/epochs"),
    "a count that is a truth value": ({"batch_size": True}, "bad-request", "/batch_size"),
    "an optimizer that is not there": ({"optimizer": "Adm()"}, "unknown-name", "/optimizer"),
    "an optimizer that is called wrongly": ({"optimizer": "SGD(rl=1)"}, "bad-arguments", "/optimizer"),
    "an optimizer of a wrong number": (
        {"optimizer": {"type": "SGD", "kwargs": {"lr": "fast"}}}, "bad-arguments", "/optimizer/kwargs/lr"
    ),
    "an optimizer that refuses its parameters": ({"optimizer": "Muon()"}, "bad-arguments", "/optimizer"),
    "a scheduler that is not there": ({"scheduler": "Step(3)"}, "unknown-name", "/scheduler"),
    "a scheduler inside another that is wrong": (
        {"scheduler": {"type": "ChainedScheduler", "args": [["StepLR(1)", {"type": "StepLR"}]]}},
        "bad-arguments",
        "/scheduler/args/0/1",
    ),
    "a loss that is not understood": ({"loss": "mse_loss(output,"}, "bad-expression", "/loss"),
    "a loss of many numbers": ({"loss": "output - y"}, "shape-mismatch", "/loss"),
    "a loss that leads nowhere": ({"loss": "output.detach().sum()"}, "no-gradient", "/loss"),
    "inputs of another size": ({"inputs": X[:, :3]}, "shape-mismatch", "/inputs/input"),
    "targets of another count": ({"targets": {"y": Y[:4]}}, "shape-mismatch", "/targets/y"),
    "inputs that are a number": ({"inputs": 3}, "shape-mismatch", "/inputs"),
    "an artifact that is not there": ({"inputs": {"artifact": "none"}}, "unknown-name", "/inputs/artifact"),
    "an input that is not there": ({"inputs": {"z": X}}, "unknown-name", "/inputs/z"),
    "all frozen": ({"frozen": ["0", "2"]}, "no-gradient", "/frozen"),
    "frozen what is not there": ({"frozen": ["0", "5"]}, "unknown-name", "/frozen/1"),
    "clipped to nothing": ({"clip": 0}, "bad-request", "/clip"),
    "clipped without a bound": ({"clip": {"norm_type": 1}}, "bad-request", "/clip"),
    "a metric that is no number": (
        {"validation": {"inputs": X.tolist(), "targets": {"y": Y.tolist()}, "metrics": {"m": "output"}}},
        "shape-mismatch", "/validation/metrics/m",
    ),
    "a metric called loss": (
        {"validation": {"inputs": X.tolist(), "metrics": {"loss": "output.sum()"}}},
        "duplicate-name", "/validation/metrics/loss",
    ),
    "validation without its targets": ({"validation": {"inputs": X.tolist()}}, "bad-expression", "/loss"),
    "a monitor that is not there": ({"early_stop": {"monitor": "accuracy"}}, "unknown-name", "/early_stop/monitor"),
    "nothing that is kept": ({"checkpoint": {"keep_last": 0}}, "bad-request", "/checkpoint/keep_last"),
    "batches that nothing fills": ({"batch_size": 7, "drop_last": True}, "bad-request", "/batch_size"),
    "a seed beyond 64 bits": ({"seed": 2**63 * 2}, "limit-exceeded", ""),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_at_once_with_its_place(service, network, what):
    changes, code, pointer = WRONG[what]
    check_problem(post(service, network, **changes), 422, code, pointer)
    assert service.get("/v1/jobs", params={"network": network}).json()["items"] == []


def test_a_last_batch_of_one_that_a_batch_norm_does_not_take_is_told_at_once(service, fresh_name):
    name = fresh_name()
    create(service, name, ["Linear(4, 3)", "BatchNorm1d(3)", "Linear(3, 1)"], seed=7)
    problem = check_problem(post(service, name, batch_size=5), 422, "shape-mismatch", "/batch_size")
    assert "more than 1 value per channel" in problem["detail"]
    wait(service, post(service, name, batch_size=5, drop_last=True).headers["location"])


def test_a_scheduler_that_fails_on_its_way_ends_the_run_with_its_problem(service, network):
    job = post(service, network, scheduler='LambdaLR("1 / (2 - epoch)")', epochs=5).headers["location"]
    for _ in follow(service, job):
        pass
    assert service.get(job).json()["error"]["code"] == "bad-arguments"


def test_what_others_freeze_before_a_run_begins_stays_frozen(service, network, fresh_name):
    other = fresh_name()
    create(service, other, NET, seed=7)
    with endless(service, other):  # so that the run of interest waits
        job = post(service, network, frozen=["0"], epochs=2).headers["location"]
        edit = {"requires_grad": False}
        for name in ("0.weight", "0.bias", "2.bias"):
            assert service.patch(f"/v1/networks/{network}/parameters/{name}", json=edit).status_code == 200
        before = state_of(service, network)
        assert service.get(job).json()["state"] == "queued"
    wait(service, job)
    after = state_of(service, network)
    assert [name for name in after if not torch.equal(after[name], before[name])] == ["2.weight"]


def test_what_a_later_batch_meets_ends_the_run_with_its_problem(service, fresh_name):
    name = fresh_name()
    create(service, name, "Linear(4, 3)", seed=7)
    classes = torch.zeros(12, dtype=torch.int64)
    classes[-1] = 5
    inputs = torch.ones(12, 4)
    job = start(
        service, name, inputs=inputs, targets=classes, loss="cross_entropy(output, y)", optimizer="SGD()", epochs=1,
        batch_size=2, shuffle=False,
    )  # fmt: skip
    for _ in follow(service, job):
        pass
    ended = service.get(job).json()
    assert (ended["state"], ended["error"]["code"]) == ("failed", "bad-arguments")
    assert "out of bounds" in ended["error"]["detail"]
    assert service.get(f"/v1/networks/{name}").json()["revision"] == 1


# --- meanwhile ---


def test_others_may_read_a_network_in_training_and_not_write_it(service, network, fresh_name):
    address = f"/v1/networks/{network}"
    with endless(service, network) as job:
        revision = service.get(address).json()["revision"]
        assert revision > 1
        state = service.get(f"{address}/parameters/0.bias", params={"revision": revision})
        if state.status_code == 200:  # unless it was forgotten meanwhile
            assert state.json()["revision"] == revision
        assert run(service, network, X)["output"].shape == (6, 1)
        writes = [
            service.patch(f"{address}/parameters/0.bias", json={"edits": [{"value": 0}]}),
            service.put(f"{address}/parameters/0.bias", json=[1, 2, 3]),
            service.post(f"{address}/initialize", json={"rules": [{"parameters": {"bias": "zeros_()"}}]}),
            service.put(f"{address}/state_dict?strict=false", json={"0.bias": [1, 2, 3]}),
            service.post(f"{address}/revisions/1/restore"),
            post(service, network),
            service.delete(address),
        ]
        for reply in writes:
            problem = check_problem(reply, 409, "in-training")
            assert problem["link"] == job
        assert service.post(f"{address}/backward", json={"inputs": X.tolist()}).status_code == 200
        assert service.post(f"{address}/clone", json={"name": fresh_name()}).status_code == 201
        assert service.patch(address, json={"labels": {"a": "b"}}).status_code == 200
    reply = service.patch(f"{address}/parameters/0.bias", json={"edits": [{"value": 0}]})
    assert reply.status_code == 200, reply.text


def test_cancelling_keeps_the_newest_checkpoint_and_ends_the_work_soon(service, network):
    with endless(service, network) as job:
        pass
    ended = service.get(job).json()
    assert ended["state"] == "cancelled"
    newest = service.get(f"/v1/networks/{network}/revisions").json()["items"][0]
    assert newest["operation"] == "train"
    assert newest["detail"]["step"] % 50 == 0
    deadline = time.monotonic() + 30
    while any(worker["queue"] for worker in service.get("/v1/workers").json()["items"] if worker["lane"] == "jobs"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert service.get(f"/v1/networks/{network}").json()["revision"] == newest["revision"]


def test_of_a_long_run_only_the_newest_revisions_stay_and_those_with_a_tag(service, network):
    address = f"/v1/networks/{network}"
    with endless(service, network, checkpoint={"every_steps": 20, "keep_last": 2}) as job:
        for _, kind, data in follow(service, job):
            if kind == "progress" and data["revision"] > 4:
                break
        tagged = service.put(f"{address}/checkpoints/mine", json={})
        assert tagged.status_code in (200, 201)
        number = tagged.json()["revision"]
        for _, kind, data in follow(service, job):
            if kind == "progress" and data["revision"] > number + 4:
                break
    numbers = [item["revision"] for item in service.get(f"{address}/revisions").json()["items"]]
    head = service.get(address).json()["revision"]
    assert numbers == [head, head - 1, number, 1]


# --- progress and the curve ---


def test_progress_is_told_as_events_and_in_the_job(service, network):
    with endless(service, network) as job:
        progress = service.get(job).json()["progress"]
        for key in ("step", "steps", "epoch", "loss", "lr", "steps_per_second", "samples_per_second", "seconds_left"):
            assert isinstance(progress[key], int | float), key
        assert progress["steps"] == 10**9
        assert 0 < progress["fraction"] < 1


def test_the_curve_holds_every_step_and_epoch_and_can_be_drawn(service, network):
    check_problem(service.get(f"/v1/networks/{network}/curve"), 404, "not-found")
    validation = {"inputs": X.tolist(), "targets": {"y": Y.tolist()}, "metrics": {"worst": "(output - y).abs().max()"}}
    job = post(service, network, epochs=3, validation=validation).headers["location"]
    result = wait(service, job)
    curve = service.get(f"/v1/networks/{network}/curve").json()
    assert (curve["job"], curve["stride"]) == (job.rpartition("/")[2], 1)
    assert curve["steps"] == list(range(1, 10))
    assert len(curve["loss"]) == 9
    assert curve["low"] == curve["loss"] == curve["high"]
    assert [point["step"] for point in curve["epochs"]] == [3, 6, 9]
    assert curve["epochs"][-1]["loss"] == result["loss"]
    assert curve["epochs"][-1]["validation"] == result["validation"]
    assert sum(curve["loss"][-3:]) / 3 == pytest.approx(result["loss"])
    drawn = service.get(f"/v1/networks/{network}/curve", headers={"Accept": "image/svg+xml"})
    assert drawn.headers["content-type"] == "image/svg+xml"
    assert "validation worst" in drawn.text
    assert service.get(f"/v1/networks/{network}/curve?format=png").content.startswith(b"\x89PNG")
    wait(service, post(service, network).headers["location"])
    assert len(service.get(f"/v1/networks/{network}/curve").json()["steps"]) == 3
    number = job.rpartition("/")[2]
    assert service.get(f"/v1/networks/{network}/curve", params={"job": number}).json() == curve
    check_problem(service.get(f"/v1/networks/{network}/curve?job=99999"), 404, "not-found")


def test_the_catalogues_of_optimizers_and_schedulers_are_pytorchs_own(service):
    optimizers = {item["type"]: item for item in service.get("/v1/catalog/optimizers").json()["items"]}
    schedulers = {item["type"]: item for item in service.get("/v1/catalog/schedulers").json()["items"]}
    assert {"SGD", "Adam", "LBFGS"} <= optimizers.keys()
    assert optimizers["SGD"]["signature"].startswith("SGD(lr=0.001, momentum=0")
    assert (schedulers["StepLR"]["every"], schedulers["OneCycleLR"]["every"]) == ("epoch", "step")
    assert schedulers["StepLR"]["arguments"]["required"] == ["step_size"]
