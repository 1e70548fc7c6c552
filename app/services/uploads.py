"""Tensors that a client sends: into the store while the body comes in, in memory that does not grow with it.

safetensors is cut into chunks here, as it needs no PyTorch. Other formats are read by a worker: from the task where
they are small, from a temporary file where they are not. Nothing refers to what was stored until the caller keeps a
manifest of it. Called by the services of state_dicts and artifacts.
"""

import asyncio
import errno
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from app.errors import Malformed, StorageFull, TooLarge, Unprocessable
from app.messages import KeepTensors, Kept
from app.pool.base import expect
from app.services.lab import Lab, in_thread
from app.settings import SPOOL_PREFIX
from app.store.store import TensorStore
from app.store.tensors import StoredTensor
from app.store.writing import TensorWriter
from app.tensors.booleans import check_booleans
from app.tensors.media_types import Format
from app.tensors.pt_pickle import Kind
from app.tensors.safetensors_header import LENGTH_BYTES, Entry, Header, read_header, read_length
from app.tensors.strict_json import read_json

GATHERED_BYTES = 4 * 2**20  # of a body, before they are handed to a thread
SPOOLED_BYTES = 8 * 2**20  # from here on a body waits in a file
ABANDONED_SECONDS = 86_400.0
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
REFERENCE_BYTES = 4_096  # `{"artifact": name}` is not longer
SLOWEST_BYTES_PER_SECOND = 10 * 2**20  # what a worker surely reads; a file's time to be read follows its size

Body = AsyncIterator[bytes]


@dataclass(frozen=True)
class Received:
    """Tensors that are in the store now, by name: one alone is called `tensor`, those of a list `0`, `1`, ..."""

    kind: Kind
    tensors: dict[str, StoredTensor]
    metadata: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()  # names in the file whose tensors were not wanted


async def receive_safetensors(lab: Lab, body: Body, choose: Callable[[Header], Collection[str]]) -> Received:
    """Stores those tensors of a safetensors file that `choose` names; it sees the header before any bytes come.

    Raises: Malformed, Unprocessable, TooLarge; what `choose` raises.
    """
    source = _Source(body)
    length = read_length(await source.take(LENGTH_BYTES))
    limits = lab.settings.limits
    wide = limits.model_copy(update={"tensor_bytes": limits.parameter_bytes})
    text = await source.take(length)
    if len(text) < length:
        raise Malformed("The safetensors file ends inside its header.")
    header = await in_thread(lambda: read_header(text, wide))
    if header.data_bytes > limits.parameter_bytes:
        raise TooLarge(f"The file holds {header.data_bytes:,} bytes of tensors; {limits.parameter_bytes:,} are taken.")
    wanted = choose(header)
    cutter = _Cutter(header, wanted, TensorWriter(lab.database))
    await _pour(source, cutter)
    stored = await in_thread(cutter.finish)
    names = [entry.name for entry in header.entries]
    left_out = tuple(name for name in names if name not in wanted)
    return Received("dict", {name: stored[name] for name in names if name in stored}, header.metadata, left_out)


async def receive_file(
    lab: Lab,
    body: Body,
    format_name: Format,
    *,
    dtypes: Mapping[str, str] | None = None,
    artifact: Callable[[str], Awaitable[Received]] | None = None,
) -> Received:
    """Stores what a JSON, `.npy`, `.npz` or `.pt` body holds. `dtypes` are for JSON numbers without one, by name.

    With `artifact`, a JSON body may be `{"artifact": name}` as well: what `artifact` gives for the name.

    Raises: Malformed, Unprocessable, TooLarge.
    """
    assert format_name != "safetensors"
    source = _Source(body)
    json = format_name == "json"
    limit = lab.settings.json_body_bytes if json else SPOOLED_BYTES
    beginning = await source.take(limit + 1)
    if len(beginning) > limit:
        if json:
            raise TooLarge(f"The body is larger than the {limit:,} bytes of JSON that are read here.")
        return await _receive_spooled(lab, source, beginning, format_name)
    reference = _read_reference(beginning) if json and artifact is not None else None
    if reference is not None and artifact is not None:
        return await artifact(reference)
    task = KeepTensors(format=format_name, body=beginning, dtypes=dict(dtypes or {}))
    return await _submit(lab, task, len(beginning))


def _read_reference(body: bytes) -> str | None:
    """The name in `{"artifact": name}`, or None for other bodies."""
    if len(body) > REFERENCE_BYTES or b'"artifact"' not in body:
        return None
    document = read_json(body)
    if isinstance(document, dict) and document.keys() == {"artifact"} and isinstance(document["artifact"], str):
        return document["artifact"]
    return None


async def _receive_spooled(lab: Lab, source: "_Source", beginning: bytes, format_name: Format) -> Received:
    assert format_name != "safetensors"
    spool = await in_thread(lambda: _Spool(lab.settings.spool_dir))
    try:
        await in_thread(lambda: spool.feed(beginning))
        await _pour(source, spool)
        size = await in_thread(spool.finish)
        return await _submit(lab, KeepTensors(format=format_name, path=str(spool.path)), size)
    finally:
        await in_thread(spool.remove)


async def _submit(lab: Lab, task: KeepTensors, size: int) -> Received:
    deadline = lab.settings.deadline_seconds + size / SLOWEST_BYTES_PER_SECOND
    kept = expect(await lab.pool.submit(task, deadline_seconds=deadline), Kept)
    return Received(kept.kind, await in_thread(lambda: TensorStore(lab.database).manifest(kept.manifest)))


