"""The task that runs a network."""

from typing import Literal

import msgspec

from app.messages.base import Message, NetworkRef

Mode = Literal["eval", "train"]


class RunForward(Message, frozen=True, omit_defaults=True):
    """Run a network. `body` is the request's body, unread. Reply: `Encoded`, or `Updated` where buffers are kept.

    A JSON body says `revision`, `mode`, `seed`, `capture` and `update_buffers` itself; what it does not say is taken
    from here.
    `revision` other than the head's is looked up by the worker.
    """

    network: NetworkRef
    body: bytes
    content_type: str
    accept: str
    revision: int | None = None
    mode: Mode = "eval"
    seed: int | None = None
    capture: list[str] = msgspec.field(default_factory=list)
    update_buffers: bool = False
