"""Checking an architecture without making anything: a worker builds it on the meta device."""

from collections.abc import Mapping

import orjson

from app.errors import in_place
from app.messages import CheckArchitecture, Checked, ShapeSpec
from app.pool.base import expect
from app.services.lab import Lab

FLOATING_DTYPES = ("float32", "float64", "float16", "bfloat16")


def check_dtype(dtype: str, pointer: str = "/dtype") -> str:
    """Returns the dtype of a network's parameters. Raises: Unprocessable `bad-dtype`."""
    if dtype not in FLOATING_DTYPES:
        message = f"A network's dtype is one of {', '.join(FLOATING_DTYPES)}."
        raise in_place(pointer, message, code="bad-dtype")
    return dtype


def encode_architecture(architecture: object, limit_bytes: int, pointer: str = "/architecture") -> bytes:
    """Writes an architecture as JSON with the order of its keys kept.

    Raises: Unprocessable `limit-exceeded` when it is too long or nested too deeply to be written.
    """
    try:
        text = orjson.dumps(architecture)
    except TypeError as error:
        raise in_place(pointer, "It is nested too deeply.", code="limit-exceeded") from error
    if len(text) > limit_bytes:
        message = f"It is {len(text):,} bytes of JSON; at most {limit_bytes:,} are taken."
        raise in_place(pointer, message, code="limit-exceeded")
    return text


async def check_architecture(
    lab: Lab, architecture: object, *, dtype: str, input_shapes: Mapping[str, ShapeSpec] | None
) -> Checked:
    """Tells what an architecture would make; `""` in `input_shapes` stands for the only input."""
    task = CheckArchitecture(
        workspace=lab.workspace,
        architecture=encode_architecture(architecture, lab.settings.limits.architecture_bytes),
        pointer="/architecture",
        dtype=check_dtype(dtype),
        input_shapes=None if input_shapes is None else dict(input_shapes),
    )
    return expect(await lab.pool.submit(task), Checked)
