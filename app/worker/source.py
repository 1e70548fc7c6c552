"""A network as Python source. Called by the handlers."""

from importlib.metadata import PackageNotFoundError, version

import orjson

from app.architecture.build import plan_and_build
from app.architecture.source import write_source
from app.db import networks
from app.errors import NotFound
from app.messages import Encoded, WriteSource
from app.tensors.torch_dtypes import torch_dtype
from app.worker.context import Worker

MEDIA_TYPE = "text/x-python; charset=utf-8"


def write_network_source(worker: Worker, task: WriteSource) -> Encoded:
    """Writes a network as one file of plain PyTorch. Raises: NotFound when it was deleted meanwhile."""
    ref = task.network
    with worker.database.reading() as connection:
        resolved = networks.find_resolved(connection, ref.network_id)
    if resolved is None:
        raise NotFound("The network was deleted meanwhile.")
    plan, net = plan_and_build(orjson.loads(resolved), limits=worker.limits)
    text = write_source(
        plan,
        net,
        title=task.title,
        dtype=torch_dtype(ref.dtype),
        changed=dict(worker.layouts.flags(ref)),
        version=_version(),
    )
    return Encoded(MEDIA_TYPE, text.encode(), ref.revision)


def _version() -> str:
    try:
        return version("model-lab")
    except PackageNotFoundError:
        return "0"
