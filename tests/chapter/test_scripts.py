"""The scripts of `docs/chapter/`: run against a service as a reader would, their output held against PyTorch."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from tests.chapter.textbook import MLP, CenteredLayer, FixedHiddenMLP, MyLinear, MySequential, NestMLP, rgnet
from tests.laboratory import assert_same, from_json
from tests.service import Service

FOLDER = Path(__file__).parents[2] / "docs" / "chapter"
SEED = 7
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl is installed")


class Output:
    """What a script printed, by the words that stand before it."""

    def __init__(self, printed: str) -> None:
        parts = re.split(r"^== (.*)\n", printed, flags=re.MULTILINE)
        self._text = {title: text.strip("\n") for title, text in zip(parts[1::2], parts[2::2], strict=True)}

    def text(self, begins: str) -> str:
        """What was printed under the only title that begins so."""
        [title] = [title for title in self._text if title.startswith(begins)]
        return self._text[title]

    def replies(self, begins: str) -> list[Any]:
        return [json.loads(line) for line in self.text(begins).splitlines()]

    def output(self, begins: str, number: int = 0) -> Tensor:
        return from_json(self.replies(begins)[number]["outputs"]["output"])

    def value(self, begins: str, number: int = 0) -> Tensor:
        return from_json(self.replies(begins)[number]["value"])

    @property
    def titles(self) -> list[str]:
        return list(self._text)


def run_script(name: str, base_url: str, folder: Path) -> Output:
    environment = {**os.environ, "BASE": base_url.rstrip("/"), "FOLDER": str(folder)}
    done = subprocess.run(
        ["bash", FOLDER / name], env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return Output(done.stdout)


@pytest.fixture(scope="module")
def blocks(running_service: Service, tmp_path_factory: pytest.TempPathFactory) -> Output:
    return run_script("blocks_and_layers.sh", running_service.base_url, tmp_path_factory.mktemp("blocks"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def parameters(running_service: Service, files: Path) -> Output:
    """The second of two runs: a script may be run again."""
    run_script("parameters_and_files.sh", running_service.base_url, files)
    return run_script("parameters_and_files.sh", running_service.base_url, files)


def seeded(make: Any, seed: int = SEED) -> Any:
    torch.manual_seed(seed)
    return make().eval()


def rows_of(output: Output) -> set[str]:
    return {title.split()[0] for title in output.titles if re.match(r"[BLPF]\d ", title)}


# --- blocks and layers ---


def test_every_row_of_these_sections_is_in_the_script(blocks: Output) -> None:
    assert rows_of(blocks) == {*(f"B{row}" for row in range(1, 9)), "L1", "L2"}


@pytest.fixture(scope="module")
def inputs(blocks: Output) -> Tensor:
    X = torch.tensor(json.loads(blocks.text("X")))
    assert X.shape == (2, 20)
    return X


def test_b1_b2_b5_give_what_pytorch_gives(blocks: Output, inputs: Tensor) -> None:
    layers = seeded(lambda: nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10)))
    assert_same(blocks.output("B1 net(X)"), layers(inputs))
    assert_same(blocks.output("B2 net(X)"), seeded(MLP)(inputs))
    mine = seeded(lambda: MySequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10)))
    assert_same(blocks.output("B5 net(X)"), mine(inputs))


def test_b3_blocks_in_blocks_are_addressed_by_their_path(blocks: Output) -> None:
    [inner] = blocks.replies("B3 chimera[0].net")
    assert inner["path"] == "0.net"
    assert [child["repr"] for child in inner["children"]][::2] == [
        "Linear(in_features=20, out_features=64, bias=True)",
        "Linear(in_features=64, out_features=32, bias=True)",
    ]
    [listed] = blocks.replies("B3 [name")
    wanted = [f"0.{name}" for name, _ in NestMLP().named_parameters()]
    assert [item["name"] for item in listed["items"]] == wanted


def test_b4_two_networks_of_one_class_change_apart(blocks: Output) -> None:
    twin = seeded(MLP, 1)
    assert_same(blocks.value("B4 net1.out", 0), torch.ones(10))
    assert_same(blocks.value("B4 net1.out", 1), twin.out.bias.detach())


def test_b6_b7_constants_loops_and_nested_blocks_give_what_pytorch_gives(blocks: Output, inputs: Tensor) -> None:
    [made] = blocks.replies("B6 net = ")
    assert made["parameter_count"] == 420
    assert_same(blocks.output("B6 net(X)"), seeded(FixedHiddenMLP)(inputs.clone()))
    chimera = seeded(lambda: nn.Sequential(NestMLP(), nn.Linear(16, 20), FixedHiddenMLP()))
    assert_same(blocks.output("B7 chimera(X)"), chimera(inputs.clone()))
    X = inputs.clone().requires_grad_()
    run_chimera(chimera, X).backward()
    [reply] = blocks.replies("B8")
    assert X.grad is not None
    assert_same(from_json(reply["input_gradients"]["input"]), X.grad)


def run_chimera(chimera: nn.Sequential, X: Tensor) -> Tensor:
    """The chapter's forward without its in-place division, which autograd does not allow on what it needs."""
    nest, linear, fixed = chimera
    X = linear(nest(X))
    X = fixed.linear(X)
    X = F.relu(torch.mm(X, fixed.rand_weight) + 1)
    X = fixed.linear(X)
    while X.abs().sum() > 1:
        X = X / 2
    return X.sum()


