"""Backward and what it leaves: losses, formats, revisions, accumulation, and every way to ask for it wrongly."""

import io
import threading

import httpx
import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import nn
from torch.nn import functional as F

from tests.api.problem import check_problem
from tests.laboratory import NPY, SAFETENSORS, assert_same, create, from_json, in_json, npy

X = torch.linspace(-1, 1, 8).reshape(2, 4)
MLP = ["Linear(4, 3)", "Tanh()", "Linear(3, 3)"]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def mlp(seed: int = 7) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3))


@pytest.fixture
def network(service: httpx.Client, fresh_name) -> str:
    name = fresh_name()
    create(service, name, MLP, seed=7)
    return name


def post(service: httpx.Client, network: str, **body: object) -> httpx.Response:
    given = {key: in_json(value) for key, value in body.items()}
    return service.post(f"/v1/networks/{network}/backward", json=given)


def backward(service: httpx.Client, network: str, **body: object) -> dict:
    reply = post(service, network, **body)
    assert reply.status_code == 200, reply.text
    return reply.json()


def kept(service: httpx.Client, network: str) -> dict[str, torch.Tensor]:
    reply = service.get(f"/v1/networks/{network}/gradients?format=safetensors")
    assert reply.status_code == 200, reply.text
    return load(reply.content)


def assert_kept(service: httpx.Client, network: str, net: nn.Module) -> None:
    found = kept(service, network)
    wanted = {name: parameter.grad for name, parameter in net.named_parameters() if parameter.grad is not None}
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert_same(found[name], value, name)


# --- losses ---

