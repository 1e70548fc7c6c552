"""What PyTorch says of its own functions: signature, argument schema (JSON Schema), one line of words.

Three sources, the best first: the Python signature, the operator schemas of ATen, the documentation's first line.
Called by `functions.py`; knows nothing of the language.
"""

import ast
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

REFUSED_PARAMETERS = frozenset(
    {"inplace", "out", "generator", "layout", "pin_memory", "memory_format", "requires_grad", "names", "device"}
)
NOT_BY_POSITION = frozenset({"inplace", "out", "generator"})
_REFERENCE = re.compile(r":\w+(?::\w+)?:`~?\.?([^`<]+?)(?:\s*<[^>]*>)?`")
_SIGNATURE = re.compile(r"^\w[\w.]*\(.*\)(\s*->\s*.+)?$")


@dataclass(frozen=True)
class Signature:
    """`schema` describes keyword arguments as a JSON object; None where PyTorch does not say."""

    text: str
    schema: dict[str, Any] | None
    doc: str


def positions_before_refused(function: Callable[..., Any]) -> int | None:
    """Counts the parameters before `inplace` or a private one; None where there is none, or no signature."""
    for position, parameter in enumerate(_parameters(function) or ()):
        if parameter.name in NOT_BY_POSITION or parameter.name.startswith("_"):
            return position
    return None


def read_signature(function: Callable[..., Any], name: str, operator: str, *, method: bool) -> Signature:
    """Gives signature, argument schema and first line of the documentation of one function.

    `operator` is its name in ATen ("linalg_norm"); of a `method` the tensor itself is no argument.
    """
    lines = (inspect.getdoc(function) or "").strip().split("\n")
    stated = lines[0].strip() if _SIGNATURE.match(lines[0].strip()) else None
    doc = _sentence(lines[1:] if stated else lines) or f"See torch.{name}."
    parameters = _parameters(function)
    if parameters:
        allowed = [parameter for parameter in parameters if _is_allowed(parameter.name)]
        shown = inspect.Signature([parameter.replace(annotation=inspect.Parameter.empty) for parameter in allowed])
        return Signature(f"{name}{shown}", _schema_of_parameters(allowed), doc)
    overloads = _overloads(operator)
    schemas: list[dict[str, Any]] = []
    for overload in overloads:
        described = _schema_of_operator(overload, None if method else _first_parameter(stated))
        if described not in schemas:
            schemas.append(described)
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas} if schemas else _schema_of_text(stated)
    return Signature(_without_out(stated) if stated else _text_of(name, overloads), schema, doc)


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """Parameters by name, or None where there is no signature or only `*args`."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        return None
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return None if not parameters or parameters[0].kind in variadic else parameters


def _is_allowed(name: str) -> bool:
    return name not in REFUSED_PARAMETERS and not name.startswith("_")


def _sentence(lines: list[str]) -> str:
    """The first paragraph in one line, without markup."""
    paragraph: list[str] = []
    for line in lines:
        if not line.strip():
            if paragraph:
                break
            continue
        if line.lstrip().startswith("..") and not paragraph:
            continue
        paragraph.append(line.strip())
    text = _REFERENCE.sub(r"\1", " ".join(paragraph)).replace("``", "").replace("`", "")
    return text if len(text) <= 240 else text[:237] + "..."


def _without_out(text: str) -> str:
    """Leaves out of a signature in words what the language does not have."""
    refused = "|".join(sorted(REFUSED_PARAMETERS))
    text = re.sub(rf"(?<=[(,])\s*({refused})\b(:\s*[\w\[\].]+)?(=[\w.]+)?(?=[,)])", "\0", text)
    text = re.sub(r",?\0", "", text)
    text = re.sub(r"\(,\s*", "(", text).replace("\\*", "*")
    text = re.sub(r"(\*\w+), \*,", r"\1,", text)
    return re.sub(r"(,\s*|(?<=\())\*\s*\)", ")", text)


def _schema_of_parameters(parameters: list[inspect.Parameter]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    for parameter in parameters:
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue
        annotation = parameter.annotation
        shown = "" if annotation is inspect.Parameter.empty else inspect.formatannotation(annotation)
        described = _schema_of_type(shown)
        if parameter.default is inspect.Parameter.empty:
            required.append(parameter.name)
        elif parameter.default is None or isinstance(parameter.default, bool | int | float | str):
            described["default"] = parameter.default
        properties[parameter.name] = described
    return _object(properties, required)


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _overloads(name: str) -> list[Any]:
    """The operator's schemas that give new values: none that writes to an argument, none of plain lists alone."""
    found = []
    for schema in torch._C._jit_get_schemas_for_operator(f"aten::{name}"):  # noqa: SLF001  # the only way to them
        writes = any(a.alias_info is not None and a.alias_info.is_write for a in schema.arguments)
        named = any("Dimname" in str(a.type) for a in schema.arguments)
        tensors = any("Tensor" in str(part.type) for part in [*schema.arguments, *schema.returns])
        if not writes and not named and tensors and "names" not in schema.overload_name:
            found.append(schema)
    return found


