"""The Open Inference Protocol (version 2) besides running: server, models and their versions, repository, statistics.

Every network is a model and its revisions are the versions. Inference itself is `app.api.inference_v2`, which the edge
calls before FastAPI is reached; its description stands here.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from starlette.types import Receive, Scope, Send

from app.api.deps import LabDep, NetworkName
from app.api.documentation import Responses, ok, problems
from app.api.inference_v2 import infer_app
from app.api.json_route import JsonRoute
from app.api.replies import reply_of_json
from app.api.schemas.inference_v2 import (
    ConfiguredTensor,
    IndexEntry,
    InferenceReply,
    ModelConfig,
    ModelList,
    ModelMetadata,
    ModelReady,
    ModelStatisticsList,
    ServerLive,
    ServerMetadata,
    ServerReady,
    TensorMetadata,
)
from app.errors import Unavailable
from app.messages import NetworkRef, TensorSpec
from app.services import inference
from app.services.health import check_readiness
from app.services.lab import Lab
from app.tensors.datatypes import DATATYPES

router = APIRouter(prefix="/v2", tags=["Inference protocol"], route_class=JsonRoute)

EXTENSIONS = ["binary_tensor_data", "model_repository", "statistics"]
PLATFORM = "pytorch"
VersionPath = Annotated[
    str, Path(description="A revision, or `latest`.", openapi_examples={"1": {"value": "1"}}, max_length=64)
]
INFER = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/InferenceRequest"},
                "examples": {
                    "json": {
                        "summary": "Two rows, in JSON",
                        "value": {
                            "id": "first",
                            "inputs": [
                                {
                                    "name": "X",
                                    "shape": [2, 20],
                                    "datatype": "FP32",
                                    "data": [round(0.05 * number, 2) for number in range(40)],
                                }
                            ],
                            "outputs": [{"name": "output"}],
                        },
                    }
                },
            },
            "application/octet-stream": {
                "schema": {
                    "type": "string",
                    "format": "binary",
                    "description": "JSON, then raw little-endian tensors; `Inference-Header-Content-Length` counts the "
                    "bytes of the JSON.",
                }
            },
        },
    }
}
INFER_REPLY = {
    "model_name": "mlp",
    "model_version": "1",
    "id": "first",
    "outputs": [{"name": "output", "shape": [1, 2], "datatype": "FP32", "data": [0.125, -0.5]}],
}
INFER_PROBLEMS = (
    "malformed",
    "not-found",
    "not-acceptable",
    "too-large",
    "unsupported-media-type",
    "bad-request",
    "bad-dtype",
    "shape-mismatch",
    "unknown-name",
    "bad-tensor",
    "bad-arguments",
    "duplicate-name",
    "limit-exceeded",
    "busy",
    "unavailable",
    "worker-died",
    "deadline-exceeded",
)


@router.get(
    "",
    operation_id="get_inference_server",
    summary="The server",
    response_model=ServerMetadata,
    responses={200: ok("What it is."), **problems()},
)
async def server(request: Request) -> ServerMetadata:
    """The server's name and version, and the extensions of the protocol that it has."""
    return ServerMetadata(name="model-lab", version=request.app.version, extensions=EXTENSIONS)


@router.get(
    "/health/live",
    operation_id="is_inference_server_live",
    summary="Is the server alive",
    response_model=ServerLive,
    responses={200: ok("It is."), **problems()},
)
async def live() -> ServerLive:
    """Answers while the process runs."""
    return ServerLive(live=True)


@router.get(
    "/health/ready",
    operation_id="is_inference_server_ready",
    summary="Is the server ready",
    response_model=ServerReady,
    responses={200: ok("It is."), **problems("unavailable")},
)
async def ready(lab: LabDep) -> ServerReady:
    """As `/readyz`."""
    try:
        await check_readiness(lab)
    except Unavailable as error:
        error.extra |= {"live": True, "ready": False}
        raise
    return ServerReady(live=True, ready=True)


@router.get(
    "/models",
    operation_id="list_models",
    summary="List the models",
    response_model=ModelList,
    responses={200: ok("Their names."), **problems()},
)
async def models(lab: LabDep) -> Response:
    """The names of all networks."""
    return reply_of_json({"models": [name for name, _ in await inference.list_models(lab)]})


