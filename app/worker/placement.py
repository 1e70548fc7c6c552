"""Bringing networks to this worker's device, and letting go of what nobody needs there. Called by the handlers."""

from app.messages import Loaded, LoadNetwork, Release, Released
from app.worker.context import Worker
from app.worker.residency import Key


def load_network(worker: Worker, task: LoadNetwork) -> Loaded:
    """Loads a network, or brings it up to date. Raises: NotFound; Unprocessable for one that can never fit; Damaged."""
    return Loaded(bytes=worker.residents.find(task.network).byte_count)


def release(worker: Worker, task: Release) -> Released:
    """Frees the memory of what is here of those named."""
    keys: list[Key] = [("network", network_id) for network_id in task.networks]
    return Released(
        device=worker.device,
        bytes=worker.residency.release([*keys, *(("tensor", tensor_id) for tensor_id in task.tensors)]),
    )
