"""The library of named blocks."""

from collections.abc import Sequence
from typing import Annotated

import orjson
from fastapi import APIRouter, Body, Path, Request, Response

from app.api.deps import IfMatchDep, IfThereDep, LabDep, PageDep, RetryDep
from app.api.documentation import ok, problems, with_nulls
from app.api.json_route import JsonRoute
from app.api.replies import answer_created, reply_of_answer, reply_of_model, reply_of_page
from app.api.routes.architectures import ARCHITECTURE_PROBLEMS
from app.api.schemas.blocks import MY_LINEAR, Block, BlockDefinition, BlockPage, NewBlock
from app.db.blocks import BlockRow
from app.services.blocks import create_block, delete_block, find_block, list_blocks, replace_block, tag_of

router = APIRouter(prefix="/v1/blocks", tags=["Blocks"], route_class=JsonRoute)

EXAMPLES = {
    "my_linear": {"summary": "A layer with parameters", "value": {"name": "MyLinear", "definition": MY_LINEAR}},
    "centered": {
        "summary": "A layer without parameters",
        "value": {"name": "CenteredLayer", "definition": {"inputs": ["X"], "forward": ["return X - X.mean()"]}},
    },
}
PUT_EXAMPLES = {
    "my_linear": {"summary": "The same layer, its bias zero at first", "value": {"definition": {**MY_LINEAR}}},
}
BlockName = Annotated[str, Path(description="The block's name.", openapi_examples={"MyLinear": {"value": "MyLinear"}})]


def block_of(row: BlockRow) -> Block:
    return Block(
        name=row.name,
        definition=orjson.loads(row.definition),
        uses=row.uses,
        created_at=row.created_at,
        updated_at=row.updated_at,
        links={"self": path_of(row.name)},
    )


def path_of(name: str) -> str:
    return f"/v1/blocks/{name}"


@router.post(
    "",
    operation_id="create_block",
    summary="Register a block",
    status_code=201,
    response_model=Block,
    responses={
        201: ok("The block.", headers=("Location", "ETag")),
        **problems("name-taken", "in-flight", "idempotency-key-reused", *ARCHITECTURE_PROBLEMS),
    },
)
async def create(
    lab: LabDep, body: Annotated[NewBlock, Body(openapi_examples=with_nulls(EXAMPLES))], retry: RetryDep
) -> Response:
    """Gives a block a name, under which every architecture may use it: `"MyLinear(64, 8)"`. The definition may use
    blocks registered before it."""
    answer = await create_block(
        lab,
        body.name,
        body.definition,
        retry,
        lambda row: answer_created(block_of(row), path_of(row.name), tag_of(row)),
    )
    return reply_of_answer(answer)


@router.get(
    "",
    operation_id="list_blocks",
    summary="List the blocks",
    response_model=BlockPage,
    responses={200: ok("A page of blocks.", headers=("Link",)), **problems("malformed", "invalid-request")},
)
async def list_page(lab: LabDep, page: PageDep, request: Request) -> Response:
    """Registered blocks in the order of their names."""
    rows = await list_blocks(lab, after=page.after, limit=page.limit)

    def make(shown: Sequence[BlockRow], token: str | None) -> Response:
        return reply_of_model(BlockPage(items=[block_of(row) for row in shown], next_page_token=token))

    return reply_of_page(request, page, rows, lambda row: row.name, make)


@router.get(
    "/{name}",
    operation_id="get_block",
    summary="Look up one block",
    response_model=Block,
    responses={200: ok("The block.", headers=("ETag",)), **problems("not-found")},
)
async def get(lab: LabDep, name: BlockName) -> Response:
    """One block with its definition as it was sent."""
    row = await find_block(lab, name)
    return reply_of_model(block_of(row), tag=tag_of(row))


@router.put(
    "/{name}",
    operation_id="replace_block",
    summary="Put a block",
    response_model=Block,
    responses={
        200: ok("The block, changed.", headers=("ETag",)),
        201: {**ok("The block, new.", headers=("Location", "ETag")), "model": Block},
        **problems("stale-revision", *ARCHITECTURE_PROBLEMS),
    },
)
async def replace(
    lab: LabDep,
    name: BlockName,
    body: Annotated[BlockDefinition, Body(openapi_examples=with_nulls(PUT_EXAMPLES))],
    if_match: IfMatchDep,
    if_there: IfThereDep,
) -> Response:
    """Replaces the definition of a block, or registers it; with `If-Match: *` it must be there. Networks that exist
    keep their copy of the old one."""
    replaced = await replace_block(lab, name, body.definition, if_match, if_there=if_there)
    row = replaced.row
    if replaced.created:
        return reply_of_answer(answer_created(block_of(row), path_of(row.name), tag_of(row)))
    return reply_of_model(block_of(row), tag=tag_of(row))


@router.delete(
    "/{name}",
    operation_id="delete_block",
    summary="Delete a block",
    status_code=204,
    responses={204: {"description": "It is gone."}, **problems("not-found", "in-use", "stale-revision")},
)
async def delete(lab: LabDep, name: BlockName, if_match: IfMatchDep) -> Response:
    """Takes a block out of the library. Networks that used it keep their copy; while other blocks use it, it stays."""
    await delete_block(lab, name, if_match)
    return Response(status_code=204)