def _schema_of_text(stated: str | None) -> dict[str, Any] | None:
    """Reads the names and defaults of a signature in the documentation, `eigh(A, UPLO='L', *, out=None)`."""
    if stated is None:
        return None
    try:
        tree = ast.parse(f"def {stated.split('->')[0].strip()}: pass").body[0]
    except SyntaxError:
        return None
    assert isinstance(tree, ast.FunctionDef)
    positional = tree.args.posonlyargs + tree.args.args
    required = [argument.arg for argument in positional[: len(positional) - len(tree.args.defaults)]]
    names = [argument.arg for argument in positional + tree.args.kwonlyargs if _is_allowed(argument.arg)]
    return _object({name: _schema_of_type("", name) for name in names}, [name for name in required if name in names])


def _first_parameter(stated: str | None) -> str:
    """What Python calls the argument that ATen calls self: `A` in `linalg.eigh(A, UPLO='L')`."""
    found = re.match(r"[\w.]+\((\w+)", stated or "")
    return found[1] if found else "input"


def _schema_of_operator(schema: Any, first: str | None) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    for argument in schema.arguments:
        name = first if argument.name == "self" else argument.name
        if name is None or not _is_allowed(name):
            continue
        described = _schema_of_type(str(argument.type), name)
        if not argument.has_default_value():
            required.append(name)
        elif argument.default_value is None or isinstance(argument.default_value, bool | int | float | str | list):
            described["default"] = argument.default_value
        properties[name] = described
    return _object(properties, required)


def _schema_of_type(text: str, name: str = "") -> dict[str, Any]:
    """JSON Schema of one argument's type; a tensor stands as the name or expression that gives it."""
    optional = text.startswith("Optional[") or "None" in text
    if name == "dtype" or "dtype" in text:
        described: dict[str, Any] = {"type": "string", "description": "a dtype, as in torch.float32"}
    elif "Tensor" in text:
        many = "List" in text or "list" in text or "Sequence" in text or "tuple" in text
        described = {"type": "array", "description": "tensors"} if many else {"description": "a tensor"}
    elif "List[" in text or "list[" in text or "tuple[" in text or "Sequence" in text:
        inner = "number" if "float" in text else "boolean" if "bool" in text else "integer"
        described = {"type": ["array", inner], "items": {"type": inner}}
    else:
        described = _plain(text)
    if optional and isinstance(described.get("type"), str):
        described["type"] = [described["type"], "null"]
    return described


def _plain(text: str) -> dict[str, Any]:
    for word, kind in (("bool", "boolean"), ("str", "string"), ("number", "number"), ("float", "number")):
        if word in text:
            return {"type": kind}
    if "Scalar" in text:
        return {"type": "number"}
    return {"type": "integer"} if "int" in text else {}


def _text_of(name: str, overloads: list[Any]) -> str:
    if not overloads:
        return f"{name}(...)"
    shown = [
        f"{a.name}={a.default_value!r}" if a.has_default_value() else a.name
        for a in overloads[0].arguments
        if _is_allowed(a.name)
    ]
    return f"{name}({', '.join(shown)})"
