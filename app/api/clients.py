"""Noticing that a client went away while its request is worked on, so that the work is broken off.

Most requests are answered before anybody could leave: they are only put into a set and taken out again. One look at
that set now and then finds those that take longer and begins to listen to their clients. The body is left to whoever
reads it. Used by `app.api.edge`.
"""

import asyncio
from collections.abc import Iterable

from starlette.types import Message, Receive

LOOK_SECONDS = 0.1


class Client:
    """Who sent one request. `receive` is for those who read its body; the task that made this is cancelled when the
    client goes away before `answered` is called; `gone` tells that."""

    __slots__ = ("_body_read", "_clients", "_headers", "_listener", "_receive", "_seen", "_task", "gone")

    def __init__(self, clients: "Clients", receive: Receive, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.gone = False
        self._clients = clients
        self._receive = receive
        self._headers = headers
        self._task = asyncio.current_task()
        self._body_read = False
        self._seen = False
        self._listener: asyncio.Task[None] | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        if not message.get("more_body", False):
            self._body_read = True
        return message

    def answered(self) -> None:
        """The last of the reply is on its way: from now on the client may go."""
        self._clients.present.discard(self)
        if self._listener is not None:
            self._listener.cancel()

    def look(self) -> None:
        """Begins to listen at the second look, if the body is not to be read any more."""
        if self._seen and self._listener is None and (self._body_read or not self._has_body()):
            self._listener = asyncio.ensure_future(self._listen())
        self._seen = True

    def _has_body(self) -> bool:
        return any(
            name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0"))
            for name, value in self._headers
        )

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self in self._clients.present and self._task is not None:
            self.gone = True
            self._task.cancel()


class Clients:
    """Those whose requests are being worked on."""

    def __init__(self) -> None:
        self.present: set[Client] = set()
        self._looking = False

    def welcome(self, receive: Receive, headers: Iterable[tuple[bytes, bytes]]) -> Client:
        """Called in the task that answers the request."""
        client = Client(self, receive, headers)
        self.present.add(client)
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
        return client

    def _look(self) -> None:
        self._looking = bool(self.present)
        if self._looking:
            for client in self.present:
                client.look()
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
