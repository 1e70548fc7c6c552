"""The FastAPI application: its routes, its error handlers, its OpenAPI document. Wired into the edge by `app.main`."""

import re
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app.api.edge import RawRoute
from app.api.errors import MethodNotAllowed, Unexpected, render_problem
from app.api.inference_v2 import INFER_ADDRESS, infer_app
from app.api.openapi import build_openapi
from app.api.replies import reply_of_answer
from app.api.retries import AnsweredBefore
from app.api.routes import (
    architectures,
    artifacts,
    blocks,
    catalog,
    devices,
    diagrams,
    exports,
    forward_docs,
    gradients,
    health,
    inference_v2,
    initialize,
    jobs,
    keys,
    metrics,
    modules,
    networks,
    pages,
    parameters,
    problems,
    revisions,
    sources,
    states,
    tensors,
    training,
)
from app.api.routes.forward import forward_app
from app.api.validation import error_of_validation
from app.errors import LabError, Malformed, NotFound

ROUTERS = (
    catalog,
    architectures,
    blocks,
    networks,
    forward_docs,
    modules,
    diagrams,
    parameters,
    initialize,
    gradients,
    revisions,
    states,
    sources,
    exports,
    artifacts,
    tensors,
    training,
    jobs,
    inference_v2,
    devices,
    keys,
    health,
    metrics,
    problems,
    pages,
)
RAW_ROUTES = (  # answered by the edge before the application is reached
    RawRoute(re.compile(r"/v1/networks/[^/]+/forward"), "/v1/networks/{name}/forward", forward_app),
    RawRoute(INFER_ADDRESS, "/v2/models/{name}/infer", infer_app),
)


def make_application(lifespan: Callable[[FastAPI], Any]) -> FastAPI:
    """Makes the application. Its own pages (`/docs`, `/openapi.json`) are in `routes/pages.py`."""
    application = FastAPI(
        title="Model Lab",
        summary="Create, run, inspect, change and keep neural networks over HTTP, from JSON.",
        version=_version(),
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        strict_content_type=False,  # JsonRoute has judged the Content-Type by then
        exception_handlers={
            LabError: _answer_lab_error,
            AnsweredBefore: _answer_again,
            RequestValidationError: _answer_validation_error,
            HTTPException: _answer_http_exception,
            Exception: _answer_unexpected,
        },
    )
    for module in ROUTERS:
        application.include_router(module.router)
    application.openapi = lambda: build_openapi(application)  # type: ignore[method-assign]  # FastAPI's own way to do it
    return application


def _version() -> str:
    try:
        return version("model-lab")
    except PackageNotFoundError:
        return "0"


async def _answer_lab_error(request: Request, error: LabError) -> Response:
    reply = render_problem(error, path=request.url.path, request_id=request.state.request_id)
    response = Response(reply.body, reply.status)
    response.raw_headers = list(reply.headers)
    return response


async def _answer_again(_: Request, earlier: AnsweredBefore) -> Response:
    return reply_of_answer(earlier.answer)


async def _answer_validation_error(request: Request, error: RequestValidationError) -> Response:
    return await _answer_lab_error(request, error_of_validation(error.errors(), _fields_of(request)))


def _fields_of(request: Request) -> list[str]:
    """Names of the fields that the body of this request may hold."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or route.body_field is None:
        return []
    return list(getattr(route.body_field.field_info.annotation, "model_fields", ()))


async def _answer_http_exception(request: Request, error: HTTPException) -> Response:
    """What the router itself says: no such address, or not with this method."""
    path = request.url.path
    if error.status_code == 405:
        allowed = _allowed_methods(request)
        return await _answer_lab_error(
            request,
            MethodNotAllowed(
                f"{request.method} is not allowed at {_shown(path)}; it has {', '.join(allowed)}.", allowed
            ),
        )
    if error.status_code == 404:
        hint = " Addresses end without a slash." if path.endswith("/") and path != "/" else ""
        return await _answer_lab_error(
            request, NotFound(f"There is nothing at {_shown(path)}.{hint} `GET /openapi.json` lists what there is.")
        )
    return await _answer_lab_error(request, Malformed(error.detail))


def _shown(path: str) -> str:
    return path if len(path) <= 200 else path[:200] + "…"


def _allowed_methods(request: Request) -> list[str]:
    """Every method that some route has for this path (the router itself names those of the first one only)."""
    methods: set[str] = set()
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        scope = {**request.scope, "method": method}
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes):
            methods.add(method)
    if "GET" in methods:
        methods.add("HEAD")
    return sorted(methods)


async def _answer_unexpected(request: Request, error: Exception) -> Response:  # noqa: ARG001  # told to the log by the edge
    return await _answer_lab_error(request, Unexpected())
