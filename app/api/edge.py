"""The outermost ASGI layer: what every request meets, whether FastAPI or a raw route answers it.

Gives each request an id, checks the host name, lets it in with the `Lab` of its key (`app.api.gate`), chooses the fast
road for a forward, and turns every exception that reaches it into a problem document; breaks off work whose client
goes away. It is a few dictionary
look-ups; nothing here parses a body.
"""

import asyncio
import itertools
import logging
import os
import re
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.bodies import ClientGone
from app.api.clients import Client, Clients
from app.api.errors import Unexpected, is_inference, render_problem
from app.api.gate import Gate, limited
from app.errors import Forbidden, LabError, Unavailable, UnsupportedMedia
from app.observability.logs import log_request, request_id_of
from app.observability.meters import Meters
from app.services.lab import Lab

logger = logging.getLogger(__name__)

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:\-]{1,128}")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
HOSTS_REMEMBERED = 100
CLIENT_GONE = 499  # in the log: nobody was there to be told


class RawRoute(NamedTuple):
    """POSTs that go past the framework: the addresses that match, their template, and who answers them."""

    pattern: re.Pattern[str]
    path: str
    app: ASGIApp


class Edge:
    """The application as the server sees it. Answers requests between `begin` and `end`."""

    def __init__(self, app: ASGIApp, raw: Sequence[RawRoute], allowed_hosts: str, *, access_log: bool = False) -> None:
        self._lab: Lab | None = None
        self._gate: Gate | None = None
        self._meters: Meters | None = None
        self._app = app
        self._raw = tuple(raw)
        self._allowed_hosts = parse_hosts(allowed_hosts)
        self._known_hosts: set[bytes] = set()  # Host headers that were judged good, as they came
        self._clients = Clients()
        self._access_log = access_log
        self._new_id = _id_maker()

    def begin(self, lab: Lab) -> None:
        """Answers requests from now on, with the parts of `lab`."""
        self._lab, self._gate, self._meters = lab, Gate(lab), lab.meters

    def end(self) -> None:
        """Turns requests away from now on."""
        if self._gate is not None:
            self._gate.close()
        self._gate = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    def begin_stopping(self) -> None:
        """To be called in the event loop when the service is told to end: nothing new is begun from now on."""
        if self._lab is not None:
            self._lab.begin_stopping()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        host, request_id, cross_site, authorization, packed = self._glance(scope)
        client = self._clients.welcome(receive, scope["headers"])
        exchange = _Exchange(send, request_id, client, head=scope["method"] == "HEAD")
        text_id = request_id.decode()
        started = time.perf_counter()
        token = request_id_of.set(text_id)
        scope.setdefault("state", {})["request_id"] = text_id
        try:
            if host not in self._known_hosts:
                self._check_host(host)
            if cross_site and scope["method"] not in _SAFE_METHODS:
                raise Forbidden("A web page of another site may not change things here.", code="cross-site-request")
            if packed and not is_inference(scope["path"]):
                raise UnsupportedMedia("Bodies are not unpacked here; send this one without a Content-Encoding.")
            await self._serve(scope, client.receive, exchange, authorization)
        except ClientGone:
            exchange.status = CLIENT_GONE
        except asyncio.CancelledError:
            if not client.gone:
                raise
            exchange.status = CLIENT_GONE  # it left, so its work was broken off
        except LabError as error:
            await self._problem(error, scope, exchange)
        except Exception:  # the last line of defence: told to the log, not to the client
            logger.exception("unexpected error", extra={"method": scope["method"], "path": scope["path"]})
            await self._problem(Unexpected(), scope, exchange)
        finally:
            client.answered()
            self._tell(scope, exchange.status, time.perf_counter() - started)
            request_id_of.reset(token)

    async def _serve(self, scope: Scope, receive: Receive, exchange: "_Exchange", authorization: bytes | None) -> None:
        """Lets the request in and hands it to whoever answers it."""
        if self._gate is None:
            raise Unavailable("The service is starting or stopping.", extra={"retry_after_seconds": 1})
        lab = await self._gate.admit(scope, authorization)
        if lab.caller.body_bytes is not None:
            receive = limited(scope, receive, lab.caller.body_bytes)
        scope["state"]["lab"] = lab
        if scope["method"] == "POST":
            for route in self._raw:
                if route.pattern.fullmatch(scope["path"]):
                    scope["route"] = route
                    await route.app(scope, receive, exchange.send)
                    return
        await self._pass_on(scope, receive, exchange)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        """Counts an answered request, and logs it where that is wanted."""
        route = route_template(scope)
        if self._meters is not None:
            self._meters.answered(scope["method"], route, status, seconds)
        if self._access_log:
            lab: Lab | None = scope["state"].get("lab")
            log_request(scope["method"], route, status, seconds, lab.caller.name if lab else None)

    async def _pass_on(self, scope: Scope, receive: Receive, exchange: "_Exchange") -> None:
        if exchange.head:
            scope["state"]["head"] = True  # for those who would compute a long body in vain
            asked = {**scope, "method": "GET"}
            await self._app(asked, receive, exchange.send)
            scope["route"] = asked.get("route")
        else:
            await self._app(scope, receive, exchange.send)

    async def _problem(self, error: LabError, scope: Scope, exchange: "_Exchange") -> None:
        if exchange.started:
            return  # half a reply is out; the server closes the connection, which is all that can be said now
        reply = render_problem(error, path=scope["path"], request_id=exchange.request_id.decode())
        await exchange.send({"type": "http.response.start", "status": reply.status, "headers": list(reply.headers)})
        await exchange.send({"type": "http.response.body", "body": reply.body})

    def _check_host(self, host: bytes) -> None:
        if self._allowed_hosts is not None:
            check_host(host, self._allowed_hosts)
        if len(self._known_hosts) < HOSTS_REMEMBERED:
            self._known_hosts.add(host)

    def _glance(self, scope: Scope) -> tuple[bytes, bytes, bool, bytes | None, bool]:
        """One walk over the headers: host, the request's id (the client's or a new one), Sec-Fetch-Site, the key, and
        whether the body is packed."""
        host, request_id, cross_site, authorization, packed = b"", b"", False, None, False
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                request_id = value
            elif name == b"sec-fetch-site":
                cross_site = value == b"cross-site"
            elif name == b"authorization":
                authorization = value
            elif name == b"content-encoding":
                packed = value.strip().lower() not in (b"", b"identity")
        return host, request_id or self._new_id(), cross_site, authorization, packed


