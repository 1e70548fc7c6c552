"""Messages on a stream of bytes: a length, then MessagePack."""

from typing import Generic, TypeVar

import msgspec

from app.messages.base import Message

PayloadT = TypeVar("PayloadT")

_LENGTH_BYTES = 8
_encoder = msgspec.msgpack.Encoder()


def frame(sequence: int, message: Message) -> bytes:
    """Packs a message for a stream: its length (8 bytes, little-endian), then `[sequence, message]`."""
    payload = _encoder.encode((sequence, message))
    return len(payload).to_bytes(_LENGTH_BYTES, "little") + payload


class FrameReader(Generic[PayloadT]):
    """Cuts a stream of bytes back into the messages that `frame` packed, checked to be of `kind`."""

    def __init__(self, kind: object) -> None:
        self._decoder = msgspec.msgpack.Decoder(tuple[int, kind])  # type: ignore[valid-type]  # a type made at run time
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> list[tuple[int, PayloadT]]:
        """Takes the next bytes and gives `(sequence, message)` for each message that is whole now.

        Raises: msgspec.DecodeError when the bytes are not such messages.
        """
        buffer = self._buffer
        buffer += data
        messages = []
        start = 0
        while len(buffer) - start >= _LENGTH_BYTES:
            body = start + _LENGTH_BYTES
            end = body + int.from_bytes(buffer[start:body], "little")
            if len(buffer) < end:
                break
            with memoryview(buffer) as view:
                messages.append(self._decoder.decode(view[body:end]))
            start = end
        del buffer[:start]
        return messages
