"""Parameters and buffers of a network: their list, one with its value, and changes of one."""

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema

from app.api.bodies import check_json_type
from app.api.deps import AcceptHeader, BoundedPageDep, FormatQuery, IfMatchDep, LabDep, NetworkName, RetryDep
from app.api.documentation import binary_contents, ok, picture_contents, problems
from app.api.json_route import BytesRoute, JsonRoute, content_type_of
from app.api.negotiation import JSON, NPY, NPZ, PNG, PT, SAFETENSORS, SVG, choose
from app.api.replies import answer_with, reply_of_answer, reply_of_counted_page, reply_of_encoded, reply_of_model
from app.api.schemas.networks import ChangedParameter, Parameter, ParameterPage, ParameterWithValue
from app.api.schemas.parameters import Histogram
from app.messages import Of, ParameterInfo
from app.services.idempotency import Answer
from app.services.parameters import (
    RenderParameter,
    edit_parameter,
    list_parameters,
    read_histogram,
    read_parameter,
    replace_parameter,
)

router = APIRouter(prefix="/v1/networks/{name}/parameters", tags=["Parameters"], route_class=JsonRoute)
writing = APIRouter(route_class=BytesRoute)

OFFERED = (JSON, NPY, SAFETENSORS, NPZ, PT)
EXAMPLE = {
    "name": "out.bias",
    "kind": "parameter",
    "dtype": "float32",
    "shape": [10],
    "device": "cpu:0",
    "requires_grad": True,
    "tied_to": [],
    "grad": None,
    "grad_revision": None,
    "index": ":2",
    "value": {"dtype": "float32", "shape": [2], "data": [0.0298, -0.0514]},
    "revision": 1,
}
ParameterPath = Annotated[
    str,
    Path(
        description="Its name in `state_dict`, percent-encoded, or with positions: `[0][1][0].bias`.",
        openapi_examples={"out.bias": {"value": "out.bias"}},
    ),
]
MAX_INDEX = 1_000


EDITS = {
    "slice": {
        "summary": "Add 1 to all of it, then set one element, at once",
        "value": {"edits": [{"index": ":", "expression": "param + 1"}, {"index": "0", "value": 42}]},
    },
    "freeze": {"summary": "Leave it out of training", "value": {"requires_grad": False}},
}
VALUES = {
    "value": {"summary": "Nested lists", "value": {"value": [0.5] * 10}},
    "flat": {"summary": "With dtype and shape", "value": {"dtype": "float32", "shape": [10], "data": [0.25] * 10}},
}
CHANGED = {
    **{key: EXAMPLE[key] for key in ("name", "kind", "dtype", "shape", "device", "requires_grad", "tied_to")},
    "link": "/v1/networks/mlp/parameters/out.bias",
    "revision": 2,
}
HISTOGRAM = {
    "name": "out.bias",
    "of": "value",
    "dtype": "float32",
    "shape": [10],
    "counts": [3, 7],
    "edges": [-0.0625, 0.0, 0.0625],
    "mean": 0.0125,
    "std": 0.035,
    "min": -0.0625,
    "max": 0.0625,
    "zeros": 0.0,
    "non_finite": 0.0,
    "revision": 1,
}
MOST_BINS = 10_000
WRITE_PROBLEMS = (
    "malformed",
    "not-found",
    "in-flight",
    "stale-revision",
    "too-large",
    "unsupported-media-type",
    "bad-request",
    "unknown-key",
    "shape-mismatch",
    "bad-dtype",
    "bad-tensor",
    "unknown-name",
    "idempotency-key-reused",
    "unavailable",
    "deadline-exceeded",
    "storage-full",
)
RevisionQuery = Annotated[
    int | SkipJsonSchema[None], Query(ge=0, le=2**53, description="At this revision in place of the newest.")
]
IndexQuery = Annotated[
    str | SkipJsonSchema[None],
    Query(max_length=MAX_INDEX, description="A NumPy basic index as text: `0, :` or `..., ::2`."),
]


@router.get(
    "",
    operation_id="list_parameters",
    summary="List the parameters",
    response_model=ParameterPage,
    responses={
        200: ok("Parameters, then buffers.", headers=("ETag", "Link")),
        **problems("malformed", "not-found", "invalid-request", "unavailable"),
    },
)
async def list_all(
    lab: LabDep,
    name: NetworkName,
    page: BoundedPageDep,
    request: Request,
    prefix: Annotated[
        str | SkipJsonSchema[None], Query(max_length=4096, description="Only those of the module at this path.")
    ] = None,
    revision: RevisionQuery = None,
) -> Response:
    """Parameters and buffers in PyTorch's order and under PyTorch's names; a tied one once, with its other names."""
    found, network = await list_parameters(lab, name, prefix, revision, skip=page.number or 0, limit=page.limit)

    def make(shown: Sequence[ParameterInfo], token: str | None) -> Response:
        items = [Parameter(**_parameter(name, network.device, info)) for info in shown]
        listed = ParameterPage(items=items, next_page_token=token, revision=network.revision)
        return reply_of_model(listed, tag=network.revision)

    return reply_of_counted_page(request, page, found.items, make)


