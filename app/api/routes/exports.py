"""A network in formats of others."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic.json_schema import SkipJsonSchema

from app.api.deps import AcceptHeader, FormatQuery, LabDep, NetworkName
from app.api.documentation import SAVES_AS, ok, problems
from app.api.input_shapes import InputShapesQuery, specs_in_query
from app.api.json_route import JsonRoute
from app.api.negotiation import ONNX, choose
from app.api.replies import reply_of_encoded
from app.services.exports import export_network

router = APIRouter(prefix="/v1/networks/{name}/export", tags=["Files"], route_class=JsonRoute)

CONTENT: dict[str, Any] = {ONNX: {"schema": {"type": "string", "format": "binary", "description": "An ONNX file."}}}


@router.get(
    "",
    operation_id="export_network",
    summary="Export a network as ONNX",
    response_class=Response,
    responses={
        200: ok("The file.", headers=("ETag",), **CONTENT),
        **problems(
            "not-found",
            "not-acceptable",
            "not-exportable",
            "missing-input",
            "unknown-name",
            "bad-query",
            "shape-mismatch",
            "bad-arguments",
            "limit-exceeded",
            "busy",
            "unavailable",
            "deadline-exceeded",
        ),
    },
    openapi_extra={SAVES_AS: "mlp.onnx"},
)
async def export(
    lab: LabDep,
    name: NetworkName,
    input_shapes: InputShapesQuery = None,
    dynamic: Annotated[
        bool, Query(description="Whether the first size of each input, that of the batch, may be any.")
    ] = True,
    revision: Annotated[
        int | SkipJsonSchema[None], Query(ge=1, le=2**53, description="At this revision in place of the newest.")
    ] = None,
    format_name: FormatQuery = None,
    accept: AcceptHeader = None,
) -> Response:
    """The network with its parameters as an ONNX file (`?format=onnx`), for inputs of these shapes; without any, shapes
    are taken from its layers. A forward that decides by values, or calls what ONNX has no operator for, is refused with
    the place."""
    choose(accept, format_name, (ONNX, "application/octet-stream"))
    encoded, number = await export_network(
        lab, name, input_shapes=specs_in_query(input_shapes), dynamic=dynamic, revision=revision
    )
    reply = reply_of_encoded(encoded, number)
    reply.headers["content-disposition"] = f'attachment; filename="{name}.onnx"'
    return reply
