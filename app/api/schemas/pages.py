"""What the pages of all lists have in common."""

from typing import Annotated

from pydantic import Field

NextPageToken = Annotated[
    str | None, Field(description="Give it as `page_token` to have the next page; null on the last.")
]
