"""All codecs, by the names that `app.tensors.media_types` gives formats."""

from app.tensors.codecs import json_body, npy, npz, pt, safetensors
from app.tensors.codecs.base import Codec
from app.tensors.media_types import MEDIA_TYPES, Format, format_of_body, format_of_reply

CODECS: dict[Format, Codec] = {
    "json": Codec("json", MEDIA_TYPES["json"], json_body.decode, json_body.encode),
    "npy": Codec("npy", MEDIA_TYPES["npy"], npy.decode, npy.encode),
    "safetensors": Codec("safetensors", MEDIA_TYPES["safetensors"], safetensors.decode, safetensors.encode),
    "npz": Codec("npz", MEDIA_TYPES["npz"], npz.decode, npz.encode),
    "pt": Codec("pt", MEDIA_TYPES["pt"], pt.decode, pt.encode),
}


def codec_of_body(content_type: str) -> Codec:
    """The codec for a body with this `Content-Type`. Raises UnsupportedMedia."""
    return CODECS[format_of_body(content_type)]


def codec_of_reply(accept: str, requested: str | None = None) -> Codec:
    """The codec for the reply, by `?format=` or `Accept`. Raises NotAcceptable."""
    return CODECS[format_of_reply(accept, requested)]
