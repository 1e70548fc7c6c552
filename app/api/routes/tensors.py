"""Tensors that live on a device: making, finding, copying, combining and deleting them."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Path, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema

from app.api.deps import AcceptHeader, FormatQuery, IfMatchDep, LabDep, PageDep, RetryDep
from app.api.documentation import binary_contents, ok, problems
from app.api.json_route import BytesRoute, JsonRoute, content_type_of
from app.api.negotiation import JSON, NPY, NPZ, PT, SAFETENSORS, choose
from app.api.preconditions import etag_of
from app.api.replies import answer_created, answer_with, reply_of_answer, reply_of_page
from app.api.routes.parameters import IndexQuery
from app.api.schemas.placed_tensors import (
    Copy,
    Evaluation,
    PlacedTensor,
    PlacedTensorPage,
    PlacedValue,
    TensorLinks,
    Value,
)
from app.db.placed_tensors import PlacedTensorRow
from app.errors import in_place
from app.services.idempotency import Answer
from app.services.tensors import (
    CopyRequest,
    TensorRequest,
    copy_tensor,
    create_tensor,
    delete_tensor,
    evaluate,
    list_tensors,
    read_tensor,
    tag_of,
)

making = APIRouter(tags=["Tensors"], route_class=BytesRoute)
keeping = APIRouter(prefix="/v1/tensors", tags=["Tensors"], route_class=JsonRoute)

OFFERED = (JSON, NPY, SAFETENSORS, NPZ, PT)
EXAMPLES = {
    "ones": {"summary": "An expression", "value": {"name": "X", "expression": "ones(2, 3)"}},
    "values": {
        "summary": "Values, on a device",
        "value": {"name": "Y", "device": "cpu:0", "value": [[0.5, 1.5, 2.5], [3.5, 4.5, 5.5]]},
    },
    "random": {"summary": "Random numbers of a seed", "value": {"name": "R", "expression": "rand(2, 3)", "seed": 7}},
}
EXAMPLE = {
    "name": "X",
    "device": "cpu:0",
    "dtype": "float32",
    "shape": [2, 3],
    "byte_count": 24,
    "created_at": "2026-01-31T12:00:00.123456Z",
    "links": {"self": "/v1/tensors/X", "copy_to": "/v1/tensors/X/copy"},
}
NUMBERS = {"dtype": "float32", "shape": [2, 3], "data": [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]}
MAKING_PROBLEMS = (
    "name-taken",
    "in-flight",
    "device-mismatch",
    "absent-device",
    "invalid-request",
    "bad-name",
    "unknown-name",
    "unknown-device",
    "bad-expression",
    "bad-arguments",
    "bad-output",
    "bad-dtype",
    "limit-exceeded",
    "idempotency-key-reused",
    "busy",
    "unavailable",
    "worker-died",
    "deadline-exceeded",
    "storage-full",
)
TensorName = Annotated[
    str, Path(alias="name", description="The tensor's name.", openapi_examples={"X": {"value": "X"}})
]


class _Envelope(msgspec.Struct):
    """What of a body must be known before a worker reads it."""

    name: Any = None
    device: Any = None
    fallback: Any = False


def _told(row: PlacedTensorRow) -> PlacedTensor:
    return PlacedTensor(
        name=row.name,
        device=row.device,
        dtype=row.dtype,
        shape=row.shape,
        byte_count=row.byte_count,
        created_at=row.created_at,
        links=TensorLinks(self=path_of(row.name), copy_to=f"{path_of(row.name)}/copy"),
    )


def path_of(name: str) -> str:
    return f"/v1/tensors/{name}"


def _created(row: PlacedTensorRow) -> Answer:
    return answer_created(_told(row), path_of(row.name), tag_of(row))


@making.post(
    "/v1/tensors",
    operation_id="create_tensor",
    summary="Make a tensor on a device",
    status_code=201,
    response_model=PlacedTensor,
    responses={
        201: ok("The tensor.", EXAMPLE, headers=("Location", "ETag")),
        **problems(
            "malformed",
            "too-large",
            "unsupported-media-type",
            "bad-request",
            "unknown-key",
            "bad-tensor",
            "shape-mismatch",
            *MAKING_PROBLEMS,
        ),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/NewTensor"}, "examples": EXAMPLES},
                **binary_contents(NPY, SAFETENSORS, NPZ, PT),
            },
        }
    },
)
async def create(
    lab: LabDep,
    request: Request,
    retry: RetryDep,
    name: Annotated[str | SkipJsonSchema[None], Query(description="Its name, for bodies that cannot say it.")] = None,
    device: Annotated[str | SkipJsonSchema[None], Query(description="Its device, likewise.")] = None,
    fallback: Annotated[bool, Query(description="Take a CPU where that device is not there.")] = False,
) -> Response:
    """Makes a tensor of values, of a file with one tensor, or of an expression, as `torch.ones(2, 3, device=...)` does.
    It stays on its device and never changes. `{"tensor": name}` stands for it wherever a request takes a tensor."""
    body, content_type = await request.body(), content_type_of(request)
    wanted = TensorRequest(body, content_type, name, device, fallback)
    if content_type == JSON:
        wanted = _from_json(wanted)
    return reply_of_answer(await create_tensor(lab, wanted, retry, _created))


def _from_json(wanted: TensorRequest) -> TensorRequest:
    """The request with what its body says of name and device; a body that cannot be read is the worker's to refuse."""
    try:
        envelope = msgspec.json.decode(wanted.body, type=_Envelope)
    except msgspec.DecodeError:
        return wanted
    for field in ("name", "device"):
        value = getattr(envelope, field)
        if value is not None and not isinstance(value, str):
            raise in_place(f"/{field}", f"`{field}` is text.", code="bad-request")
    if not isinstance(envelope.fallback, bool):
        raise in_place("/fallback", "`fallback` is true or false.", code="bad-request")
    return TensorRequest(
        wanted.body,
        wanted.content_type,
        envelope.name or wanted.name,
        envelope.device or wanted.device,
        envelope.fallback or wanted.fallback,
    )


