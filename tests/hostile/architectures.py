"""Architectures that must be refused: (what it tries, architecture, code, pointer).

Each is sent to `POST /v1/networks` and to `POST /v1/architectures/check`, which must agree.
"""

# letters that look alike are what some cases try

from typing import Any

Row = tuple[str, Any, str, str]


def nested(depth: int, inner: Any, wrap: Any = lambda inside: [inside]) -> Any:
    """`inner` inside `depth` lists, or whatever `wrap` puts around it."""
    for _ in range(depth):
        inner = wrap(inner)
    return inner


def own(**parts: Any) -> dict[str, Any]:
    """A block of one's own around the parts that are tried."""
    return {"inputs": ["x"], "forward": ["return x"], **parts}


def repeated(count: Any, block: Any, **more: Any) -> list[Any]:
    return [{"repeat": count, "block": block, **more}]


def doubling(levels: int) -> dict[str, Any]:
    """Blocks that each use the one before twice: a diamond of 2 ** levels paths in `levels` lines."""
    blocks: dict[str, Any] = {"B0": ["Linear(1, 1)"]}
    for level in range(1, levels):
        blocks[f"B{level}"] = [f"B{level - 1}()", f"B{level - 1}()"]
    return {"blocks": blocks, "type": "Sequential", "layers": [f"B{levels - 1}()"]}


WRONG_TYPES: list[Row] = [
    ("null", None, "bad-arguments", "/architecture"),
    ("a number", 7, "bad-arguments", "/architecture"),
    ("true", True, "bad-arguments", "/architecture"),
    ("an empty object", {}, "bad-arguments", "/architecture"),
    ("an empty text", "", "bad-expression", "/architecture"),
    ("null for a layer", ["Linear(2, 2)", None], "bad-arguments", "/architecture/1"),
    ("a number for a layer", ["Linear(2, 2)", 3], "bad-arguments", "/architecture/1"),
    ("layers that are a number", {"type": "Sequential", "layers": 5}, "bad-arguments", "/architecture/layers"),
    ("layers that are a text", {"type": "Sequential", "layers": "ReLU()"}, "bad-arguments", "/architecture/layers"),
    ("a type that is a list", {"type": ["Linear"], "args": [2, 2]}, "bad-arguments", "/architecture/type"),
    ("a type that is an object", {"type": {"type": "Linear"}}, "bad-arguments", "/architecture/type"),
    ("a type that is null", {"type": None}, "bad-arguments", "/architecture/type"),
    ("args that are an object", {"type": "Linear", "args": {"0": 2}}, "bad-arguments", "/architecture/args"),
    ("args that are a text", {"type": "Linear", "args": "2, 2"}, "bad-arguments", "/architecture/args"),
    ("kwargs that are a list", {"type": "Linear", "kwargs": [2, 2]}, "bad-arguments", "/architecture/kwargs"),
    ("children that are a number", own(children=4), "bad-arguments", "/architecture/children"),
    ("parameters that are a list", own(parameters=["zeros(2)"]), "bad-arguments", "/architecture/parameters"),
    ("a parameter that is true", own(parameters={"w": True}), "bad-arguments", "/architecture/parameters/w"),
    ("constants that are a text", own(constants="rand(2)"), "bad-arguments", "/architecture/constants"),
    ("inputs that are a text", own(inputs="x"), "bad-arguments", "/architecture/inputs"),
    ("inputs that are numbers", own(inputs=[1, 2]), "bad-arguments", "/architecture/inputs/0"),
    ("forward that is a number", own(forward=12), "bad-arguments", "/architecture/forward"),
    ("forward that is an object", own(forward={"return": "x"}), "bad-arguments", "/architecture/forward"),
    ("forward with a line that is null", own(forward=["y = x", None]), "bad-arguments", "/architecture/forward/1"),
    ("forward that is empty", own(forward=[]), "bad-output", "/architecture/forward"),
    ("hyperparameters that are a number", own(hyperparameters=3), "bad-arguments", "/architecture/hyperparameters"),
    ("ties that are an object", own(ties={"a": "b"}), "bad-arguments", "/architecture/ties"),
    ("a tie of three", own(parameters={"a": "zeros(1)"}, ties=[["a", "a", "a"]]), "bad-tie", "/architecture/ties/0"),
    ("a tie of numbers", own(ties=[[1, 2]]), "bad-tie", "/architecture/ties/0"),
    ("blocks that are a list", own(blocks=["Linear(2, 2)"]), "bad-arguments", "/architecture/blocks"),
    (
        "shared that is a list",
        {"type": "Sequential", "shared": ["Linear(2, 2)"], "layers": []},
        "bad-arguments",
        "/architecture/shared",
    ),
    (
        "a ref that is a number",
        {"type": "Sequential", "layers": [{"ref": 1}]},
        "bad-arguments",
        "/architecture/layers/0/ref",
    ),
    ("a repeat that is a list", repeated([3], "ReLU()"), "bad-arguments", "/architecture/0/repeat"),
    ("a repeat that is a float", repeated(2.5, "ReLU()"), "bad-arguments", "/architecture/0/repeat"),
    ("a repeat that is true", repeated(True, "ReLU()"), "bad-arguments", "/architecture/0/repeat"),
    ("a repeat below zero", repeated(-1, "ReLU()"), "bad-arguments", "/architecture/0/repeat"),
    (
        "nodes that are a number",
        {"inputs": ["x"], "nodes": 1, "outputs": ["x"]},
        "bad-arguments",
        "/architecture/nodes",
    ),
    (
        "a node that is a text",
        {"inputs": ["x"], "nodes": ["relu"], "outputs": ["x"]},
        "bad-arguments",
        "/architecture/nodes/0",
    ),
    (
        "a node whose id is a number",
        {"inputs": ["x"], "nodes": [{"id": 1, "call": "relu"}], "outputs": ["x"]},
        "bad-arguments",
        "/architecture/nodes/0/id",
    ),
    (
        "outputs that are a number",
        {"inputs": ["x"], "nodes": [], "outputs": 1},
        "bad-arguments",
        "/architecture/outputs",
    ),
    ("unknown keys", {"type": "Linear", "args": [2, 2], "__reduce__": 1}, "unknown-key", "/architecture/__reduce__"),
    ("an unknown key in a block", own(fordward=["return x"]), "unknown-key", "/architecture/fordward"),
]

