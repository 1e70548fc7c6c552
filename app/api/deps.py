"""What the routes take from a request besides its body: the lab, headers of preconditions, a page of a list."""

from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request
from pydantic.json_schema import SkipJsonSchema

from app.api.negotiation import FORMATS
from app.api.paging import (
    BOUNDED_PAGE_SIZE,
    DEFAULT_PAGE_SIZE,
    LARGEST_PAGE_SIZE,
    LONGEST_TOKEN,
    Page,
    read_token,
)
from app.api.preconditions import is_any, read_if_match
from app.api.retries import take_retry
from app.services.idempotency import Retry
from app.services.lab import Lab


async def get_lab(request: Request) -> Lab:
    lab: Lab = request.state.lab
    return lab


RETRY_WORDS = "Any text of your own. The same key and body give the first answer again."

LabDep = Annotated[Lab, Depends(get_lab)]


PageToken = Annotated[
    str | SkipJsonSchema[None], Query(max_length=LONGEST_TOKEN, description="`next_page_token` of the page before.")
]


async def get_page(
    page_size: Annotated[
        int, Query(ge=1, le=LARGEST_PAGE_SIZE, description="Most items on one page.")
    ] = DEFAULT_PAGE_SIZE,
    page_token: PageToken = None,
) -> Page:
    return Page(page_size, read_token(page_token))


async def get_bounded_page(
    page_size: Annotated[
        int, Query(ge=1, le=BOUNDED_PAGE_SIZE, description="Most items on one page; all, unless one asks for fewer.")
    ] = BOUNDED_PAGE_SIZE,
    page_token: PageToken = None,
) -> Page:
    return Page(page_size, read_token(page_token))


PageDep = Annotated[Page, Depends(get_page)]
BoundedPageDep = Annotated[Page, Depends(get_bounded_page)]  # of a list that ends by itself


IfMatchHeader = Annotated[
    str | SkipJsonSchema[None],
    Header(alias="If-Match", description='Only if the `ETag` is still this one, such as `"3"`; else 412.'),
]


async def get_if_match(if_match: IfMatchHeader = None) -> frozenset[str] | None:
    return read_if_match(if_match)


async def get_if_there(if_match: IfMatchHeader = None) -> bool:
    return is_any(if_match)


IfMatchDep = Annotated[frozenset[str] | None, Depends(get_if_match)]
IfThereDep = Annotated[bool, Depends(get_if_there)]  # `If-Match: *`, for what a PUT would otherwise make


async def get_retry(
    lab: LabDep,
    request: Request,
    idempotency_key: Annotated[
        str | SkipJsonSchema[None],
        Header(
            alias="Idempotency-Key",
            description=RETRY_WORDS,
        ),
    ] = None,
) -> Retry | None:
    """Raises: AnsweredBefore."""
    if idempotency_key is None:
        return None
    return await take_retry(lab, request.scope, idempotency_key, await request.body())


RetryDep = Annotated[Retry | None, Depends(get_retry)]

NetworkName = Annotated[
    str, Path(alias="name", description="The network's name.", openapi_examples={"mlp": {"value": "mlp"}})
]
FormatQuery = Annotated[
    str | SkipJsonSchema[None],
    Query(alias="format", description=f"The reply's format, before `Accept`: {', '.join(FORMATS)}."),
]
AcceptHeader = Annotated[str | None, Header(include_in_schema=False)]
