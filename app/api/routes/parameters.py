"""Parameters and buffers of a network: their list, and one with its value."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Response
from pydantic.json_schema import SkipJsonSchema

from app.api.deps import AcceptHeader, FormatQuery, LabDep, NetworkName
from app.api.documentation import binary_contents, ok, problems
from app.api.json_route import JsonRoute
from app.api.negotiation import JSON, NPY, NPZ, PT, SAFETENSORS, choose
from app.api.replies import reply_of_encoded, reply_of_model
from app.api.schemas.networks import Parameter, ParameterList, ParameterWithValue
from app.messages import NetworkRef, ParameterInfo
from app.services.parameters import list_parameters, read_parameter

router = APIRouter(prefix="/v1/networks/{name}/parameters", tags=["Parameters"], route_class=JsonRoute)

OFFERED = (JSON, NPY, SAFETENSORS, NPZ, PT)
EXAMPLE = {
    "name": "out.bias",
    "kind": "parameter",
    "dtype": "float32",
    "shape": [10],
    "device": "cpu:0",
    "requires_grad": True,
    "tied_to": [],
    "grad": None,
    "index": ":2",
    "value": {"dtype": "float32", "shape": [2], "data": [0.0298, -0.0514]},
    "revision": 1,
}
ParameterPath = Annotated[
    str,
    Path(
        description="Its name in `state_dict`, percent-encoded, or with positions: `[0][1][0].bias`.",
        openapi_examples={"out.bias": {"value": "out.bias"}},
    ),
]
MAX_INDEX = 1_000


@router.get(
    "",
    operation_id="list_parameters",
    summary="List the parameters",
    response_model=ParameterList,
    responses={200: ok("Parameters, then buffers.", headers=("ETag",)), **problems("not-found", "unavailable")},
)
async def list_all(
    lab: LabDep,
    name: NetworkName,
    prefix: Annotated[
        str | SkipJsonSchema[None], Query(max_length=4096, description="Only those of the module at this path.")
    ] = None,
) -> Response:
    """Parameters and buffers in PyTorch's order and under PyTorch's names; a tied one once, with its other names."""
    found, network = await list_parameters(lab, name, prefix)
    reply = ParameterList(items=[_parameter(name, network, info) for info in found.items], revision=network.revision)
    return reply_of_model(reply, tag=network.revision)


def _parameter(name: str, network: NetworkRef, info: ParameterInfo) -> Parameter:
    return Parameter(
        name=info.name,
        kind=info.kind,
        shape=info.shape,
        dtype=info.dtype,
        device=network.device,
        requires_grad=info.requires_grad,
        tied_to=info.tied_to,
        link=f"/v1/networks/{name}/parameters/{quote(info.name, safe='')}",
    )


@router.get(
    "/{parameter:path}",
    operation_id="get_parameter",
    summary="Read one parameter",
    response_model=ParameterWithValue,
    responses={
        200: ok("The parameter.", EXAMPLE, headers=("ETag",), **binary_contents(NPY, SAFETENSORS, NPZ, PT)),
        **problems("not-found", "not-acceptable", "bad-index", "unavailable", "deadline-exceeded"),
    },
)
async def get(
    lab: LabDep,
    name: NetworkName,
    parameter: ParameterPath,
    index: Annotated[
        str | SkipJsonSchema[None],
        Query(max_length=MAX_INDEX, description="A NumPy basic index as text: `0, :` or `..., ::2`."),
    ] = None,
    format_name: FormatQuery = None,
    accept: AcceptHeader = None,
) -> Response:
    """One parameter or buffer with its value, or with the part of it that `index` takes. In a binary format the reply
    is the value alone."""
    media_type = choose(accept, format_name, OFFERED)
    encoded, revision = await read_parameter(lab, name, parameter, index=index, media_type=media_type)
    return reply_of_encoded(encoded, revision)
