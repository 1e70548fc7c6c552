"""Networks: making, finding, listing, renaming, placing and deleting them."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Request, Response

from app.api.deps import IfMatchDep, LabDep, NetworkName, PageDep, RetryDep
from app.api.documentation import ok, problems, with_nulls
from app.api.json_route import JsonRoute
from app.api.replies import answer_created, reply_of_answer, reply_of_model, reply_of_page
from app.api.routes.architectures import ARCHITECTURE_PROBLEMS
from app.api.schemas.architectures import MLP
from app.api.schemas.networks import (
    Batching,
    ChangedNetwork,
    Network,
    NetworkLinks,
    NetworkPage,
    NewClone,
    NewDevice,
    NewNetwork,
    Retention,
)
from app.db.networks import NetworkRow, NetworkSummary
from app.errors import in_place, pointer_to
from app.messages import Batching as Settings
from app.services.moving import place_network
from app.services.networks import (
    BatchingChange,
    CloneRequest,
    Initialization,
    NetworkRequest,
    change_network,
    clone_network,
    create_network,
    delete_network,
    find_network,
    list_networks,
)
from app.services.networks import Retention as Keep

router = APIRouter(prefix="/v1/networks", tags=["Networks"], route_class=JsonRoute)

EXAMPLES = {
    "mlp": {
        "summary": "A block of one's own: hidden layer, relu, output layer",
        "value": {"name": "mlp", "architecture": MLP, "seed": 7, "labels": {"chapter": "5.1"}},
    },
    "sequence": {
        "summary": "A list of layers; `net.0.weight` and so on, as in PyTorch",
        "value": {"name": "net", "architecture": ["Linear(20, 256)", "ReLU()", "Linear(256, 10)"], "seed": 7},
    },
    "unnamed": {"summary": "The shortest; a name is made up", "value": {"architecture": "Linear(4, 2)"}},
}
EXAMPLE: dict[str, Any] = {
    "name": "mlp",
    "revision": 1,
    "device": "cpu:0",
    "dtype": "float32",
    "parameter_count": 7946,
    "parameter_bytes": 31784,
    "labels": {"chapter": "5.1"},
    "retention": None,
    "batching": None,
    "seed": 7,
    "inputs": ["X"],
    "created_at": "2026-01-31T12:00:00.123456Z",
    "updated_at": "2026-01-31T12:00:00.123456Z",
    "links": {
        "self": "/v1/networks/mlp",
        "architecture": "/v1/networks/mlp/architecture",
        "modules": "/v1/networks/mlp/modules",
        "parameters": "/v1/networks/mlp/parameters",
        "forward": "/v1/networks/mlp/forward",
        "revisions": "/v1/networks/mlp/revisions",
    },
}
SEEDS = range(-(2**63), 2**64)
NetworkToDelete = Annotated[
    str, Path(description="The network's name.", openapi_examples={"copy": {"value": "mlp-copy"}})
]


def network_of(row: NetworkRow | NetworkSummary) -> Network:
    path = path_of(row.name)
    return Network(
        name=row.name,
        revision=row.head_revision,
        device=row.device,
        dtype=row.dtype,
        parameter_count=row.parameter_count,
        parameter_bytes=row.parameter_bytes,
        labels=dict(row.labels),
        retention=None if row.keep_last is None else Retention(keep_last=row.keep_last),
        batching=_batching(row),
        seed=row.seed,
        inputs=row.inputs,
        created_at=row.created_at,
        updated_at=row.updated_at,
        links=NetworkLinks(
            self=path,
            architecture=f"{path}/architecture",
            modules=f"{path}/modules",
            parameters=f"{path}/parameters",
            forward=f"{path}/forward",
            revisions=f"{path}/revisions",
        ),
    )


def _batching(row: NetworkRow | NetworkSummary) -> Batching | None:
    if row.batch_size is None or row.batch_wait_ms is None:
        return None
    return Batching(max_size=row.batch_size, max_wait_ms=row.batch_wait_ms)


def path_of(name: str) -> str:
    return f"/v1/networks/{name}"


@router.post(
    "",
    operation_id="create_network",
    summary="Make a network",
    status_code=201,
    response_model=Network,
    responses={
        201: ok("The network.", EXAMPLE, headers=("Location", "ETag")),
        **problems(
            "name-taken",
            "in-flight",
            *ARCHITECTURE_PROBLEMS,
            "bad-request",
            "unknown-device",
            "idempotency-key-reused",
            "storage-full",
        ),
    },
)
async def create(
    lab: LabDep, body: Annotated[NewNetwork, Body(openapi_examples=with_nulls(EXAMPLES))], retry: RetryDep
) -> Response:
    """Builds a network from its architecture and keeps it, with PyTorch's own first values. With a `seed` these are the
    very numbers that `torch.manual_seed(seed)` and the same classes give. `init` holds rules of initialisation, which
    run after these are drawn."""
    wanted = NetworkRequest(
        architecture=body.architecture,
        name=body.name,
        seed=body.seed,
        device=body.device,
        dtype=body.dtype,
        labels=body.labels,
        fallback=body.fallback,
        init=_initialization(body.init),
    )
    answer = await create_network(
        lab, wanted, retry, lambda row: answer_created(network_of(row), path_of(row.name), row.head_revision)
    )
    return reply_of_answer(answer)


def _initialization(init: object) -> Initialization | None:
    """Rules as a list, or as an object with a seed of their own."""
    if init is None:
        return None
    if isinstance(init, list):
        return Initialization(init, None, "/init")
    if not isinstance(init, dict):
        raise in_place("/init", "`init` is a list of rules, or an object of `rules` and a `seed`.", code="bad-request")
    for key in init:
        if key not in ("rules", "seed"):
            raise in_place(
                pointer_to("init", key), f"`init` has no {key[:60]!r}; it has rules, seed.", code="unknown-key"
            )
    seed = init.get("seed")
    if seed is not None and not (type(seed) is int and seed in SEEDS):
        raise in_place("/init/seed", "`seed` is an integer of 64 bits.", code="bad-request")
    return Initialization(init.get("rules"), seed, "/init/rules")


@router.get(
    "",
    operation_id="list_networks",
    summary="List the networks",
    response_model=NetworkPage,
    responses={
        200: ok("A page of networks.", {"items": [EXAMPLE], "next_page_token": None}, headers=("Link",)),
        **problems("malformed", "invalid-request"),
    },
)
async def list_page(lab: LabDep, page: PageDep, request: Request) -> Response:
    """Networks in the order of their names."""
    rows = await list_networks(lab, after=page.after, limit=page.limit)

    def make(shown: Sequence[NetworkSummary], token: str | None) -> Response:
        return reply_of_model(NetworkPage(items=[network_of(row) for row in shown], next_page_token=token))

    return reply_of_page(request, page, rows, lambda row: row.name, make)


@router.post(
    "/{name}/clone",
    operation_id="clone_network",
    summary="Clone a network",
    status_code=201,
    response_model=Network,
    responses={
        201: ok("The new network.", {**EXAMPLE, "name": "mlp-copy"}, headers=("Location", "ETag")),
        **problems(
            "malformed",
            "not-found",
            "name-taken",
            "stale-revision",
            "in-flight",
            "invalid-request",
            "unknown-key",
            "bad-name",
            "unknown-device",
            "idempotency-key-reused",
            "storage-full",
        ),
    },
)
async def clone(
    lab: LabDep,
    name: NetworkName,
    body: Annotated[NewClone, Body(openapi_examples={"copy": {"value": {"name": "mlp-copy"}}})],
    retry: RetryDep,
    if_match: IfMatchDep,
) -> Response:
    """Makes a network that begins as this one is, at its newest revision or at another. No tensor is copied; ties and
    constants stay as they are. From then on the two change independently."""
    wanted = CloneRequest(
        name=body.name,
        revision=body.revision,
        device=body.device,
        labels=body.labels,
        fallback=body.fallback,
        if_match=if_match,
    )
    answer = await clone_network(
        lab, name, wanted, retry, lambda row: answer_created(network_of(row), path_of(row.name), row.head_revision)
    )
    return reply_of_answer(answer)


@router.get(
    "/{name}",
    operation_id="get_network",
    summary="Look up one network",
    response_model=Network,
    responses={200: ok("The network.", EXAMPLE, headers=("ETag",)), **problems("not-found")},
)
async def get(lab: LabDep, name: NetworkName) -> Response:
    """What a network is: its size, its place, its revision, and where to find the rest."""
    row = await find_network(lab, name)
    return reply_of_model(network_of(row), tag=row.head_revision)


@router.patch(
    "/{name}",
    operation_id="update_network",
    summary="Rename a network, change its labels, what it keeps or how it batches",
    response_model=Network,
    responses={
        200: ok("The network, changed.", EXAMPLE, headers=("ETag",)),
        **problems(
            "malformed",
            "not-found",
            "conflict",
            "name-taken",
            "stale-revision",
            "invalid-request",
            "unknown-key",
            "bad-name",
            "not-row-wise",
        ),
    },
)
async def update(
    lab: LabDep,
    name: NetworkName,
    body: Annotated[
        ChangedNetwork,
        Body(
            openapi_examples={
                "labels": {"value": {"labels": {"chapter": "5.1", "kept": "yes"}}},
                "retention": {"summary": "Keep the newest revisions", "value": {"retention": {"keep_last": 100}}},
                "batching": {
                    "summary": "Let requests share runs",
                    "value": {"batching": {"max_size": 32, "max_wait_ms": 2}},
                },
            }
        ),
    ],
    if_match: IfMatchDep,
) -> Response:
    """Changes what is written of a network; its tensors and its revision stay. With `retention` older revisions go,
    now and with each new one, but for those with a tag. With `batching` forwards that come together share a run, where
    the network is proven to keep the rows of a batch apart; `not-row-wise` names what does not."""
    retention = None
    if "retention" in body.model_fields_set:
        retention = Keep(None if body.retention is None else body.retention.keep_last)
    batching = None
    if "batching" in body.model_fields_set:
        wanted = body.batching
        batching = BatchingChange(None if wanted is None else Settings(wanted.max_size, wanted.max_wait_ms))
    row = await change_network(
        lab,
        name,
        new_name=body.name,
        labels=body.labels,
        retention=retention,
        batching=batching,
        if_match=if_match,
    )
    return reply_of_model(network_of(row), tag=row.head_revision)


@router.delete(
    "/{name}",
    operation_id="delete_network",
    summary="Delete a network",
    status_code=204,
    responses={204: {"description": "It is gone."}, **problems("malformed", "not-found", "stale-revision")},
)
async def delete(lab: LabDep, name: NetworkToDelete, if_match: IfMatchDep) -> Response:
    """Deletes a network with all its revisions. Other networks keep what they share with it."""
    await delete_network(lab, name, if_match)
    return Response(status_code=204)


@router.get(
    "/{name}/architecture",
    operation_id="get_architecture",
    summary="Read a network's architecture",
    response_model=Any,
    responses={
        200: {
            "description": "The architecture.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Architecture"}, "example": MLP}},
        },
        **problems("not-found", "invalid-request"),
    },
)
async def get_architecture(
    lab: LabDep,
    name: NetworkName,
    original: Annotated[bool, Query(description="As it was sent, in place of the resolved form.")] = False,
) -> Response:
    """The resolved architecture: it needs no library of blocks, and makes the same network again."""
    row = await find_network(lab, name)
    body = row.original if original else row.resolved
    return Response(body, media_type="application/json")


@router.put(
    "/{name}/device",
    operation_id="place_network",
    summary="Move a network to a device",
    response_model=Network,
    responses={
        200: ok("The network, placed.", EXAMPLE, headers=("ETag",)),
        **problems(
            "malformed",
            "not-found",
            "conflict",
            "stale-revision",
            "invalid-request",
            "unknown-device",
            "limit-exceeded",
            "busy",
            "unavailable",
            "worker-died",
            "deadline-exceeded",
        ),
    },
)
async def place(
    lab: LabDep,
    name: NetworkName,
    body: Annotated[NewDevice, Body(openapi_examples={"cpu": {"value": {"device": "cpu", "fallback": True}}})],
    if_match: IfMatchDep,
) -> Response:
    """Moves a network, as `net.to(device)` does: its tensors are brought there, forwards run there from now on, and the
    memory that it had is free. With `fallback` a CPU stands in for a device that is not there."""
    row = await place_network(lab, name, body.device, fallback=body.fallback, if_match=if_match)
    return reply_of_model(network_of(row), tag=row.head_revision)
