"""Artifacts: tensors that somebody saved under a name, as one tensor, a list or a dict.

An artifact is a row that points at a manifest in the store; saving again under a name replaces the row. Its tag is the
manifest's digest, so equal content has an equal tag.
"""

from functools import partial

from app.db import artifacts
from app.db.artifacts import ArtifactRow, NewArtifact
from app.errors import NotFound, Stale
from app.services.downloads import NamedTensor
from app.services.lab import Lab, in_thread, look_up
from app.services.naming import check_name, is_name
from app.services.uploads import Body, Received, receive_file, receive_safetensors
from app.services.writes import check_there
from app.store.store import TensorStore
from app.tensors.media_types import Format

TAG_DIGITS = 32


def tag_of(row: ArtifactRow) -> str:
    """What `ETag` holds: it changes if and only if the content does."""
    return row.manifest[:TAG_DIGITS]


async def check_artifact(lab: Lab, name: str, if_match: frozenset[str] | None, *, if_there: bool = False) -> None:
    """Tells before an upload that it would be in vain. Raises: Unprocessable `bad-name`, Stale."""
    check_name(name, "")
    if if_match is not None or if_there:
        there = await look_up(lab, partial(artifacts.find, workspace=lab.workspace, name=name))
        _check(there, name, if_match, if_there=if_there)


async def receive_artifact_file(lab: Lab, body: Body, format_name: Format) -> Received:
    """Stores the tensors of a body in any format. Raises: Malformed, Unprocessable, TooLarge."""
    if format_name == "safetensors":
        return await receive_safetensors(lab, body, lambda header: {entry.name for entry in header.entries})
    return await receive_file(lab, body, format_name)


async def save_artifact(
    lab: Lab, name: str, received: Received, if_match: frozenset[str] | None, *, if_there: bool = False
) -> tuple[ArtifactRow, bool]:
    """Puts stored tensors under a name, unless it must be there already; tells as well whether the name is new.

    Raises: Stale, Unavailable.
    """

    def save() -> tuple[ArtifactRow, bool]:
        entries = [(key, stored.digest) for key, stored in received.tensors.items()]
        manifest = TensorStore(lab.database).keep_manifest(entries)
        new = NewArtifact(
            workspace=lab.workspace,
            name=name,
            kind=received.kind,
            manifest=manifest,
            tensor_count=len(entries),
            byte_count=sum(stored.byte_count for stored in received.tensors.values()),
        )
        with lab.database.transaction() as connection:
            there = artifacts.find(connection, lab.workspace, name, lock=True)
            _check(there, name, if_match, if_there=if_there)
            return artifacts.save(connection, new), there is None

    return await in_thread(save)


async def find_artifact(lab: Lab, name: str) -> tuple[ArtifactRow, list[NamedTensor]]:
    """Finds an artifact and what is in it. Raises: NotFound."""

    def find() -> tuple[ArtifactRow, list[NamedTensor]]:
        with lab.database.reading() as connection:
            row = artifacts.find(connection, lab.workspace, name) if is_name(name) else None
        if row is None:
            raise no_artifact(name)
        entries = TensorStore(lab.database).manifest(row.manifest)
        return row, [NamedTensor(key, key, stored) for key, stored in entries.items()]

    return await in_thread(find)


async def receive_artifact(lab: Lab, name: str) -> Received:
    """The tensors of an artifact as if they had been sent. Raises: NotFound."""
    row, tensors = await find_artifact(lab, name)
    return Received(row.kind, {tensor.key: tensor.stored for tensor in tensors})


async def list_artifacts(lab: Lab, *, after: str | None, limit: int) -> list[ArtifactRow]:
    """Lists up to `limit` artifacts in the order of their names, those after the name `after`."""
    return await look_up(lab, partial(artifacts.list_page, workspace=lab.workspace, after=after, limit=limit))


async def delete_artifact(lab: Lab, name: str, if_match: frozenset[str] | None) -> None:
    """Deletes an artifact; networks that were loaded from it keep their tensors. Raises: NotFound, Stale."""

    def delete() -> None:
        with lab.database.transaction() as connection:
            row = artifacts.find(connection, lab.workspace, name, lock=True) if is_name(name) else None
            if row is None:
                raise no_artifact(name)
            _check(row, name, if_match)
            artifacts.delete(connection, lab.workspace, name)

    await in_thread(delete)


def no_artifact(name: str) -> NotFound:
    shown = name if len(name) <= 128 else name[:128] + "…"
    return NotFound(f"There is no artifact {shown!r}.")


def _check(row: ArtifactRow | None, name: str, if_match: frozenset[str] | None, *, if_there: bool = False) -> None:
    check_there(row, name, if_there=if_there)
    if if_match is not None and (row is None or tag_of(row) not in if_match):
        state = "does not exist" if row is None else f'is at "{tag_of(row)}"'
        raise Stale(f"The artifact {name!r} {state}, which If-Match does not name.")
