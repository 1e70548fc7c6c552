"""The data of a run: loaded once onto the device, cut into batches in an order that its seed decides.

The order is that of PyTorch's `DataLoader(TensorDataset(...), batch_size, shuffle=True, generator=g)` with
`g = torch.Generator().manual_seed(seed)`. Called by `training.py`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from app.worker.context import Worker
from app.worker.requests import Tensors
from app.worker.training_request import UNNAMED
from app.worker.transfer import read_tensors


@dataclass(frozen=True)
class Batch:
    """Some samples: inputs by name, targets by name, or one without a name."""

    inputs: dict[str, Tensor]
    targets: Tensors
    count: int


@dataclass(frozen=True)
class Samples:
    """Inputs and targets that belong together, on the device."""

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]
    count: int

    def take(self, positions: Tensor) -> Batch:
        """A batch of its own memory, as a loader collates it."""
        inputs = {name: tensor.index_select(0, positions) for name, tensor in self.inputs.items()}
        targets = {name: tensor.index_select(0, positions) for name, tensor in self.targets.items()}
        return Batch(inputs, targets.get(UNNAMED, targets), len(positions))

    def whole(self) -> Batch:
        """All samples as one batch."""
        return Batch(self.inputs, self.targets.get(UNNAMED, self.targets), self.count)

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """All samples in their order."""
        device = next(iter(self.inputs.values())).device
        for positions in torch.split(torch.arange(self.count, device=device), batch_size):
            yield self.take(positions)


@dataclass(frozen=True)
class TrainingData:
    """What is learnt from, and what is only looked at."""

    samples: Samples
    validation: Samples | None


def read_data(worker: Worker, manifest: str) -> TrainingData:
    """Reads all of it onto the worker's device."""
    tensors = read_tensors(worker.store, worker.store.manifest(manifest), worker.residents.device)
    validation = samples_of(tensors, "validation.") if any(name.startswith("validation.") for name in tensors) else None
    return TrainingData(samples_of(tensors, ""), validation)


def samples_of(tensors: Mapping[str, Tensor], prefix: str) -> Samples:
    """The samples among tensors that are named as in the data of a run; `prefix` is empty or `validation.`."""
    inputs, targets = (_under(tensors, f"{prefix}{group}.") for group in ("inputs", "targets"))
    return Samples(inputs, targets, len(next(iter(inputs.values()))))


def _under(tensors: Mapping[str, Tensor], start: str) -> dict[str, Tensor]:
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


class Order:
    """Which samples each batch of an epoch holds. What `state` was when an epoch began gives that epoch again."""

    def __init__(self, count: int, batch_size: int, seed: int, *, shuffle: bool, drop_last: bool) -> None:
        self.batches = count // batch_size if drop_last else -(-count // batch_size)
        self._count = count
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._generator = torch.Generator()
        self._generator.manual_seed(seed)

    @property
    def state(self) -> Tensor:
        return self._generator.get_state()

    @state.setter
    def state(self, state: Tensor) -> None:
        self._generator.set_state(state)

    def draw(self, device: torch.device) -> list[Tensor]:
        """The positions of each batch of the next epoch."""
        positions = self._shuffled() if self._shuffle else torch.arange(self._count)
        return list(torch.split(positions.to(device), self._batch_size))[: self.batches]

    def _shuffled(self) -> Tensor:
        torch.empty((), dtype=torch.int64).random_(generator=self._generator)  # a loader's seed for its own workers
        positions = torch.randperm(self._count, generator=self._generator)
        torch.randperm(self._count, generator=self._generator)  # its sampler draws one too many
        return positions