ARGUMENTS: list[Row] = [
    ("true for a size", {"type": "Linear", "args": [True, 2]}, "bad-arguments", "/architecture/args/0"),
    ("True for a size, in a call", "Linear(True, 2)", "bad-arguments", "/architecture"),
    ("a float for a size", {"type": "Linear", "args": [2.0, 2]}, "bad-arguments", "/architecture/args/0"),
    ("a float for a size, in a call", "Linear(2.0, 2)", "bad-arguments", "/architecture"),
    ("null for a size", {"type": "Linear", "args": [None, 2]}, "bad-arguments", "/architecture/args/0"),
    ("a size below zero", "Linear(-1, 2)", "bad-arguments", "/architecture"),
    ("a size of 2**62", "Linear(4611686018427387904, 1)", "limit-exceeded", "/architecture"),
    ("a size past 64 bits", "Linear(99999999999999999999, 1)", "limit-exceeded", "/architecture"),
    (
        "a size past 64 bits in JSON",
        {"type": "Linear", "args": [18446744073709551615, 1]},
        "limit-exceeded",
        "/architecture/args/0",
    ),
    ("two sizes whose product wraps around", "Linear(2147483647, 2147483647)", "limit-exceeded", "/architecture"),
    ("a size of 5,000 digits", f"Linear({'9' * 5000}, 1)", "limit-exceeded", "/architecture"),
    ("an infinite size", "Linear(inf, 2)", "bad-arguments", "/architecture"),
    ("a size that divides by zero", "Linear(1 // 0, 2)", "bad-arguments", "/architecture"),
    ("a power tower for a size", "Linear(9 ** 9 ** 9, 2)", "limit-exceeded", "/architecture"),
    ("a shift for a size", "Linear(1 << 62, 2)", "bad-expression", "/architecture"),
    (
        "a device",
        {"type": "Linear", "args": [2, 2], "kwargs": {"device": "cuda"}},
        "bad-arguments",
        "/architecture/kwargs/device",
    ),
    ("a dtype", "Linear(2, 2, dtype=torch.float64)", "bad-arguments", "/architecture"),
    (
        "dunder keywords",
        {"type": "Linear", "args": [2, 2], "kwargs": {"__class__": 1}},
        "bad-arguments",
        "/architecture/kwargs/__class__",
    ),
    (
        "self as a keyword",
        {"type": "Linear", "args": [2, 2], "kwargs": {"self": 1}},
        "bad-arguments",
        "/architecture/kwargs/self",
    ),
    ("too many arguments", {"type": "Linear", "args": list(range(500))}, "bad-arguments", "/architecture/args/5"),
    ("the same argument twice", "Linear(2, in_features=2, out_features=2)", "bad-arguments", "/architecture"),
    ("a star", "Linear(*x)", "bad-expression", "/architecture"),
    ("two stars", "Linear(**x)", "bad-expression", "/architecture"),
    ("a million stacked layers", "LSTM(1, 1, num_layers=1000000)", "limit-exceeded", "/architecture"),
    ("hidden layers of an LSTM past the bytes", "LSTM(8, 100000)", "limit-exceeded", "/architecture"),
    (
        "a million encoder layers",
        "TransformerEncoder(TransformerEncoderLayer(8, 2), 1000000)",
        "limit-exceeded",
        "/architecture",
    ),
    ("a transformer wider than its heads", "MultiheadAttention(7, 2)", "bad-arguments", "/architecture"),
    ("no heads", "MultiheadAttention(8, 0)", "bad-arguments", "/architecture"),
    ("groups of zero", "Conv2d(2, 2, 3, groups=0)", "bad-arguments", "/architecture"),
    ("groups below zero", "Conv2d(2, 2, 3, groups=-1)", "bad-arguments", "/architecture"),
    ("no norm groups", "GroupNorm(0, 2)", "bad-arguments", "/architecture"),
    ("a kernel of 2**31", "Conv3d(1, 1, 2147483647)", "limit-exceeded", "/architecture"),
    ("a kernel below zero", "Conv2d(1, 1, -3)", "bad-arguments", "/architecture"),
    ("an embedding of 2**40 rows", "Embedding(1099511627776, 64)", "limit-exceeded", "/architecture"),
    ("an embedding of 10**9 rows", "Embedding(1000000000, 64)", "limit-exceeded", "/architecture"),
    ("a padding index outside", "Embedding(4, 2, padding_idx=99)", "bad-arguments", "/architecture"),
    (
        "a softmax whose clusters are mad",
        "AdaptiveLogSoftmaxWithLoss(8, 100, [50, 20])",
        "bad-arguments",
        "/architecture",
    ),
    (
        "adaptive softmax clusters without end",
        "AdaptiveLogSoftmaxWithLoss(8, 100, [0])",
        "bad-arguments",
        "/architecture",
    ),
    ("padding of a text", "Conv2d(1, 1, 3, padding='__class__')", "bad-arguments", "/architecture"),
    ("a dropout that is no probability", "Dropout(2)", "bad-arguments", "/architecture"),
    ("a layer norm of a billion", "LayerNorm((100000, 100000))", "limit-exceeded", "/architecture"),
    ("a bilinear of the third power", "Bilinear(100000, 100000, 100000)", "limit-exceeded", "/architecture"),
    ("a layer that has no name", {"type": "", "args": []}, "unknown-layer", "/architecture/type"),
    ("a module that is not for JSON", "Module()", "unknown-layer", "/architecture"),
    ("a lazy layer", "LazyLinear(3)", "unknown-layer", "/architecture"),
    ("data parallel", "DataParallel(Linear(2, 2))", "unknown-layer", "/architecture"),
    ("a layer by its full path", "torch.nn.Linear.__init__(2, 2)", "bad-expression", "/architecture"),
    ("a layer by way of os", "os.system('true')", "bad-expression", "/architecture"),
    ("import", "__import__('os').system('true')", "bad-expression", "/architecture"),
    ("a custom encoder that is no block", "Transformer(8, 2, custom_encoder='os')", "bad-arguments", "/architecture"),
    (
        "an activation that is code",
        "TransformerEncoderLayer(8, 2, activation='lambda x: x')",
        "bad-arguments",
        "/architecture",
    ),
]

