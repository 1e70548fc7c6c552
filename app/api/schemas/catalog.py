"""What the language and the architectures may use, as a worker made it from PyTorch itself."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.pages import NextPageToken


class LayerEntry(BaseModel):
    """One layer of torch.nn."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="What it is called.", examples=["Linear"])
    signature: str = Field(examples=["Linear(in_features, out_features, bias=True)"])
    summary: str = Field(description="What PyTorch says of it.")
    supported: bool = Field(description="Whether an architecture may use it.")
    reason: str | None = Field(description="Why not, where it may not.")
    arguments: dict[str, Any] = Field(description="JSON Schema of its arguments by name.")


class LayerPage(BaseModel):
    """Layers."""

    items: list[LayerEntry]
    next_page_token: NextPageToken


class OptimizerEntry(BaseModel):
    """One class of torch.optim, or one scheduler of it."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["Adam"])
    signature: str = Field(description="How it is written.", examples=["SGD(lr=0.001, momentum=0)"])
    summary: str
    arguments: dict[str, Any] = Field(description="JSON Schema of its arguments by name.")


class OptimizerPage(BaseModel):
    """Optimizers or schedulers."""

    items: list[OptimizerEntry]
    next_page_token: NextPageToken


class FunctionEntry(BaseModel):
    """One function of the language."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(examples=["relu"])
    spellings: list[str] = Field(description="What it may be called as.", examples=[["relu", "F.relu", "x.relu()"]])
    category: str = Field(examples=["elementwise"])
    signature: str = Field(examples=["relu(input)"])
    arguments: dict[str, Any] = Field(description="JSON Schema of its arguments by name.")


class FunctionPage(BaseModel):
    """Functions."""

    items: list[FunctionEntry]
    next_page_token: NextPageToken


class InitializerEntry(BaseModel):
    """One function of torch.nn.init."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(examples=["normal_"])
    signature: str = Field(examples=["normal_(mean=0.0, std=1.0)"])
    summary: str
    arguments: dict[str, Any] = Field(description="JSON Schema of its arguments by name.")


class InitializerPage(BaseModel):
    """Initializers."""

    items: list[InitializerEntry]
    next_page_token: NextPageToken
