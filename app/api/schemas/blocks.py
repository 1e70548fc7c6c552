"""Named blocks: the library that all architectures may use."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from app.api.schemas.architectures import Architecture, StrictBody
from app.api.schemas.pages import NextPageToken

MY_LINEAR: dict[str, Any] = {
    "hyperparameters": {"in_units": None, "units": None},
    "parameters": {"weight": "randn(in_units, units)", "bias": "randn(units)"},
    "inputs": ["X"],
    "forward": ["linear = matmul(X, weight.data) + bias.data", "return F.relu(linear)"],
}


class NewBlock(StrictBody):
    """A block to register. Its definition may use blocks registered before it."""

    name: str = Field(
        description="A letter, then letters, digits or `_`: it is called like a class.", examples=["MyLinear"]
    )
    definition: Architecture


class BlockDefinition(StrictBody):
    """A definition to put in place of the one that is there. Networks that exist keep their own copy of the old one."""

    definition: Architecture


class Block(BaseModel):
    """A registered block."""

    name: str
    definition: Architecture
    uses: list[str] = Field(description="Other registered blocks that its definition uses itself.")
    created_at: datetime
    updated_at: datetime
    links: dict[str, str]


class BlockPage(BaseModel):
    """A page of blocks, in the order of their names."""

    items: list[Block]
    next_page_token: NextPageToken
