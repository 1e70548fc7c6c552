"""Revisions, their differences, and checkpoints."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.api.schemas.architectures import StrictBody
from app.api.schemas.networks import RevisionNumber
from app.api.schemas.pages import NextPageToken


class Revision(BaseModel):
    """One change of a network's tensors. It never changes itself."""

    revision: int
    operation: str = Field(description="`create`, `edit`, `replace`, `initialize`, `load`, ...", examples=["edit"])
    author: str | None = Field(description="The name of the key that made it; null where no key was needed.")
    detail: dict[str, Any] = Field(description="What was asked for, in short.")
    checkpoints: list[str] = Field(description="Tags on it.")
    created_at: datetime


class RevisionPage(BaseModel):
    """A page of revisions, the newest first."""

    items: list[Revision]
    next_page_token: NextPageToken


class RestoredRevision(Revision):
    """The new revision that holds what an earlier one held."""

    restored: int = Field(description="The earlier one.")


class Difference(BaseModel):
    """One parameter or buffer that differs."""

    name: str
    kind: Literal["parameter", "buffer"]
    dtype: str
    shape: list[int]
    tied_to: list[str] = Field(description="Its other names.")
    elements_changed: int
    max_difference: float | Literal["NaN", "Infinity"] = Field(description="The largest absolute difference.")
    distance: float | Literal["NaN", "Infinity"] = Field(description="The root of the sum of squared differences.")
    requires_grad: dict[str, bool] | None = Field(None, description="`from` and `to`, where that changed.")


class RevisionDifference(BaseModel):
    """What differs between two revisions; a tied parameter is listed once."""

    from_: int = Field(alias="from")
    to: int
    changed: list[Difference]
    unchanged: int = Field(description="How many parameters and buffers are the same in both.")


class NewCheckpoint(StrictBody):
    """Which revision a tag keeps."""

    revision: RevisionNumber | None = Field(None, description="Default: the newest.", examples=[1])


class Checkpoint(BaseModel):
    """A tag on a revision. While it is there, so is the revision."""

    tag: str
    revision: int
    author: str | None
    created_at: datetime


class CheckpointPage(BaseModel):
    """A page of checkpoints, in the order of their tags."""

    items: list[Checkpoint]
    next_page_token: NextPageToken
