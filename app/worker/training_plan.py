"""Planning a run: the request is read, its data kept, and a first batch tried, so that what is wrong is told at once.

The network stays as it was. Called by the handlers.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from app.architecture.call import inputs_of
from app.architecture.layout import Layout
from app.architecture.optimizers import make_optimizer, make_scheduler
from app.architecture.untouched import untouched
from app.errors import NotFound, Unprocessable, in_place
from app.messages import Planned, PlanTraining
from app.messages.training import TrainingPlan
from app.store.tensors import StoredTensor
from app.tensors.strict_json import read_json
from app.worker.backward import check_gradient, trained_parameters
from app.worker.context import Worker
from app.worker.parameters import read_part
from app.worker.requests import seeded_on
from app.worker.residents import LoadedNetwork
from app.worker.training import total_steps
from app.worker.training_data import Batch, Order, samples_of
from app.worker.training_request import MOST_STEPS, keep_data, plan_of, read_request
from app.worker.training_steps import Steps
from app.worker.warned import noted_warnings

TRIED_SAMPLES = 8  # of the first batch: enough to meet what shapes and names may do wrong


def plan_training(worker: Worker, task: PlanTraining) -> Planned:
    """Checks a request as far as a first batch, and keeps its data in the store.

    Raises: Malformed; Unprocessable with the place in the request.
    """
    ref = task.network
    request = read_request(read_json(task.body))
    loaded = worker.residents.find(ref)
    names = [one.name for one in inputs_of(loaded.module)]
    if not names:
        raise in_place("/inputs", "This network takes no inputs, so there is nothing to train.", code="bad-arguments")
    trained = trained_parameters(worker, ref, loaded)
    frozen = _frozen(worker.layouts.find(ref.network_id), request.frozen, trained)
    parameters = {name: parameter for name, parameter in trained.items() if name not in frozen}
    if not parameters:
        raise in_place("/frozen", "Nothing is left to train: every parameter is frozen.", code="no-gradient")
    plan = plan_of(request, frozen, task.seed)
    data, count = keep_data(worker, ref, request, names[0])
    order = Order(count, plan.batch_size, plan.seed, shuffle=plan.shuffle, drop_last=plan.drop_last)
    if not order.batches:
        message = f"{count} samples do not fill one batch of {plan.batch_size}, and `drop_last` drops what is smaller."
        raise in_place("/batch_size", message, code="bad-request")
    total = total_steps(plan.epochs, plan.steps, order.batches)
    if total > MOST_STEPS:
        message = (
            f"{plan.epochs} epochs of {order.batches} batches are {total} steps; at most {MOST_STEPS} are counted."
        )
        raise in_place("/epochs", message, code="bad-request")
    with noted_warnings() as warned:
        _try(worker, loaded, plan, parameters, worker.store.manifest(data), count)
    return Planned(plan, data, count, total, warned)


def _frozen(layout: Layout, paths: Sequence[str], trained: Mapping[str, nn.Parameter]) -> list[str]:
    """The parameters that a list of modules and parameters names, of those that would be trained, by first names."""
    found: set[str] = set()
    for number, path in enumerate(paths):
        try:
            prefix, _ = layout.module(path)
            found.update(group.names[0] for _, group in layout.under(prefix))
        except NotFound:
            try:
                found.add(layout.group(layout.canonical(path)).names[0])
            except NotFound as error:
                raise in_place(f"/frozen/{number}", error.detail, code="unknown-name") from None
    return [name for name in trained if name in found]


def _try(
    worker: Worker,
    loaded: LoadedNetwork,
    plan: TrainingPlan,
    parameters: Mapping[str, nn.Parameter],
    data: Mapping[str, StoredTensor],
    samples: int,
) -> None:
    """Makes the optimizer and the scheduler, and runs a few samples as far as the loss and the metrics."""
    device = worker.residents.device
    optimizer = make_optimizer(plan.optimizer, parameters.values(), worker.limits)
    if plan.scheduler is not None:
        make_scheduler(plan.scheduler, optimizer, worker.limits)
    steps = Steps(loaded.module, parameters.values(), plan, device=device, dtype=loaded.dtype, limits=worker.limits)
    for name, parameter in loaded.module.named_parameters():
        parameter.requires_grad_(name in parameters)
    loaded.set_mode("train")
    with untouched(loaded.module), seeded_on(plan.seed, device):
        tensors = _few(worker, data, min(TRIED_SAMPLES, plan.batch_size))
        check_gradient(steps.loss(samples_of(tensors, "").whole()), "/loss")
        if (last := _last_count(plan, samples)) is not None:
            _try_last(steps, samples_of(_few(worker, data, last), "").whole())
        loaded.set_mode("eval")
        if any(name.startswith("validation.") for name in tensors):
            steps.look(samples_of(tensors, "validation.").whole())


def _few(worker: Worker, data: Mapping[str, StoredTensor], count: int) -> dict[str, Tensor]:
    device = worker.residents.device
    return {name: read_part(worker, stored, f":{count}").to(device) for name, stored in data.items()}


def _last_count(plan: TrainingPlan, samples: int) -> int | None:
    """How many samples the last batch of an epoch has, where they are fewer than were tried and the run gets there."""
    last = samples % plan.batch_size
    reached = not plan.drop_last and (plan.steps is None or plan.steps * plan.batch_size >= samples)
    return last if reached and 0 < last < min(TRIED_SAMPLES, samples) else None


def _try_last(steps: Steps, batch: Batch) -> None:
    """A batch norm takes no single sample, for instance."""
    try:
        steps.loss(batch)
    except Unprocessable as error:
        message = f"The last batch of an epoch has {batch.count} samples (`drop_last` leaves it out): {error.detail}"
        raise in_place("/batch_size", message, code=error.code) from error
