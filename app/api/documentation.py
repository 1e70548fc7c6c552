"""Pieces of the OpenAPI document that many operations share: problem responses, tensor formats, examples."""

from typing import Any

from app.api.errors import PROBLEM_MEDIA_TYPE
from app.api.negotiation import MERMAID, NPY, NPZ, PNG, PT, SAFETENSORS, SVG
from app.api.problem_codes import CODES

NULL = "\0null"
SAVES_AS = "x-saves-as"  # of an operation that answers with a file: what the file is called in its curl line
WITH_HEADERS = "x-headers"  # of an example: headers that its curl line sends
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_BINARY_WORDS = {
    NPY: "One NumPy array.",
    SAFETENSORS: "Named tensors, safetensors.",
    NPZ: "Named NumPy arrays.",
    PT: "A PyTorch file of named tensors.",
}

Responses = dict[int | str, dict[str, Any]]


def problems(*codes: str) -> Responses:
    """Responses for these problem codes, and for those that any operation may meet."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(CODES[code].status, []).append(code)
    responses: Responses = {status: _problem_response(names) for status, names in sorted(by_status.items())}
    responses["default"] = {
        "description": "Any other problem.",
        "content": {PROBLEM_MEDIA_TYPE: {"schema": _PROBLEM}},
    }
    return responses


def _problem_response(codes: list[str]) -> dict[str, Any]:
    words = "; ".join(f"`{code}`: {CODES[code].title.lower()}" for code in codes)
    example = {
        "type": f"/problems/{codes[0]}",
        "title": CODES[codes[0]].title,
        "status": CODES[codes[0]].status,
        "detail": CODES[codes[0]].meaning,
        "code": codes[0],
        "errors": [],
    }
    return {
        "description": words[:1].upper() + words[1:] + ".",
        "content": {PROBLEM_MEDIA_TYPE: {"schema": _PROBLEM, "example": example}},
    }


def with_nulls(value: Any) -> Any:
    """Marks each null of an example: FastAPI leaves nulls out of its document, and `build_openapi` puts them back."""
    if value is None:
        return NULL
    if isinstance(value, list):
        return [with_nulls(item) for item in value]
    if isinstance(value, dict):
        return {key: with_nulls(item) for key, item in value.items()}
    return value


def ok(description: str, example: object = None, *, headers: tuple[str, ...] = (), **content: Any) -> dict[str, Any]:
    """A good response: its words, an example of its JSON, its headers, and contents of other media types."""
    response: dict[str, Any] = {"description": description}
    if example is not None:
        response["content"] = {"application/json": {"example": with_nulls(example)}}
    if content:
        response.setdefault("content", {}).update(content)
    if headers:
        response["headers"] = {name: HEADERS[name] for name in headers}
    return response


def accepted() -> dict[str, Any]:
    """The response to a request that preferred to be answered later."""
    return {
        "description": "It is done as a job: `Location` says where to look for it (only with `Prefer: respond-async`).",
        "headers": {name: HEADERS[name] for name in ("Location", "Preference-Applied")},
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Job"}}},
    }


HEADERS: dict[str, dict[str, Any]] = {
    "ETag": {"description": "The revision, in double quotes.", "schema": {"type": "string"}, "example": '"1"'},
    "Location": {"description": "Where it is.", "schema": {"type": "string"}},
    "Preference-Applied": {"description": "`respond-async`.", "schema": {"type": "string"}},
    "Link": {"description": 'The next page, `rel="next"`; absent on the last.', "schema": {"type": "string"}},
}


def binary_contents(*media_types: str) -> dict[str, Any]:
    """Contents for tensors in binary formats."""
    return {
        media_type: {"schema": {"type": "string", "format": "binary", "description": _BINARY_WORDS[media_type]}}
        for media_type in media_types
    }


_PICTURE_SCHEMAS: dict[str, dict[str, Any]] = {
    SVG: {"type": "string", "description": "A drawing, SVG."},
    PNG: {"type": "string", "format": "binary", "description": "A drawing, PNG."},
    MERMAID: {"type": "string", "description": "A flowchart in Mermaid's language."},
}


def picture_contents(*media_types: str) -> dict[str, Any]:
    """Contents for drawings."""
    return {media_type: {"schema": _PICTURE_SCHEMAS[media_type]} for media_type in media_types}
