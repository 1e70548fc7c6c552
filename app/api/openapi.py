"""The OpenAPI document: what FastAPI makes of the routes, and what it leaves out.

Adds the schemas that raw routes speak of, the recursive ones (`Architecture`, `TensorData`), and to every operation a
`curl` line made from its own example. Run in the order of the page on a fresh service each works, whether with all
its examples or with the first one alone, which is what the page fills in.
"""

import json
import shlex
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from app.api.documentation import NULL, SAVES_AS, WITH_HEADERS, problems
from app.api.errors import PROBLEM_MEDIA_TYPE, is_inference
from app.api.gate import is_open
from app.api.schemas.architectures import ARCHITECTURE_SCHEMA
from app.api.schemas.forward import ForwardReply, ForwardRequest
from app.api.schemas.gradients import BackwardRequest
from app.api.schemas.inference_v2 import InferenceRequest
from app.api.schemas.initialization import RULES_SCHEMA
from app.api.schemas.parameters import EditRequest, ReplaceRequest
from app.api.schemas.placed_tensors import NewTensor
from app.api.schemas.problems import InferenceProblem, Problem
from app.api.schemas.states import ArtifactReference
from app.api.schemas.tensors import SCHEMA_MARK, TENSOR_DATA, TensorToRead
from app.api.schemas.training import TrainRequest

BASE_URL = "http://127.0.0.1:8000"
METHODS = ("get", "put", "post", "patch", "delete")
REFERENCE = "#/components/schemas/{model}"

KEY_PROBLEMS = ("unauthorized", "forbidden", "too-many-requests")
KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key that `model-lab keys create` made. None is needed before the first one was made; from then "
    "on every operation takes one, save those on health, the problems and the pages. The role `read` looks and runs, "
    "`write` makes and changes as well, `admin` sees the keys as well. A key belongs to a workspace, and what is in "
    "another workspace does not exist for it.",
}

DESCRIPTION = """Make neural networks from JSON, run them, look into them, change them and keep them, over HTTP alone.
The numbers are PyTorch's own.

The operations below are a tour: on a fresh service each works after those above it, as its `curl` line and by
*Try it out* and *Execute*.
Errors are [problem documents](https://www.rfc-editor.org/rfc/rfc9457) that say what was wrong, where, and what would
be right."""

TAGS = [
    {"name": "Catalog", "description": "What architectures may use, made from PyTorch itself."},
    {"name": "Architectures", "description": "Try an architecture before making anything."},
    {"name": "Blocks", "description": "Blocks of your own with a name, for all networks."},
    {"name": "Networks", "description": "Make, find, place and delete networks."},
    {"name": "Forward", "description": "Run a network."},
    {"name": "Modules", "description": "The tree that `print(net)` prints."},
    {"name": "Parameters", "description": "What a network has learnt: names, shapes, values."},
    {"name": "Gradients", "description": "What a loss would have the parameters and the inputs do."},
    {"name": "Revisions", "description": "Every change, kept: compare, go back, tag."},
    {
        "name": "Files",
        "description": "Save and load: the state_dict of a network, and tensors under names of their own.",
    },
    {"name": "Tensors", "description": "Tensors that live on a device: make, copy, combine."},
    {
        "name": "Training",
        "description": "The loop that one writes in PyTorch, as a job that outlives its workers.",
    },
    {"name": "Jobs", "description": "Long work, answered later: ask with `Prefer: respond-async`."},
    {
        "name": "Inference protocol",
        "description": "The Open Inference Protocol, version 2, for its own clients: a network is a model.",
    },
    {"name": "Devices", "description": "What the service computes on."},
    {"name": "Keys", "description": "Who may use the service."},
    {"name": "Health", "description": "For whoever watches over the service."},
    {"name": "Problems", "description": "What each problem code means."},
]