@router.get(
    "/models/stats",
    operation_id="get_all_model_statistics",
    summary="Statistics of all models",
    response_model=ModelStatisticsList,
    responses={200: ok("What was counted."), **problems()},
)
async def all_statistics(lab: LabDep) -> Response:
    """How often each network was run by this protocol, and how long its parts took, since this process began."""
    return reply_of_json({"model_stats": await inference.statistics(lab, None, None)})


@router.get(
    "/models/{name}",
    operation_id="get_model",
    summary="A model",
    response_model=ModelMetadata,
    responses={200: ok("What it takes and gives."), **problems("not-found", "unavailable")},
)
async def model(lab: LabDep, name: NetworkName) -> ModelMetadata:
    """The names, datatypes and shapes of a network's inputs and outputs, as far as its layers tell them."""
    return await _metadata(lab, name, None)


@router.get(
    "/models/{name}/versions/{version}",
    operation_id="get_model_version",
    summary="A version of a model",
    response_model=ModelMetadata,
    responses={200: ok("What it takes and gives."), **problems("not-found", "unavailable")},
)
async def model_version(lab: LabDep, name: NetworkName, version: VersionPath) -> ModelMetadata:
    """As above, of one revision."""
    return await _metadata(lab, name, version)


@router.get(
    "/models/{name}/ready",
    operation_id="is_model_ready",
    summary="Is a model ready",
    response_model=ModelReady,
    responses={200: ok("It is."), **problems("not-found")},
)
async def model_ready(lab: LabDep, name: NetworkName) -> ModelReady:
    """Every network that is there is ready: it is brought to its device when it is asked for."""
    await inference.find_model(lab, name, None)
    return ModelReady(name=name, ready=True)


@router.get(
    "/models/{name}/versions/{version}/ready",
    operation_id="is_model_version_ready",
    summary="Is a version ready",
    response_model=ModelReady,
    responses={200: ok("It is."), **problems("not-found")},
)
async def model_version_ready(lab: LabDep, name: NetworkName, version: VersionPath) -> ModelReady:
    """As above, of one revision."""
    await inference.find_model(lab, name, version)
    return ModelReady(name=name, ready=True)


@router.get(
    "/models/{name}/config",
    operation_id="get_model_config",
    summary="A model's configuration",
    response_model=ModelConfig,
    responses={200: ok("How it is served."), **problems("not-found", "unavailable")},
)
async def model_config(lab: LabDep, name: NetworkName) -> ModelConfig:
    """What load generators of this protocol ask first: datatypes and shapes, and that no size of a batch is hidden."""
    return await _config(lab, name, None)


@router.get(
    "/models/{name}/versions/{version}/config",
    operation_id="get_model_version_config",
    summary="A version's configuration",
    response_model=ModelConfig,
    responses={200: ok("How it is served."), **problems("not-found", "unavailable")},
)
async def model_version_config(lab: LabDep, name: NetworkName, version: VersionPath) -> ModelConfig:
    """As above, of one revision."""
    return await _config(lab, name, version)


@router.get(
    "/models/{name}/stats",
    operation_id="get_model_statistics",
    summary="A model's statistics",
    response_model=ModelStatisticsList,
    responses={200: ok("What was counted."), **problems("not-found")},
)
async def model_statistics(lab: LabDep, name: NetworkName) -> Response:
    """An entry for each revision that was run by this protocol, and one for the newest."""
    return reply_of_json({"model_stats": await inference.statistics(lab, name, None)})


@router.get(
    "/models/{name}/versions/{version}/stats",
    operation_id="get_model_version_statistics",
    summary="A version's statistics",
    response_model=ModelStatisticsList,
    responses={200: ok("What was counted."), **problems("not-found")},
)
async def model_version_statistics(lab: LabDep, name: NetworkName, version: VersionPath) -> Response:
    """As above, of one revision."""
    return reply_of_json({"model_stats": await inference.statistics(lab, name, version)})