class _Source:
    """A body of which so many bytes can be taken first."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._left = b""

    async def take(self, count: int) -> bytes:
        """The next `count` bytes, or what there is before the end."""
        parts, size = [self._left], len(self._left)
        while size < count:
            piece = await anext(self._body, None)
            if piece is None:
                break
            parts.append(piece)
            size += len(piece)
        whole = b"".join(parts)
        self._left = whole[count:]
        return whole[:count]

    async def gathered(self) -> AsyncIterator[bytearray]:
        """The rest, in pieces of some MiB."""
        gathered, self._left = bytearray(self._left), b""
        async for piece in self._body:
            gathered += piece
            if len(gathered) >= GATHERED_BYTES:
                yield gathered
                gathered = bytearray()
        if gathered:
            yield gathered


async def _pour(source: _Source, sink: "_Cutter | _Spool") -> None:
    """Feeds the rest of a body to `sink` in threads; one piece is written while the next comes in."""
    writing: asyncio.Task[None] | None = None
    try:
        async for piece in source.gathered():
            if writing is not None:
                await writing
            writing = asyncio.create_task(_feed(sink, piece))
        if writing is not None:
            await writing
    finally:
        if writing is not None and not writing.done():
            await asyncio.wait([writing])


async def _feed(sink: "_Cutter | _Spool", piece: bytearray) -> None:
    await in_thread(lambda: sink.feed(piece))


class _Cutter:
    """The bytes after a safetensors header, cut into tensors and written to the store."""

    def __init__(self, header: Header, wanted: Collection[str], writer: TensorWriter) -> None:
        self._coming = [entry for entry in header.by_position() if entry.stop > entry.start]
        self._empty = [entry for entry in header.entries if entry.stop == entry.start and entry.name in wanted]
        self._data_bytes = header.data_bytes
        self._wanted = wanted
        self._writer = writer
        self._position = 0
        self._number = 0  # of the tensor that is coming
        self._stored: dict[str, StoredTensor] = {}

    def feed(self, data: bytes | bytearray) -> None:
        view = memoryview(data)
        if self._position + view.nbytes > self._data_bytes:
            raise Malformed(f"The safetensors file goes on after the {self._data_bytes} bytes that its header names.")
        while view.nbytes:
            entry = self._coming[self._number]
            part = view[: entry.stop - self._position]
            if entry.name in self._wanted:
                self._write(entry, part)
            self._position += part.nbytes
            if self._position == entry.stop:
                self._number += 1
            view = view[part.nbytes :]

    def _write(self, entry: Entry, part: memoryview) -> None:
        if self._position == entry.start:
            self._writer.begin(entry.dtype.name, entry.shape)
        if entry.dtype.kind == "boolean":
            check_booleans(part, f"/{entry.name}", first=self._position - entry.start)
        self._writer.feed(part)
        if self._position + part.nbytes == entry.stop:
            self._stored[entry.name] = self._writer.end()

    def finish(self) -> dict[str, StoredTensor]:
        if self._position < self._data_bytes:
            raise Malformed(f"The safetensors file ends after {self._position} of its {self._data_bytes} bytes.")
        for entry in self._empty:
            self._writer.begin(entry.dtype.name, entry.shape)
            self._stored[entry.name] = self._writer.end()
        self._writer.flush()
        return self._stored


def remove_abandoned(folder: Path | None) -> None:
    """Removes from the spool folder what nobody has written to for a day: a killed service leaves its bodies."""
    for path in Path(folder or tempfile.gettempdir()).glob(f"{SPOOL_PREFIX}*"):
        with suppress(OSError):  # another service may have been quicker
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                path.unlink()


class _Spool:
    """A temporary file that a body waits in until a worker has read it."""

    def __init__(self, folder: Path | None) -> None:
        with _telling_of_a_full_disk():
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=SPOOL_PREFIX, dir=folder)
        self.path = Path(name)
        self._file = os.fdopen(descriptor, "wb")

    def feed(self, data: bytes | bytearray) -> None:
        with _telling_of_a_full_disk():
            self._file.write(data)

    def finish(self) -> int:
        with _telling_of_a_full_disk():
            self._file.flush()
        size = self._file.tell()
        self._file.close()
        return size

    def remove(self) -> None:
        with suppress(OSError):  # what could not be written is not wanted any more
            self._file.close()
        self.path.unlink(missing_ok=True)


@contextmanager
def _telling_of_a_full_disk() -> Iterator[None]:
    """Raises: StorageFull."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise StorageFull("There is no room left for the upload; what is stored can still be read.") from None
        raise


def as_kind(received: Received, wanted: Kind | None) -> Received:
    """The same tensors as one, a list or a dict: what the client says (`?kind=`), else what the file says.

    Raises: Unprocessable `bad-request` where the names are not those of such a thing.
    """
    said = received.metadata.get("kind")
    kind = wanted or said
    if kind is None or kind == received.kind:
        return received
    if kind == "dict":
        return Received("dict", received.tensors)
    names = list(received.tensors)
    if kind == "tensor" and len(names) == 1:
        return Received("tensor", {"tensor": received.tensors[names[0]]})
    if kind == "list" and set(names) == {str(position) for position in range(len(names))}:
        return Received("list", {str(position): received.tensors[str(position)] for position in range(len(names))})
    if wanted is None:
        return received
    raise Unprocessable(
        "One tensor is a file that holds just one."
        if kind == "tensor"
        else "The tensors of a list are called 0, 1, ...",
        code="bad-request",
    )
