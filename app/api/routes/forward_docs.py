"""The place of forward among the FastAPI routes: its description, and 405 for other methods.

Requests are answered by the raw application in `routes/forward.py`, which the edge calls before FastAPI is reached;
should one come this way all the same, it is handed on to the same application.
"""

from typing import Any

from fastapi import APIRouter, Response
from starlette.types import Receive, Scope, Send

from app.api.deps import RETRY_WORDS, NetworkName
from app.api.documentation import accepted, binary_contents, ok, problems
from app.api.jobs import PREFER_WORDS, PRIORITY_WORDS
from app.api.negotiation import NPY, NPZ, PT, SAFETENSORS
from app.api.routes.forward import forward_app
from app.api.schemas.forward import ForwardReply

router = APIRouter(prefix="/v1/networks", tags=["Forward"])

X = [[round(0.1 * column - 0.05 * row, 2) for column in range(20)] for row in range(2)]
EXAMPLES = {
    "one_input": {"summary": "The only input, as nested lists", "value": {"inputs": X}},
    "by_name": {
        "summary": "Inputs by name, and what a layer puts out",
        "value": {"inputs": {"X": X}, "capture": ["hidden"]},
    },
}
REPLY = {
    "outputs": {"output": {"dtype": "float32", "shape": [1, 2], "data": [[0.125, -0.5]]}},
    "revision": 1,
    "device": "cpu:0",
}
BINARY = (NPY, SAFETENSORS, NPZ, PT)
REQUEST_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/ForwardRequest"}, "examples": EXAMPLES},
        **binary_contents(*BINARY),
    },
}


def _query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def _header(name: str, description: str) -> dict[str, Any]:
    schema = {"type": "string"}
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": description}


PARAMETERS = [
    _query("mode", {"enum": ["eval", "train"], "default": "eval"}, "For binary bodies; JSON says it in the body."),
    _query("seed", {"type": "integer"}, "For binary bodies."),
    _query("revision", {"type": "integer", "minimum": 1}, "For binary bodies."),
    _query("capture", {"type": "array", "items": {"type": "string"}}, "For binary bodies; may be given many times."),
    _query("update_buffers", {"type": "boolean", "default": False}, "For binary bodies, in mode `train`."),
    _query("format", {"enum": ["json", "npy", "safetensors", "npz", "pt"]}, "The reply's format, before `Accept`."),
    _header("Prefer", PREFER_WORDS),
    _header("Priority", PRIORITY_WORDS),
    _header("Idempotency-Key", f"With `Prefer: respond-async`. {RETRY_WORDS}"),
]


class _HandedOn(Response):
    """A response that is the raw application."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await forward_app(scope, receive, send)


@router.post(
    "/{name}/forward",
    operation_id="run_forward",
    summary="Run a network",
    response_model=ForwardReply,
    responses={
        200: ok("What came out.", REPLY, headers=("ETag",), **binary_contents(*BINARY)),
        202: accepted(),
        **problems(
            "malformed",
            "not-found",
            "not-acceptable",
            "stale-revision",
            "device-mismatch",
            "too-large",
            "unsupported-media-type",
            "shape-mismatch",
            "bad-tensor",
            "bad-dtype",
            "bad-arguments",
            "unknown-name",
            "missing-input",
            "bad-request",
            "bad-query",
            "unknown-key",
            "limit-exceeded",
            "busy",
            "unavailable",
            "worker-died",
            "deadline-exceeded",
        ),
    },
    openapi_extra={"requestBody": REQUEST_BODY, "parameters": PARAMETERS},
)
async def run_forward(name: NetworkName) -> Response:  # noqa: ARG001  # it stands in the path
    """Runs `net(X)` where the network's parameters are. JSON or a binary format goes in and comes out, each by itself:
    `Content-Type` tells what you send, `Accept` or `?format=` what you want. In mode `train` nothing is kept, unless
    `update_buffers` is true: then what layers such as `BatchNorm1d` did to their buffers makes a revision."""
    return _HandedOn()
