"""Which formats tensors travel in, and how a request names them. Does not load PyTorch: the HTTP process asks too.

A format is named by a media type (`Content-Type`, `Accept`) or by `?format=`. The codecs beside this module read and
write them; `app.tensors.codecs.registry` brings name and codec together.
"""

from typing import Literal

from app.errors import NotAcceptable, UnsupportedMedia

Format = Literal["json", "npy", "safetensors", "npz", "pt"]

MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "npy": "application/x-npy",
    "safetensors": "application/vnd.safetensors",
    "npz": "application/x-npz",
    "pt": "application/x-pytorch",
}
_FORMATS: dict[str, Format] = {media_type: name for name, media_type in MEDIA_TYPES.items()}
_READ: dict[str, Format] = {
    **_FORMATS,
    "application/x-safetensors": "safetensors",
    "application/octet-stream": "safetensors",
    "": "json",  # no Content-Type at all
}
_WRITTEN: dict[str, Format] = {**_FORMATS, "application/x-safetensors": "safetensors"}
_RANGES: dict[str, Format] = {"*/*": "json", "application/*": "json", "application/octet-stream": "safetensors"}


def format_of_body(content_type: str) -> Format:
    """The format that a `Content-Type` names. Raises UnsupportedMedia."""
    media_type = content_type.partition(";")[0].strip().lower()
    name = _READ.get(media_type)
    if name is None and media_type.endswith("+json"):
        return "json"
    if name is None:
        raise UnsupportedMedia(f"'{media_type[:80]}' is not read here; send one of {', '.join(MEDIA_TYPES.values())}.")
    return name


def format_of_reply(accept: str, requested: str | None = None) -> Format:
    """The format that `?format=` asks for, else the one that `Accept` likes best. Raises NotAcceptable.

    An empty `Accept` means JSON. Among equal weights the first named is taken.
    """
    if requested is not None:
        if requested not in MEDIA_TYPES:
            raise NotAcceptable(f"There is no format '{requested[:80]}'; there are {', '.join(MEDIA_TYPES)}.")
        return requested
    if not accept.strip() or accept == "*/*" or accept == "application/json":
        return "json"
    best: Format | None = None
    best_weight = 0.0
    for part in accept.split(","):
        media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        name = _WRITTEN.get(media_type) or _RANGES.get(media_type)
        weight = _weight(parameters)
        if name is not None and weight > best_weight:
            best, best_weight = name, weight
    if best is None:
        raise NotAcceptable(f"Nothing in Accept can be written; there are {', '.join(MEDIA_TYPES.values())}.")
    return best


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return min(float(parameter[2:]), 1.0)
            except ValueError:
                return 0.0
    return 1.0
