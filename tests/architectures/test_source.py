"""The Python file of every architecture: a process that knows nothing of us loads the state and computes the same."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import torch
from torch import Tensor

from tests.architectures.case import uniform
from tests.architectures.test_architectures import CASES, named
from tests.chapter import textbook
from tests.chapter.nets import TIED_JSON
from tests.laboratory import assert_same, create, run_binary, state_of

RUNNER = Path(__file__).with_name("run_source.py")
SEED = 7


class Net(NamedTuple):
    name: str
    architecture: Any
    inputs: Mapping[str, Tensor]
    seeded: bool = False
    dtype: str = "float32"


X = uniform(2, 20)
CHAPTER = [
    Net("mlp", textbook.MLP_JSON, {"X": X}),
    Net("fixed_hidden", textbook.FIXED_HIDDEN_MLP_JSON, {"X": X}),
    Net("rgnet", textbook.RGNET_JSON, {"input": uniform(2, 4)}),
    Net("centered", ["Linear(8, 128)", textbook.CENTERED_LAYER_JSON], {"input": uniform(4, 8)}),
    Net("tied", TIED_JSON, {"input": uniform(2, 4)}),
    Net(
        "my_sequential",
        {
            "blocks": {"MySequential": textbook.MY_SEQUENTIAL_JSON},
            "type": "MySequential",
            "args": ["Linear(20, 256)", "ReLU()", "Linear(256, 10)"],
        },
        {"X": X},
    ),
    Net(
        "chimera",
        {
            "blocks": {"NestMLP": textbook.NEST_MLP_JSON, "FixedHiddenMLP": textbook.FIXED_HIDDEN_MLP_JSON},
            "type": "Sequential",
            "layers": ["NestMLP()", "Linear(16, 20)", "FixedHiddenMLP()"],
        },
        {"input": X},
    ),
    Net(
        "my_linear",
        {
            "blocks": {"MyLinear": textbook.MY_LINEAR_JSON},
            "type": "Sequential",
            "layers": ["MyLinear(64, 8)", "MyLinear(8, 1)"],
        },
        {"input": uniform(2, 64)},
    ),
]
ODD_NAMES = {
    "children": {"block 0": "Linear(3, 3)", "class": "ReLU()", "größe": ["Linear(3, 3)"], "_x": "Tanh()"},
    "parameters": {"a b": "randn(3)", "lambda": "zeros(3)"},
    "constants": {"def": "arange(3)", "eps": "1e-3"},
    "hyperparameters": {"half": 0.5, "type": 3, "huge": {"type": "Identity"}},
    "ties": [["größe.0.weight", "block 0.weight"]],
    "inputs": ["x", "len=2", "far=inf"],
    "forward": [
        'math = self["block 0"](x) + self["a b"] - self["lambda"] * eps',
        'list = self["class"](math) * half',
        "for child in children():",
        "    list = _x(child(list))",
        'return self["größe"](list)[:, :type] + len * self["def"], self[0](x), far',
    ],
}
NUMBERS = {
    "hyperparameters": {"d": 6, "sizes": [2, 3]},
    "parameters": {"w": "randn(d, d) / sqrt(d)", "v": "eye(d).t()"},
    "inputs": ["x"],
    "forward": [
        "b, n = x.shape",
        "scale = sqrt(n) + exp(-1) + log(2, 10) + abs(-2) + round(2.6) + pow(2, 3) + max(n, b) + min([n, b])",
        "y = (x @ self.w) / scale + sqrt(abs(x)) + exp(x) - log(x + 2)",
        "m = max(y.sum(), 0)",
        "rows = [y.mean(), m, sum([1, 2])]",
        "if max(y) > 1e9:",
        "    n = y",
        "z = sqrt(n) + sum(rows) + y.max(1).values",
        "return z.view(-1, 1) * zeros(b, sizes[0]) + ones(sizes[0]) + tensor([1.5, 2.5]) + arange(2) + full((2,), m)",
    ],
}
LITERALS = {
    "hyperparameters": {"scale": "tensor([0.1, inf])"},
    "constants": {
        "scale": "scale",
        "again": "scale",
        "table": [[1, -2], [3, 4]],
        "flags": {"dtype": "bool", "data": [1, 0]},
    },
    "inputs": ["x"],
    "forward": "return where(flags, x @ table, x) * again[0] + scale[0]",
}
SCOPES = {
    "shared": {"core": "Linear(3, 3)", "unused": "Linear(3, 3)"},
    "layers": [
        "Linear(3, 3)",
        {
            "shared": {"act": "PReLU()"},
            "type": "Sequential",
            "layers": ["Linear(3, 3)", {"ref": "act"}, {"ref": "core"}, {"ref": "act"}],
        },
        {"children": {"a": {"ref": "core"}, "b": "Linear(3, 3)"}, "inputs": ["x"], "forward": "return b(a(x))"},
        {"ref": "core"},
    ],
    "type": "Sequential",
}
RESIDUAL = {
    "blocks": {
        "Residual": {
            "hyperparameters": ["fn", "times"],
            "children": {"fn": "fn"},
            "inputs": ["x"],
            "forward": ["for i in range(times):", "    x = x + fn(x)", "return x"],
        },
        "Tower": {"hyperparameters": ["*blocks"], "type": "Sequential", "layers": {"first": "Linear(3, 3)"}},
    },
    "type": "Sequential",
    "layers": [
        "Linear(3, 3)",
        "Residual(Sequential(Linear(3, 3), Residual(Tanh(), 1)), 2)",
        "Tower()",
    ],
}
ODD = [
    Net("odd_names", ODD_NAMES, {"x": uniform(2, 3)}),
    Net("numbers", NUMBERS, {"x": uniform(3, 6)}),
    Net("literals", LITERALS, {"x": uniform(2, 2)}),
    Net("scopes", SCOPES, {"input": uniform(2, 3)}),
    Net("residual", RESIDUAL, {"input": uniform(2, 3)}),
    Net(
        "capsules_64",
        next(c for c in CASES if c.name == "capsules").architecture,
        {"u": uniform(2, 6, 4).double()},
        dtype="float64",
    ),
    Net("numbers_16", NUMBERS, {"x": uniform(3, 6).bfloat16()}, dtype="bfloat16"),
    Net("plain", "Linear(3, 2)", {"input": uniform(2, 3)}),
    Net(
        "transformer_layer",
        "TransformerEncoder(TransformerEncoderLayer(8, 2, 16, dropout=0.0), 2)",
        {"src": uniform(5, 2, 8)},
    ),
]
NETS = [*(Net(case.name, case.architecture, case.inputs, case.seeded) for case in CASES), *CHAPTER, *ODD]


@pytest.fixture(scope="module")
def folder(service: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each network: its file, its state, its inputs, and what a fresh process made of these."""
    root = tmp_path_factory.mktemp("source")
    for net in NETS:
        name = f"source_{net.name}"
        create(service, name, net.architecture, seed=SEED, dtype=net.dtype)
        place = root / net.name
        place.mkdir()
        code = service.get(f"/v1/networks/{name}/code")
        assert code.status_code == 200, code.text
        assert code.headers["content-type"] == "text/x-python; charset=utf-8"
        (place / "code.py").write_text(code.text)
        (place / "state.safetensors").write_bytes(service.get(f"/v1/networks/{name}/state_dict").content)
        torch.save(dict(net.inputs), place / "inputs.pt")
    done = subprocess.run(
        [sys.executable, "-I", str(RUNNER), str(root)], capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr
    return root


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_the_file_of_a_network_computes_the_same(service: httpx.Client, folder: Path, net: Net) -> None:
    name = f"source_{net.name}"
    found = torch.load(folder / net.name / "outputs.pt")
    given = run_binary(service, name, net.inputs, seed=11)
    wanted = dict(named(found["result"]))
    assert set(given) == set(wanted)
    for key, value in given.items():
        assert_same(value, wanted[key].to(value.dtype) if value.ndim == 0 else wanted[key], key)
    state = state_of(service, name)
    assert list(found["first"]) == [key for key in found["first"] if key in state]
    assert set(found["first"]) == set(state)
    for key, value in state.items():
        assert_same(found["first"][key], value, key)


def test_a_file_says_what_it_is_and_reads_well(service: httpx.Client, folder: Path) -> None:
    text = (folder / "mlp" / "code.py").read_text()
    assert text == service.get("/v1/networks/source_mlp/code").text
    assert "class Block(nn.Module):" in text
    assert "self.hidden = nn.Linear(20, 256)" in text
    assert "return self.out(F.relu(self.hidden(X)))" in text
    assert "import app" not in text
    shown = (folder / "rgnet" / "code.py").read_text()
    assert "'block 0'" in shown


def test_what_a_revision_does_not_train_is_not_trained_in_its_file(service: httpx.Client, tmp_path: Path) -> None:
    create(service, "source_frozen", ["Linear(2, 2)", "Linear(2, 1)"])
    reply = service.patch("/v1/networks/source_frozen/parameters/0.weight", json={"requires_grad": False})
    assert reply.status_code == 200
    for revision, trained in ((1, True), (2, False)):
        space: dict[str, Any] = {}
        exec(service.get(f"/v1/networks/source_frozen/code?revision={revision}").text, space)
        assert space["build"]().get_parameter("0.weight").requires_grad is trained
    assert service.get("/v1/networks/source_frozen/code?revision=9").status_code == 404
    assert service.get("/v1/networks/nobody/code").status_code == 404
