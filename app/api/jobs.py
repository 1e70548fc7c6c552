"""What the routes share that may answer later: reading `Prefer`, and the 202 that says where the answer will be.

Also the table of the kinds of jobs there are, each bound to what writes its answer; `app.main` hands it to the runner.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic.json_schema import SkipJsonSchema

from app.api.bodies import header
from app.api.errors import problem_document
from app.api.schemas.jobs import Job, JobLinks, JobProgress
from app.api.schemas.problems import Problem
from app.db.jobs import JobRow
from app.services.idempotency import Answer
from app.services.jobs import failure_of

DEFAULT_PRIORITY = 3  # RFC 9218, 4.1
APPLIED = "respond-async"
PREFER_WORDS = "`respond-async`: answer 202 at once and do it as a job."
PRIORITY_WORDS = "How urgent the job is: `u=0` the most, `u=7` the least, `u=3` if not said (RFC 9218)."
_URGENCY = re.compile(r"u\s*=\s*([0-7])")


@dataclass(frozen=True)
class Later:
    """A client that prefers to be answered later. `priority` is 0 to 7, 0 the most urgent."""

    priority: int = DEFAULT_PRIORITY


def read_prefer(prefer: Iterable[str], priority: Iterable[str]) -> Later | None:
    """Reads `Prefer` (RFC 7240) and `Priority` (RFC 9218), each as often as it stands there; None: answer in place.

    What is not understood is passed over, as both ask for.
    """
    wishes = [wish.partition(";")[0].partition("=")[0].strip().lower() for text in prefer for wish in text.split(",")]
    if APPLIED not in wishes:
        return None
    for part in (part.strip() for text in priority for part in text.split(",")):
        if found := _URGENCY.fullmatch(part):
            return Later(int(found[1]))
    return Later()


def read_later(headers: Iterable[tuple[bytes, bytes]]) -> Later | None:
    """The same from a raw route's headers."""
    return read_prefer([header(headers, b"prefer") or ""], [header(headers, b"priority") or ""])


async def get_later(
    request: Request,
    prefer: Annotated[  # noqa: ARG001  # read below, as often as it stands there
        str | SkipJsonSchema[None],
        Header(description=PREFER_WORDS),
    ] = None,
    priority: Annotated[  # noqa: ARG001
        str | SkipJsonSchema[None],
        Header(description=PRIORITY_WORDS),
    ] = None,
) -> Later | None:
    return read_prefer(request.headers.getlist("prefer"), request.headers.getlist("priority"))


LaterDep = Annotated[Later | None, Depends(get_later)]


def job_of(row: JobRow) -> Job:
    """A job as it is shown."""
    address = f"/v1/jobs/{row.number}"
    return Job(
        id=str(row.number),
        kind=row.kind,
        network=row.network,
        state=row.state,
        priority=row.priority,
        progress=None if row.progress is None else JobProgress.model_validate(row.progress),
        attempts=row.attempts,
        error=Problem.model_validate(problem_document(failure_of(row))) if row.state == "failed" else None,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        links=JobLinks(self=address, events=f"{address}/events", result=f"{address}/result"),
    )


def answer_accepted(row: JobRow) -> Answer:
    """The 202 of a job that was put into the queue."""
    headers = [
        ["content-type", "application/json"],
        ["location", f"/v1/jobs/{row.number}"],
        ["preference-applied", APPLIED],
    ]
    return Answer(202, headers, job_of(row).model_dump_json().encode())
