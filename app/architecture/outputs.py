"""Names for what a forward returned: `output`, `output_0`, `output_1_0`, or the block's own names.

Called by `call.py`, for outputs and for captured values.
"""

import torch

from app.errors import Unprocessable, in_place

Tensors = dict[str, torch.Tensor]


def name_outputs(
    value: object, *, device: torch.device | None, dtype: torch.dtype | None, root: str = "output"
) -> Tensors:
    """Gives every tensor in `value` its name; numbers become 0-d tensors and None is left out.

    Parts of tuples and lists are numbered from 0 after an underscore; parts of a mapping have their keys.
    Raises Unprocessable (bad-output) for anything else, and where two parts would have one name.
    """
    if isinstance(value, torch.Tensor):
        return {root: value}
    found: Tensors = {}
    _collect(value, root, found, (device, dtype), top=True)
    return found


def _collect(
    value: object, name: str, found: Tensors, made: tuple[torch.device | None, torch.dtype | None], *, top: bool
) -> None:
    if value is None:
        return
    if isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, str) or not key:
                raise _bad(f"outputs are named by texts, not by {key!r:.40}")
            _collect(part, key if top else f"{name}_{key}", found, made, top=False)
    elif isinstance(value, tuple | list):
        for index, part in enumerate(value):
            _collect(part, f"{name}_{index}", found, made, top=False)
    elif name in found:
        raise _bad(f"two outputs would be named {name!r}")
    elif isinstance(value, torch.Tensor):
        found[name] = value
    elif isinstance(value, int | float):
        found[name] = _number(value, made)
    else:
        kind = "text" if isinstance(value, str) else type(value).__name__
        raise _bad(f"{name} is {kind}; forward returns tensors, numbers, and tuples, lists or named ones of these")


def _number(value: float, made: tuple[torch.device | None, torch.dtype | None]) -> torch.Tensor:
    device, dtype = made
    try:
        return torch.tensor(value, device=device, dtype=dtype if isinstance(value, float) else None)
    except (RuntimeError, OverflowError) as error:
        raise _bad(f"the number {value!r:.40} has no tensor: {error}") from None


def _bad(message: str) -> Unprocessable:
    return in_place("", message, code="bad-output")
