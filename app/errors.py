"""The errors a person can meet, as exceptions with no HTTP in them.

Every room raises these; `app.api.errors` alone gives them a status and renders them. A worker's error
crosses the process boundary as a `Failure` (see `to_failure`), so it reads the same on either side.

    LabError
    ├── Malformed            the bytes are not what they claim to be        malformed
    ├── Unauthorized         no key, or a key nobody made                   unauthorized
    ├── Forbidden            a key that may not do this                     forbidden
    ├── NotFound             no such thing                                  not-found
    ├── NotAcceptable        the reply cannot be written in that format     not-acceptable
    ├── UnsupportedMedia     the body's format is not one we read           unsupported-media-type
    ├── Conflict             true, but not now or not here                  name-taken, device-mismatch, ...
    ├── Stale                If-Match names another revision                stale-revision
    ├── TooLarge             more bytes than are taken                      too-large
    ├── Unprocessable        understood, but wrong                          shape-mismatch, ...
    ├── Busy                 too much at once; come back                    busy
    ├── Unavailable          a part that is needed is away                  unavailable, ...
    ├── DeadlineExceeded     it ran longer than it may                      deadline-exceeded
    ├── StorageFull          no room to keep it                             storage-full
    ├── OutOfMemory          no room on the device to compute it            out-of-memory
    └── Damaged              stored bytes do not match their digest         damaged-data
"""

from collections.abc import Iterable
from typing import NamedTuple


class Place(NamedTuple):
    """One thing that is wrong, and where: `pointer` is a JSON pointer (RFC 6901) into the request's body."""

    pointer: str
    message: str


class LabError(Exception):
    """An error with words for the person who caused or met it.

    `detail` says what was wrong and what would be right; `code` is stable for programs; `places` says where;
    `extra` holds further members of the problem document (JSON values).
    """

    code = "error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        places: Iterable[Place] = (),
        extra: dict[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.places = tuple(places)
        self.extra = extra or {}


class Malformed(LabError):
    code = "malformed"


class Unauthorized(LabError):
    code = "unauthorized"


class Forbidden(LabError):
    code = "forbidden"


class NotFound(LabError):
    code = "not-found"


class NotAcceptable(LabError):
    code = "not-acceptable"


class UnsupportedMedia(LabError):
    code = "unsupported-media-type"


class Conflict(LabError):
    code = "conflict"


class Stale(LabError):
    code = "stale-revision"


class TooLarge(LabError):
    code = "too-large"


class Unprocessable(LabError):
    code = "unprocessable"


class Busy(LabError):
    """Too much at once. `extra["retry_after_seconds"]` says when to come back."""

    code = "busy"


class Unavailable(LabError):
    """A needed part is away. `extra["retry_after_seconds"]` says when to come back."""

    code = "unavailable"


class DeadlineExceeded(LabError):
    code = "deadline-exceeded"


class StorageFull(LabError):
    code = "storage-full"


class OutOfMemory(LabError):
    code = "out-of-memory"


class Damaged(LabError):
    code = "damaged-data"


def in_place(pointer: str, message: str, *, code: str) -> Unprocessable:
    """Makes the usual error of a request: one place, one message, one code."""
    return Unprocessable(message, code=code, places=[Place(pointer, message)])


def pointer_to(*parts: str | int) -> str:
    """Joins reference tokens into a JSON pointer: `pointer_to("a/b", 0)` is `/a~1b/0`."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


BY_NAME: dict[str, type[LabError]] = {kind.__name__: kind for kind in LabError.__subclasses__()}
