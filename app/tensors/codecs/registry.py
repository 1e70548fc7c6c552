"""All codecs, by the names that `app.tensors.media_types` gives formats."""

from app.tensors.codecs import json_body, npy, npz, pt, safetensors
from app.tensors.codecs.base import Codec
from app.tensors.media_types import MEDIA_TYPES, Format, format_of_body

CODECS: dict[Format, Codec] = {
    "json": Codec("json", MEDIA_TYPES["json"], json_body.decode, json_body.encode),
    "npy": Codec("npy", MEDIA_TYPES["npy"], npy.decode, npy.encode),
    "safetensors": Codec("safetensors", MEDIA_TYPES["safetensors"], safetensors.decode, safetensors.encode),
    "npz": Codec("npz", MEDIA_TYPES["npz"], npz.decode, npz.encode),
    "pt": Codec("pt", MEDIA_TYPES["pt"], pt.decode, pt.encode),
}
_BY_MEDIA_TYPE = {codec.media_type: codec for codec in CODECS.values()}


def codec_of_body(content_type: str) -> Codec:
    """The codec for a body with this `Content-Type`. Raises UnsupportedMedia."""
    return CODECS[format_of_body(content_type)]


def codec_of_reply(media_type: str) -> Codec:
    """The codec that writes `media_type`, one of `MEDIA_TYPES`. Raises KeyError for others."""
    return _BY_MEDIA_TYPE[media_type]
