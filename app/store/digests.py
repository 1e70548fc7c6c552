"""What identifies content: BLAKE3 over chunks, over tensors as lists of chunks, over manifests as lists of tensors.

Two tensors have one digest if and only if dtype, shape and bytes are equal (and they were cut alike). The digest of
a list covers every part with its length, so that no two different lists read the same.
"""

from collections.abc import Iterable, Sequence

import blake3
import orjson


def digest_chunk(data: bytes | bytearray | memoryview) -> str:
    return blake3.blake3(data).hexdigest()


def digest_tensor(dtype: str, shape: Sequence[int], chunks: Sequence[str]) -> str:
    return blake3.blake3(orjson.dumps(["tensor", dtype, list(shape), chunks])).hexdigest()


def digest_manifest(entries: Iterable[tuple[str, str]]) -> str:
    """`entries` are (name, tensor digest) in order."""
    return blake3.blake3(orjson.dumps(["manifest", [list(entry) for entry in entries]])).hexdigest()
