"""What the language and the architectures may use: layers, functions, initializers."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from app.api.deps import LabDep
from app.api.documentation import ok, problems
from app.api.json_route import JsonRoute
from app.api.replies import reply_of_json
from app.api.schemas.catalog import FunctionEntry, FunctionList, InitializerList, LayerEntry, LayerList
from app.services.catalog import find_in_catalog, read_catalog

router = APIRouter(prefix="/v1/catalog", tags=["Catalog"], route_class=JsonRoute)

LayerName = Annotated[str, Path(description="A layer of torch.nn.", openapi_examples={"Linear": {"value": "Linear"}})]
FunctionName = Annotated[
    str, Path(description="A function, under any of its spellings.", openapi_examples={"relu": {"value": "relu"}})
]


@router.get(
    "/layers",
    operation_id="list_layers",
    summary="List the layers",
    response_model=LayerList,
    responses={200: ok("All of torch.nn; one that cannot be described in JSON says why."), **problems("unavailable")},
)
async def list_layers(lab: LabDep) -> Response:
    """Every layer that an architecture may name, with its signature and the schema of its arguments, from PyTorch."""
    return reply_of_json({"items": (await read_catalog(lab, "layers")).items})


@router.get(
    "/layers/{type}",
    operation_id="get_layer",
    summary="Look up one layer",
    response_model=LayerEntry,
    responses={200: ok("The layer."), **problems("not-found", "unavailable")},
)
async def get_layer(lab: LabDep, type: LayerName) -> Response:  # noqa: A002  # the contract's word
    """One layer: its signature, the schema of its arguments, and what PyTorch says of it."""
    return reply_of_json(await find_in_catalog(lab, "layers", type))


@router.get(
    "/functions",
    operation_id="list_functions",
    summary="List the functions",
    response_model=FunctionList,
    responses={200: ok("Every function that may be called."), **problems("unavailable")},
)
async def list_functions(lab: LabDep) -> Response:
    """Every function of the language: what it may be called as, its signature, and the schema of its arguments."""
    return reply_of_json({"items": (await read_catalog(lab, "functions")).items})


@router.get(
    "/functions/{name}",
    operation_id="get_function",
    summary="Look up one function",
    response_model=FunctionEntry,
    responses={200: ok("The function."), **problems("not-found", "unavailable")},
)
async def get_function(lab: LabDep, name: FunctionName) -> Response:
    """One function, by any of its spellings: `relu`, `F.relu`, `torch.mm`."""
    return reply_of_json(await find_in_catalog(lab, "functions", name))


@router.get(
    "/initializers",
    operation_id="list_initializers",
    summary="List the initializers",
    response_model=InitializerList,
    responses={200: ok("The functions of torch.nn.init."), **problems("unavailable")},
)
async def list_initializers(lab: LabDep) -> Response:
    """Every function of `torch.nn.init` that may give a parameter its first values."""
    return reply_of_json({"items": (await read_catalog(lab, "initializers")).items})
