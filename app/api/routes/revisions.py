"""The history of a network: revisions, their differences, going back to one, and checkpoints."""

from collections.abc import Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body, Path, Request, Response

from app.api.deps import IfMatchDep, IfThereDep, LabDep, NetworkName, PageDep, RetryDep
from app.api.documentation import ok, problems
from app.api.json_route import JsonRoute
from app.api.replies import (
    answer_created,
    answer_with,
    reply_of_answer,
    reply_of_json,
    reply_of_model,
    reply_of_page,
)
from app.api.schemas.revisions import (
    Checkpoint,
    CheckpointPage,
    NewCheckpoint,
    RestoredRevision,
    Revision,
    RevisionDifference,
    RevisionPage,
)
from app.db.checkpoints import CheckpointRow
from app.db.revisions import RevisionRow
from app.services.idempotency import Answer
from app.services.revisions import (
    TaggedRevision,
    compare_revisions,
    delete_checkpoint,
    find_checkpoint,
    find_revision,
    list_checkpoints,
    list_revisions,
    put_checkpoint,
    restore_revision,
)

router = APIRouter(prefix="/v1/networks/{name}", tags=["Revisions"], route_class=JsonRoute)

EXAMPLE: dict[str, Any] = {
    "revision": 2,
    "operation": "edit",
    "author": None,
    "detail": {"parameter": "out.bias", "edits": [{"index": "0", "value": 42}], "edit_count": 1},
    "checkpoints": ["best"],
    "created_at": "2026-01-31T12:00:00.123456Z",
}
DIFFERENCE: dict[str, Any] = {
    "from": 1,
    "to": 2,
    "changed": [
        {
            "name": "out.bias",
            "kind": "parameter",
            "dtype": "float32",
            "shape": [10],
            "tied_to": [],
            "elements_changed": 1,
            "max_difference": 41.97,
            "distance": 41.97,
        }
    ],
    "unchanged": 3,
}
CHECKPOINT = {"tag": "best", "revision": 2, "author": None, "created_at": "2026-01-31T12:00:00.123456Z"}
LARGEST = 2**53

Number = Annotated[
    int, Path(ge=0, le=LARGEST, description="The revision's number.", openapi_examples={"first": {"value": "1"}})
]
From = Annotated[
    int, Path(ge=0, le=LARGEST, description="The revision before.", openapi_examples={"first": {"value": "1"}})
]
To = Annotated[
    int, Path(ge=0, le=LARGEST, description="The revision after.", openapi_examples={"second": {"value": "2"}})
]
Tag = Annotated[
    str,
    Path(
        description="1 to 128 letters, digits, `.`, `_` or `-`, the first a letter, digit or `_`.",
        openapi_examples={"best": {"value": "best"}},
    ),
]


def revision_of(row: RevisionRow, tags: list[str]) -> Revision:
    return Revision(
        revision=row.number,
        operation=row.operation,
        author=row.author,
        detail=dict(row.detail),
        checkpoints=tags,
        created_at=row.created_at,
    )


def checkpoint_of(row: CheckpointRow) -> Checkpoint:
    return Checkpoint(tag=row.tag, revision=row.number, author=row.author, created_at=row.created_at)


@router.get(
    "/revisions",
    operation_id="list_revisions",
    summary="List the revisions",
    response_model=RevisionPage,
    responses={
        200: ok("A page of revisions.", {"items": [EXAMPLE], "next_page_token": None}, headers=("ETag", "Link")),
        **problems("malformed", "not-found", "invalid-request"),
    },
)
async def list_page(lab: LabDep, name: NetworkName, page: PageDep, request: Request) -> Response:
    """Every change of the network's tensors that is kept, the newest first: by whom, when and how."""
    found, head = await list_revisions(lab, name, before=page.number, limit=page.limit)

    def make(shown: Sequence[TaggedRevision], token: str | None) -> Response:
        items = [revision_of(item.row, item.tags) for item in shown]
        return reply_of_model(RevisionPage(items=items, next_page_token=token), tag=head)

    return reply_of_page(request, page, found, lambda item: item.row.number, make)


@router.get(
    "/revisions/{revision}",
    operation_id="get_revision",
    summary="Look up one revision",
    response_model=Revision,
    responses={200: ok("The revision.", EXAMPLE, headers=("ETag",)), **problems("not-found", "invalid-request")},
)
async def get(lab: LabDep, name: NetworkName, revision: Number) -> Response:
    """One revision: by whom, when and how. Forwards and parameters are read at it with `revision`."""
    found = await find_revision(lab, name, revision)
    return reply_of_model(revision_of(found.row, found.tags), tag=revision)


