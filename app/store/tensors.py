"""Values of the store: tensors as bytes, and what is known of a stored one without its bytes. Knows no PyTorch."""

from dataclasses import dataclass

from app.tensors.dtypes import DTYPES, count_elements


@dataclass(frozen=True)
class TensorBytes:
    """A tensor's content: C-contiguous, little-endian, `data` one flat view of bytes (format "B")."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview

    def __post_init__(self) -> None:
        expected = byte_count(self.dtype, self.shape)
        if self.data.nbytes != expected:
            raise ValueError(f"{self.dtype} of shape {self.shape} is {expected} bytes, not {self.data.nbytes}")


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in the store."""

    digest: str
    dtype: str
    shape: tuple[int, ...]
    byte_count: int


def byte_count(dtype: str, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor. Raises KeyError for an unknown dtype."""
    return DTYPES[dtype].item_bytes * count_elements(shape)