@keeping.get(
    "",
    operation_id="list_tensors",
    summary="List the tensors",
    response_model=PlacedTensorPage,
    responses={
        200: ok("A page of tensors.", {"items": [EXAMPLE], "next_page_token": None}, headers=("Link",)),
        **problems("malformed", "invalid-request"),
    },
)
async def list_page(lab: LabDep, page: PageDep, request: Request) -> Response:
    """Tensors in the order of their names, each with its device."""
    rows = await list_tensors(lab, after=page.after, limit=page.limit)

    def make(shown: Sequence[PlacedTensorRow], token: str | None) -> Response:
        listed = PlacedTensorPage(items=[_told(row) for row in shown], next_page_token=token)
        return Response(listed.model_dump_json(), media_type=JSON)

    return reply_of_page(request, page, rows, lambda row: row.name, make)


@keeping.post(
    "/{name}/copy",
    operation_id="copy_tensor",
    summary="Copy a tensor to a device",
    status_code=201,
    response_model=PlacedTensor,
    responses={
        200: {
            **ok("The tensor itself: it is there already.", EXAMPLE, headers=("ETag",)),
            "model": PlacedTensor,
        },
        201: ok("The copy.", {**EXAMPLE, "name": "X-there", "device": "cuda:1"}, headers=("Location", "ETag")),
        **problems(
            "malformed",
            "not-found",
            "name-taken",
            "in-flight",
            "invalid-request",
            "bad-name",
            "unknown-device",
            "limit-exceeded",
            "idempotency-key-reused",
            "busy",
            "unavailable",
            "worker-died",
            "deadline-exceeded",
        ),
    },
)
async def copy(
    lab: LabDep,
    name: TensorName,
    body: Annotated[Copy, Body(openapi_examples={"there": {"value": {"device": "cpu:0", "name": "X-there"}}})],
    retry: RetryDep,
) -> Response:
    """As `X.cuda(1)`: makes a tensor with the same numbers on the device, or gives the tensor itself if it is there."""
    wanted = CopyRequest(body.device, body.name, body.fallback)
    answer = await copy_tensor(lab, name, wanted, retry, _created, lambda row: answer_with(_told(row), tag_of(row)))
    return reply_of_answer(answer)


