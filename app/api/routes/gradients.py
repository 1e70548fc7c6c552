"""Gradients: backward makes them, and they stay to be read until they are cleared."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema

from app.api.deps import AcceptHeader, FormatQuery, IfMatchDep, LabDep, NetworkName, RetryDep
from app.api.documentation import accepted, binary_contents, ok, problems
from app.api.jobs import LaterDep, answer_accepted
from app.api.json_route import BytesRoute, JsonRoute, content_type_of
from app.api.negotiation import JSON, NPY, NPZ, PT, SAFETENSORS, choose
from app.api.preconditions import etag_of
from app.api.replies import reply_of_answer, reply_of_model
from app.api.routes.forward_docs import X
from app.api.schemas.gradients import BackwardReply, GradientsReply, GradientSummary
from app.api.streams import StreamedFile
from app.messages import Encoded, Mode
from app.services.downloads import plan_tensor_file
from app.services.gradients import (
    Backward,
    backward,
    clear_gradients,
    describe_gradients,
    find_gradients,
    tensors_of,
)
from app.services.idempotency import Answer
from app.services.jobs import JobRequest, accept_job
from app.services.references import find_reference
from app.services.writes import check_match
from app.tensors.media_types import MEDIA_TYPES, Format

router = APIRouter(prefix="/v1/networks/{name}", tags=["Gradients"], route_class=JsonRoute)
bodies = APIRouter(route_class=BytesRoute)

OFFERED = (JSON, SAFETENSORS, NPY, NPZ, PT)
FORMAT_OF: dict[str, Format] = {media_type: name for name, media_type in MEDIA_TYPES.items()}
EXAMPLES = {
    "sum": {"summary": "Of the sum of the output", "value": {"inputs": X}},
    "loss": {
        "summary": "Of a loss, added to the gradients there are",
        "value": {
            "inputs": X,
            "targets": {"y": {"dtype": "int64", "data": [3, 7]}},
            "loss": "cross_entropy(output, y)",
            "accumulate": True,
        },
    },
}
SUMMARY = {
    "dtype": "float32",
    "shape": [10],
    "norm": 0.9486833,
    "mean": 0.0,
    "std": 0.3162278,
    "min": -0.9,
    "max": 0.1,
    "zeros": 0.0,
    "non_finite": 0.0,
}
REPLY = {
    "loss": 2.3025851,
    "input_gradients": {"X": {"dtype": "float32", "shape": [1, 2], "data": [[0.125, -0.5]]}},
    "parameter_gradients": {"out.bias": SUMMARY},
    "revision": 1,
    "device": "cpu:0",
}
BINARY = (SAFETENSORS, NPY, NPZ, PT)
FILES = (SAFETENSORS, NPZ, PT)


@bodies.post(
    "/backward",
    operation_id="run_backward",
    summary="Take the gradient of a loss",
    response_model=BackwardReply,
    responses={
        200: ok("The loss and its gradients.", REPLY, headers=("ETag",), **binary_contents(*BINARY)),
        202: accepted(),
        **problems(
            "malformed",
            "not-found",
            "not-acceptable",
            "stale-gradients",
            "in-flight",
            "stale-revision",
            "device-mismatch",
            "too-large",
            "unsupported-media-type",
            "shape-mismatch",
            "bad-tensor",
            "bad-dtype",
            "bad-arguments",
            "duplicate-name",
            "unknown-name",
            "missing-input",
            "bad-request",
            "bad-expression",
            "no-gradient",
            "unknown-key",
            "limit-exceeded",
            "idempotency-key-reused",
            "busy",
            "unavailable",
            "worker-died",
            "deadline-exceeded",
            "storage-full",
        ),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/BackwardRequest"}, "examples": EXAMPLES},
                **binary_contents(*BINARY),
            },
        }
    },
)
async def run(
    lab: LabDep,
    name: NetworkName,
    request: Request,
    if_match: IfMatchDep,
    retry: RetryDep,
    later: LaterDep,
    loss: Annotated[
        str | SkipJsonSchema[None], Query(max_length=4096, description="For binary bodies; JSON says it in the body.")
    ] = None,
    mode: Annotated[Mode, Query(description="For binary bodies.")] = "eval",
    seed: Annotated[
        int | SkipJsonSchema[None], Query(ge=-(2**63), le=2**64 - 1, description="For binary bodies.")
    ] = None,
    revision: Annotated[int | SkipJsonSchema[None], Query(ge=0, le=2**53, description="For binary bodies.")] = None,
    accumulate: Annotated[bool, Query(description="For binary bodies.")] = False,
    format_name: FormatQuery = None,
    accept: AcceptHeader = None,
) -> Response:
    """Runs the network and takes the gradient of `loss` in its inputs and in every parameter that is trained, as
    `loss.backward()` does. The gradients of inputs are in the reply; those of parameters stay to be read, at `grad` of
    each parameter or all together, until others are made or `DELETE .../gradients` clears them. They belong to the
    revision that they were made at. With `accumulate` they are added to those of the same revision.

    A binary body holds inputs by name, and targets under `targets.` and their name; a binary reply holds `loss` and
    `input_gradients.` and the name of each; `.npy` holds the gradient of the only input."""
    media_type = choose(accept, format_name, OFFERED, pt=lab.settings.pt_files)
    asked = Backward(content_type_of(request), media_type, loss, mode, seed, revision, accumulate, if_match)
    body = await request.body()
    if later is not None:
        head = await find_reference(lab, name)
        check_match(name, head.revision, if_match)
        wanted = JobRequest("backward", asked, head, name, later.priority, body=body)
        return reply_of_answer(await accept_job(lab, wanted, retry, answer_accepted))
    return reply_of_answer(await backward(lab, name, asked, body, retry=retry, render=render))


def render(encoded: Encoded) -> Answer:
    headers = [["content-type", encoded.media_type], ["vary", "accept"]]
    if encoded.revision is not None:
        headers.append(["etag", etag_of(encoded.revision)])
    return Answer(200, headers, encoded.body)


router.include_router(bodies)


@router.get(
    "/gradients",
    operation_id="get_gradients",
    summary="Read the gradients of all parameters",
    response_model=GradientsReply,
    responses={
        200: ok("What there is.", headers=("ETag",), **binary_contents(*FILES)),
        **problems("not-found", "not-acceptable", "unavailable", "deadline-exceeded"),
    },
)
async def get(
    lab: LabDep, name: NetworkName, request: Request, format_name: FormatQuery = None, accept: AcceptHeader = None
) -> Response:
    """The gradients that backward left: in JSON a summary of each and the revision they belong to, in a binary format
    all their numbers by the names of their parameters. One of them, or a slice of it, is at its parameter."""
    media_type = choose(accept, format_name, (JSON, *FILES), pt=lab.settings.pt_files)
    kept = await find_gradients(lab, name)
    if media_type != JSON:
        format_name = FORMAT_OF[media_type]
        file = plan_tensor_file(lab, await tensors_of(lab, kept), "dict", FORMAT_OF[media_type])
        return StreamedFile(request, file, etag_of(kept.row.number), filename=f"{name}-gradients.{format_name}")
    summaries = await describe_gradients(lab, kept)
    reply = GradientsReply(
        revision=kept.row.number,
        current=kept.row.number == kept.head,
        passes=kept.row.passes,
        gradients={name: GradientSummary.model_validate(summary) for name, summary in summaries.items()},
        created_at=kept.row.created_at,
        updated_at=kept.row.updated_at,
    )
    return reply_of_model(reply, tag=kept.row.number)


@router.delete(
    "/gradients",
    operation_id="clear_gradients",
    summary="Clear the gradients",
    status_code=204,
    responses={204: {"description": "There are none now."}, **problems("not-found", "stale-revision")},
)
async def clear(lab: LabDep, name: NetworkName, if_match: IfMatchDep) -> Response:
    """As `net.zero_grad()`: every `grad` is null afterwards. Nothing is wrong if it was so before."""
    await clear_gradients(lab, name, if_match)
    return Response(status_code=204)
