"""Replies that are made from bytes: what a worker encoded, and answers that are kept for a retry."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import orjson
from fastapi import Request, Response
from pydantic import BaseModel

from app.api.paging import Page, link_to_next, token_of
from app.api.preconditions import etag_of
from app.messages import Encoded
from app.services.idempotency import Answer

RowT = TypeVar("RowT")


def answer_created(model: BaseModel, location: str, tag: int | str | None = None) -> Answer:
    """The 201 of something that was made: where it is, its tag if it has one, and what it is."""
    headers = [["content-type", "application/json"], ["location", location]]
    if tag is not None:
        headers.append(["etag", etag_of(tag)])
    return Answer(201, headers, model.model_dump_json().encode())


def answer_with(model: BaseModel, tag: int | str) -> Answer:
    """The 200 of something that was changed: its tag, and what there is to say."""
    headers = [["content-type", "application/json"], ["etag", etag_of(tag)]]
    return Answer(200, headers, model.model_dump_json(by_alias=True).encode())


def reply_of_answer(answer: Answer) -> Response:
    """An answer as a response, the same each time it is given."""
    return Response(answer.body, answer.status, headers=dict(answer.headers))


def reply_of_model(model: BaseModel, *, tag: int | str | None = None, status: int = 200) -> Response:
    """A model as JSON, with its tag."""
    headers = {} if tag is None else {"etag": etag_of(tag)}
    return Response(model.model_dump_json(), status, headers=headers, media_type="application/json")


def reply_of_encoded(encoded: Encoded, revision: int) -> Response:
    """What a worker wrote, byte for byte, with the revision it was read from."""
    headers = {"content-type": encoded.media_type, "etag": etag_of(revision), "vary": "accept"}
    return Response(encoded.body, headers=headers)


def reply_of_json(value: object) -> Response:
    """A value that is JSON already, written as it is."""
    return Response(orjson.dumps(value), media_type="application/json")


def reply_of_page(
    request: Request,
    page: Page,
    rows: Sequence[RowT],
    key: Callable[[RowT], object],
    make: Callable[[Sequence[RowT], str | None], Response],
) -> Response:
    """One page of a list that is ordered by `key`, and the link to the next one.

    `rows` are those that `page.limit` let through; `make` is given those to show and the next page's token.
    """
    shown = rows[: page.size]
    token = token_of(str(key(shown[-1]))) if len(rows) > page.size else None
    reply = make(shown, token)
    if token is not None:
        reply.headers["link"] = link_to_next(request.url.path, request.query_params.multi_items(), token)
    return reply


def reply_of_counted_page(
    request: Request, page: Page, rows: Sequence[RowT], make: Callable[[Sequence[RowT], str | None], Response]
) -> Response:
    """One page of a list that does not change: `rows` as above, those that stand after the first `page.number`."""
    return reply_of_page(request, page, rows, lambda _: (page.number or 0) + page.size, make)
