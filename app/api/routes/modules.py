"""The tree of a network's modules."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from app.api.deps import AcceptHeader, FormatQuery, LabDep, NetworkName
from app.api.documentation import ok, problems
from app.api.json_route import JsonRoute
from app.api.negotiation import JSON, TEXT, choose
from app.api.replies import reply_of_encoded
from app.api.schemas.networks import Module
from app.services.modules import list_modules

router = APIRouter(prefix="/v1/networks/{name}/modules", tags=["Modules"], route_class=JsonRoute)

EXAMPLE = {
    "path": "hidden",
    "type": "Linear",
    "repr": "Linear(in_features=20, out_features=256, bias=True)",
    "children": [],
    "parameters": [
        {"name": "weight", "shape": [256, 20], "dtype": "float32"},
        {"name": "bias", "shape": [256], "dtype": "float32"},
    ],
}
PRINTED = {
    "text/plain": {
        "schema": {"type": "string", "description": "What `print(net)` prints."},
        "example": "Linear(in_features=20, out_features=256, bias=True)\n",
    }
}
ModulePath = Annotated[
    str,
    Path(
        description="Names or positions from the network down: `hidden`, `0.block 1`, `[0][1]`.",
        openapi_examples={"hidden": {"value": "hidden"}},
    ),
]


@router.get(
    "",
    operation_id="list_modules",
    summary="Read the tree of modules",
    response_model=Module,
    responses={
        200: ok("The network's own module and those below.", headers=("ETag",), **PRINTED),
        **problems("not-found", "not-acceptable", "unavailable"),
    },
)
async def list_all(
    lab: LabDep, name: NetworkName, format_name: FormatQuery = None, accept: AcceptHeader = None
) -> Response:
    """The network as a tree of modules. As `text/plain` (or `?format=text`) it is what `print(net)` prints."""
    encoded, revision = await list_modules(lab, name, "", choose(accept, format_name, (JSON, TEXT)))
    return reply_of_encoded(encoded, revision)


@router.get(
    "/{path:path}",
    operation_id="get_module",
    summary="Read one module",
    response_model=Module,
    responses={
        200: ok("The module and those below.", EXAMPLE, headers=("ETag",), **PRINTED),
        **problems("not-found", "not-acceptable", "unavailable"),
    },
)
async def get(
    lab: LabDep, name: NetworkName, path: ModulePath, format_name: FormatQuery = None, accept: AcceptHeader = None
) -> Response:
    """One module by its path, by names or by positions, with those below it."""
    encoded, revision = await list_modules(lab, name, path, choose(accept, format_name, (JSON, TEXT)))
    return reply_of_encoded(encoded, revision)
