"""Artifacts: tensors saved under a name, one, a list or a dict."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema

from app.api.bodies import header
from app.api.deps import AcceptHeader, FormatQuery, IfMatchDep, IfThereDep, LabDep, PageDep
from app.api.documentation import binary_contents, ok, problems
from app.api.json_route import JsonRoute
from app.api.negotiation import JSON, NPY, NPZ, PT, SAFETENSORS, choose
from app.api.preconditions import etag_of
from app.api.replies import reply_of_model, reply_of_page
from app.api.routes.states import FORMAT_OF
from app.api.schemas.states import Artifact, ArtifactPage, ArtifactTensor, SavedArtifact
from app.api.schemas.tensors import Tensor
from app.api.streams import StreamedFile, stream_body
from app.db.artifacts import ArtifactRow
from app.services.artifacts import (
    check_artifact,
    delete_artifact,
    find_artifact,
    list_artifacts,
    receive_artifact_file,
    save_artifact,
    tag_of,
)
from app.services.downloads import plan_tensor_file, write_json
from app.services.uploads import Received, as_kind
from app.tensors.media_types import format_of_body

router = APIRouter(prefix="/v1/artifacts", tags=["Files"], route_class=JsonRoute)

OFFERED = (JSON, SAFETENSORS, NPY, NPZ, PT)
TENSORS_SHOWN = 1_000
EXAMPLES = {
    "tensor": {"summary": "One tensor", "value": [[0, 1, 2, 3]]},
    "list": {
        "summary": "A list of tensors",
        "value": [{"data": [0, 1, 2, 3]}, {"dtype": "float64", "data": [0, 0, 0, 0]}],
    },
    "dict": {
        "summary": "A dict of tensors",
        "value": {"x": {"data": [0, 1, 2, 3]}, "y": {"dtype": "int64", "data": [0, 0]}},
    },
}
REQUEST_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "anyOf": [
                    {"$ref": "#/components/schemas/TensorToRead"},
                    {"$ref": "#/components/schemas/TensorData"},
                    {"type": "array", "items": {"$ref": "#/components/schemas/TensorToRead"}},
                    {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/TensorToRead"}},
                ]
            },
            "examples": EXAMPLES,
        },
        **binary_contents(SAFETENSORS, NPY, NPZ, PT),
    },
}
ArtifactName = Annotated[
    str, Path(alias="name", description="The artifact's name.", openapi_examples={"x-file": {"value": "x-file"}})
]


def artifact_of(row: ArtifactRow) -> Artifact:
    return Artifact(
        name=row.name,
        kind=row.kind,
        tensor_count=row.tensor_count,
        byte_count=row.byte_count,
        created_at=row.created_at,
        updated_at=row.updated_at,
        links={"self": path_of(row.name)},
    )


def path_of(name: str) -> str:
    return f"/v1/artifacts/{name}"


def _saved(row: ArtifactRow, received: Received) -> SavedArtifact:
    shown = list(received.tensors.items())[:TENSORS_SHOWN]
    tensors = [ArtifactTensor(name=name, dtype=tensor.dtype, shape=list(tensor.shape)) for name, tensor in shown]
    return SavedArtifact(**artifact_of(row).model_dump(), tensors=tensors)


@router.put(
    "/{name}",
    operation_id="save_artifact",
    summary="Save tensors",
    response_model=SavedArtifact,
    responses={
        200: ok("The artifact, in place of the one before.", headers=("ETag",)),
        201: {**ok("The artifact, new.", headers=("Location", "ETag")), "model": SavedArtifact},
        **problems(
            "malformed",
            "stale-revision",
            "too-large",
            "unsupported-media-type",
            "bad-name",
            "bad-tensor",
            "unknown-key",
            "limit-exceeded",
            "busy",
            "unavailable",
            "deadline-exceeded",
            "storage-full",
        ),
    },
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def save(
    lab: LabDep,
    name: ArtifactName,
    request: Request,
    if_match: IfMatchDep,
    if_there: IfThereDep,
    kind: Annotated[
        Literal["tensor", "list", "dict"] | SkipJsonSchema[None],
        Query(description="What a file of named tensors is: a dict, a list (of `0`, `1`, ...), or one tensor."),
    ] = None,
) -> Response:
    """As `torch.save(x, name)`, of one tensor, a list or a dict. JSON, `.npy`, `.npz`, safetensors and `.pt` are read;
    safetensors, `.npz` and `.pt` of any size stream."""
    await check_artifact(lab, name, if_match, if_there=if_there)
    format_name = format_of_body(header(request.scope["headers"], b"content-type") or "")
    body = stream_body(request, lab.settings.upload_bytes)
    received = as_kind(await receive_artifact_file(lab, body, format_name), kind)
    row, is_new = await save_artifact(lab, name, received, if_match, if_there=if_there)
    reply = reply_of_model(_saved(row, received), tag=tag_of(row), status=201 if is_new else 200)
    if is_new:
        reply.headers["location"] = path_of(name)
    return reply


@router.get(
    "/{name}",
    operation_id="load_artifact",
    summary="Load tensors",
    response_model=Tensor | list[Tensor] | dict[str, Tensor],
    responses={
        200: ok(
            "What was saved: a tensor, a list or an object of them by name.",
            {"x": {"dtype": "float32", "shape": [4], "data": [0.0, 1.0, 2.0, 3.0]}},
            headers=("ETag",),
            **binary_contents(SAFETENSORS, NPY, NPZ, PT),
        ),
        206: ok("The part of a safetensors or .npy file that `Range` asks for.", **binary_contents(SAFETENSORS, NPY)),
        **problems("not-found", "not-acceptable", "range-not-satisfiable", "damaged-data", "unavailable"),
    },
)
async def load(
    lab: LabDep, name: ArtifactName, request: Request, format_name: FormatQuery = None, accept: AcceptHeader = None
) -> Response:
    """As `torch.load(name)`. Every format is offered, whatever it was saved in; `.pt` alone tells a list from a dict
    and holds every dtype. Binary formats stream."""
    media_type = choose(accept, format_name, OFFERED, pt=lab.settings.pt_files)
    row, tensors = await find_artifact(lab, name)
    etag = etag_of(tag_of(row))
    if media_type == JSON:
        encoded = await write_json(lab, row.manifest, tensors, row.kind)
        return Response(encoded.body, headers={"content-type": JSON, "etag": etag, "vary": "accept"})
    file = plan_tensor_file(lab, tensors, row.kind, FORMAT_OF[media_type])
    return StreamedFile(request, file, etag, filename=f"{name}.{FORMAT_OF[media_type]}")


@router.delete(
    "/{name}",
    operation_id="delete_artifact",
    summary="Delete saved tensors",
    status_code=204,
    responses={204: {"description": "They are gone."}, **problems("malformed", "not-found", "stale-revision")},
)
async def delete(lab: LabDep, name: ArtifactName, if_match: IfMatchDep) -> Response:
    """Deletes what was saved under a name. Networks that were loaded from it keep their tensors."""
    await delete_artifact(lab, name, if_match)
    return Response(status_code=204)


@router.get(
    "",
    operation_id="list_artifacts",
    summary="List saved tensors",
    response_model=ArtifactPage,
    responses={200: ok("A page of artifacts.", headers=("Link",)), **problems("malformed", "invalid-request")},
)
async def list_page(lab: LabDep, page: PageDep, request: Request) -> Response:
    """Artifacts in the order of their names."""
    rows = await list_artifacts(lab, after=page.after, limit=page.limit)

    def make(shown: Sequence[ArtifactRow], token: str | None) -> Response:
        return reply_of_model(ArtifactPage(items=[artifact_of(row) for row in shown], next_page_token=token))

    return reply_of_page(request, page, rows, lambda row: row.name, make)