BOMBS: list[Row] = [
    (
        "100 lists inside each other",
        nested(100, "ReLU()"),
        "limit-exceeded",
        "/architecture/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/…",
    ),
    (
        "100 Sequentials inside each other",
        nested(100, "ReLU()", lambda a: {"type": "Sequential", "layers": [a]}),
        "limit-exceeded",
        "/architecture/layers/0/layers/0/layers/0/layers/0/layers/0/l…",
    ),
    (
        "100 blocks of children",
        nested(100, "ReLU()", lambda a: own(children={"c": a})),
        "limit-exceeded",
        "/architecture/children/c/children/c/children/c/children/c/ch…",
    ),
    ("100 blocks in a call", "Sequential(" * 100 + "ReLU()" + ")" * 100, "limit-exceeded", "/architecture"),
    ("900 lists inside each other", nested(900, "ReLU()"), "limit-exceeded", "/architecture"),
    ("100,000 children by one repeat", repeated(100_000, "ReLU()"), "limit-exceeded", "/architecture/0/repeat"),
    ("10**18 children by one repeat", repeated(10**18, "ReLU()"), "limit-exceeded", "/architecture/0/repeat"),
    ("a repeat past 64 bits", repeated(2**64 - 1, "ReLU()"), "limit-exceeded", "/architecture/0/repeat"),
    ("a repeat by a power tower", repeated("9 ** 9 ** 9", "ReLU()"), "limit-exceeded", "/architecture/0/repeat"),
    (
        "repeats inside repeats: 100 ** 6",
        nested(6, "ReLU()", lambda a: repeated(100, a)),
        "limit-exceeded",
        "/architecture/0/block/0/block/0/block/0",
    ),
    (
        "empty repeats inside repeats: 1000 ** 8",
        nested(8, [], lambda a: repeated(1000, a)),
        "limit-exceeded",
        "/architecture/0/block/0/block/0/block/0/block/0/block/0/block/0",
    ),
    ("repeats of heavy layers", repeated(10_000, "Linear(1000, 1000)"), "limit-exceeded", "/architecture/0"),
    ("a diamond of 2 ** 40 paths", doubling(41), "limit-exceeded", "/architecture/layers/0"),
    ("a diamond of 2 ** 62 paths", doubling(63), "limit-exceeded", "/architecture/layers/0"),
    (
        "a stack of stacks",
        nested(4, "TransformerEncoderLayer(8, 2)", lambda a: f"TransformerEncoder({a}, 200)"),
        "limit-exceeded",
        "/architecture",
    ),
    (
        "a shared layer under 2 ** 30 names",
        {
            "type": "Sequential",
            "shared": {"s0": "ReLU()", **{f"s{n}": [{"ref": f"s{n - 1}"}, {"ref": f"s{n - 1}"}] for n in range(1, 31)}},
            "layers": [{"ref": "s30"}],
        },
        "limit-exceeded",
        "/architecture/shared/s14",
    ),
    ("30,000 layers", ["ReLU()"] * 30_000, "limit-exceeded", "/architecture"),
    ("an expression of 5,000 characters", f"Linear({'1 + ' * 1250}1, 2)", "limit-exceeded", "/architecture"),
    ("an expression of 500 brackets", f"Linear({'(' * 500}1{')' * 500}, 2)", "limit-exceeded", "/architecture"),
    ("an expression of 2,000 signs", f"Linear({'-' * 2000}1, 2)", "limit-exceeded", "/architecture"),
    (
        "an expression of 1,000 nots",
        own(parameters={"w": f"zeros({'not ' * 1000}1)"}),
        "limit-exceeded",
        "/architecture/parameters/w",
    ),
    ("a forward of a megabyte", own(forward=["y = x + 1"] * 100_000), "limit-exceeded", "/architecture/forward"),
    ("a forward of one long line", own(forward="y = x" + " + x" * 20_000), "limit-exceeded", "/architecture/forward"),
    (
        "a forward of 200 nested ifs",
        own(forward="".join("    " * n + "if x.sum() > 0:\n" for n in range(200))),
        "limit-exceeded",
        "/architecture/forward",
    ),
    (
        "a graph of 30,000 nodes",
        {
            "inputs": ["x"],
            "nodes": [{"id": f"n{n}", "call": "relu", "inputs": [f"n{n - 1}" if n else "x"]} for n in range(30_000)],
            "outputs": ["n29999"],
        },
        "limit-exceeded",
        "/architecture/nodes",
    ),
    (
        "a parameter of 8 TB",
        own(parameters={"w": "zeros(10**6, 10**6)"}),
        "limit-exceeded",
        "/architecture/parameters/w",
    ),
    (
        "a parameter of 2 ** 80 elements",
        own(parameters={"w": "zeros(2**40, 2**40)"}),
        "limit-exceeded",
        "/architecture/parameters/w",
    ),
    (
        "a constant drawn of 8 TB",
        own(constants={"c": "randn(1000000, 1000000)"}),
        "limit-exceeded",
        "/architecture/constants/c",
    ),
    (
        "a parameter of a view of 10**12",
        own(parameters={"w": "zeros(1).expand(10**12).sum()"}),
        "limit-exceeded",
        "/architecture/parameters/w",
    ),
    (
        "a clone of a view of 10**12",
        own(parameters={"w": "zeros(1).expand(10**12).clone()"}),
        "limit-exceeded",
        "/architecture/parameters/w",
    ),
    (
        "a parameter that is a view of 71 dimensions",
        own(parameters={"w": "zeros(4).reshape([1] * 70 + [4])"}),
        "limit-exceeded",
        "/architecture/parameters/w",
    ),
    (
        "a parameter of 60 dimensions",
        own(parameters={"w": f"zeros({'1, ' * 60})"}),
        "limit-exceeded",
        "/architecture/parameters/w",
    ),
    ("a list of 10**9", own(parameters={"w": "tensor([0.0] * 10**9)"}), "limit-exceeded", "/architecture/parameters/w"),
    (
        "a list in a list of 10,000 ** 2",
        own(parameters={"w": "tensor([[0.0] * 10000] * 10000)"}),
        "limit-exceeded",
        "/architecture/parameters/w",
    ),
    (
        "five parameters of 1 GB",
        own(parameters={f"w{n}": "zeros(2**28)" for n in range(5)}),
        "limit-exceeded",
        "/architecture",
    ),
    ("an arange of 10**15", own(constants={"c": "arange(10**15)"}), "limit-exceeded", "/architecture/constants/c"),
    (
        "a one-hot of 10**15 classes",
        own(constants={"c": "one_hot(arange(3), 10**15)"}),
        "limit-exceeded",
        "/architecture/constants/c",
    ),
]


