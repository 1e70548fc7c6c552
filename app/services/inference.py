"""The Open Inference Protocol over our networks: every network is a model, its revisions are the model's versions.

Called by `app.api.inference_v2` (running) and `app.api.routes.inference_v2` (everything else). Nothing of a request's
tensors is read here.
"""

import time
from collections.abc import Mapping
from functools import partial

from app.db import networks, revisions
from app.errors import LabError, NotFound
from app.messages import (
    FindSignature,
    Inferred,
    Loaded,
    LoadNetwork,
    NetworkRef,
    Release,
    Released,
    RunInference,
    SignatureFound,
)
from app.pool.base import expect
from app.services.inference_memory import Counts
from app.services.lab import Lab, look_up
from app.services.references import find_reference, find_reference_at

VERSIONS_LISTED = 1_000
LATEST = "latest"
PAGE = 500


async def infer(
    lab: Lab,
    name: str,
    version: str | None,
    *,
    body: bytes,
    encoding: str,
    header_length: int | None,
    reply_encoding: str,
) -> Inferred:
    """Runs the network called `name` at its head, or at the revision `version`.

    Raises: NotFound for either; what the worker says of the body and the network of its inputs.
    """
    network = await find_model(lab, name, version)
    task = RunInference(
        network=network,
        name=name,
        body=body,
        encoding=encoding,
        header_length=header_length,
        reply_encoding=reply_encoding,
    )
    key = (lab.workspace, name, network.revision)
    begun = time.perf_counter_ns()
    try:
        reply = expect(await lab.pool.submit(task, device=network.device), Inferred)
    except LabError:
        lab.inference.failed(key, time.perf_counter_ns() - begun)
        raise
    lab.inference.succeeded(key, reply, time.perf_counter_ns() - begun)
    return reply


async def find_model(lab: Lab, name: str, version: str | None) -> NetworkRef:
    """The network at its head ("latest" or no version), or at the revision that `version` names. Raises: NotFound."""
    if version is None or version == LATEST:
        return await find_reference(lab, name)
    if not (version.isascii() and version.isdecimal() and len(version) < 19):
        raise NotFound(f"Versions are revisions, counted from 1; there is none called {version[:40]!r}.")
    return await find_reference_at(lab, name, int(version))


async def find_versions(lab: Lab, network: NetworkRef) -> list[str]:
    """The newest revisions that are kept, the oldest of them first."""
    rows = await look_up(
        lab, lambda connection: revisions.list_page(connection, network.network_id, limit=VERSIONS_LISTED)
    )
    return [str(row.number) for row in reversed(rows)]


async def find_signature(lab: Lab, network: NetworkRef) -> SignatureFound:
    """What a network takes and gives, asked of a worker once: its architecture never changes."""
    known = lab.inference.signature(network.network_id)
    if known is None:
        reply = await lab.pool.submit(FindSignature(network=network), device=network.device)
        known = expect(reply, SignatureFound)
        lab.inference.keep_signature(network.network_id, known)
    return known


async def list_models(lab: Lab) -> list[tuple[str, int]]:
    """Every network of the workspace with its head revision, by name."""
    found: list[tuple[str, int]] = []
    after: str | None = None
    while True:
        page = await look_up(lab, partial(networks.list_page, workspace=lab.workspace, after=after, limit=PAGE))
        found += [(row.name, row.head_revision) for row in page]
        if len(page) < PAGE:
            return found
        after = page[-1].name


async def load(lab: Lab, name: str) -> None:
    """Brings a network to its device. Raises: NotFound; Unprocessable where it can never fit."""
    network = await find_reference(lab, name)
    expect(await lab.pool.submit(LoadNetwork(network=network), device=network.device), Loaded)


async def unload(lab: Lab, name: str) -> None:
    """Lets go of a network's memory; the next request brings it back. Raises: NotFound."""
    network = await find_reference(lab, name)
    expect(await lab.pool.submit(Release(networks=[network.network_id]), device=network.device), Released)


async def statistics(lab: Lab, name: str | None, version: str | None) -> list[Mapping[str, object]]:
    """What was counted in this process: of all networks, of one, or of one revision. Raises: NotFound."""
    if name is None:
        names = lab.inference.names(lab.workspace)
        return [entry for known in names for entry in _entries(lab, known)]
    network = await find_model(lab, name, version)
    return _entries(lab, name, network.revision if version else None, head=network.revision)


def _entries(lab: Lab, name: str, revision: int | None = None, head: int | None = None) -> list[Mapping[str, object]]:
    counted = lab.inference.of(lab.workspace, name)
    wanted = [revision] if revision is not None else sorted({*counted, *([] if head is None else [head])})
    return [(counted.get(number) or Counts()).to_json(name, number) for number in wanted]
