"""Whether the service is alive, and whether it is ready for work."""

from fastapi import APIRouter

from app.api.deps import LabDep
from app.api.documentation import ok, problems
from app.api.json_route import JsonRoute
from app.api.schemas.devices import Health, Readiness
from app.services.health import check_readiness

router = APIRouter(tags=["Health"], route_class=JsonRoute)


@router.get(
    "/healthz",
    operation_id="check_health",
    summary="Is it alive",
    response_model=Health,
    responses={200: ok("It is.", {"status": "ok"}), **problems()},
)
async def check_health() -> Health:
    """Answers while the process runs, whatever the database and the workers do."""
    return Health(status="ok")


@router.get(
    "/readyz",
    operation_id="check_readiness",
    summary="Is it ready for work",
    response_model=Readiness,
    responses={
        200: ok("It is.", {"status": "ready", "checks": {"database": "ok", "workers": "ok"}}),
        **problems("unavailable"),
    },
)
async def check_ready(lab: LabDep) -> Readiness:
    """Answers 200 when the database answers, its tables are of this version, and at least one worker is alive."""
    return Readiness(status="ready", checks=await check_readiness(lab))
