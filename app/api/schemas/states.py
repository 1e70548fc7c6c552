"""What is told of tensors that were loaded or saved."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.pages import NextPageToken
from app.api.schemas.tensors import TensorToRead


class LoadedState(BaseModel):
    """What became of a state_dict."""

    revision: int = Field(description="The new revision; also in `ETag`.")
    loaded: int = Field(description="How many of its tensors the network took.")
    missing: list[str] = Field(description="Names that the network has and the file has not; they stay as they were.")
    unexpected: list[str] = Field(description="Names that the file has and the network has not.")


class ArtifactReference(BaseModel):
    """Tensors that are here already, under a name of `/v1/artifacts`."""

    model_config = ConfigDict(extra="forbid")

    artifact: str = Field(description="Its name.", examples=["linear-params"])


class Artifact(BaseModel):
    """Saved tensors, without their numbers."""

    name: str
    kind: Literal["tensor", "list", "dict"] = Field(description="One tensor, a list, or a dict by name.")
    tensor_count: int
    byte_count: int
    created_at: datetime
    updated_at: datetime
    links: dict[str, str]


class ArtifactTensor(BaseModel):
    name: str = Field(description="Its key in a dict, its number in a list; `tensor` where there is one.")
    dtype: str
    shape: list[int]


class SavedArtifact(Artifact):
    """Saved tensors, one by one; of very many the first."""

    tensors: list[ArtifactTensor]


class ArtifactPage(BaseModel):
    """A page of artifacts, in the order of their names."""

    items: list[Artifact]
    next_page_token: NextPageToken


NamedTensors = dict[str, TensorToRead | Any]
