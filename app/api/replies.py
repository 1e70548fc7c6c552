"""Replies that are made from bytes: what a worker encoded, and answers that are kept for a retry."""

import orjson
from fastapi import Response
from pydantic import BaseModel

from app.api.preconditions import etag_of
from app.messages import Encoded
from app.services.idempotency import Answer


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
