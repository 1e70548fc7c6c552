"""One run of a network for several requests: their rows are joined, run once, and taken apart again.

Only for a network that is proven to keep rows apart, for inputs of these ranks. Whatever goes wrong is told to nobody:
the requests then run alone, where each meets its own failure or none. Called by `process.py`.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.architecture.call import Called, call
from app.architecture.rowwise import NotRowWise, Ranks, RowWise, prove
from app.architecture.untouched import untouched
from app.errors import LabError
from app.messages import Encoded, RunForward
from app.tensors.codecs.json_writing import dump, json_data
from app.tensors.torch_dtypes import dtype_name
from app.worker.context import Worker
from app.worker.failures import device_failure
from app.worker.forward import JSON, check_size, encode, json_reply
from app.worker.requests import Tensors
from app.worker.residents import LoadedNetwork
from app.worker.shared_inputs import Joined, join_requests

FAILURES = (LabError, RuntimeError, MemoryError, RecursionError)


class DeviceFailed(Exception):
    """The accelerator reported an error: nothing can run in this process any more."""


def run_shared(worker: Worker, tasks: Sequence[RunForward]) -> list[Encoded | None]:
    """Runs requests for one revision of a network together; None for each that is to run alone.

    Raises: DeviceFailed.
    """
    replies: list[Encoded | None] = [None] * len(tasks)
    for joined in join_requests(worker, tasks):
        try:
            for place, reply in _run(worker, tasks, joined):
                replies[place] = reply
        except FAILURES as error:
            if device_failure(error) is not None:
                raise DeviceFailed(f"{worker.device} failed while requests shared a run.") from error
    return replies


def _run(worker: Worker, tasks: Sequence[RunForward], joined: Joined) -> Iterator[tuple[int, Encoded]]:
    """Gives the replies by the numbers of their requests. Raises whatever the network meets."""
    ref = tasks[0].network
    loaded = worker.residents.find(ref)
    proof = _prove(loaded, joined.inputs)
    if isinstance(proof, NotRowWise):
        return
    loaded.set_mode("eval")
    device = worker.residents.device
    with torch.inference_mode(), untouched(loaded.module):
        called = call(loaded.module, joined.inputs, limits=worker.limits, device=device, dtype=loaded.dtype)
    check_size(called, JSON, worker.settings)
    total = sum(part.rows for part in joined.parts)
    outputs = [
        _Output(name, tensor.cpu(), dim, tensor.shape[dim] / total)
        for (name, tensor), dim in zip(called.outputs.items(), proof.dims, strict=True)
    ]
    if any(output.each % 1 for output in outputs):
        return
    start = 0
    for part in joined.parts:
        accept, stop = tasks[part.place].accept, start + part.rows
        if accept == JSON:
            values = {output.name: output.json(start, stop) for output in outputs}
            yield part.place, Encoded(JSON, dump(json_reply(values, {}, ref)), ref.revision)
        else:
            yield part.place, encode(Called({output.name: output.rows(start, stop) for output in outputs}), accept, ref)
        start = stop


class _Output:
    """One output of a shared run, on the CPU: row after row along `dim`, `each` places for one row."""

    def __init__(self, name: str, tensor: Tensor, dim: int, each: float) -> None:
        self.name = name
        self.each = each
        self._tensor = tensor
        self._dim = dim
        self._places = int(each)

    def rows(self, start: int, stop: int) -> Tensor:
        """The part of the rows from `start` to `stop`."""
        return self._tensor.narrow(self._dim, start * self._places, (stop - start) * self._places)

    def json(self, start: int, stop: int) -> dict[str, object]:
        """That part as a value for `dump`; the tensor is made ready once for all parts."""
        span = slice(start * self._places, stop * self._places)
        shape = list(self._tensor.shape)
        shape[self._dim] = span.stop - span.start
        part = self._array[(*(slice(None),) * self._dim, span)]
        return {"dtype": self._dtype, "shape": shape, "data": part if self._dim == 0 else np.ascontiguousarray(part)}

    @cached_property
    def _array(self) -> Any:
        return json_data(self._tensor)

    @cached_property
    def _dtype(self) -> str:
        return dtype_name(self._tensor.dtype)


def _prove(loaded: LoadedNetwork, inputs: Tensors) -> RowWise | NotRowWise:
    """The proof for inputs of these ranks, found once for each network that is loaded."""
    ranks: Ranks = inputs.ndim if isinstance(inputs, Tensor) else {name: tensor.ndim for name, tensor in inputs.items()}
    key = ranks if isinstance(ranks, int) else tuple(sorted(ranks.items()))
    if key not in loaded.proofs:
        loaded.proofs[key] = prove(loaded.module, ranks)
    return loaded.proofs[key]
