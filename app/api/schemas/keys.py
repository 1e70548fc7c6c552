"""Keys, as an administrator sees them: never the keys themselves."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from app.api.schemas.pages import NextPageToken


class Key(BaseModel):
    """A key that was made. What proves it was shown once, to whoever made it."""

    id: str
    role: Literal["read", "write", "admin"]
    name: str | None = Field(description="What it is for.")
    created_at: datetime
    expires_at: datetime | None = Field(description="Null: it holds until it is revoked.")
    revoked_at: datetime | None = Field(description="Null: it was not revoked.")


class KeyPage(BaseModel):
    """A page of keys, oldest first."""

    items: list[Key]
    next_page_token: NextPageToken
