"""Names that play tricks: (what it tries, architecture, code, pointer), as in `architectures.py`."""

# ruff: noqa: RUF001  # letters that look alike are what some cases try

from typing import Any

from tests.hostile.architectures import Row, own, repeated


def ring(size: int) -> dict[str, Any]:
    blocks = {f"R{index}": [f"R{(index + 1) % size}()"] for index in range(size)}
    return {"blocks": blocks, "type": "Sequential", "layers": ["R0()"]}


CHILDREN = """
    . a.b __class__ __init__ __dict__ __getattr__ _modules _parameters _backward_hooks forward training call_super_init
    T_destination state_dict register_forward_hook to parameters a"b a'b
"""

PARAMETERS = "__class__ forward training a.b grad.x _buffers register_buffer"

INPUTS = "__builtins__ *args **kw x:int 1x x,y ｘ х"

HYPERPARAMETERS = "__class__ None self class 1a a.b"

BLOCKS = "Linear relu torch __import__ a.b ＬＩＮＥＡＲ None lambda"

NAMES: list[Row] = [
    *[
        (f"a child called {name!r}", own(children={name: "ReLU()"}), "bad-name", f"/architecture/children/{name}")
        for name in ["", "a\nb", "a\x7fb", *CHILDREN.split()]
    ],
    *[
        (f"a parameter {name!r}", own(parameters={name: "zeros(1)"}), "bad-name", f"/architecture/parameters/{name}")
        for name in ["", "weight\n", *PARAMETERS.split()]
    ],
    *[
        (f"an input called {name!r}", own(inputs=[name], forward=["return 1"]), "bad-name", "/architecture/inputs/0")
        for name in ["", "x, y", *INPUTS.split(), "self", "torch", "None", "lambda"]
    ],
    *[
        (f"an input {text!r}", own(inputs=[text], forward=["return 1"]), "bad-expression", "/architecture/inputs/0")
        for text in ("x=y", "x=__import__('os')")  # defaults are literals
    ],
    *[
        (
            f"a hyperparameter {name!r}",
            own(hyperparameters={name: 1}),
            "bad-name",
            f"/architecture/hyperparameters/{name}",
        )
        for name in ["", "a b", *HYPERPARAMETERS.split()]
    ],
    *[
        (f"a block called {name!r}", own(blocks={name: "ReLU()"}), "bad-name", f"/architecture/blocks/{name}")
        for name in ["", *BLOCKS.split()]
    ],
    (
        "a child whose name is long",
        own(children={"x" * 10_000: "ReLU()"}),
        "bad-name",
        "/architecture/children/xxxxxxxx…",
    ),
    (
        "an input whose default is long",
        own(inputs=["x=[1" + "0" * 10_000 + "]"]),
        "limit-exceeded",
        "/architecture/inputs/0",
    ),
    ("a layer in full-width letters", "Ｌｉｎｅａｒ(2, 2)", "bad-expression", "/architecture"),
    ("a layer with a Cyrillic letter", "Lineаr(2, 2)", "bad-expression", "/architecture"),
    ("an identifier that NFKC folds into a dunder", "＿＿import＿＿('os')", "bad-expression", "/architecture"),
    ("a text with a zero-width space", "Linear(2,\u200b 2)", "bad-expression", "/architecture"),
    ("an input twice", own(inputs=["x", "x"]), "duplicate-name", "/architecture/inputs/1"),
    (
        "a child like a parameter",
        own(children={"w": "ReLU()"}, parameters={"w": "zeros(1)"}),
        "duplicate-name",
        "/architecture/parameters/w",
    ),
    ("names from a repeat that are one", repeated(2, "ReLU()", name="same"), "duplicate-name", "/architecture/0"),
    (
        "names from a repeat that hold dunders",
        repeated(2, "ReLU()", name="{i.__class__}"),
        "bad-expression",
        "/architecture/0/name",
    ),
    (
        "a format specification in a name",
        repeated(2, "ReLU()", name="{i:>1000000000}"),
        "bad-expression",
        "/architecture/0/name",
    ),
    ("a conversion in a name", repeated(2, "ReLU()", name="{i!r}"), "bad-expression", "/architecture/0/name"),
    (
        "a name with braces that do not close",
        repeated(2, "ReLU()", name="{i"),
        "bad-expression",
        "/architecture/0/name",
    ),
    ("a name of a name", repeated(2, "ReLU()", name="{{i}}"), "bad-expression", "/architecture/0/name"),
    ("a name that indexes", repeated(2, "ReLU()", name="{i[0]}"), "bad-arguments", "/architecture/0/name"),
]

