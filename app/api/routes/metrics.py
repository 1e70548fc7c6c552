"""`GET /metrics`: figures for Prometheus, of the whole service and with no name of anything in a workspace."""

from typing import Any

from fastapi import APIRouter, Request, Response

from app.api.deps import LabDep
from app.api.documentation import problems
from app.api.json_route import JsonRoute
from app.services.metrics import read_all

router = APIRouter(tags=["Health"], route_class=JsonRoute)

EXAMPLE = """# HELP model_lab_requests_total Requests that were answered.
# TYPE model_lab_requests_total counter
model_lab_requests_total{method="POST",route="/v1/networks/{name}/forward",status="200"} 42.0
"""
CONTENT: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}, "example": EXAMPLE}}


@router.get(
    "/metrics",
    operation_id="read_metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"description": "The figures.", "content": CONTENT}, **problems("unavailable")},
)
async def read_metrics(lab: LabDep, request: Request) -> Response:
    """Requests and their times by route, queues, workers, devices, networks that are loaded, jobs, what is stored. In
    Prometheus' text format, or as OpenMetrics where `Accept` asks for that."""
    readings = await read_all(lab)
    content, media_type = lab.meters.render(readings, request.headers.get("accept", ""))
    return Response(content, media_type=media_type, headers={"cache-control": "no-store"})