CLASSES, REAL, SIGNS = torch.tensor([2, 0]), torch.rand(2, 3), torch.tensor([1.0, -1.0])
MANY, BITS = torch.tensor([[2, 0, -1], [1, -1, 0]]), torch.tensor([[1.0, 0, 1], [0, 0, 1]])
LOSSES = {
    "l1_loss(output, y)": (REAL, F.l1_loss),
    "mse_loss(output, y)": (REAL, F.mse_loss),
    "smooth_l1_loss(output, y, beta=0.5)": (REAL, lambda o, y: F.smooth_l1_loss(o, y, beta=0.5)),
    "F.huber_loss(output, y)": (REAL, F.huber_loss),
    "cross_entropy(output, y)": (CLASSES, F.cross_entropy),
    "nll_loss(log_softmax(output, dim=1), y)": (CLASSES, lambda o, y: F.nll_loss(F.log_softmax(o, 1), y)),
    "kl_div(log_softmax(output, 1), softmax(y, 1), reduction='batchmean')": (
        REAL,
        lambda o, y: F.kl_div(F.log_softmax(o, 1), F.softmax(y, 1), reduction="batchmean"),
    ),
    "binary_cross_entropy(sigmoid(output), y)": (BITS, lambda o, y: F.binary_cross_entropy(torch.sigmoid(o), y)),
    "binary_cross_entropy_with_logits(output, y)": (BITS, F.binary_cross_entropy_with_logits),
    "poisson_nll_loss(output, y)": (REAL, F.poisson_nll_loss),
    "gaussian_nll_loss(output, y, ones_like(y))": (REAL, lambda o, y: F.gaussian_nll_loss(o, y, torch.ones_like(y))),
    "hinge_embedding_loss(output, y)": (2 * BITS - 1, F.hinge_embedding_loss),
    "soft_margin_loss(output, y)": (2 * BITS - 1, F.soft_margin_loss),
    "multi_margin_loss(output, y)": (CLASSES, F.multi_margin_loss),
    "multilabel_margin_loss(output, y)": (MANY, F.multilabel_margin_loss),
    "multilabel_soft_margin_loss(output, y)": (BITS, F.multilabel_soft_margin_loss),
    "cosine_embedding_loss(output, output + 1, y)": (SIGNS, lambda o, y: F.cosine_embedding_loss(o, o + 1, y)),
    "margin_ranking_loss(output[:, 0], output[:, 1], y)": (
        SIGNS,
        lambda o, y: F.margin_ranking_loss(o[:, 0], o[:, 1], y),
    ),
    "triplet_margin_loss(output, y, y.flip(0))": (REAL, lambda o, y: F.triplet_margin_loss(o, y, y.flip(0))),
    "triplet_margin_with_distance_loss(output, y, y.flip(0))": (
        REAL,
        lambda o, y: F.triplet_margin_with_distance_loss(o, y, y.flip(0)),
    ),
    "ctc_loss(log_softmax(output, 1)[:, None], y, tensor([2]), tensor([1]))": (
        torch.tensor([[1]]),
        lambda o, y: F.ctc_loss(F.log_softmax(o, 1)[:, None], y, torch.tensor([2]), torch.tensor([1])),
    ),
    "linear_cross_entropy(output, eye(3), y)": (CLASSES, lambda o, y: F.linear_cross_entropy(o, torch.eye(3), y)),
    "L1Loss()(output, y)": (REAL, nn.L1Loss()),
    "nn.MSELoss(reduction='sum')(output, y)": (REAL, nn.MSELoss(reduction="sum")),
    "torch.nn.SmoothL1Loss()(output, y)": (REAL, nn.SmoothL1Loss()),
    "HuberLoss(delta=0.5)(output, y)": (REAL, nn.HuberLoss(delta=0.5)),
    "CrossEntropyLoss(weight=tensor([1., 2., 3.]), label_smoothing=0.1)(output, y)": (
        CLASSES,
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]), label_smoothing=0.1),
    ),
    "NLLLoss()(output, y)": (CLASSES, nn.NLLLoss()),
    "KLDivLoss()(output, y)": (REAL, nn.KLDivLoss()),
    "BCELoss()(sigmoid(output), y)": (BITS, lambda o, y: nn.BCELoss()(torch.sigmoid(o), y)),
    "BCEWithLogitsLoss()(output, y)": (BITS, nn.BCEWithLogitsLoss()),
    "PoissonNLLLoss()(output, y)": (REAL, nn.PoissonNLLLoss()),
    "GaussianNLLLoss()(output, y, ones_like(y))": (REAL, lambda o, y: nn.GaussianNLLLoss()(o, y, torch.ones_like(y))),
    "HingeEmbeddingLoss()(output, y)": (2 * BITS - 1, nn.HingeEmbeddingLoss()),
    "SoftMarginLoss()(output, y)": (2 * BITS - 1, nn.SoftMarginLoss()),
    "MultiMarginLoss()(output, y)": (CLASSES, nn.MultiMarginLoss()),
    "MultiLabelMarginLoss()(output, y)": (MANY, nn.MultiLabelMarginLoss()),
    "MultiLabelSoftMarginLoss()(output, y)": (BITS, nn.MultiLabelSoftMarginLoss()),
    "CosineEmbeddingLoss()(output, output + 1, y)": (SIGNS, lambda o, y: nn.CosineEmbeddingLoss()(o, o + 1, y)),
    "MarginRankingLoss()(output[:, 0], output[:, 1], y)": (
        SIGNS,
        lambda o, y: nn.MarginRankingLoss()(o[:, 0], o[:, 1], y),
    ),
    "TripletMarginLoss()(output, y, y.flip(0))": (REAL, lambda o, y: nn.TripletMarginLoss()(o, y, y.flip(0))),
    "TripletMarginWithDistanceLoss()(output, y, y.flip(0))": (
        REAL,
        lambda o, y: nn.TripletMarginWithDistanceLoss()(o, y, y.flip(0)),
    ),
    "CTCLoss()(log_softmax(output, 1)[:, None], y, tensor([2]), tensor([1]))": (
        torch.tensor([[1]]),
        lambda o, y: nn.CTCLoss()(F.log_softmax(o, 1)[:, None], y, torch.tensor([2]), torch.tensor([1])),
    ),
    "mse_loss(output, y) + 0.1 * output.abs().mean()": (REAL, lambda o, y: F.mse_loss(o, y) + 0.1 * o.abs().mean()),
}


@pytest.mark.parametrize("text", LOSSES)
def test_every_loss_gives_pytorchs_number_and_gradients(service, network, text):
    target, function = LOSSES[text]
    reply = backward(service, network, inputs=X, targets={"y": target}, loss=text)
    net, x = mlp(), X.clone().requires_grad_()
    loss = function(net(x), target)
    loss.backward()
    assert_same(torch.tensor(reply["loss"]), loss.detach())
    assert_same(from_json(reply["input_gradients"]["input"]), x.grad)
    assert_kept(service, network, net)