REFERENCES: list[Row] = [
    (
        "a block of itself",
        {"blocks": {"A": ["A()"]}, "type": "Sequential", "layers": ["A()"]},
        "cycle",
        "/architecture/blocks/A",
    ),
    ("a ring of 50 blocks", ring(50), "cycle", "/architecture/blocks/R0"),
    (
        "a block as its own hyperparameter",
        {
            "blocks": {
                "A": {"hyperparameters": ["b"], "children": {"c": "b"}, "inputs": ["x"], "forward": ["return c(x)"]}
            },
            "type": "Sequential",
            "layers": ["A(A)"],
        },
        "bad-expression",
        "/architecture/layers/0",
    ),
    (
        "a shared child of itself",
        {"type": "Sequential", "shared": {"a": [{"ref": "a"}]}, "layers": [{"ref": "a"}]},
        "cycle",
        "/architecture/shared/a",
    ),
    (
        "a ref to nothing",
        {"type": "Sequential", "layers": [{"ref": "nothing"}]},
        "unknown-name",
        "/architecture/layers/0/ref",
    ),
    (
        "a ref to a dunder",
        {"type": "Sequential", "shared": {}, "layers": [{"ref": "__class__"}]},
        "unknown-name",
        "/architecture/layers/0/ref",
    ),
    ("a tie of nothing", own(ties=[["a.weight", "b.weight"]]), "unknown-name", "/architecture/ties/0/0"),
    (
        "a tie of unlike shapes",
        own(children={"a": "Linear(2, 3)"}, ties=[["a.weight", "a.bias"]]),
        "bad-tie",
        "/architecture/ties/0",
    ),
    (
        "a tie by attributes",
        own(children={"a": "Linear(2, 3)"}, ties=[["a.__class__", "a.weight"]]),
        "unknown-name",
        "/architecture/ties/0/0",
    ),
    (
        "a tie that replaces a forward",
        own(children={"a": "Linear(2, 3)"}, ties=[["a.forward", "a.weight"]]),
        "unknown-name",
        "/architecture/ties/0/0",
    ),
    (
        "a cycle of nodes",
        {
            "inputs": ["x"],
            "nodes": [{"id": "a", "call": "relu", "inputs": ["b"]}, {"id": "b", "call": "relu", "inputs": ["a"]}],
            "outputs": ["b"],
        },
        "cycle",
        "/architecture/nodes/0",
    ),
    (
        "a node of itself",
        {"inputs": ["x"], "nodes": [{"id": "a", "call": "relu", "inputs": ["a"]}], "outputs": ["a"]},
        "cycle",
        "/architecture/nodes/0",
    ),
    (
        "two nodes of one id",
        {
            "inputs": ["x"],
            "nodes": [{"id": "a", "call": "relu", "inputs": ["x"]}, {"id": "a", "call": "relu", "inputs": ["x"]}],
            "outputs": ["a"],
        },
        "duplicate-name",
        "/architecture/nodes/1/id",
    ),
    (
        "a node that calls eval",
        {"inputs": ["x"], "nodes": [{"id": "a", "call": "eval", "inputs": ["x"]}], "outputs": ["a"]},
        "unknown-name",
        "/architecture/nodes/0/call",
    ),
    (
        "a node that calls a dunder",
        {"inputs": ["x"], "nodes": [{"id": "a", "call": "x.__class__", "inputs": ["x"]}], "outputs": ["a"]},
        "bad-expression",
        "/architecture/nodes/0",
    ),
    (
        "a node with code for a call",
        {"inputs": ["x"], "nodes": [{"id": "a", "call": "relu(x) or relu", "inputs": ["x"]}], "outputs": ["a"]},
        "bad-expression",
        "/architecture/nodes/0",
    ),
    (
        "a node whose id is code",
        {"inputs": ["x"], "nodes": [{"id": "a=1;b", "call": "relu", "inputs": ["x"]}], "outputs": ["a"]},
        "unknown-name",
        "/architecture/outputs/0",
    ),
    (
        "a node that works in place",
        {
            "inputs": ["x"],
            "nodes": [{"id": "a", "call": "relu", "inputs": ["x"], "kwargs": {"inplace": True}}],
            "outputs": ["a"],
        },
        "bad-expression",
        "/architecture/nodes/0",
    ),
    (
        "an output of nothing",
        {"inputs": ["x"], "nodes": [], "outputs": ["nothing"]},
        "unknown-name",
        "/architecture/outputs/0",
    ),
    (
        "a hyperparameter that must be given",
        own(hyperparameters={"d": None}, children={"a": "Linear(d, d)"}),
        "missing-hyperparameter",
        "/architecture/hyperparameters/d",
    ),
    (
        "hyperparameters that name each other",
        own(hyperparameters={"a": "b", "b": "a"}, children={"c": "Linear(a, b)"}),
        "bad-arguments",
        "/architecture/children/c",
    ),
]
