"""Parameters and buffers of a network: their list, one's value, and changes of one. Values stay with the worker."""

from collections.abc import Callable

import orjson

from app.db.revisions import RevisionRow
from app.messages import (
    Changed,
    EditParameter,
    Encoded,
    ListParameters,
    NetworkRef,
    Of,
    ParameterInfo,
    ParameterList,
    ReadHistogram,
    ReadParameter,
    ReplaceParameter,
)
from app.pool.base import expect
from app.services.idempotency import Answer, Retry
from app.services.lab import Lab
from app.services.references import find_reference_at
from app.services.writes import Change, write_revision

RenderParameter = Callable[[ParameterInfo, str, int], Answer]  # what it is, its device, the revision


async def list_parameters(
    lab: Lab, name: str, prefix: str | None, revision: int | None = None, *, skip: int = 0, limit: int | None = None
) -> tuple[ParameterList, NetworkRef]:
    """Lists parameters and buffers in PyTorch's order, those of the module at `prefix` if one is given: up to `limit`
    of them, after the first `skip`.

    Raises: NotFound for the network, the revision or the prefix.
    """
    network = await find_reference_at(lab, name, revision)
    task = ListParameters(network=network, prefix=prefix, skip=skip, limit=limit)
    return expect(await lab.pool.submit(task, device=network.device), ParameterList), network


async def read_parameter(
    lab: Lab,
    name: str,
    parameter: str,
    *,
    index: str | None,
    media_type: str,
    revision: int | None = None,
    of: Of = "value",
) -> tuple[Encoded, int]:
    """Reads one parameter or buffer, or the part of it that `index` names; the revision comes with it.

    JSON holds its gradient too; of the two a binary reply holds the one that `of` says. Raises: NotFound for the
    network, the revision, the parameter or the gradient; Unprocessable `bad-index`.
    """
    network = await find_reference_at(lab, name, revision)
    task = ReadParameter(network=network, parameter=parameter, index=index, accept=media_type, of=of)
    return expect(await lab.pool.submit(task, device=network.device), Encoded), network.revision


async def read_histogram(
    lab: Lab,
    name: str,
    parameter: str,
    *,
    index: str | None,
    bins: int,
    media_type: str,
    revision: int | None = None,
    of: Of = "value",
) -> tuple[Encoded, int]:
    """Counts the values of one parameter or buffer, of its gradient, or of a part. Raises as above."""
    network = await find_reference_at(lab, name, revision)
    task = ReadHistogram(network=network, parameter=parameter, index=index, bins=bins, accept=media_type, of=of)
    return expect(await lab.pool.submit(task, device=network.device), Encoded), network.revision


async def replace_parameter(
    lab: Lab,
    name: str,
    parameter: str,
    *,
    body: bytes,
    content_type: str,
    if_match: frozenset[str] | None,
    retry: Retry | None,
    render: RenderParameter,
) -> Answer:
    """Writes a whole parameter or buffer, and makes a revision of it.

    Raises: NotFound, Stale, Malformed, UnsupportedMedia; Unprocessable `shape-mismatch` and others.
    """

    def task(network: NetworkRef) -> ReplaceParameter:
        return ReplaceParameter(network=network, parameter=parameter, body=body, content_type=content_type)

    return await _change(lab, name, "replace", task, if_match, retry, render)


async def edit_parameter(
    lab: Lab,
    name: str,
    parameter: str,
    *,
    body: bytes,
    if_match: frozenset[str] | None,
    retry: Retry | None,
    render: RenderParameter,
) -> Answer:
    """Makes all edits of the body, or none of them, and makes one revision of it. Raises as above."""

    def task(network: NetworkRef) -> EditParameter:
        return EditParameter(network=network, parameter=parameter, body=body)

    return await _change(lab, name, "edit", task, if_match, retry, render)


async def _change(
    lab: Lab,
    name: str,
    operation: str,
    task: Callable[[NetworkRef], ReplaceParameter | EditParameter],
    if_match: frozenset[str] | None,
    retry: Retry | None,
    render: RenderParameter,
) -> Answer:
    done: tuple[ParameterInfo, str] | None = None  # of the last try

    async def work(head: NetworkRef) -> Change:
        nonlocal done
        changed = expect(await lab.pool.submit(task(head), device=head.device), Changed)
        done = changed.parameter, head.device
        return Change(changed.manifest, operation, orjson.loads(changed.detail), changed.requires_grad)

    def answer(row: RevisionRow) -> Answer:
        assert done is not None, "work comes first"
        return render(*done, row.number)

    return await write_revision(lab, name, work, answer, if_match=if_match, retry=retry)