def test_the_losses_that_are_tested_are_all_there_are():
    called = " ".join(LOSSES)
    functions = {name for name in dir(F) if name.endswith("_loss") or "cross_entropy" in name} | {"kl_div"}
    classes = {name for name in dir(nn) if name.endswith("Loss")}
    with_parameters = {"AdaptiveLogSoftmaxWithLoss", "LinearCrossEntropyLoss"}
    missing = {name for name in functions | classes if f"{name}(" not in called and not name.startswith("_")}
    assert missing == with_parameters


def test_a_single_target_needs_no_name_and_inputs_may_be_compared_with(service, network):
    by_name = backward(service, network, inputs=X, targets={"y": REAL}, loss="mse_loss(output, y)")
    for name in ("y", "target", "targets"):
        loss = f"mse_loss(output, {name})"
        assert backward(service, network, inputs=X, targets=REAL, loss=loss)["loss"] == by_name["loss"]
    reply = backward(service, network, inputs=X, loss="mse_loss(output, input[:, :3])")
    assert_same(torch.tensor(reply["loss"]), F.mse_loss(mlp()(X), X[:, :3]).detach())


# --- inputs, outputs, modes ---


def test_inputs_that_are_no_floats_have_no_gradient(service, fresh_name):
    name = fresh_name()
    block = {
        "children": {"table": "Embedding(5, 3, sparse=True)"},
        "inputs": ["ids", "scale"],
        "forward": "return table(ids) * scale",
    }
    create(service, name, block, seed=7)
    ids, scale = torch.tensor([[1, 1, 4]]), torch.tensor([[[0.5], [1.0], [2.0]]])
    reply = backward(service, name, inputs={"ids": ids, "scale": scale})
    torch.manual_seed(7)
    table = nn.Embedding(5, 3)
    scale.requires_grad_()
    (table(ids) * scale).sum().backward()
    assert list(reply["input_gradients"]) == ["scale"]
    assert_same(from_json(reply["input_gradients"]["scale"]), scale.grad)
    assert_same(kept(service, name)["table.weight"], table.weight.grad)


def test_several_outputs_need_a_loss_and_have_their_names_in_it(service, fresh_name):
    name = fresh_name()
    block = {"children": {"fc": "Linear(4, 2)"}, "inputs": ["x"], "forward": 'return {"mean": fc(x), "code": x * 2}'}
    create(service, name, block, seed=7)
    problem = check_problem(post(service, name, inputs=X), 422, "bad-expression", "/loss")
    assert "mean, code" in problem["detail"]
    reply = backward(service, name, inputs=X, loss="mean.sum() + code.mean()")
    torch.manual_seed(7)
    layer, x = nn.Linear(4, 2), X.clone().requires_grad_()
    (layer(x).sum() + (x * 2).mean()).backward()
    assert_same(from_json(reply["input_gradients"]["x"]), x.grad)


def test_the_mode_is_eval_unless_said_and_a_seed_makes_dropout_pytorchs_own(service, fresh_name):
    name = fresh_name()
    create(service, name, ["Linear(4, 3)", "BatchNorm1d(3)", "Dropout(0.5)"], seed=7)

    def net() -> nn.Sequential:
        torch.manual_seed(7)
        return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))

    for mode in ("eval", "train"):
        reply = backward(service, name, inputs=X, mode=mode, seed=11)
        twin, x = net().train(mode == "train"), X.clone().requires_grad_()
        torch.manual_seed(11)
        twin(x).sum().backward()
        assert_same(from_json(reply["input_gradients"]["input"]), x.grad)
        assert_kept(service, name, twin)
    assert service.get(f"/v1/networks/{name}").json()["revision"] == 1
    running = service.get(f"/v1/networks/{name}/parameters/1.running_mean").json()["value"]["data"]
    assert running == [0.0] * 3, "what a layer keeps of its inputs is not kept here"
    assert backward(service, name, inputs=X, seed=11) == backward(service, name, inputs=X, mode="eval", seed=11)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "complex64"])
