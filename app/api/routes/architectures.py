"""Checking an architecture without making anything."""

from typing import Annotated

from fastapi import APIRouter, Body

from app.api.deps import LabDep
from app.api.documentation import ok, problems, with_nulls
from app.api.input_shapes import specs_of
from app.api.json_route import JsonRoute
from app.api.schemas.architectures import (
    MLP,
    ArchitectureToCheck,
    CheckedArchitecture,
    TensorShape,
)
from app.services.architectures import check_architecture

router = APIRouter(prefix="/v1/architectures", tags=["Architectures"], route_class=JsonRoute)

EXAMPLES = {
    "mlp": {"summary": "A block of one's own", "value": {"architecture": MLP, "input_shapes": [2, 20]}},
    "sequence": {
        "summary": "A list of layers",
        "value": {"architecture": ["Linear(20, 256)", "ReLU()", "Linear(256, 10)"], "input_shapes": [2, 20]},
    },
    "by_name": {
        "summary": "An input of integers, by name",
        "value": {
            "architecture": ["Embedding(100, 16)", "Linear(16, 4)"],
            "input_shapes": {"input": {"shape": [2, 7], "dtype": "int64"}},
        },
    },
}

ARCHITECTURE_PROBLEMS = (
    "malformed",
    "too-large",
    "unsupported-media-type",
    "invalid-request",
    "unknown-key",
    "unknown-layer",
    "bad-arguments",
    "bad-expression",
    "missing-hyperparameter",
    "unknown-name",
    "duplicate-name",
    "bad-name",
    "cycle",
    "bad-tie",
    "bad-tensor",
    "bad-dtype",
    "shape-mismatch",
    "limit-exceeded",
    "busy",
    "unavailable",
    "deadline-exceeded",
)


@router.post(
    "/check",
    operation_id="check_architecture",
    summary="Check an architecture",
    response_model=CheckedArchitecture,
    responses={
        200: ok(
            "What it would make.",
            {
                "parameter_count": 7946,
                "parameter_bytes": 31784,
                "tree": "Block(\n  (hidden): Linear(in_features=20, out_features=256, bias=True)\n"
                "  (out): Linear(in_features=256, out_features=10, bias=True)\n)",
                "inputs": ["X"],
                "output_shapes": {"output": {"dtype": "float32", "shape": [2, 10]}},
                "note": None,
            },
        ),
        **problems(*ARCHITECTURE_PROBLEMS, "bad-output"),
    },
)
async def check(
    lab: LabDep, body: Annotated[ArchitectureToCheck, Body(openapi_examples=with_nulls(EXAMPLES))]
) -> CheckedArchitecture:
    """Builds it where sizes are known but no memory is taken: its parameter count, its printed tree, and the shapes of
    its outputs for the shapes of inputs you give. Nothing is stored."""
    checked = await check_architecture(
        lab, body.architecture, dtype=body.dtype, input_shapes=specs_of(body.input_shapes)
    )
    shapes = checked.output_shapes
    return CheckedArchitecture(
        parameter_count=checked.parameter_count,
        parameter_bytes=checked.parameter_bytes,
        tree=checked.tree,
        inputs=checked.inputs,
        output_shapes=None
        if shapes is None
        else {name: TensorShape(dtype=output.dtype, shape=output.shape) for name, output in shapes.items()},
        note=checked.note,
    )
