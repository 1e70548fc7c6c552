"""Inputs that are only imagined: tensors on the `meta` device, of shapes that a request gives under `input_shapes`.

Called by the handlers that check, draw and export networks.
"""

from collections.abc import Mapping

import torch

from app.errors import LabError, Unprocessable, pointer_to
from app.messages import ShapeSpec
from app.settings import Limits
from app.tensors.dtypes import find_dtype
from app.tensors.shapes import read_shape
from app.tensors.torch_dtypes import torch_dtype


def imagine(shapes: Mapping[str, ShapeSpec], dtype: str, limits: Limits) -> torch.Tensor | dict[str, torch.Tensor]:
    """Tensors of these shapes, of `dtype` where they do not say theirs; "" alone is the only input.

    Raises: Unprocessable under /input_shapes.
    """
    tensors = {name: _tensor(name, spec, dtype, limits) for name, spec in shapes.items()}
    return tensors[""] if set(tensors) == {""} else tensors


def _tensor(name: str, spec: ShapeSpec, otherwise: str, limits: Limits) -> torch.Tensor:
    pointer = pointer_to("input_shapes", name) if name else "/input_shapes"
    dtype = find_dtype(spec.dtype or otherwise, f"{pointer}/dtype")
    shape = read_shape(spec.shape, dtype, limits, pointer)
    return torch.empty(shape, dtype=torch_dtype(dtype.name), device="meta")


def rebased(error: Unprocessable) -> LabError:
    """What a call on imagined inputs refused: they stand under /input_shapes, not under /inputs."""
    places = [
        place._replace(pointer="/input_shapes" + place.pointer.removeprefix("/inputs"))
        if place.pointer.startswith("/inputs")
        else place
        for place in error.places
    ]
    return Unprocessable(error.detail, code=error.code, places=places, extra=error.extra)