def test_gradients_have_the_dtype_of_what_they_are_of(service, fresh_name, dtype):
    name = fresh_name()
    block = {"parameters": {"w": "ones(4)"}, "inputs": ["x"], "forward": "return (x * w).abs().sum()"}
    create(service, name, block, dtype="float32" if dtype == "complex64" else dtype)
    kind = getattr(torch, dtype)
    x = X.to(kind)
    if dtype == "complex64":
        body, headers = save({"x": x}), {"Content-Type": SAFETENSORS, "Accept": SAFETENSORS}
        reply = service.post(f"/v1/networks/{name}/backward", content=body, headers=headers)
        found = load(reply.content)["input_gradients.x"]
    else:
        reply = post(service, name, inputs=x)
        found = from_json(reply.json()["input_gradients"]["x"])
    assert reply.status_code == 200, reply.text
    x, w = x.requires_grad_(), torch.ones(4, dtype=torch.float32 if dtype == "complex64" else kind).requires_grad_()
    (x * w).abs().sum().backward()
    assert_same(found, x.grad)
    assert_same(kept(service, name)["w"], w.grad)


def test_a_loss_that_is_not_finite_is_a_word(service, network):
    reply = backward(service, network, inputs=X, loss="(output / 0).sum().log()")
    assert reply["loss"] == "NaN"
    assert reply["parameter_gradients"]["0.weight"]["non_finite"] == 1.0
    assert reply["parameter_gradients"]["0.weight"]["mean"] is None


# --- formats ---


def test_tensors_go_in_and_out_in_binary(service, network):
    address = f"/v1/networks/{network}/backward"
    query = {"loss": "cross_entropy(output, y)"}
    body = save({"input": X, "targets.y": CLASSES})
    headers = {"Content-Type": SAFETENSORS, "Accept": SAFETENSORS}
    reply = service.post(address, content=body, headers=headers, params=query)
    assert reply.status_code == 200, reply.text
    net, x = mlp(), X.clone().requires_grad_()
    loss = F.cross_entropy(net(x), CLASSES)
    loss.backward()
    found = load(reply.content)
    assert found.keys() == {"loss", "input_gradients.input"}
    assert_same(found["loss"], loss.detach())
    assert_same(found["input_gradients.input"], x.grad)
    assert_kept(service, network, net)
    assert reply.headers["etag"] == '"1"'

    reply = service.post(address, content=npy(X), headers={"Content-Type": NPY, "Accept": NPY})
    x.grad = None
    net(x).sum().backward()
    assert_same(torch.from_numpy(np.load(io.BytesIO(reply.content))), x.grad)


def test_one_gradient_can_be_read_in_binary_in_part_and_counted(service, network):
    backward(service, network, inputs=X)
    net = mlp()
    net(X).sum().backward()
    address = f"/v1/networks/{network}/parameters/0.weight"
    reply = service.get(address, params={"of": "gradient", "format": "npy", "index": "1:, ::2"})
    assert_same(torch.from_numpy(np.load(io.BytesIO(reply.content))), net[0].weight.grad[1:, ::2].contiguous())
    counted = service.get(f"{address}/histogram", params={"of": "gradient", "bins": 5}).json()
    wanted, edges = np.histogram(net[0].weight.grad.double().numpy(), bins=5)
    assert (counted["of"], counted["counts"]) == ("gradient", wanted.tolist())
    np.testing.assert_allclose(counted["edges"], edges)
    check_problem(service.get(f"/v1/networks/{network}/parameters/0.weight?of=data"), 422, "invalid-request")


def test_all_gradients_are_summarised_and_told_with_their_revision(service, network):
    check_problem(service.get(f"/v1/networks/{network}/gradients"), 404, "not-found")
    backward(service, network, inputs=X)
    net = mlp()
    net(X).sum().backward()
    reply = service.get(f"/v1/networks/{network}/gradients").json()
    assert (reply["revision"], reply["current"], reply["passes"]) == (1, True, 1)
    assert list(reply["gradients"]) == [name for name, _ in net.named_parameters()]
    told, gradient = reply["gradients"]["0.weight"], net[0].weight.grad
    assert told["shape"] == [3, 4]
    for key, value in {
        "norm": gradient.norm(),
        "mean": gradient.mean(),
        "std": gradient.std(),
        "min": gradient.min(),
        "max": gradient.max(),
    }.items():
        assert told[key] == pytest.approx(value.item(), rel=1e-5), key


# --- revisions and accumulation ---


def change(service: httpx.Client, network: str) -> None:
    reply = service.patch(
        f"/v1/networks/{network}/parameters/0.bias", json={"edits": [{"index": "0", "expression": "param + 1"}]}
    )
    assert reply.status_code == 200, reply.text


