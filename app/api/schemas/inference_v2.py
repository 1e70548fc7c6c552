"""What the addresses of the Open Inference Protocol answer. Field names are the protocol's."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.tensors import TensorData


class ServerMetadata(BaseModel):
    name: str = Field(examples=["model-lab"])
    version: str = Field(examples=["0.1.0"])
    extensions: list[str] = Field(examples=[["binary_tensor_data", "model_repository", "statistics"]])


class ServerLive(BaseModel):
    live: bool = True


class ServerReady(BaseModel):
    live: bool = True
    ready: bool = True


class ModelList(BaseModel):
    models: list[str] = Field(description="Names of the networks.", examples=[["mlp"]])


class TensorMetadata(BaseModel):
    name: str = Field(examples=["X"])
    datatype: str = Field(examples=["FP32"])
    shape: list[int] = Field(description="-1: any size. A shape that nothing is known of is [-1].", examples=[[-1, 20]])


class ModelMetadata(BaseModel):
    """A network as a model of the protocol."""

    name: str = Field(examples=["mlp"])
    versions: list[str] = Field(description="Revisions, the oldest first.", examples=[["1", "2"]])
    platform: str = Field(examples=["pytorch"])
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ModelReady(BaseModel):
    name: str = Field(examples=["mlp"])
    ready: bool = True


class ConfiguredTensor(BaseModel):
    name: str = Field(examples=["X"])
    data_type: str = Field(examples=["TYPE_FP32"])
    dims: list[int] = Field(examples=[[-1, 20]])


class ModelConfig(BaseModel):
    """How a network is served, in the words of the protocol's configuration extension."""

    model_config = ConfigDict(protected_namespaces=())

    name: str = Field(examples=["mlp"])
    platform: str = Field(examples=["pytorch"])
    backend: str = Field(examples=["pytorch"])
    max_batch_size: int = Field(0, description="0: shapes hold the batch's size themselves.")
    input: list[ConfiguredTensor]
    output: list[ConfiguredTensor]
    version_policy: dict[str, Any] = Field(default_factory=lambda: {"all": {}})


class Duration(BaseModel):
    count: int
    ns: int


class ModelStatistics(BaseModel):
    """What was counted of one revision in this process."""

    name: str = Field(examples=["mlp"])
    version: str = Field(examples=["1"])
    last_inference: int = Field(description="Milliseconds since 1970; 0: none yet.")
    inference_count: int
    execution_count: int
    inference_stats: dict[str, Duration]
    batch_stats: list[dict[str, Any]] = Field(description="Empty: requests are counted one by one.")


class ModelStatisticsList(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    model_stats: list[ModelStatistics]


class IndexEntry(BaseModel):
    name: str = Field(examples=["mlp"])
    version: str = Field(examples=["1"])
    state: str = Field(examples=["READY"])
    reason: str = ""


class RequestTensor(BaseModel):
    """An input. `data` is flat or nested; with `binary_data_size` it stands behind the JSON instead."""

    name: str = Field(examples=["X"])
    shape: list[int] = Field(examples=[[1, 20]])
    datatype: str = Field(examples=["FP32"])
    parameters: dict[str, Any] | None = None
    data: TensorData = Field(None, examples=[[0.5] * 20])


class RequestedOutput(BaseModel):
    name: str = Field(examples=["output"])
    parameters: dict[str, Any] | None = Field(None, examples=[{"binary_data": False}])


class InferenceRequest(BaseModel):
    """A request of the protocol, in JSON."""

    id: str | None = Field(None, description="Comes back in the reply.")
    parameters: dict[str, Any] | None = Field(None, examples=[{"binary_data_output": False}])
    inputs: list[RequestTensor]
    outputs: list[RequestedOutput] | None = Field(None, description="Those that are wanted; all without it.")


class ReplyTensor(BaseModel):
    name: str = Field(examples=["output"])
    shape: list[int] = Field(examples=[[1, 10]])
    datatype: str = Field(examples=["FP32"])
    parameters: dict[str, Any] | None = None
    data: TensorData = Field(None, description="Flat, row by row.")


class InferenceReply(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    model_name: str = Field(examples=["mlp"])
    model_version: str = Field(examples=["1"])
    id: str | None = None
    outputs: list[ReplyTensor]
