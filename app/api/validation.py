"""Turns what pydantic found wrong into our own error: JSON pointers, words, at most 20, never the input back.

Called by the exception handlers of the FastAPI application alone.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from app.errors import LabError, Malformed, Place, Unprocessable, pointer_to

KEY_SHOWN = 100
UNION_TAGS = ("<list>", "<object>")  # see `app.api.schemas.architectures`


def error_of_validation(found: Sequence[Mapping[str, Any]], fields: Sequence[str] = ()) -> LabError:
    """Makes one error of everything that pydantic found in a request.

    `fields` are the names that the body may hold, to tell a slip of the pen from a new idea.
    """
    found = [error for error in found if error["type"] != "none_required"] or found  # one of a union's two halves
    places = [_place(error, fields) for error in found]
    codes = {_code(error) for error in found}
    code = codes.pop() if len(codes) == 1 else "invalid-request"
    detail = (
        places[0].message if len(places) == 1 else f"{len(places)} things are wrong; the first: {places[0].message}"
    )
    if code == "malformed":
        return Malformed(detail, places=places)
    return Unprocessable(detail, code=code, places=places)


def _code(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown-key"
    if error["loc"][:1] == ("header",):
        return "malformed"
    return "invalid-request"


def _place(error: Mapping[str, Any], fields: Sequence[str]) -> Place:
    source, *path = error["loc"] or ("body",)
    if path[-1:] == ["[key]"]:  # so pydantic says that it is the key itself that is wrong
        path.pop()
    path = [_shortened(part) for part in path if not _is_union_member(part)]
    if source != "body":
        name = f"{source} parameter `{path[0]}`" if path else source
        return Place("", f"{name}: {_words(error)}.")
    pointer = pointer_to(*path)
    if error["type"] == "extra_forbidden":
        return Place(pointer, _unknown_key(str(path[-1]), fields if len(path) == 1 else ()))
    name = f"`{path[-1]}`" if path else "the body"
    return Place(pointer, f"{name}: {_words(error)}.")


def _is_union_member(part: object) -> bool:
    """Pydantic names the branch of a union that it took; that is no key of the document."""
    return part in UNION_TAGS


def _shortened(part: object) -> str | int:
    if isinstance(part, int):
        return part
    text = str(part)
    return text if len(text) <= KEY_SHOWN else text[:KEY_SHOWN] + "…"


def _unknown_key(name: str, fields: Sequence[str]) -> str:
    near = get_close_matches(name, fields, n=1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    has = f" There are {', '.join(fields)}." if fields else ""
    return f"There is no field `{name}` here.{hint}{has}"


_WORDS = {
    "missing": "is missing",
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "union_tag_not_found": "must be a list or an object",
    "union_tag_invalid": "must be a list or an object",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
}


def _words(error: Mapping[str, Any]) -> str:
    words = _WORDS.get(error["type"])
    if words is not None:
        return words
    if error["type"] == "too_long" and isinstance(error.get("input"), str):
        return f"has at most {error['ctx']['max_length']} characters"
    message = str(error["msg"]).removeprefix("Value error, ").rstrip(".")
    return message[:1].lower() + message[1:]