def _parameter(name: str, device: str, info: ParameterInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "kind": info.kind,
        "shape": info.shape,
        "dtype": info.dtype,
        "device": device,
        "requires_grad": info.requires_grad,
        "tied_to": info.tied_to,
        "link": f"/v1/networks/{name}/parameters/{quote(info.name, safe='')}",
    }


@router.get(
    "/{parameter:path}/histogram",
    operation_id="get_histogram",
    summary="Count the values of one parameter",
    response_model=Histogram,
    responses={
        200: ok("The counts.", HISTOGRAM, headers=("ETag",), **picture_contents(SVG, PNG)),
        **problems("not-found", "not-acceptable", "bad-index", "invalid-request", "bad-dtype", "unavailable"),
    },
)
async def histogram(
    lab: LabDep,
    name: NetworkName,
    parameter: ParameterPath,
    bins: Annotated[int, Query(ge=1, le=MOST_BINS, description="How many counts.")] = 64,
    index: IndexQuery = None,
    revision: RevisionQuery = None,
    of: Annotated[Of, Query(description="What is counted: the values, or the gradient that backward left.")] = "value",
    format_name: FormatQuery = None,
    accept: AcceptHeader = None,
) -> Response:
    """How the values of a parameter or buffer, of its gradient, or of the part that `index` takes, are spread: in
    numbers, or drawn (`?format=svg` or `png`)."""
    media_type = choose(accept, format_name, (JSON, SVG, PNG))
    encoded, number = await read_histogram(
        lab, name, parameter, index=index, bins=bins, media_type=media_type, revision=revision, of=of
    )
    return reply_of_encoded(encoded, number)


@router.get(
    "/{parameter:path}",
    operation_id="get_parameter",
    summary="Read one parameter",
    response_model=ParameterWithValue,
    responses={
        200: ok("The parameter.", EXAMPLE, headers=("ETag",), **binary_contents(NPY, SAFETENSORS, NPZ, PT)),
        **problems("not-found", "not-acceptable", "bad-index", "unavailable", "deadline-exceeded"),
    },
)
async def get(
    lab: LabDep,
    name: NetworkName,
    parameter: ParameterPath,
    index: IndexQuery = None,
    revision: RevisionQuery = None,
    of: Annotated[
        Of, Query(description="In a binary format: the value, or the gradient that backward left.")
    ] = "value",
    format_name: FormatQuery = None,
    accept: AcceptHeader = None,
) -> Response:
    """One parameter or buffer with its value and its gradient, or with the part of both that `index` takes. `grad` is
    null while there is none at this revision; `grad_revision` tells the revision of the gradients there are. In a
    binary format the reply is one tensor alone."""
    media_type = choose(accept, format_name, OFFERED, pt=lab.settings.pt_files)
    encoded, number = await read_parameter(
        lab, name, parameter, index=index, media_type=media_type, revision=revision, of=of
    )
    return reply_of_encoded(encoded, number)


def _rendered(name: str) -> RenderParameter:
    def render(info: ParameterInfo, device: str, revision: int) -> Answer:
        return answer_with(ChangedParameter(**_parameter(name, device, info), revision=revision), revision)

    return render


@writing.put(
    "/{parameter:path}",
    operation_id="replace_parameter",
    summary="Replace the value of one parameter",
    response_model=ChangedParameter,
    responses={200: ok("The parameter, changed.", CHANGED, headers=("ETag",)), **problems(*WRITE_PROBLEMS)},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "anyOf": [
                            {"$ref": "#/components/schemas/ReplaceRequest"},
                            {"$ref": "#/components/schemas/TensorToRead"},
                            {"$ref": "#/components/schemas/TensorData"},
                        ]
                    },
                    "examples": VALUES,
                },
                **binary_contents(NPY, SAFETENSORS, NPZ, PT),
            },
        }
    },
)
async def replace(
    lab: LabDep, name: NetworkName, parameter: ParameterPath, request: Request, if_match: IfMatchDep, retry: RetryDep
) -> Response:
    """Writes a whole parameter or buffer, of the same shape; a tied one under all its names. Numbers take its dtype."""
    answer = await replace_parameter(
        lab,
        name,
        parameter,
        body=await request.body(),
        content_type=content_type_of(request),
        if_match=if_match,
        retry=retry,
        render=_rendered(name),
    )
    return reply_of_answer(answer)


@writing.patch(
    "/{parameter:path}",
    operation_id="edit_parameter",
    summary="Change parts of one parameter",
    response_model=ChangedParameter,
    responses={
        200: ok("The parameter, changed.", CHANGED, headers=("ETag",)),
        **problems(*WRITE_PROBLEMS, "bad-index", "bad-expression", "bad-arguments", "limit-exceeded"),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/EditRequest"}, "examples": EDITS}
            },
        }
    },
)
async def edit(
    lab: LabDep, name: NetworkName, parameter: ParameterPath, request: Request, if_match: IfMatchDep, retry: RetryDep
) -> Response:
    """Makes edits, one after the other, all of them or none: each sets the part under `index` to a value, or to what an
    expression of `param` gives. What an edit costs follows the size of the part. `requires_grad` is set here, too."""
    check_json_type(request.headers.get("content-type"))
    answer = await edit_parameter(
        lab,
        name,
        parameter,
        body=await request.body(),
        if_match=if_match,
        retry=retry,
        render=_rendered(name),
    )
    return reply_of_answer(answer)


router.include_router(writing)
