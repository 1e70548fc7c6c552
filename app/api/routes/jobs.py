"""Jobs: `GET /v1/jobs`, and what can be asked of one: how it is, what happened, its result; cancel it, delete it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from pydantic.json_schema import SkipJsonSchema

from app.api.deps import LabDep, PageDep
from app.api.documentation import ok, problems
from app.api.jobs import job_of
from app.api.json_route import JsonRoute
from app.api.replies import reply_of_model, reply_of_page
from app.api.schemas.jobs import Job, JobPage, JobState
from app.api.streams import is_head
from app.db.job_events import EventRow
from app.db.jobs import ENDED, JobRow
from app.errors import Malformed
from app.services.job_bytes import count_bytes, stream_bytes
from app.services.jobs import JobFilter, cancel_job, delete_job, find_job, find_result, follow_job, list_jobs
from app.services.lab import Lab

router = APIRouter(prefix="/v1/jobs", tags=["Jobs"], route_class=JsonRoute)

EVENT_STREAM = "text/event-stream"
KEEP_ALIVE_SECONDS = 15.0
RETRY_MILLISECONDS = 1_000  # before a follower whose connection broke comes back
LONGEST_TEXT = 128
EXAMPLE: dict[str, Any] = {
    "id": "1",
    "kind": "forward",
    "network": "mlp",
    "state": "succeeded",
    "priority": 3,
    "progress": None,
    "attempts": 1,
    "error": None,
    "created_at": "2026-01-31T12:00:00.123456Z",
    "started_at": "2026-01-31T12:00:00.125000Z",
    "finished_at": "2026-01-31T12:00:00.150000Z",
    "links": {"self": "/v1/jobs/1", "events": "/v1/jobs/1/events", "result": "/v1/jobs/1/result"},
}
EVENTS_EXAMPLE = (
    'id: 1\nevent: state\ndata: {"state":"queued","at":"2026-01-31T12:00:00.123456Z"}\n\n'
    'id: 2\nevent: state\ndata: {"state":"running","attempts":1,"at":"2026-01-31T12:00:00.125000Z"}\n\n'
    'id: 3\nevent: progress\ndata: {"fraction":0.5,"at":"2026-01-31T12:00:00.130000Z"}\n\n'
    'id: 4\nevent: state\ndata: {"state":"succeeded","at":"2026-01-31T12:00:00.150000Z"}\n\n'
)
ANY: dict[str, Any] = {"schema": {"description": "What the request would have been answered with in place."}}

JobId = Annotated[str, Path(alias="id", description="The job's id.", openapi_examples={"first": {"value": "1"}})]


@router.get(
    "",
    operation_id="list_jobs",
    summary="List the jobs",
    response_model=JobPage,
    responses={
        200: ok("A page of jobs.", {"items": [EXAMPLE], "next_page_token": None}, headers=("Link",)),
        **problems("malformed", "invalid-request"),
    },
)
async def list_page(
    lab: LabDep,
    page: PageDep,
    request: Request,
    state: Annotated[JobState | SkipJsonSchema[None], Query(description="Only those in this state.")] = None,
    kind: Annotated[
        str | SkipJsonSchema[None], Query(max_length=LONGEST_TEXT, description="Only those of this kind.")
    ] = None,
    network: Annotated[
        str | SkipJsonSchema[None],
        Query(max_length=LONGEST_TEXT, description="Only those of the network that was called so when they were made."),
    ] = None,
) -> Response:
    """The newest first."""
    wanted = JobFilter(state=state, kind=kind, network=network)
    rows = await list_jobs(lab, wanted, before=page.number, limit=page.limit)

    def make(shown: Sequence[JobRow], token: str | None) -> Response:
        return reply_of_model(JobPage(items=[job_of(row) for row in shown], next_page_token=token))

    return reply_of_page(request, page, rows, lambda row: row.number, make)


@router.get(
    "/{id}/events",
    operation_id="follow_job",
    summary="Follow a job",
    response_class=Response,
    responses={
        200: {
            "description": "The events so far, and those to come until the job has ended.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": EVENTS_EXAMPLE}},
        },
        204: {"description": "The job has ended, and `Last-Event-ID` is its last event: there will be no more."},
        **problems("malformed", "not-found"),
    },
)
async def follow(
    lab: LabDep,
    job_id: JobId,
    request: Request,
    last_event_id: Annotated[
        str | SkipJsonSchema[None], Header(alias="Last-Event-ID", description="Only what came after this event.")
    ] = None,
) -> Response:
    """Server-sent events: `state` for each change of the state, `progress` for how far it has come; of the latter those
    that follow each other quickly are told as one. The stream ends after the event that ends the job. When the
    connection breaks, go on with the `id` of the last event as `Last-Event-ID`."""
    row = await find_job(lab, job_id)
    after = _event_number(last_event_id)
    if row.state in ENDED and after >= row.last_event:
        return Response(status_code=204)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    if is_head(request):
        return Response(headers=headers, media_type=EVENT_STREAM)
    return StreamingResponse(_events(lab, row, after), headers=headers, media_type=EVENT_STREAM)


async def _events(lab: Lab, row: JobRow, after: int) -> AsyncIterator[bytes]:
    yield format_sse_event(retry=RETRY_MILLISECONDS)
    async for event in follow_job(lab, row, after, KEEP_ALIVE_SECONDS):
        yield format_sse_event(comment="still here") if event is None else _event(event)


def _event(event: EventRow) -> bytes:
    at = event.created_at.isoformat().replace("+00:00", "Z")
    data: Mapping[str, object] = {**event.data, "at": at}
    return format_sse_event(id=str(event.number), event=event.type, data_str=orjson.dumps(data).decode())


def _event_number(text: str | None) -> int:
    if text is None or not text.strip():
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise Malformed("Last-Event-ID is the `id` of an event of this job: a number.")
    return int(text)


@router.get(
    "/{id}/result",
    operation_id="get_job_result",
    summary="Fetch the result of a job",
    responses={
        200: {
            "description": "What the request would have been answered with in place: its status, media type and bytes; "
            "a problem too.",
            "content": {"application/json": ANY, "application/octet-stream": ANY},
        },
        **problems("not-found", "not-finished", "cancelled", "worker-died"),
    },
)
async def get_result(lab: LabDep, job_id: JobId) -> Response:
    """The answer that the request would have had without `Prefer: respond-async`, byte for byte; of a job that failed,
    the problem. Until the job has ended: 409."""
    result = await find_result(lab, job_id)
    headers = dict(result.headers)
    if result.manifest is None:
        return Response(result.body, result.status, headers=headers)
    headers["content-length"] = str(await count_bytes(lab, result.manifest))
    return StreamingResponse(stream_bytes(lab, result.manifest), result.status, headers=headers)


@router.post(
    "/{id}/cancel",
    operation_id="cancel_job",
    summary="Cancel a job",
    response_model=Job,
    responses={200: ok("The job as it is then.", EXAMPLE), **problems("not-found")},
)
async def cancel(lab: LabDep, job_id: JobId) -> Response:
    """Ends a job that waits or runs: whatever it has not kept by now is never kept. What it kept on its way, such as
    the checkpoints of a training, stays. A job that has ended already stays as it is; the reply tells how."""
    return reply_of_model(job_of(await cancel_job(lab, job_id)))


@router.get(
    "/{id}",
    operation_id="get_job",
    summary="Look at a job",
    response_model=Job,
    responses={200: ok("The job.", EXAMPLE), **problems("not-found")},
)
async def get(lab: LabDep, job_id: JobId) -> Response:
    """How it is now. A job that has ended is kept for a time that the operator sets."""
    return reply_of_model(job_of(await find_job(lab, job_id)))


@router.delete(
    "/{id}",
    operation_id="delete_job",
    summary="Delete a job",
    status_code=204,
    response_class=Response,
    responses={204: {"description": "It is gone, with its result."}, **problems("not-found", "not-finished")},
)
async def delete(lab: LabDep, job_id: JobId) -> Response:
    """Forgets a job that has ended, and its result. What it did to a network stays."""
    await delete_job(lab, job_id)
    return Response(status_code=204)
