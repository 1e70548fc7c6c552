"""Headers that make a write safe to send twice or late: `If-Match`, `Idempotency-Key`; and the `ETag` of a revision."""

import re
from hashlib import sha256

from app.errors import Malformed
from app.services.idempotency import Retry

_ETAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_BARE = re.compile(r"[0-9A-Za-z]+")  # a revision or digest as replies hold it, which is what shells make of quotes
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def etag_of(tag: int | str) -> str:
    """The strong entity tag of a revision or digest: `"3"`."""
    return f'"{tag}"'


def read_if_match(text: str | None) -> frozenset[str] | None:
    """Reads If-Match as the set of tags that will do; None when any will (no header, or `*`).

    A tag without quotes is taken for one with them. Weak tags never match (RFC 9110, 13.1.1), so the set may be empty.
    `*` asks one thing besides: see `is_any`.

    Raises: Malformed for what is no list of entity tags.
    """
    if text is None or is_any(text):
        return None
    tags = set()
    for element in map(str.strip, text.split(",")):
        found = _ETAG.fullmatch(f'"{element}"' if _BARE.fullmatch(element) else element)
        if found is None:
            raise Malformed('If-Match holds entity tags in double quotes, such as `If-Match: "3"`, or `*`.')
        weak, tag = found.groups()
        if not weak:
            tags.add(tag)
    return frozenset(tags)


def is_any(text: str | None) -> bool:
    """Tells whether If-Match is `*`: whatever the tag, but what is written must be there already."""
    return text is not None and text.strip() == "*"


def read_idempotency_key(text: str | None) -> str | None:
    """Checks an Idempotency-Key: 1 to 255 visible ASCII characters. Raises: Malformed."""
    if text is None:
        return None
    key = text.strip()
    if len(key) > 2 and key.startswith('"') and key.endswith('"'):  # the header draft's form: a quoted string
        key = key[1:-1]
    if not _KEY.fullmatch(key):
        raise Malformed("An Idempotency-Key is 1 to 255 visible ASCII characters without spaces, such as a UUID.")
    return key


def retry_of(key: str, method: str, target: str, body: bytes) -> Retry:
    """A request that may have been sent before, with what tells it from another under the same key."""
    digest = sha256(f"{method} {target}\n".encode())
    digest.update(body)
    return Retry(key, digest.hexdigest())