TENSORS: list[Row] = [
    (
        "a constant that promises more than it holds",
        own(constants={"c": {"shape": [1000000, 1000000], "data": [1]}}),
        "limit-exceeded",
        "/architecture/constants/c/shape",
    ),
    (
        "a constant with a size below zero",
        own(constants={"c": {"shape": [-1], "data": []}}),
        "bad-tensor",
        "/architecture/constants/c/shape/0",
    ),
    (
        "a constant of 60 dimensions",
        own(constants={"c": nested(60, 1.0)}),
        "limit-exceeded",
        "/architecture/constants/c",
    ),
    (
        "a constant of objects",
        own(constants={"c": {"dtype": "object", "data": [1]}}),
        "bad-dtype",
        "/architecture/constants/c/dtype",
    ),
    (
        "a constant of quantised numbers",
        own(constants={"c": {"dtype": "qint8", "data": [1]}}),
        "bad-dtype",
        "/architecture/constants/c/dtype",
    ),
    (
        "a constant past its dtype",
        own(constants={"c": {"dtype": "uint8", "data": [256]}}),
        "bad-tensor",
        "/architecture/constants/c/data/0",
    ),
    (
        "a ragged constant",
        own(constants={"c": {"data": [[1, 2], [3]]}}),
        "bad-tensor",
        "/architecture/constants/c/data/1",
    ),
    (
        "a constant that names a tensor that is not there",
        own(constants={"c": {"tensor": "../../etc/passwd"}}),
        "unknown-name",
        "/architecture/constants/c/tensor",
    ),
]
