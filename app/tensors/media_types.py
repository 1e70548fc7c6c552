"""Which formats tensors travel in, and how a body names its own. Does not load PyTorch: the HTTP process asks too.

The codecs beside this module read and write them; `app.tensors.codecs.registry` brings name and codec together.
Which format a reply is wanted in (`Accept`, `?format=`) is for `app.api.negotiation` to find out.
"""

from typing import Literal

from app.errors import UnsupportedMedia

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


def format_of_body(content_type: str) -> Format:
    """The format that a `Content-Type` names. Raises UnsupportedMedia."""
    media_type = content_type.partition(";")[0].strip().lower()
    name = _READ.get(media_type)
    if name is None and media_type.endswith("+json"):
        return "json"
    if name is None:
        raise UnsupportedMedia(f"'{media_type[:80]}' is not read here; send one of {', '.join(MEDIA_TYPES.values())}.")
    return name
