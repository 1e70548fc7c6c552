"""Which devices this machine's pool has, and what a device is called.

Names are PyTorch's with an index, `cuda:1` or `cpu:0`; several CPU slots stand for several devices. Called by
`app.pool.local` and `app.services`.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from app.errors import Place, Unprocessable
from app.pool.gpus import gpu_count

_NAME = re.compile(r"(cpu|cuda):(0|[1-9][0-9]{0,3})")


def chosen_devices(setting: str | None) -> list[str]:
    """The devices that `MODEL_LAB_DEVICES` names; without it every GPU, or one CPU slot where there is none.

    Raises: ValueError naming the entry that is not a device, or that stands twice.
    """
    if setting is None:
        return [f"cuda:{index}" for index in range(gpu_count())] or ["cpu:0"]
    names = [_with_index(name.strip()) for name in setting.split(",") if name.strip()]
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f"MODEL_LAB_DEVICES: {name!r} is not a device; write cpu:0 or cuda:1, separated by commas")
        if names.count(name) > 1:
            raise ValueError(f"MODEL_LAB_DEVICES names {name} twice; a device has one worker")
    if not names:
        raise ValueError("MODEL_LAB_DEVICES is empty; write cpu:0 or cuda:1, or leave it out")
    return names


def find_device(
    wanted: str | None,
    present: Sequence[str],
    *,
    placed: Mapping[str, int] = MappingProxyType({}),
    fallback: bool = False,
    pointer: str = "",
) -> str:
    """The canonical name of `wanted` among `present`: None is the first, `cuda` the first GPU, `auto` the one of the
    first's type on which the fewest bytes are `placed`.

    With `fallback` an absent device becomes the first CPU slot, else the first device.

    Raises: Unprocessable `unknown-device` that lists the devices present.
    """
    if wanted is None:
        return present[0]
    if wanted == "auto":
        kind = present[0].partition(":")[0]
        alike = [device for device in present if device.startswith(f"{kind}:")]
        return min(alike, key=lambda device: placed.get(device, 0))
    name = _with_index(wanted)
    if wanted in ("cpu", "cuda"):
        name = next((device for device in present if device.startswith(f"{wanted}:")), name)
    if name in present:
        return name
    if fallback:
        return next((device for device in present if device.startswith("cpu:")), present[0])
    message = f"There is no device {wanted!r} here; present: {', '.join(present)}. Or say auto."
    raise Unprocessable(
        message, code="unknown-device", places=[Place(pointer, message)], extra={"devices": list(present)}
    )


def _with_index(name: str) -> str:
    return f"{name}:0" if name in ("cpu", "cuda") else name