def test_gradients_add_up_only_where_it_is_asked_for(service, network):
    net = mlp()
    for passes in (1, 2, 3):
        backward(service, network, inputs=X * passes, accumulate=passes > 1)
        net(X * passes).sum().backward()
        assert_kept(service, network, net)
        assert service.get(f"/v1/networks/{network}/gradients").json()["passes"] == passes
    backward(service, network, inputs=X)
    net.zero_grad()
    net(X).sum().backward()
    assert_kept(service, network, net)


def test_what_has_no_gradient_in_this_pass_keeps_the_one_it_had(service, fresh_name):
    name = fresh_name()
    block = {
        "children": {"a": "Linear(4, 1)", "b": "Linear(4, 1)"},
        "inputs": ["x", "which"],
        "forward": ["if which.sum() > 0:", "    return a(x)", "return b(x)"],
    }
    create(service, name, block, seed=7)
    for which in (1, 0):
        inputs = {"x": X, "which": torch.tensor([which])}
        backward(service, name, inputs=inputs, accumulate=True)
    reply = service.get(f"/v1/networks/{name}/gradients").json()
    assert list(reply["gradients"]) == ["a.weight", "a.bias", "b.weight", "b.bias"]


def test_gradients_of_an_older_revision_are_told_and_never_mixed_up(service, network):
    backward(service, network, inputs=X)
    change(service, network)
    address = f"/v1/networks/{network}/parameters/0.weight"
    reply = service.get(address).json()
    assert (reply["grad"], reply["grad_revision"], reply["revision"]) == (None, 1, 2)
    assert service.get(address, params={"revision": 1}).json()["grad"] is not None
    problem = check_problem(service.get(address, params={"of": "gradient", "format": "npy"}), 404, "not-found")
    assert "of revision 1" in problem["detail"]
    assert service.get(f"/v1/networks/{network}/gradients").json()["current"] is False
    problem = check_problem(post(service, network, inputs=X, accumulate=True), 409, "stale-gradients")
    assert (problem["grad_revision"], problem["revision"]) == (1, 2)
    backward(service, network, inputs=X, revision=1, accumulate=True)
    backward(service, network, inputs=X)
    reply = service.get(address).json()
    assert (reply["grad_revision"], reply["grad"] is None) == (2, False)


def test_if_match_names_the_newest_revision_or_nothing_is_done(service, network):
    address = f"/v1/networks/{network}"
    stale = {"If-Match": '"2"'}
    check_problem(
        service.post(f"{address}/backward", json={"inputs": X.tolist()}, headers=stale), 412, "stale-revision"
    )
    check_problem(service.delete(f"{address}/gradients", headers=stale), 412, "stale-revision")
    check_problem(service.get(f"{address}/gradients"), 404, "not-found")


def test_a_key_makes_a_pass_count_once_however_often_it_is_sent(service, network, fresh_name):
    headers = {"Idempotency-Key": fresh_name("key")}
    body = {"inputs": X.tolist(), "accumulate": True}
    replies = [service.post(f"/v1/networks/{network}/backward", json=body, headers=headers) for _ in range(2)]
    assert replies[0].content == replies[1].content
    assert service.get(f"/v1/networks/{network}/gradients").json()["passes"] == 1


def test_passes_that_come_at_once_are_all_in_the_sum(running_service, service, network):
    def run() -> None:
        with running_service.client() as client:
            for _ in range(4):
                backward(client, network, inputs=torch.ones(1, 4), accumulate=True)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert service.get(f"/v1/networks/{network}/gradients").json()["passes"] == 12
    assert_same(kept(service, network)["2.bias"], torch.full((3,), 12.0))


def test_a_backward_may_be_a_job_with_the_same_answer(service, network):
    body, address = {"inputs": X.tolist(), "accumulate": True}, f"/v1/networks/{network}/backward"
    reply = service.post(address, json=body, headers={"Prefer": "respond-async"})
    assert reply.status_code == 202, reply.text
    job = reply.headers["location"]
    wait_for(service, job)
    result = service.get(f"{job}/result")
    net = mlp()
    net(X).sum().backward()
    assert_kept(service, network, net)
    again = service.post(address, json={"inputs": X.tolist()})
    assert (result.status_code, result.headers["etag"], result.content) == (200, '"1"', again.content)
    check_problem(
        service.post(address, json=body, headers={"Prefer": "respond-async", "If-Match": '"9"'}), 412, "stale-revision"
    )