class _HandedOn(Response):
    """A response that is the raw application."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await infer_app(scope, receive, send)


_BINARY: dict[str, Any] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_INFER_RESPONSES: Responses = {
    200: ok("What came out.", INFER_REPLY, **_BINARY),
    **problems(*INFER_PROBLEMS),
}


@router.post(
    "/models/{name}/infer",
    operation_id="run_model",
    summary="Run a model",
    response_model=InferenceReply,
    responses=_INFER_RESPONSES,
    openapi_extra=INFER,
)
async def infer(name: NetworkName) -> Response:  # noqa: ARG001  # it stands in the path
    """Runs a network. Inputs in JSON or raw behind it, outputs as they are asked for (`binary_data`); gzip and deflate
    bodies are read. Clients of the protocol (tritonclient, KServe's) work as they are."""
    return _HandedOn()


@router.post(
    "/models/{name}/versions/{version}/infer",
    operation_id="run_model_version",
    summary="Run a version of a model",
    response_model=InferenceReply,
    responses=_INFER_RESPONSES,
    openapi_extra=INFER,
)
async def infer_version(name: NetworkName, version: VersionPath) -> Response:  # noqa: ARG001  # they stand in the path
    """As above, at one revision."""
    return _HandedOn()


@router.post(
    "/repository/index",
    operation_id="list_repository",
    summary="List the repository",
    response_model=list[IndexEntry],
    responses={200: ok("All models with their newest version."), **problems()},
)
async def index(lab: LabDep) -> Response:
    """All networks; each is ready."""
    entries = [
        {"name": name, "version": str(revision), "state": "READY", "reason": ""}
        for name, revision in await inference.list_models(lab)
    ]
    return reply_of_json(entries)


@router.post(
    "/repository/models/{name}/load",
    operation_id="load_model",
    summary="Load a model",
    response_model=dict[str, Any],
    responses={200: ok("It is loaded.", {}), **problems("not-found", "limit-exceeded", "unavailable")},
)
async def load(lab: LabDep, name: NetworkName) -> Response:
    """Brings a network to its device, so that the first request finds it there."""
    await inference.load(lab, name)
    return reply_of_json({})


@router.post(
    "/repository/models/{name}/unload",
    operation_id="unload_model",
    summary="Unload a model",
    response_model=dict[str, Any],
    responses={200: ok("Its memory is free.", {}), **problems("not-found", "unavailable")},
)
async def unload(lab: LabDep, name: NetworkName) -> Response:
    """Gives a network's memory back. It stays ready: the next request brings it in again."""
    await inference.unload(lab, name)
    return reply_of_json({})


async def _metadata(lab: Lab, name: str, version: str | None) -> ModelMetadata:
    network = await inference.find_model(lab, name, version)
    inputs, outputs = await _tensors(lab, network)
    versions = await inference.find_versions(lab, network)
    return ModelMetadata(name=name, versions=versions, platform=PLATFORM, inputs=inputs, outputs=outputs)


async def _config(lab: Lab, name: str, version: str | None) -> ModelConfig:
    inputs, outputs = await _tensors(lab, await inference.find_model(lab, name, version))
    return ModelConfig(
        name=name,
        platform=PLATFORM,
        backend=PLATFORM,
        max_batch_size=0,
        input=[_configured(tensor) for tensor in inputs],
        output=[_configured(tensor) for tensor in outputs],
    )


def _configured(tensor: TensorMetadata) -> ConfiguredTensor:
    return ConfiguredTensor(name=tensor.name, data_type=f"TYPE_{tensor.datatype}", dims=tensor.shape)


async def _tensors(lab: Lab, network: NetworkRef) -> tuple[list[TensorMetadata], list[TensorMetadata]]:
    found = await inference.find_signature(lab, network)
    outputs = [TensorSpec("output", None, None)] if found.outputs is None else found.outputs
    return [_tensor(spec, network.dtype) for spec in found.inputs], [_tensor(spec, network.dtype) for spec in outputs]


def _tensor(spec: TensorSpec, otherwise: str) -> TensorMetadata:
    datatype = DATATYPES.get(spec.dtype or otherwise, DATATYPES[otherwise])
    return TensorMetadata(name=spec.name, datatype=datatype, shape=[-1] if spec.shape is None else spec.shape)
