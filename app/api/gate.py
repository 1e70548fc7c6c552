"""Who may send what: the key in `Authorization`, the role that an operation takes, the size and kind of a body.

Called by the edge for every request, before anything else is looked at. What may be looked at without a key says
nothing of anybody's: the pages and the description of the interface, and whether the service lives.
"""

import ipaddress
import re

from starlette.types import Message, Receive, Scope

from app.api.bodies import check_announced, header, too_large
from app.api.negotiation import check_no_pt
from app.db.keys import Role
from app.errors import Unauthorized
from app.services.access import Access
from app.services.lab import Lab, require

OPEN = frozenset({"/", "/docs", "/lab", "/openapi.json", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"})
OPEN_BELOW = ("/static/", "/problems")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOKS_ONLY = re.compile(  # operations that change nothing although they are POSTs
    r"/v1/networks/[^/]+/forward|/v1/architectures/check|/v1/tensors/evaluate"
    r"|/v2/models/[^/]+(/versions/[^/]+)?/infer|/v2/repository/index"
)
_BEARER = b"bearer "


class Gate:
    """Lets requests in. `lab` is the whole lab, for addresses that need no key."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._access = Access(lab)
        self._anybody_may_reach_it = lab.settings.allow_without_key
        self._own_addresses: dict[str, bool] = {}  # address that a request came to → whether it is loopback

    async def admit(self, scope: Scope, authorization: bytes | None) -> Lab:
        """The lab of whoever sends this request.

        Raises: Unauthorized, Forbidden; Busy for a key that is used too often; Unavailable; UnsupportedMedia for a
        `.pt` file where the operator wants none.
        """
        method, path = scope["method"], scope["path"]
        if is_open(path):
            return self._lab
        lab = await self._access.admit(read_authorization(authorization))
        if lab is self._lab:
            self._check_address(scope)
        elif lab.caller.role != "admin":
            require(lab, needed_role(method, path))
        if not lab.settings.pt_files and method not in _SAFE_METHODS:
            check_no_pt(header(scope["headers"], b"content-type"))
        return lab

    def close(self) -> None:
        self._access.close()

    def _check_address(self, scope: Scope) -> None:
        """Without any key made, only requests to a loopback address are answered, whoever started the server how."""
        if self._anybody_may_reach_it:
            return
        address = (scope.get("server") or ("", None))[0]
        known = self._own_addresses.get(address)
        if known is None:
            known = self._own_addresses[address] = is_local(scope)
        if not known:
            raise Unauthorized(
                "No key was made yet, so only this machine itself is answered. `model-lab keys create` makes one."
            )


def is_open(path: str) -> bool:
    """Tells whether an address needs no key."""
    return path in OPEN or path.startswith(OPEN_BELOW)


def needed_role(method: str, path: str) -> Role:
    """The least role that a request takes; what may change something takes `write`. Services may ask for more."""
    looks = method in _SAFE_METHODS or (method == "POST" and _LOOKS_ONLY.fullmatch(path))
    return "read" if looks else "write"


def read_authorization(header: bytes | None) -> str | None:
    """The key in an Authorization header. Raises: Unauthorized for another scheme."""
    if header is None:
        return None
    if header[:7].lower() != _BEARER:
        raise Unauthorized("Keys are sent as `Authorization: Bearer <key>`; no other scheme is read here.")
    return header[7:].strip().decode("latin-1")


def is_local(scope: Scope) -> bool:
    """Tells whether a request came to a loopback address, a Unix socket or no network at all."""
    host, port = scope.get("server") or ("", None)
    if port is None:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def limited(scope: Scope, receive: Receive, limit_bytes: int) -> Receive:
    """`receive` for a caller who may send bodies of at most so many bytes. Raises: TooLarge, at once if announced."""
    check_announced(scope["headers"], limit_bytes)
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit_bytes:
            raise too_large(limit_bytes)
        return message

    return counted