def wait_for(service: httpx.Client, job: str) -> None:
    with service.stream("GET", f"{job}/events") as events:
        for _ in events.iter_lines():
            pass
    assert service.get(job).json()["state"] == "succeeded"


def test_gradients_go_with_their_network_and_do_not_come_back_with_its_name(service, fresh_name):
    name = fresh_name()
    for _ in range(2):
        create(service, name, MLP, seed=7)
        check_problem(service.get(f"/v1/networks/{name}/gradients"), 404, "not-found")
        backward(service, name, inputs=X)
        assert service.delete(f"/v1/networks/{name}").status_code == 204


# --- what is wrong ---

WRONG = {
    "no number": ({"loss": "output"}, "shape-mismatch", "/loss"),
    "an integer": ({"loss": "output.argmax()"}, "bad-dtype", "/loss"),
    "no text": ({"loss": 3}, "bad-expression", "/loss"),
    "a syntax error": ({"loss": "mse_loss(output,"}, "bad-expression", "/loss"),
    "a module that is not called": ({"loss": "MSELoss()"}, "bad-expression", "/loss"),
    "an unknown name": ({"loss": "mse_loss(output, z)"}, "bad-expression", "/loss"),
    "a layer that is no loss": ({"loss": "Linear(3, 3)(output).sum()"}, "bad-expression", "/loss"),
    "a tensor that is called": ({"loss": "output.sum()(output)"}, "bad-expression", "/loss"),
    "bad arguments of a loss": ({"loss": "MSELoss(size=3)(output, output)"}, "bad-arguments", "/loss"),
    "a target of another size": ({"loss": "mse_loss(output, y)", "targets": [[1, 2]]}, "shape-mismatch", "/loss"),
    "classes that are no integers": ({"loss": "cross_entropy(output, y)", "targets": [1, 2]}, "bad-arguments", "/loss"),
    "a class that is not there": (
        {"loss": "cross_entropy(output, y)", "targets": {"dtype": "int64", "data": [1, 9]}},
        "bad-arguments",
        "/loss",
    ),
    "nothing to go down": ({"loss": "output.detach().sum()"}, "no-gradient", "/loss"),
    "a target named as an output": (
        {"loss": "output.sum()", "targets": {"output": [1]}},
        "duplicate-name",
        "/targets/output",
    ),
    "a target that is no tensor": ({"targets": {"y": [[1], [1, 2]]}}, "bad-tensor", "/targets/y/1"),
    "an artifact that is not there": (
        {"targets": {"y": {"artifact": "nothing"}}},
        "unknown-name",
        "/targets/y/artifact",
    ),
    "an unknown field": ({"lossy": "output.sum()"}, "unknown-key", "/lossy"),
    "an unknown mode": ({"mode": "test"}, "bad-request", "/mode"),
    "accumulate that is no truth value": ({"accumulate": 1}, "bad-request", "/accumulate"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_with_its_place_and_leaves_no_gradients(service, network, what):
    body, code, pointer = WRONG[what]
    reply = service.post(f"/v1/networks/{network}/backward", json={"inputs": X.tolist(), **body})
    check_problem(reply, 422, code, pointer)
    check_problem(service.get(f"/v1/networks/{network}/gradients"), 404, "not-found")


def test_a_target_that_is_spread_over_the_output_is_warned_of(service, network):
    reply = backward(service, network, inputs=X, targets=[1, 2, 3], loss="mse_loss(output, y)")
    (warning,) = reply["warnings"]
    assert "torch.Size([3])" in warning
    assert "warnings" not in backward(service, network, inputs=X, targets=REAL, loss="mse_loss(output, y)")


def test_the_words_help(service, network):
    def told(**body: object) -> str:
        return post(service, network, inputs=X, **body).json()["detail"]

    assert 'class numbers are sent with "dtype": "int64"' in told(loss="cross_entropy(output, y)", targets=[1, 2])
    assert "MSELoss()(output, y)" in told(loss="MSELoss")
    assert ".mean() or .sum()" in told(loss="output")
    assert "there are input, output" in told(loss="mse_loss(outputs, 1)")
