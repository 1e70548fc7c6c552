"""Stored tensors as files: planned from what is known of them, then read from the store while they go out.

Nothing is held but the piece that is on its way, and no worker is asked but for JSON. Called by the services of
state_dicts and artifacts; the routes send what `pieces` yields.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from app.errors import NotAcceptable
from app.messages import Encoded, WriteTensors
from app.pool.base import expect
from app.services.lab import Lab, in_thread
from app.store.reading import PieceReader
from app.store.store import TensorStore
from app.store.tensors import StoredTensor
from app.tensors.file_writing import FilePlan, plan_file
from app.tensors.media_types import MEDIA_TYPES, Format
from app.tensors.pt_pickle import Described, Kind

JSON_BYTES = 64 * 2**20  # of tensors that are written as JSON, in memory; other formats have no such bound

Piece = bytes | memoryview


@dataclass(frozen=True)
class NamedTensor:
    """A stored tensor: its name in the file, and in the manifest that it is read from."""

    name: str
    key: str
    stored: StoredTensor


class TensorFile:
    """A file that can be read piece by piece; `size` is known before where the format has a fixed layout."""

    def __init__(self, lab: Lab, plan: FilePlan, tensors: Sequence[StoredTensor], media_type: str) -> None:
        self.media_type = media_type
        self.size = plan.size
        self._plan = plan
        self._tensors = tensors
        self._reader = PieceReader(lab.database, TensorStore(lab.database))

    async def pieces(self, start: int = 0, stop: int | None = None) -> AsyncIterator[Piece]:
        """Yields the bytes from `start` to `stop`; one piece is read while the one before goes out. Parts may be asked
        for only where `size` is known.

        Raises: Damaged.
        """
        source = self._all() if start == 0 and stop in (None, self.size) else self._part(start, stop or 0)

        async def read() -> Piece | None:
            return await in_thread(lambda: next(source, None))

        coming = asyncio.create_task(read())
        try:
            while (piece := await coming) is not None:
                coming = asyncio.create_task(read())
                if len(piece):
                    yield piece
        finally:
            await asyncio.gather(coming, return_exceptions=True)  # nothing is read any more when this ends

    def _all(self) -> Iterator[Piece]:
        ordered = [self._tensors[position] for position in self._plan.order]
        return self._plan.write(self._reader.read(ordered))

    def _part(self, start: int, stop: int) -> Iterator[Piece]:
        beginning = self._plan.beginning
        if start < len(beginning):
            yield beginning[start : min(stop, len(beginning))]
        first = len(beginning)
        for position in self._plan.order:
            stored = self._tensors[position]
            last = first + stored.byte_count
            if first < stop and last > start and stored.byte_count:
                yield from self._reader.read_range(stored, max(start - first, 0), min(stop, last) - first)
            first = last


def plan_tensor_file(lab: Lab, tensors: Sequence[NamedTensor], kind: Kind, format_name: Format) -> TensorFile:
    """Plans a binary file. Raises: NotAcceptable for what the format cannot hold."""
    described = [Described(tensor.name, tensor.stored.dtype, tensor.stored.shape) for tensor in tensors]
    plan = plan_file(format_name, described, kind)
    return TensorFile(lab, plan, [tensor.stored for tensor in tensors], MEDIA_TYPES[format_name])


async def write_json(lab: Lab, manifest: str, tensors: Sequence[NamedTensor], kind: Kind) -> Encoded:
    """Writes tensors as JSON, in a worker. Raises: NotAcceptable for too many bytes, Damaged."""
    total = sum(tensor.stored.byte_count for tensor in tensors)
    if total > JSON_BYTES:
        raise NotAcceptable(
            f"These tensors are {total:,} bytes, and at most {JSON_BYTES:,} are written as JSON; ask for safetensors, "
            "pt or npz, which stream."
        )
    task = WriteTensors(manifest=manifest, names={tensor.name: tensor.key for tensor in tensors}, kind=kind)
    return expect(await lab.pool.submit(task), Encoded)
