"""Requests that may have been sent before: `Idempotency-Key` read, and the first answer given again before anything
else is looked at. What was true for the first request (a name, a revision that If-Match names) may not be any more.
"""

from starlette.types import Scope

from app.api.preconditions import read_idempotency_key, retry_of
from app.services.idempotency import Answer, Retry, find_earlier
from app.services.lab import Lab, in_thread


class AnsweredBefore(Exception):
    """The request is answered as it was the first time."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


def target_of(scope: Scope) -> str:
    """Path and query: what a body cannot say may stand in the query."""
    query: bytes = scope["query_string"]
    path: str = scope["path"]
    return f"{path}?{query.decode('latin-1')}" if query else path


async def take_retry(lab: Lab, scope: Scope, key: str | None, content: bytes) -> Retry | None:
    """Makes what tells a request from another under the same key; `content` is its body, or stands for it.

    Raises: Malformed; AnsweredBefore; what `find_earlier` raises.
    """
    key = read_idempotency_key(key)
    if key is None:
        return None
    retry = await in_thread(lambda: retry_of(key, scope["method"], target_of(scope), content))
    earlier = await find_earlier(lab, retry)
    if earlier is not None:
        raise AnsweredBefore(earlier)
    return retry