class _Exchange:
    """One reply on its way out: puts the common headers on, drops the body of a HEAD, remembers how far it got."""

    __slots__ = ("_client", "_send", "head", "request_id", "started", "status")

    def __init__(self, send: Send, request_id: bytes, client: Client, *, head: bool) -> None:
        self._send = send
        self._client = client
        self.request_id = request_id
        self.head = head
        self.started = False
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", self.request_id),
                (b"x-content-type-options", b"nosniff"),
            ]
        elif message["type"] == "http.response.body":
            if not message.get("more_body", False):
                self._client.answered()
            if self.head:
                message = {**message, "body": b""}
        await self._send(message)


def route_template(scope: Scope) -> str:
    """The route a request took, without the names in it: safe as a label. Empty for an address that is no route."""
    return str(getattr(scope.get("route"), "path", ""))


def parse_hosts(allowed_hosts: str) -> frozenset[str] | None:
    """Reads the setting: comma-separated host names, `*` for any (None)."""
    names = {name.strip().lower().strip("[]") for name in allowed_hosts.split(",") if name.strip()}
    return None if not names or "*" in names else frozenset(names)


def check_host(host: bytes, allowed: frozenset[str]) -> None:
    """Refuses a request for a host that the operator does not allow; the port does not matter."""
    name = host.decode("latin-1").strip().lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    if name not in allowed:
        raise Forbidden(
            f"The name in your Host header is not answered here. The operator allows: {', '.join(sorted(allowed))} "
            "(MODEL_LAB_ALLOWED_HOSTS).",
            code="unknown-host",
        )


def _id_maker() -> Callable[[], bytes]:
    """Ids that are unique among processes (a random beginning) and cheap within one (a count)."""
    beginning = os.urandom(6).hex()
    count = itertools.count(1)

    def new_id() -> bytes:
        return f"{beginning}-{next(count):x}".encode()

    return new_id
