"""Which format a reply is written in: `?format=` first, then `Accept` (RFC 9110, 12.5.1), then the default.

Pure functions over header text. The routes hand on the one media type that was chosen, so that nobody after them
reads `Accept` again.
"""

from collections.abc import Sequence
from typing import NamedTuple

from app.errors import NotAcceptable, UnsupportedMedia
from app.tensors.media_types import MEDIA_TYPES

JSON = MEDIA_TYPES["json"]
NPY = MEDIA_TYPES["npy"]
SAFETENSORS = MEDIA_TYPES["safetensors"]
NPZ = MEDIA_TYPES["npz"]
PT = MEDIA_TYPES["pt"]
TEXT = "text/plain"
SVG = "image/svg+xml"
PNG = "image/png"
MERMAID = "text/vnd.mermaid"
ONNX = "application/vnd.onnx"

FORMATS: dict[str, str] = dict(MEDIA_TYPES.items()) | {
    "text": TEXT,
    "svg": SVG,
    "png": PNG,
    "mermaid": MERMAID,
    "onnx": ONNX,
}
NO_PT = "The operator of this service has turned `.pt` files off (MODEL_LAB_PT_FILES)."
ALIASES: dict[str, str] = {"application/x-safetensors": SAFETENSORS, "application/octet-stream": SAFETENSORS}


class MediaRange(NamedTuple):
    """One element of an Accept header: `text/*;q=0.5` is ("text", "*", 0.5)."""

    kind: str
    subtype: str
    quality: float


def parse_accept(accept: str) -> list[MediaRange]:
    """Reads an Accept header; what cannot be read is passed over, as RFC 9110 lets a server do."""
    ranges = []
    for element in accept.split(","):
        media, *parameters = (part.strip().lower() for part in element.split(";"))
        kind, slash, subtype = ALIASES.get(media, media).partition("/")
        if slash and kind and subtype:
            ranges.append(MediaRange(kind, subtype, _quality(parameters)))
    return ranges


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0


def quality_of(media_type: str, ranges: Sequence[MediaRange]) -> tuple[float, int]:
    """Tells how much a client wants `media_type`, 0 to 1: the most specific range that matches decides.

    The second number says how specific that was; of two that are wanted as much, the one that was named wins.
    """
    kind, _, subtype = media_type.partition("/")
    best_precision, quality = -1, 0.0
    for media_range in ranges:
        if media_range.kind == kind and media_range.subtype == subtype:
            precision = 2
        elif media_range.kind == kind and media_range.subtype == "*":
            precision = 1
        elif media_range.kind == media_range.subtype == "*":
            precision = 0
        else:
            continue
        if precision > best_precision:
            best_precision, quality = precision, media_range.quality
    return quality, best_precision


def choose(accept: str | None, format_name: str | None, offered: Sequence[str], *, pt: bool = True) -> str:
    """Picks one of the `offered` media types; the first is the default and wins among equals. `pt` is the setting
    `pt_files`.

    Raises: NotAcceptable, naming what is offered.
    """
    if not pt and PT in offered:
        try:
            return choose(accept, format_name, [media_type for media_type in offered if media_type != PT])
        except NotAcceptable as error:
            raise NotAcceptable(f"{error.detail} {NO_PT}") from None
    if format_name is not None:
        wanted = FORMATS.get(format_name.lower())
        if wanted is not None and wanted in offered:
            return wanted
        raise _refusal(f"`format={_shown(format_name)}` is not one of", offered)
    if accept is None or not accept.strip():
        return offered[0]
    ranges = parse_accept(accept)
    best = max(offered, key=lambda media_type: quality_of(media_type, ranges))  # max keeps the first among equals
    if quality_of(best, ranges)[0] <= 0:
        raise _refusal("`Accept` allows none of", offered)
    return best


def check_no_pt(content_type: str | None) -> None:
    """Refuses a body that is a `.pt` file. Raises: UnsupportedMedia."""
    if (content_type or "").partition(";")[0].strip().lower() == PT:
        raise UnsupportedMedia(f"{NO_PT} Send safetensors, .npz or JSON.")


def _refusal(what: str, offered: Sequence[str]) -> NotAcceptable:
    names = [name for name, media_type in FORMATS.items() if media_type in offered]
    return NotAcceptable(f"{what} the formats of this reply: {', '.join(offered)} (`?format=` {', '.join(names)}).")


def _shown(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "…"
