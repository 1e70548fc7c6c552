"""A network as a file of plain PyTorch."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic.json_schema import SkipJsonSchema

from app.api.deps import LabDep, NetworkName
from app.api.documentation import SAVES_AS, ok, problems
from app.api.json_route import JsonRoute
from app.api.replies import reply_of_encoded
from app.services.sources import write_source

router = APIRouter(prefix="/v1/networks/{name}/code", tags=["Files"], route_class=JsonRoute)

PYTHON: dict[str, Any] = {
    "text/x-python": {
        "schema": {"type": "string", "description": "A Python module."},
        "example": "import torch\nfrom torch import nn\n\n\nclass MLP(nn.Module):\n    ...\n",
    }
}


@router.get(
    "",
    operation_id="get_code",
    summary="Write a network as Python",
    response_class=Response,
    responses={200: ok("The file.", headers=("ETag",), **PYTHON), **problems("not-found", "unavailable")},
    openapi_extra={SAVES_AS: "mlp.py"},
)
async def get(
    lab: LabDep,
    name: NetworkName,
    revision: Annotated[
        int | SkipJsonSchema[None], Query(ge=1, le=2**53, description="With what it trains at this revision.")
    ] = None,
) -> Response:
    """One Python file that rebuilds the network without this service: plain PyTorch, with `build()` for first values
    and `load(file)` for the state that `GET .../state_dict` gives. It computes the same numbers."""
    encoded, number = await write_source(lab, name, revision)
    reply = reply_of_encoded(encoded, number)
    reply.headers["content-disposition"] = f'attachment; filename="{name}.py"'
    return reply
