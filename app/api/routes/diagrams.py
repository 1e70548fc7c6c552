"""A network as a picture."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic.json_schema import SkipJsonSchema

from app.api.deps import AcceptHeader, FormatQuery, LabDep, NetworkName
from app.api.documentation import ok, picture_contents, problems
from app.api.input_shapes import InputShapesQuery, specs_in_query
from app.api.json_route import JsonRoute
from app.api.negotiation import MERMAID, SVG, TEXT, choose
from app.api.replies import reply_of_encoded
from app.services.diagrams import draw_network

router = APIRouter(prefix="/v1/networks/{name}/diagram", tags=["Modules"], route_class=JsonRoute)


@router.get(
    "",
    operation_id="draw_network",
    summary="Draw a network",
    response_class=Response,
    responses={
        200: ok("The drawing.", headers=("ETag",), **picture_contents(SVG, MERMAID)),
        **problems(
            "not-found",
            "not-acceptable",
            "bad-query",
            "invalid-request",
            "shape-mismatch",
            "bad-arguments",
            "unavailable",
            "deadline-exceeded",
        ),
    },
)
async def draw(
    lab: LabDep,
    name: NetworkName,
    path: Annotated[str, Query(max_length=4096, description="Only the module at this path.")] = "",
    depth: Annotated[
        int | SkipJsonSchema[None], Query(ge=1, le=64, description="How many modules deep; by default all that fit.")
    ] = None,
    input_shapes: InputShapesQuery = None,
    format_name: FormatQuery = None,
    accept: AcceptHeader = None,
) -> Response:
    """Modules inside modules, and in each the way that values take through its forward: the calls of children and
    functions, loops and branches, parameters and constants where they are used. A module that stands in several
    places is drawn once and named at the others. With `input_shapes` the edges say which shapes go along them. As SVG,
    or as text for Mermaid (`?format=mermaid`). Equal neighbours are drawn as one, and what is too large to a smaller
    depth; the picture says so."""
    wanted = choose(accept, format_name, (SVG, MERMAID, TEXT))
    encoded, revision = await draw_network(
        lab,
        name,
        path=path,
        depth=depth,
        input_shapes=specs_in_query(input_shapes),
        media_type=SVG if wanted == SVG else MERMAID,
    )
    reply = reply_of_encoded(encoded, revision)
    if wanted == TEXT:
        reply.headers["content-type"] = "text/plain; charset=utf-8"
    return reply
