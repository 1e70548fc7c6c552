"""What the language, the architectures and training may use."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from app.api.deps import BoundedPageDep, LabDep
from app.api.documentation import ok, problems
from app.api.json_route import JsonRoute
from app.api.paging import Page
from app.api.replies import reply_of_counted_page, reply_of_json
from app.api.schemas.catalog import (
    FunctionEntry,
    FunctionPage,
    InitializerPage,
    LayerEntry,
    LayerPage,
    OptimizerPage,
)
from app.services.catalog import find_in_catalog, read_catalog

router = APIRouter(prefix="/v1/catalog", tags=["Catalog"], route_class=JsonRoute)

LayerName = Annotated[str, Path(description="A layer of torch.nn.", openapi_examples={"Linear": {"value": "Linear"}})]
FunctionName = Annotated[
    str, Path(description="A function, under any of its spellings.", openapi_examples={"relu": {"value": "relu"}})
]


def _page(request: Request, page: Page, items: list[dict[str, Any]]) -> Response:
    def make(shown: Sequence[dict[str, Any]], token: str | None) -> Response:
        return reply_of_json({"items": shown, "next_page_token": token})

    return reply_of_counted_page(request, page, page.cut(items), make)


@router.get(
    "/layers",
    operation_id="list_layers",
    summary="List the layers",
    response_model=LayerPage,
    responses={
        200: ok("All of torch.nn; one that cannot be described in JSON says why.", headers=("Link",)),
        **problems("malformed", "invalid-request", "unavailable"),
    },
)
async def list_layers(lab: LabDep, page: BoundedPageDep, request: Request) -> Response:
    """Every layer that an architecture may name, with its signature and the schema of its arguments, from PyTorch."""
    return _page(request, page, (await read_catalog(lab, "layers")).items)


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
    response_model=FunctionPage,
    responses={
        200: ok("Every function that may be called.", headers=("Link",)),
        **problems("malformed", "invalid-request", "unavailable"),
    },
)
async def list_functions(lab: LabDep, page: BoundedPageDep, request: Request) -> Response:
    """Every function of the language: what it may be called as, its signature, and the schema of its arguments."""
    return _page(request, page, (await read_catalog(lab, "functions")).items)


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
    response_model=InitializerPage,
    responses={
        200: ok("The functions of torch.nn.init.", headers=("Link",)),
        **problems("malformed", "invalid-request", "unavailable"),
    },
)
async def list_initializers(lab: LabDep, page: BoundedPageDep, request: Request) -> Response:
    """Every function of `torch.nn.init` that may give a parameter its first values."""
    return _page(request, page, (await read_catalog(lab, "initializers")).items)


@router.get(
    "/optimizers",
    operation_id="list_optimizers",
    summary="List the optimizers",
    response_model=OptimizerPage,
    responses={
        200: ok("The optimizers of torch.optim.", headers=("Link",)),
        **problems("malformed", "invalid-request", "unavailable"),
    },
)
async def list_optimizers(lab: LabDep, page: BoundedPageDep, request: Request) -> Response:
    """Every optimizer that a training may use, with its arguments."""
    return _page(request, page, (await read_catalog(lab, "optimizers")).items)


@router.get(
    "/schedulers",
    operation_id="list_schedulers",
    summary="List the schedulers",
    response_model=OptimizerPage,
    responses={
        200: ok("The schedulers of torch.optim.lr_scheduler.", headers=("Link",)),
        **problems("malformed", "invalid-request", "unavailable"),
    },
)
async def list_schedulers(lab: LabDep, page: BoundedPageDep, request: Request) -> Response:
    """Every scheduler of the learning rate, with its arguments; `every` says after what it goes on unless told."""
    return _page(request, page, (await read_catalog(lab, "schedulers")).items)
