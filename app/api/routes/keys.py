"""The keys of a workspace, for its administrators to look at. Keys are made and revoked on the command line."""

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from app.api.deps import BoundedPageDep, LabDep
from app.api.documentation import ok, problems
from app.api.json_route import JsonRoute
from app.api.replies import reply_of_counted_page, reply_of_model
from app.api.schemas.keys import Key, KeyPage
from app.db.keys import KeyRow
from app.services.keys import list_workspace_keys

router = APIRouter(prefix="/v1/keys", tags=["Keys"], route_class=JsonRoute)

EXAMPLE = {
    "id": "4f1a20b9c3d7",
    "role": "write",
    "name": "laptop",
    "created_at": "2026-01-31T12:00:00.123456Z",
    "expires_at": None,
    "revoked_at": None,
}


@router.get(
    "",
    operation_id="list_keys",
    summary="List the keys",
    response_model=KeyPage,
    responses={
        200: ok("The keys.", {"items": [EXAMPLE], "next_page_token": None}, headers=("Link",)),
        **problems("malformed", "invalid-request", "forbidden", "unavailable"),
    },
)
async def list_keys(lab: LabDep, page: BoundedPageDep, request: Request) -> Response:
    """Who may use this workspace, as what, and until when; also keys that were revoked. Takes a key with the role
    `admin`. `model-lab keys` makes and revokes keys, on the machine that has the database."""

    def make(shown: Sequence[KeyRow], token: str | None) -> Response:
        return reply_of_model(KeyPage(items=[_key(row) for row in shown], next_page_token=token))

    return reply_of_counted_page(request, page, page.cut(await list_workspace_keys(lab)), make)


def _key(row: KeyRow) -> Key:
    return Key(
        id=row.id,
        role=row.role,
        name=row.name,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
