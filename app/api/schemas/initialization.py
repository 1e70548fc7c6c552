"""Rules of initialisation as requests hold them, and what came of them. Rules are checked by a worker."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema

from app.api.schemas.architectures import StrictBody
from app.api.schemas.tensors import SCHEMA_MARK

RULES_SCHEMA: dict[str, Any] = {
    "title": "InitializationRules",
    "description": "Rules, run one after the other, each over its modules in the order of `net.apply`.",
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["parameters"],
        "properties": {
            "path": {
                "type": "string",
                "description": "The module with this path and those below it: names or positions, with `*` and `?` "
                "for parts of a name and `**` for any number of names. Default: all.",
            },
            "module_type": {"type": "string", "description": "Only modules of this type, such as `Linear`."},
            "parameters": {
                "type": "object",
                "description": "By name (`*` and `?` allowed): a step, or a list of steps. A step is a function of "
                "`torch.nn.init`, called without its tensor, or an expression of `param`.",
                "additionalProperties": {
                    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]
                },
            },
        },
    },
}
Rules = Annotated[Any, WithJsonSchema({SCHEMA_MARK: "InitializationRules"})]
Init = Annotated[
    Any,
    WithJsonSchema(
        {
            "description": "Rules that first values come from, after PyTorch's own are drawn: a list of rules, or an "
            "object of `rules` and a `seed` of their own. Revision 1 holds the result.",
            "anyOf": [
                {SCHEMA_MARK: "InitializationRules"},
                {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["rules"],
                    "properties": {"rules": {SCHEMA_MARK: "InitializationRules"}, "seed": {"type": "integer"}},
                },
            ],
        }
    ),
]


class InitializeRequest(StrictBody):
    """Rules that give parameters first values. Constants and other buffers are left alone."""

    rules: Rules
    seed: Annotated[int, Field(ge=-(2**63), le=2**64 - 1)] | None = Field(
        None, description="`torch.manual_seed(seed)` before the first rule.", examples=[7]
    )


class InitializedParameter(BaseModel):
    """One parameter that a rule gave values."""

    name: str = Field(examples=["hidden.weight"])
    shape: list[int] = Field(examples=[[256, 20]])
    rule: int = Field(description="The rule's position in the request, from 0.")


class InitializeReply(BaseModel):
    """What was initialised, in the order it was done."""

    revision: int
    initialized: list[InitializedParameter]
