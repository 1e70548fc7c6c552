"""Training runs end where the same loop in plain PyTorch ends, and go on from any checkpoint to the same end."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from app.architecture.optimizers import OF_A_STEP, OPTIMIZERS, SCHEDULERS
from app.db.engine import Database
from app.db.migrations import migrate
from app.errors import Unprocessable
from app.settings import Settings
from app.worker.context import Worker
from tests.worker.training import Bench, plain

X = torch.randn(22, 6, generator=torch.Generator().manual_seed(1))
CLASSES = (X[:, :3].sum(1) > 0).long() + (X[:, 3] > 1).long()
REAL = X @ torch.linspace(-1, 1, 6)[:, None] + 0.1
MLP = ["Linear(6, 8)", "Tanh()", "Linear(8, 1)"]
NOISY = ["Linear(6, 8)", "BatchNorm1d(8)", "ReLU()", "Dropout(0.3)", "Linear(8, 3)"]
EVERY_STEP = {"every_steps": 1, "every_seconds": None}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    settings = Settings(data_dir=tmp_path_factory.mktemp("training"))
    migrate(settings.resolved_database_url)
    database = Database(settings.resolved_database_url)
    yield Worker.make("cpu:0", settings, database)
    database.close()


def mlp(seed: int = 7) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))


def noisy(seed: int = 7) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))


def regression(**more: object) -> dict:
    return {
        "inputs": X, "targets": {"y": REAL}, "loss": "mse_loss(output, y)", "optimizer": "SGD(lr=0.1)",
        "epochs": 2, "batch_size": 5, "seed": 11, **more,
    }  # fmt: skip


def classification(**more: object) -> dict:
    return regression(targets={"y": CLASSES}, loss="cross_entropy(output, y)", optimizer="Adam(lr=0.01)", **more)


# --- the same end as in PyTorch ---

ARGUMENTS = {
    "SGD": {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "LBFGS": {"lr": 0.5, "max_iter": 3, "history_size": 4},
    "Adam": {"lr": 0.01, "betas": (0.8, 0.99), "amsgrad": True},
    "Muon": {"lr": 0.01},
}
OF_SPARSE = "SparseAdam"


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS.members if name != OF_SPARSE])
def test_every_optimizer_ends_where_it_does_in_pytorch_from_every_checkpoint(worker, name):
    """Muon takes matrices alone, so it is given a network without biases."""
    bias = "" if name != "Muon" else ", bias=False"
    bench = Bench(worker, [f"Linear(6, 8{bias})", "Tanh()", f"Linear(8, 1{bias})"])
    kwargs = ARGUMENTS.get(name, {})
    planned = bench.plan(
        **regression(optimizer={"type": name, "kwargs": kwargs}, checkpoint=EVERY_STEP),
    )
    trained = bench.run(planned)
    torch.manual_seed(7)
    net = nn.Sequential(nn.Linear(6, 8, bias=not bias), nn.Tanh(), nn.Linear(8, 1, bias=not bias))
    optimizer = getattr(torch.optim, name)(net.parameters(), **kwargs)
    if name == "LBFGS":
        lbfgs(net, optimizer)
    else:
        plain(net, optimizer, F.mse_loss, (X, REAL), seed=11, batch_size=5, epochs=2)
    bench.assert_is(trained, net)
    checkpoints = bench.checkpoints()
    assert len(checkpoints) == planned.steps - 1
    for checkpoint in (checkpoints[0], checkpoints[4], checkpoints[-1]):  # the fifth ends an epoch
        assert bench.go_on(planned, checkpoint) == trained


def lbfgs(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    loader_seed = torch.Generator().manual_seed(11)
    data = torch.utils.data.TensorDataset(X, REAL)
    for _ in range(2):
        for x, y in torch.utils.data.DataLoader(data, 5, shuffle=True, generator=loader_seed):

            def closure(x=x, y=y):
                optimizer.zero_grad()
                loss = F.mse_loss(net(x), y)
                loss.backward()
                return loss

            optimizer.step(closure)


def test_sparse_adam_trains_a_table_of_sparse_gradients(worker):
    ids = torch.randint(0, 9, (22, 4), generator=torch.Generator().manual_seed(2))
    block = {"children": {"table": "Embedding(9, 3, sparse=True)"}, "inputs": ["ids"], "forward": "return table(ids)"}
    bench = Bench(worker, block)
    request = regression(
        inputs=ids, targets={}, loss="output.square().mean()", optimizer="SparseAdam(lr=0.1)", checkpoint=EVERY_STEP
    )
    planned = bench.plan(**request)
    trained = bench.run(planned)
    checkpoint = bench.checkpoints()[5]
    torch.manual_seed(7)
    net = nn.ModuleDict({"table": nn.Embedding(9, 3, sparse=True)})
    optimizer = torch.optim.SparseAdam(net.parameters(), lr=0.1)
    forward = nn.Sequential(net["table"])
    plain(forward, optimizer, lambda o, _: o.square().mean(), (ids, ids), seed=11, batch_size=5, epochs=2)
    bench.assert_is(trained, net)
    assert bench.go_on(planned, checkpoint) == trained


SCHEDULES = {
    "LambdaLR": ('LambdaLR("0.9 ** epoch")', lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 0.9**epoch)),
    "MultiplicativeLR": (
        'MultiplicativeLR(lr_lambda="1 - 0.1 / (epoch + 1)")',
        lambda o: lr_scheduler.MultiplicativeLR(o, lambda epoch: 1 - 0.1 / (epoch + 1)),
    ),
    "StepLR": ("StepLR(2, gamma=0.5)", lambda o: lr_scheduler.StepLR(o, 2, gamma=0.5)),
    "MultiStepLR": ("MultiStepLR([1, 3])", lambda o: lr_scheduler.MultiStepLR(o, [1, 3])),
    "ConstantLR": ("ConstantLR(total_iters=2)", lambda o: lr_scheduler.ConstantLR(o, total_iters=2)),
    "LinearLR": ("LinearLR(total_iters=3)", lambda o: lr_scheduler.LinearLR(o, total_iters=3)),
    "ExponentialLR": ("ExponentialLR(0.7)", lambda o: lr_scheduler.ExponentialLR(o, 0.7)),
    "PolynomialLR": ("PolynomialLR(6, power=2)", lambda o: lr_scheduler.PolynomialLR(o, 6, power=2)),
    "CosineAnnealingLR": ("CosineAnnealingLR(3)", lambda o: lr_scheduler.CosineAnnealingLR(o, 3)),
    "CosineAnnealingWarmRestarts": (
        "CosineAnnealingWarmRestarts(2)",
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2),
    ),
    "OneCycleLR": ("OneCycleLR(0.2, total_steps=20)", lambda o: lr_scheduler.OneCycleLR(o, 0.2, total_steps=20)),
    "CyclicLR": (
        'CyclicLR(0.01, 0.2, step_size_up=3, mode="triangular2")',
        lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.2, step_size_up=3, mode="triangular2"),
    ),
    "SequentialLR": (
        {"type": "SequentialLR", "kwargs": {"schedulers": ["LinearLR(total_iters=2)", "StepLR(1)"], "milestones": [2]}},
        lambda o: lr_scheduler.SequentialLR(
            o, [lr_scheduler.LinearLR(o, total_iters=2), lr_scheduler.StepLR(o, 1)], milestones=[2]
        ),
    ),
    "ChainedScheduler": (
        "ChainedScheduler([ConstantLR(total_iters=2), ExponentialLR(0.9)])",
        lambda o: lr_scheduler.ChainedScheduler(
            [lr_scheduler.ConstantLR(o, total_iters=2), lr_scheduler.ExponentialLR(o, 0.9)]
        ),
    ),
    "ReduceLROnPlateau": (
        "ReduceLROnPlateau(patience=0, threshold=0.5)",
        lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0, threshold=0.5),
    ),
}


def test_every_scheduler_is_tested():
    assert SCHEDULES.keys() == SCHEDULERS.members.keys()


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_scheduler_gives_the_rates_of_pytorch_from_every_checkpoint(worker, name):
    document, make = SCHEDULES[name]
    bench = Bench(worker, MLP)
    momentum = "SGD(lr=0.1, momentum=0.8)"  # two schedulers cycle it
    request = regression(optimizer=momentum, scheduler=document, epochs=4, checkpoint={"every_steps": 3})
    planned = bench.plan(**request)
    trained = bench.run(planned)
    net = mlp()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.8)
    scheduler = make(optimizer)
    of_step = name in OF_A_STEP
    plain(
        net, optimizer, F.mse_loss, (X, REAL), seed=11, batch_size=5, epochs=4,
        after_step=scheduler.step if of_step else lambda: None,
        after_epoch=lambda loss: None if of_step else scheduler.step(*([] if isinstance(scheduler, LRScheduler)
                                                                       and name != "ReduceLROnPlateau" else [loss])),
    )  # fmt: skip
    bench.assert_is(trained, net)
    for checkpoint in bench.checkpoints():
        assert bench.go_on(planned, checkpoint) == trained


def test_batch_norms_are_updated_and_dropout_is_on_as_in_pytorch(worker):
    bench = Bench(worker, NOISY)
    planned = bench.plan(**classification(epochs=3, checkpoint=EVERY_STEP))
    trained = bench.run(planned)
    net = noisy()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    losses = plain(net, optimizer, F.cross_entropy, (X, CLASSES), seed=11, batch_size=5, epochs=3)
    bench.assert_is(trained, net)
    assert trained.loss == pytest.approx(sum(a * b for a, b in zip(losses[-5:], [5, 5, 5, 5, 2], strict=True)) / 22)
    for checkpoint in bench.checkpoints():
        assert bench.go_on(planned, checkpoint) == trained


def test_an_order_without_shuffling_is_that_of_the_data(worker):
    bench = Bench(worker, MLP)
    trained = bench.run(bench.plan(**regression(shuffle=False)))
    net = mlp()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    plain(net, optimizer, F.mse_loss, (X, REAL), seed=11, batch_size=5, epochs=2, shuffle=False)
    bench.assert_is(trained, net)


@pytest.mark.parametrize(
    ("clip", "cut"),
    [
        (0.1, lambda p: nn.utils.clip_grad_norm_(p, 0.1)),
        ({"norm": 0.2, "norm_type": 1}, lambda p: nn.utils.clip_grad_norm_(p, 0.2, 1)),
        ({"value": 0.01}, lambda p: nn.utils.clip_grad_value_(p, 0.01)),
    ],
)
def test_gradients_are_clipped_as_in_pytorch(worker, clip, cut):
    bench = Bench(worker, MLP)
    trained = bench.run(bench.plan(**regression(clip=clip)))
    net = mlp()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    parameters = list(net.parameters())
    plain(net, optimizer, F.mse_loss, (X, REAL), seed=11, batch_size=5, epochs=2, before_step=lambda: cut(parameters))
    bench.assert_is(trained, net)


@pytest.mark.parametrize("frozen", [["0"], ["[0].weight", "0.bias"]])
def test_frozen_modules_and_parameters_stay_as_they_were(worker, frozen):
    bench = Bench(worker, MLP)
    planned = bench.plan(**regression(optimizer="SGD(lr=0.1, weight_decay=0.1)", frozen=frozen))
    assert planned.plan.frozen == ["0.weight", "0.bias"]
    trained = bench.run(planned)
    net = mlp()
    net[0].requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
    plain(net, optimizer, F.mse_loss, (X, REAL), seed=11, batch_size=5, epochs=2)
    bench.assert_is(trained, net)


def test_a_run_may_end_in_the_middle_of_an_epoch(worker):
    bench = Bench(worker, MLP)
    planned = bench.plan(**regression(epochs=None, steps=7, checkpoint=EVERY_STEP))
    trained = bench.run(planned)
    assert (planned.steps, trained.steps, trained.epochs) == (7, 7, 1)
    for checkpoint in bench.checkpoints():
        assert bench.go_on(planned, checkpoint) == trained
    longer = bench.plan(**regression(epochs=2, steps=100))
    assert longer.steps == 10


def test_a_run_of_more_steps_than_can_be_counted_is_refused(worker):
    bench = Bench(worker, MLP)
    with pytest.raises(Unprocessable) as raised:
        bench.plan(**regression(epochs=2**53))
    assert (raised.value.code, raised.value.places[0].pointer) == ("bad-request", "/epochs")
    assert bench.plan(**regression(epochs=2**53, steps=3)).steps == 3


def test_what_does_not_fill_a_batch_may_be_dropped(worker):
    bench = Bench(worker, MLP)
    planned = bench.plan(**regression(drop_last=True, batch_size=8))
    assert planned.steps == 4


# --- validation, early stopping, the curve ---


def test_validation_gives_the_means_that_the_same_loop_gives(worker):
    bench = Bench(worker, NOISY)
    metrics = {"accuracy": "(output.argmax(1) == y).float().mean()"}
    validation = {"inputs": X[:9].tolist(), "targets": {"y": {"dtype": "int64", "data": CLASSES[:9].tolist()}}}
    planned = bench.plan(**classification(validation={**validation, "metrics": metrics, "batch_size": 4}))
    trained = bench.run(planned)
    net = noisy()
    plain(
        net, torch.optim.Adam(net.parameters(), lr=0.01), F.cross_entropy, (X, CLASSES), seed=11, batch_size=5, epochs=2
    )
    bench.assert_is(trained, net)
    net.eval()
    with torch.no_grad():
        assert trained.validation["loss"] == pytest.approx(F.cross_entropy(net(X[:9]), CLASSES[:9]).item())
        assert trained.validation["accuracy"] == pytest.approx(
            (net(X[:9]).argmax(1) == CLASSES[:9]).float().mean().item()
        )


def test_a_run_stops_when_it_gets_no_better_and_may_go_back_to_its_best(worker):
    bench = Bench(worker, MLP)
    validation = {"inputs": X.tolist(), "targets": {"y": (-REAL).tolist()}}  # learning makes this worse
    stop = {"patience": 2, "restore_best": True}
    request = regression(epochs=50, validation=validation, early_stop=stop, checkpoint=EVERY_STEP)
    planned = bench.plan(**request)
    trained = bench.run(planned)
    assert (trained.stopped, trained.steps) == ("early", 15)
    assert trained.best["step"] == 5
    net = mlp()
    plain(net, torch.optim.SGD(net.parameters(), lr=0.1), F.mse_loss, (X, REAL), seed=11, batch_size=5, epochs=1)
    bench.assert_is(trained, net)
    for checkpoint in bench.checkpoints()[4::4]:
        assert bench.go_on(planned, checkpoint) == trained


def test_a_loss_that_is_no_number_ends_the_run_with_the_step(worker):
    bench = Bench(worker, MLP)
    planned = bench.plan(**regression(optimizer="SGD(lr=1e30)"))
    with pytest.raises(Unprocessable) as raised:
        bench.run(planned)
    assert raised.value.code == "not-finite"
    assert "step" in raised.value.extra


def test_training_leaves_the_numbers_that_others_draw_alone(worker):
    bench = Bench(worker, NOISY)
    planned = bench.plan(**classification())
    torch.manual_seed(99)
    wanted = torch.rand(3)
    torch.manual_seed(99)
    bench.run(planned)
    assert torch.equal(torch.rand(3), wanted)


def test_progress_tells_step_epoch_loss_rates_and_time_left(worker, monkeypatch):
    monkeypatch.setattr("app.worker.training.REPORT_SECONDS", 0.0)
    bench = Bench(worker, MLP)
    bench.run(bench.plan(**regression()))
    assert [news.shown["step"] for news in bench.told] == [*range(1, 11), 10]  # the last one tells the end
    assert [news.shown["epoch"] for news in bench.told] == [1] * 5 + [2] * 6
    last = bench.told[-1].shown
    assert last["steps"] == 10
    assert last["seconds_left"] == 0
    assert last["lr"] == 0.1
    assert last["steps_per_second"] > 0
    assert last["loss"] > 0
