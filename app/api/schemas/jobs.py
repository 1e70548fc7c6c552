"""Jobs: work that goes on after the reply."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.pages import NextPageToken
from app.api.schemas.problems import Problem

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class JobProgress(BaseModel):
    """How far a job has come. Kinds of jobs add words of their own."""

    model_config = ConfigDict(extra="allow")

    fraction: float | None = Field(description="0 to 1; null where it is not known.")


class JobLinks(BaseModel):
    """Addresses of what belongs to a job."""

    self: str
    events: str
    result: str


class Job(BaseModel):
    """A job as it is now."""

    id: str
    kind: str = Field(description="What it does: `forward`, `initialize`, `state_dict`, ...")
    network: str | None = Field(description="The network's name when the job was asked for.")
    state: JobState
    priority: int = Field(description="0 is most urgent, 7 least. Of two that wait the more urgent one runs first.")
    progress: JobProgress | None = Field(description="Null as long as it has told nothing.")
    attempts: int = Field(description="How often it began to run. After the death of a worker it is tried once more.")
    error: Problem | None = Field(description="Why it failed.")
    created_at: datetime
    started_at: datetime | None = Field(description="When its newest attempt began.")
    finished_at: datetime | None
    links: JobLinks


class JobPage(BaseModel):
    """A page of jobs, the newest first."""

    items: list[Job]
    next_page_token: NextPageToken