def test_l1_l2_layers_of_ones_own_give_what_pytorch_gives(blocks: Output) -> None:
    assert blocks.output("L1 layer(").tolist() == [-2, -1, 0, 1, 2]
    rows = [[1, 2, 3, 4, 5, 6, 7, 8], [8, 7, 6, 5, 4, 3, 2, 1], [0] * 8, [1, -1] * 4]
    net = seeded(lambda: nn.Sequential(nn.Linear(8, 128), CenteredLayer()))
    assert_same(blocks.output("L1 net = "), net(torch.tensor(rows, dtype=torch.float32)))
    linear = seeded(lambda: MyLinear(5, 3))
    assert_same(blocks.value("L2 linear = "), linear.weight.detach())
    X = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5], [0.5, 0.4, 0.3, 0.2, 0.1]])
    assert_same(blocks.output("L2 linear(X)"), linear(X))
    net = seeded(lambda: nn.Sequential(MyLinear(64, 8), MyLinear(8, 1)))
    up = torch.arange(1.0, 65.0)
    assert_same(blocks.output("L2 net = "), net(torch.stack([up, up.flip(0)])))


# --- parameters ---


def chapter_net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))


X = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.9, 0.8, 0.7, 0.6]])


def test_every_row_of_parameters_and_files_is_in_the_script(parameters: Output) -> None:
    assert rows_of(parameters) == {*(f"P{row}" for row in range(1, 10)), "F1", "F2", "F3"}


def test_p1_p2_p3_parameters_are_read_as_in_pytorch(parameters: Output, files: Path) -> None:
    net = seeded(chapter_net)
    assert_same(parameters.output("net(X)"), net(X))
    for state in parameters.replies("P1"):
        assert list(state) == ["weight", "bias"]
        assert all(torch.equal(from_json(state[name]), value) for name, value in net[2].state_dict().items())
    [bias] = parameters.replies("P2 net[2].bias")
    assert (bias["kind"], bias["requires_grad"], bias["dtype"]) == ("parameter", True, "float32")
    assert_same(from_json(bias["value"]), net[2].bias.detach())
    assert parameters.replies("P2 net[2].weight.grad")[0]["grad"] is None
    for title, prefix, module in (("P3 net[0]", "0.", net[0]), ("P3 net.named", "", net)):
        items = parameters.replies(title)[0]["items"]
        wanted = [(prefix + name, list(value.shape)) for name, value in module.named_parameters()]
        assert [(item["name"], item["shape"]) for item in items] == wanted
    assert np.array_equal(np.load(files / "2.bias.npy"), net[2].bias.detach().numpy())


def test_p4_generated_children_are_run_printed_and_addressed(parameters: Output) -> None:
    net = seeded(rgnet)
    assert_same(parameters.output("P4 rgnet(X)"), net(X))
    assert parameters.text("P4 print(rgnet)") == str(net)
    assert_same(parameters.value("P4 rgnet[0][1][0]"), net[0][1][0].bias.detach())


