"""Reading the gradients that a backward left in the store: one parameter's, or a summary of all. Called by the
handlers, and by what reads parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from app.architecture.layout import TensorGroup
from app.db import gradients
from app.errors import NotFound
from app.messages import DescribeGradients, Encoded, NetworkRef
from app.store.tensors import StoredTensor
from app.tensors.codecs.json_writing import dump
from app.worker.context import Worker
from app.worker.summaries import summarise
from app.worker.transfer import read_tensors

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Gradients:
    """The gradients a network has, by the first names of their parameters; `revision` None: it has none."""

    revision: int | None
    tensors: Mapping[str, StoredTensor]

    def at(self, ref: NetworkRef) -> Mapping[str, StoredTensor]:
        """Those that belong to the revision of `ref`: none when they are of another."""
        return self.tensors if self.revision == ref.revision else {}


def gradients_of(worker: Worker, ref: NetworkRef) -> Gradients:
    """The gradients of a network, whatever revision they belong to."""
    with worker.database.reading() as connection:
        row = gradients.find(connection, ref.network_id)
    return Gradients(None, {}) if row is None else Gradients(row.number, worker.store.manifest(row.manifest))


def find_gradient(worker: Worker, ref: NetworkRef, name: str, group: TensorGroup) -> StoredTensor:
    """The gradient of one parameter at one revision. Raises: NotFound, saying which revision there are some of."""
    found = gradients_of(worker, ref)
    stored = found.at(ref).get(group.names[0])
    if stored is None:
        there = "" if found.revision in (None, ref.revision) else f"; there are gradients of revision {found.revision}"
        raise NotFound(f"{name!r} has no gradient at revision {ref.revision}{there}.")
    return stored


def describe_gradients(worker: Worker, task: DescribeGradients) -> Encoded:
    """Summaries by name, of all gradients of a manifest."""
    entries = worker.store.manifest(task.manifest)
    summaries = {
        name: summarise(read_tensors(worker.store, {name: entry}, CPU)[name]) for name, entry in entries.items()
    }
    return Encoded("application/json", dump(summaries))