@router.get(
    "/revisions/{a}/diff/{b}",
    operation_id="compare_revisions",
    summary="Compare two revisions",
    response_model=RevisionDifference,
    responses={
        200: ok("What differs.", DIFFERENCE),
        **problems("not-found", "invalid-request", "unavailable", "deadline-exceeded", "damaged-data"),
    },
)
async def compare(lab: LabDep, name: NetworkName, a: From, b: To) -> Response:
    """Which parameters and buffers differ from revision `a` to revision `b`, in how many elements, and how far."""
    encoded = await compare_revisions(lab, name, a, b)
    return reply_of_json({"from": a, "to": b, **orjson.loads(encoded.body)})


@router.post(
    "/revisions/{revision}/restore",
    operation_id="restore_revision",
    summary="Go back to a revision",
    response_model=RestoredRevision,
    responses={
        200: ok(
            "The new revision.", {**EXAMPLE, "revision": 3, "operation": "restore", "restored": 2}, headers=("ETag",)
        ),
        **problems("malformed", "not-found", "in-flight", "stale-revision", "invalid-request", "storage-full"),
    },
)
async def restore(lab: LabDep, name: NetworkName, revision: Number, if_match: IfMatchDep, retry: RetryDep) -> Response:
    """Makes a new revision that holds what `revision` held, `requires_grad` too. Nothing is copied, nothing is lost."""

    def render(row: RevisionRow) -> Answer:
        made = revision_of(row, []).model_dump()
        return answer_with(RestoredRevision(**made, restored=revision), row.number)

    return reply_of_answer(await restore_revision(lab, name, revision, if_match=if_match, retry=retry, render=render))


@router.put(
    "/checkpoints/{tag}",
    operation_id="put_checkpoint",
    summary="Put a tag on a revision",
    response_model=Checkpoint,
    responses={
        200: ok("The tag, moved or where it was.", CHECKPOINT),
        201: {**ok("The tag, new.", CHECKPOINT, headers=("Location",)), "model": Checkpoint},
        **problems("malformed", "not-found", "stale-revision", "invalid-request", "bad-name"),
    },
)
async def put(
    lab: LabDep,
    name: NetworkName,
    tag: Tag,
    if_match: IfMatchDep,
    if_there: IfThereDep,
    body: Annotated[
        NewCheckpoint | None, Body(openapi_examples={"newest": {"value": {}}, "first": {"value": {"revision": 1}}})
    ] = None,
) -> Response:
    """Puts a tag on a revision, the newest unless one is named, and takes it off the one it was on. A revision with a
    tag is kept, whatever the network's retention says."""
    revision = None if body is None else body.revision
    row, created = await put_checkpoint(lab, name, tag, revision=revision, if_match=if_match, if_there=if_there)
    if created:
        location = f"/v1/networks/{name}/checkpoints/{tag}"
        return reply_of_answer(answer_created(checkpoint_of(row), location))
    return reply_of_model(checkpoint_of(row))


@router.get(
    "/checkpoints",
    operation_id="list_checkpoints",
    summary="List the checkpoints",
    response_model=CheckpointPage,
    responses={
        200: ok("A page of checkpoints.", {"items": [CHECKPOINT], "next_page_token": None}, headers=("Link",)),
        **problems("malformed", "not-found", "invalid-request"),
    },
)
async def list_tags(lab: LabDep, name: NetworkName, page: PageDep, request: Request) -> Response:
    """Tags of a network in their order, with the revisions they keep."""
    rows = await list_checkpoints(lab, name, after=page.after, limit=page.limit)

    def make(shown: Sequence[CheckpointRow], token: str | None) -> Response:
        return reply_of_model(CheckpointPage(items=[checkpoint_of(row) for row in shown], next_page_token=token))

    return reply_of_page(request, page, rows, lambda row: row.tag, make)


@router.get(
    "/checkpoints/{tag}",
    operation_id="get_checkpoint",
    summary="Look up one checkpoint",
    response_model=Checkpoint,
    responses={200: ok("The checkpoint.", CHECKPOINT), **problems("not-found")},
)
async def get_tag(lab: LabDep, name: NetworkName, tag: Tag) -> Response:
    """Which revision a tag keeps."""
    return reply_of_model(checkpoint_of(await find_checkpoint(lab, name, tag)))


@router.delete(
    "/checkpoints/{tag}",
    operation_id="delete_checkpoint",
    summary="Take a tag away",
    status_code=204,
    responses={204: {"description": "It is gone."}, **problems("malformed", "not-found", "stale-revision")},
)
async def delete(lab: LabDep, name: NetworkName, tag: Tag, if_match: IfMatchDep) -> Response:
    """Takes a tag away. If the network's retention would not keep its revision, that goes too."""
    await delete_checkpoint(lab, name, tag, if_match=if_match)
    return Response(status_code=204)