def test_p5_to_p8_initialisation_and_edits_give_what_pytorch_gives(parameters: Output) -> None:
    net = seeded(chapter_net)
    linears = (net[0], net[2])
    torch.manual_seed(1)
    for module in linears:
        nn.init.normal_(module.weight, mean=0, std=0.01)
        nn.init.zeros_(module.bias)
    assert_same(parameters.value("P5 net[0].weight", 0), net[0].weight.detach()[0])
    assert_same(parameters.value("P5 net[0].weight", 1), net[0].bias.detach()[0])
    assert parameters.value("P6 net[0].weight.data[0], net[0].bias", 0).tolist() == [1, 1, 1, 1]
    assert parameters.value("P6 net[0].weight.data[0], net[0].bias", 1).item() == 0
    torch.manual_seed(2)
    nn.init.xavier_uniform_(net[0].weight)
    assert_same(parameters.value("P6 net[0].weight.data[0], net[2]", 0), net[0].weight.detach()[0])
    assert_same(parameters.value("P6 net[0].weight.data[0], net[2]", 1), torch.full((1, 8), 42.0))
    torch.manual_seed(3)
    for module in linears:
        nn.init.uniform_(module.weight, -10, 10)
        module.weight.data *= module.weight.data.abs() >= 5
    [told] = parameters.replies("P7 net.apply")
    assert [(item["name"], item["shape"]) for item in told["initialized"]] == [
        ("0.weight", [8, 4]),
        ("2.weight", [1, 8]),
    ]
    assert_same(parameters.value("P7 net[0].weight[:2]"), net[0].weight.detach()[:2])
    net[0].weight.data[:] += 1
    net[0].weight.data[0, 0] = 42
    assert_same(parameters.value("P8 net[0].weight.data[0]"), net[0].weight.detach()[0])


def test_p9_tied_parameters_are_one_and_their_gradients_add_up(parameters: Output) -> None:
    torch.manual_seed(SEED)
    shared = nn.Linear(8, 8)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(8, 1))
    for number in range(2):
        assert_same(parameters.value("P9 net[2].weight.data[0], ", number), shared.weight.detach()[0])
    shared.weight.data[0, 0] = 100
    for number in range(2):
        assert_same(parameters.value("P9 net[2].weight.data[0, 0]", number), shared.weight.detach()[0])
    net(X).sum().backward()
    for reply in parameters.replies("P9 net(X).sum()"):
        assert_same(from_json(reply["grad"]), shared.weight.grad)


# --- files ---


class SavedMLP(nn.Module):
    """The MLP of the chapter's section on files."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(20, 256)
        self.output = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(F.relu(self.hidden(x)))


def test_f1_a_tensor_a_list_and_a_dict_are_saved_and_loaded(parameters: Output, files: Path) -> None:
    x, y = torch.arange(4), torch.zeros(4)
    assert_same(from_json(parameters.replies("F1 torch.load('x-file')")[0]), x)
    assert_same(torch.load(files / "x-file"), x)
    for found in ([*map(from_json, parameters.replies("F1 torch.load('x-files')")[0])], torch.load(files / "x-files")):
        assert_same(found[0], x)
        assert_same(found[1], y)
    told = parameters.replies("F1 torch.load('mydict')")[0]
    for loaded in ({name: from_json(value) for name, value in told.items()}, torch.load(files / "mydict")):
        assert list(loaded) == ["x", "y"]
        assert_same(loaded["x"], x)
        assert_same(loaded["y"], y)


def test_f2_a_network_is_saved_rebuilt_and_loaded_and_gives_the_same(parameters: Output, files: Path) -> None:
    given, reply, *_ = parameters.replies("F2 X; Y = net(X)")
    inputs = torch.tensor(given)
    net, drawn = SavedMLP(), seeded(SavedMLP)
    net.load_state_dict(torch.load(files / "mlp.params"))
    assert_same(from_json(reply["outputs"]["output"]), net.eval()(inputs))
    for state in (load_file(files / "mlp.safetensors"), drawn.state_dict()):
        assert all(torch.equal(value, net.state_dict()[name]) for name, value in state.items())
    assert parameters.replies("F2 clone.load_state_dict")[0]["loaded"] == 4
    assert parameters.text("F2 clone.eval()").splitlines()[1:] == str(net).splitlines()[1:]
    assert parameters.text("F2 Y_clone == Y").splitlines()[-1] == "equal, bit for bit"
    assert np.array_equal(np.load(files / "Y_clone.npy"), net(inputs).detach().numpy())


def test_f3_a_long_run_saves_as_it_goes(parameters: Output) -> None:
    [result] = parameters.replies("F3 train")
    assert (result["steps"], result["epochs"], result["stopped"]) == (6, 3, "done")
    [history] = parameters.replies("F3 what was saved")
    saved = [item for item in history["items"] if item["operation"] == "train"]
    assert [item["detail"]["step"] for item in saved] == [6, 4, 2]
    assert result["revision"] == saved[0]["revision"]