def build_openapi(app: FastAPI) -> dict[str, Any]:
    """Makes the document; the same routes give the same document."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=DESCRIPTION,
        routes=app.routes,
        tags=TAGS,
        license_info={"name": "Apache 2.0", "identifier": "Apache-2.0"},
    )
    _add_schemas(document)
    document["components"]["securitySchemes"] = {"key": KEY}
    document["paths"] = {path: _with_references(item) for path, item in document["paths"].items()}
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                _add_security(path, item[method])
                if is_inference(path):
                    _tell_problems_plainly(item[method])
                _add_curl(path, method, item[method])
    return document


def _add_schemas(document: dict[str, Any]) -> None:
    _, extra = models_json_schema(
        [
            (Problem, "serialization"),
            (InferenceProblem, "serialization"),
            (ForwardRequest, "validation"),
            (ForwardReply, "serialization"),
            (InferenceRequest, "validation"),
            (BackwardRequest, "validation"),
            (TrainRequest, "validation"),
            (TensorToRead, "validation"),
            (ArtifactReference, "validation"),
            (EditRequest, "validation"),
            (NewTensor, "validation"),
            (ReplaceRequest, "validation"),
        ],
        ref_template=REFERENCE,
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name, schema in extra["$defs"].items():
        schemas.setdefault(name, schema)
    for name in list(schemas):
        schemas[name] = _with_references(schemas[name])
    schemas |= {
        "Architecture": ARCHITECTURE_SCHEMA,
        "InitializationRules": RULES_SCHEMA,
        "TensorData": TENSOR_DATA,
    }
    document["components"]["schemas"] = dict(sorted(schemas.items()))


def _with_references(value: Any) -> Any:
    """Puts a reference in place of each mark of a component that pydantic does not know, and null for its mark."""
    if value == NULL:
        return None
    if isinstance(value, list):
        return [_with_references(item) for item in value]
    if not isinstance(value, dict):
        return value
    if SCHEMA_MARK in value:
        described = {key: item for key, item in value.items() if key in {"description", "examples"}}
        return {"$ref": REFERENCE.format(model=value[SCHEMA_MARK]), **described}
    return {key: _with_references(item) for key, item in value.items()}


def _add_security(path: str, operation: dict[str, Any]) -> None:
    """Says whether a key is needed, and what is answered without a good one."""
    operation["security"] = [] if is_open(path) else [{"key": []}, {}]
    if not is_open(path):
        without_default = {status: item for status, item in problems(*KEY_PROBLEMS).items() if status != "default"}
        for status, item in without_default.items():
            operation["responses"].setdefault(str(status), item)


def _tell_problems_plainly(operation: dict[str, Any]) -> None:
    """Under `/v2` a problem is plain JSON, with `error` added."""
    for response in operation["responses"].values():
        content = response.get("content", {})
        if PROBLEM_MEDIA_TYPE in content:
            problem = content.pop(PROBLEM_MEDIA_TYPE)
            problem["schema"] = {"$ref": REFERENCE.format(model=InferenceProblem.__name__)}
            if "example" in problem:
                problem["example"]["error"] = problem["example"]["detail"]
            content["application/json"] = problem


def _add_curl(path: str, method: str, operation: dict[str, Any]) -> None:
    lines = [curl_line(path, method, operation, example) for example in body_examples(operation) or [{}]]
    operation["x-codeSamples"] = [{"lang": "Shell", "label": "curl", "source": line} for line in lines]
    shown = "\n".join(lines)  # all of them: a later operation may need what the second one makes
    operation["description"] = f"{operation.get('description', '')}\n\n```sh\n{shown}\n```".strip()


def body_examples(operation: dict[str, Any]) -> list[dict[str, Any]]:
    """What an operation gives as examples of its JSON body, in their order."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return list(content.get("examples", {}).values())


def curl_line(path: str, method: str, operation: dict[str, Any], example: dict[str, Any]) -> str:
    """The operation as a shell command against a service on this machine."""
    body = example.get("value")
    query: dict[str, str] = {}
    for parameter in operation.get("parameters", ()):
        examples = list(parameter.get("examples", {}).values())
        if parameter["in"] == "path" and examples:
            path = path.replace("{" + parameter["name"] + "}", quote(examples[0]["value"], safe=""))
        elif parameter["in"] == "query" and examples:
            query[parameter["name"]] = json.dumps(examples[0]["value"]).strip('"')
    words = ["curl", "-sS"]
    if method != "get" and not (method == "post" and body is not None):
        words += ["-X", method.upper()]
    words.append(BASE_URL + path + (f"?{urlencode(query)}" if query else ""))
    for name, value in example.get(WITH_HEADERS, {}).items():
        words += ["-H", f"{name}: {value}"]
    if body is not None:
        words += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    if SAVES_AS in operation:
        words += ["-o", operation[SAVES_AS]]
    return shlex.join(words)