@keeping.post(
    "/evaluate",
    operation_id="evaluate_tensors",
    summary="Combine tensors",
    response_model=Value,
    responses={
        200: ok(
            "The value, kept nowhere.",
            {**NUMBERS, "data": [[1.5, 1.5, 1.5], [1.5, 1.5, 1.5]], "device": "cpu:0"},
            **binary_contents(NPY, SAFETENSORS, NPZ, PT),
        ),
        201: {
            **ok("The value as a tensor of its own.", {**EXAMPLE, "name": "W"}, headers=("Location", "ETag")),
            "model": PlacedTensor,
        },
        **problems("malformed", "not-acceptable", *MAKING_PROBLEMS),
    },
)
async def evaluate_tensors(
    lab: LabDep,
    body: Annotated[
        Evaluation,
        Body(
            openapi_examples={
                "sum": {"summary": "Its value", "value": {"expression": "X + 0.5"}},
                "kept": {"summary": "Kept as a tensor", "value": {"expression": "X + 0.5", "name": "W"}},
            }
        ),
    ],
    retry: RetryDep,
    format_name: FormatQuery = None,
    accept: AcceptHeader = None,
) -> Response:
    """Computes an expression where its tensors are, as `Y + Z` does. With a `name` the value becomes a tensor there.
    Tensors on two devices are refused: copy one of them first."""
    document = body.model_dump(exclude={"name"}, exclude_defaults=True)
    if body.name is not None:
        wanted = TensorRequest(msgspec.json.encode(document), JSON, body.name)
        return reply_of_answer(await create_tensor(lab, wanted, retry, _created))
    encoded = await evaluate(lab, document, choose(accept, format_name, OFFERED, pt=lab.settings.pt_files))
    return Response(encoded.body, headers={"content-type": encoded.media_type, "vary": "accept"})


@keeping.get(
    "/{name}",
    operation_id="get_tensor",
    summary="Read a tensor",
    response_model=PlacedValue,
    responses={
        200: ok(
            "The tensor.",
            {"name": "X", "device": "cpu:0", **NUMBERS},
            headers=("ETag",),
            **binary_contents(NPY, SAFETENSORS, NPZ, PT),
        ),
        **problems("not-found", "not-acceptable", "bad-index", "damaged-data", "unavailable", "deadline-exceeded"),
    },
)
async def get(
    lab: LabDep,
    name: TensorName,
    index: IndexQuery = None,
    format_name: FormatQuery = None,
    accept: AcceptHeader = None,
) -> Response:
    """A tensor's device (`x.device`), dtype, shape and numbers, or the part of them that `index` takes."""
    media_type = choose(accept, format_name, OFFERED, pt=lab.settings.pt_files)
    row, encoded = await read_tensor(lab, name, index, media_type)
    headers = {"content-type": encoded.media_type, "etag": etag_of(tag_of(row)), "vary": "accept"}
    return Response(encoded.body, headers=headers)


@keeping.delete(
    "/{name}",
    operation_id="delete_tensor",
    summary="Delete a tensor",
    status_code=204,
    responses={204: {"description": "It is gone."}, **problems("malformed", "not-found", "stale-revision")},
)
async def delete(lab: LabDep, name: TensorName, if_match: IfMatchDep) -> Response:
    """Deletes a tensor and frees the memory that it had on its device."""
    await delete_tensor(lab, name, if_match)
    return Response(status_code=204)


router = APIRouter()
router.include_router(making)
router.include_router(keeping)
