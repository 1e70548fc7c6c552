"""Pages of a list: the size asked for, the opaque token of the next page, and the Link header.

A token names the last item of the page before, so a page costs the same however deep it is, and items made or
deleted meanwhile neither repeat nor hide others. Lists that cannot change (a network's parameters, the catalogues, the
devices) count instead: their token is the number of items before the page.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlencode

from app.errors import Malformed

T = TypeVar("T")

DEFAULT_PAGE_SIZE = 50
LARGEST_PAGE_SIZE = 500
BOUNDED_PAGE_SIZE = 50_000  # of lists that end by themselves: more than a network of the most layers has parameters
LONGEST_TOKEN = 512
_VERSION = b"1:"


@dataclass(frozen=True)
class Page:
    """Which page of a list is asked for: up to `size` items after the one called `after`."""

    size: int
    after: str | None

    @property
    def limit(self) -> int:
        """How many items to look for: one more than are shown tells that there is a next page."""
        return self.size + 1

    @property
    def number(self) -> int | None:
        """`after` in a list that is ordered by numbers. Raises: Malformed."""
        return number_of(self.after)

    def cut(self, items: Sequence[T]) -> Sequence[T]:
        """Of a list that does not change, this page and one item more. Raises: Malformed."""
        skip = self.number or 0
        return items[skip : skip + self.limit]


def token_of(last: str) -> str:
    """Makes the token of the page that begins after the item `last`."""
    return base64.urlsafe_b64encode(_VERSION + last.encode()).rstrip(b"=").decode()


def read_token(token: str | None) -> str | None:
    """Reads a token back. Raises: Malformed for anything that `token_of` did not make."""
    if token is None:
        return None
    try:
        if len(token) > LONGEST_TOKEN:
            raise ValueError
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
        if not raw.startswith(_VERSION) or b"\0" in raw:
            raise ValueError
        last = raw[len(_VERSION) :].decode()
    except (ValueError, binascii.Error) as error:
        raise Malformed(
            "The page token is not one that this list gave. Take `next_page_token` of the page before, as it is."
        ) from error
    return last


def number_of(last: str | None) -> int | None:
    """The number in a token of a list that is ordered by numbers. Raises: Malformed."""
    if last is None:
        return None
    if not (last.isascii() and last.isdecimal() and len(last) <= 16):
        raise Malformed("The page token is not one that this list gave. Take `next_page_token` of the page before.")
    return int(last)


def link_to_next(path: str, query: Sequence[tuple[str, str]], token: str) -> str:
    """The Link header of a page that is not the last: the same query with the next token."""
    kept = [(name, value) for name, value in query if name != "page_token"]
    return f'<{path}?{urlencode([*kept, ("page_token", token)])}>; rel="next"'
