"""Shapes of imagined inputs: as they stand in a body, and as JSON text in a query."""

from typing import Annotated

from fastapi import Query
from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import SkipJsonSchema

from app.api.schemas.architectures import InputShapes, ShapeAndDtype
from app.api.validation import error_of_validation
from app.errors import LabError, Place, Unprocessable
from app.messages import ShapeSpec
from app.tensors.strict_json import read_json

# Each sign may be three in an address, and a request line that is too long is refused before it comes here.
LONGEST = 2_000
_adapter: TypeAdapter[list[int] | dict[str, list[int] | ShapeAndDtype]] = TypeAdapter(InputShapes)

InputShapesQuery = Annotated[
    str | SkipJsonSchema[None],
    Query(
        max_length=LONGEST,
        description="Shapes of inputs, as JSON: a list for the only input, `[2, 20]`, or an object with each input's "
        'name, `{"X": [2, 20]}` or `{"X": {"shape": [2, 7], "dtype": "int64"}}`.',
        openapi_examples={"[2, 20]": {"value": "[2, 20]"}},
    ),
]


def specs_of(given: list[int] | dict[str, list[int] | ShapeAndDtype] | None) -> dict[str, ShapeSpec] | None:
    """Shapes as a worker takes them; a bare list stands for the only input, whatever its name."""
    if given is None:
        return None
    if isinstance(given, list):
        return {"": ShapeSpec(given)}
    return {
        name: ShapeSpec(shape) if isinstance(shape, list) else ShapeSpec(shape.shape, shape.dtype)
        for name, shape in given.items()
    }


def specs_in_query(text: str | None) -> dict[str, ShapeSpec] | None:
    """Reads the query parameter `input_shapes`. Raises: Unprocessable `bad-query`."""
    if text is None:
        return None
    try:
        return specs_of(_adapter.validate_python(read_json(text.encode("utf-8", "replace"))))
    except ValidationError as error:
        found = error_of_validation([{**one, "loc": ("body", *one["loc"])} for one in error.errors()])
        raise _bad(found.detail) from None
    except LabError as error:
        raise _bad(error.detail) from None


def _bad(detail: str) -> Unprocessable:
    message = f"`input_shapes` in the query is JSON such as [2, 20]. {detail}"
    return Unprocessable(message, code="bad-query", places=[Place("", message)])
