"""A worker for tests of training, without a service around it: plan a run, run it, and take what it tells."""

import dataclasses
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import orjson
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from app.db import networks, revisions
from app.db.networks import NewNetwork
from app.db.revisions import NewRevision
from app.messages import BuildNetwork, NetworkRef, Planned, PlanTraining, Progress, Train, Trained, Withdrawals
from app.messages.training import TrainingCheckpoint, TrainingNews
from app.worker.architectures import build_network
from app.worker.context import Worker
from app.worker.training import train
from app.worker.training_plan import plan_training
from app.worker.transfer import read_tensors
from app.worker.turn import Turn
from tests.laboratory import assert_same_state, in_json

CPU = torch.device("cpu")


class Bench:
    """One network and what is done with it."""

    def __init__(self, worker: Worker, architecture: object, seed: int = 7) -> None:
        self.told: list[TrainingNews] = []
        withdrawals, _ = Withdrawals.make()
        self.worker = dataclasses.replace(worker, turn=Turn(withdrawals, self._hear))
        self.ref = self._create(architecture, seed)

    def _hear(self, _sequence: int, progress: Progress) -> None:
        self.told.append(msgspec.json.decode(progress.detail, type=TrainingNews))

    def _create(self, architecture: object, seed: int) -> NetworkRef:
        task = BuildNetwork("default", orjson.dumps(architecture), "/architecture", dtype="float32", seed=seed)
        built = build_network(self.worker, task)
        network_id = str(uuid.uuid4())
        with self.worker.database.transaction() as connection:
            row = NewNetwork(
                id=network_id, workspace="default", name=network_id, original=b"{}", resolved=built.resolved,
                dtype="float32", device="cpu:0", seed=seed, labels={}, inputs=built.inputs,
                parameter_count=built.parameter_count, parameter_bytes=built.parameter_bytes, layout=built.layout,
            )  # fmt: skip
            networks.insert(connection, row)
            revisions.insert(connection, NewRevision(network_id, 1, built.manifest, "create"))
        return NetworkRef(network_id, 1, built.manifest, "float32", "cpu:0")

    def plan(self, **request: Any) -> Planned:
        body = orjson.dumps({key: in_json(value) for key, value in request.items()})
        return plan_training(self.worker, PlanTraining(self.ref, body, seed=0))

    def run(self, planned: Planned) -> Trained:
        """A run from its beginning."""
        self.told.clear()
        return train(self.worker, Train(self.ref, planned.plan, planned.data))

    def go_on(self, planned: Planned, checkpoint: TrainingCheckpoint) -> Trained:
        """The same run from a checkpoint on."""
        self.told.clear()
        ref = msgspec.structs.replace(self.ref, revision=2, manifest=checkpoint.manifest)
        return train(self.worker, Train(ref, planned.plan, planned.data, checkpoint.note, checkpoint.state))

    def checkpoints(self) -> list[TrainingCheckpoint]:
        return [news.checkpoint for news in self.told if news.checkpoint is not None]

    def state(self, manifest: str) -> dict[str, Tensor]:
        return read_tensors(self.worker.store, self.worker.store.manifest(manifest), CPU)

    def assert_is(self, trained: Trained, twin: nn.Module) -> None:
        assert_same_state(self.state(trained.manifest), twin)


def plain(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[Tensor, Tensor], Tensor],
    data: tuple[Tensor, Tensor],
    *,
    seed: int,
    batch_size: int,
    epochs: int,
    shuffle: bool = True,
    after_step: Callable[[], object] = lambda: None,
    after_epoch: Callable[[float], object] = lambda _: None,
    before_step: Callable[[], object] = lambda: None,
) -> list[float]:
    """The loop that one writes in PyTorch; gives the loss of every step."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    loader = DataLoader(TensorDataset(*data), batch_size, shuffle=shuffle, generator=generator)
    losses = []
    net.train()
    for _ in range(epochs):
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            value = loss(net(x), y)
            value.backward()
            before_step()
            optimizer.step()
            losses.append(value.item())
            total += value.item() * len(x)
            after_step()
        after_epoch(total / len(data[0]))
    return losses
