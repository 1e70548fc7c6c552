"""The chapter's rows that an architecture alone can show, each against PyTorch beside it."""

import torch
from torch import nn
from torch.nn import functional as F

from app.architecture.call import call
from app.architecture.describe import canonical_parameter, list_parameters, print_tree
from tests.architecture.building import LIMITS, built, same_parameters, same_state

MLP = {
    "children": {"hidden": "Linear(20, 256)", "out": "Linear(256, 10)"},
    "inputs": ["X"],
    "forward": ["return out(F.relu(hidden(X)))"],
}
FIXED_HIDDEN = {
    "constants": {"rand_weight": "rand(20, 20)"},
    "children": {"linear": "Linear(20, 20)"},
    "inputs": ["X"],
    "forward": [
        "X = linear(X)",
        "X = relu(mm(X, rand_weight) + 1)",
        "X = linear(X)",
        "while X.abs().sum() > 1:",
        "    X /= 2",
        "return X.sum()",
    ],
}
NEST = {
    "children": {"net": ["Linear(20, 64)", "ReLU()", "Linear(64, 32)", "ReLU()"], "linear": "Linear(32, 16)"},
    "inputs": ["X"],
    "forward": "return linear(net(X))",
}
MY_SEQUENTIAL = {
    "hyperparameters": ["*blocks"],
    "children": "blocks",
    "inputs": ["X"],
    "forward": ["for block in blocks:", "    X = block(X)", "return X"],
}
MY_LINEAR = {
    "hyperparameters": ["in_units", "units"],
    "parameters": {"weight": "randn(in_units, units)", "bias": "randn(units,)"},
    "inputs": ["X"],
    "forward": ["linear = torch.matmul(X, self.weight.data) + self.bias.data", "return F.relu(linear)"],
}
CENTERED = {"inputs": ["X"], "forward": "return X - X.mean()"}
LIBRARY = {
    "FixedHiddenMLP": FIXED_HIDDEN,
    "NestMLP": NEST,
    "MySequential": MY_SEQUENTIAL,
    "MyLinear": MY_LINEAR,
    "CenteredLayer": CENTERED,
}


class TorchMLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(20, 256)
        self.out = nn.Linear(256, 10)

    def forward(self, X):
        return self.out(F.relu(self.hidden(X)))


class TorchFixedHidden(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("rand_weight", torch.rand((20, 20), requires_grad=False))
        self.linear = nn.Linear(20, 20)

    def forward(self, X):
        X = self.linear(X)
        X = F.relu(torch.mm(X, self.rand_weight) + 1)
        X = self.linear(X)
        while X.abs().sum() > 1:
            X = X / 2
        return X.sum()


class TorchNest(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
        self.linear = nn.Linear(32, 16)

    def forward(self, X):
        return self.linear(self.net(X))


class TorchMyLinear(nn.Module):
    def __init__(self, in_units, units):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(in_units, units))
        self.bias = nn.Parameter(torch.randn(units))

    def forward(self, X):
        return F.relu(torch.matmul(X, self.weight.data) + self.bias.data)


def seeded(make):
    torch.manual_seed(7)
    return make()


def equal_outputs(ours, theirs, x):
    assert torch.equal(call(ours, x, limits=LIMITS).outputs["output"], theirs(x))


def test_b1_a_sequential_has_the_parameters_and_outputs_of_pytorch():
    ours = built({"type": "Sequential", "layers": ["Linear(20, 256)", "ReLU()", "Linear(256, 10)"]})
    theirs = seeded(lambda: nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10)))
    same_state(ours, theirs)
    assert print_tree(ours) == str(theirs)
    equal_outputs(ours, theirs, torch.rand(2, 20))


def test_b2_a_block_of_ones_own_is_the_class_written_by_hand():
    ours, theirs = built(MLP), seeded(TorchMLP)
    same_state(ours, theirs)
    equal_outputs(ours, theirs, torch.rand(2, 20))
    assert print_tree(ours) == str(theirs).replace("TorchMLP", "Block")


def test_b4_two_networks_of_one_architecture_hold_parameters_of_their_own():
    one, other = built(MLP), built(MLP)
    same_state(one, other)
    with torch.no_grad():
        one.hidden.weight += 1
    assert not torch.equal(one.hidden.weight, other.hidden.weight)


def test_b5_my_sequential_behaves_as_sequential():
    ours = built("MySequential(Linear(20, 256), ReLU(), Linear(256, 10))", LIBRARY)
    theirs = seeded(lambda: nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10)))
    same_state(ours, theirs)
    equal_outputs(ours, theirs, torch.rand(2, 20))
    assert print_tree(ours) == str(theirs).replace("Sequential", "MySequential")


def test_b6_constants_loops_and_a_layer_used_twice_work_as_in_the_chapter():
    ours, theirs = built(FIXED_HIDDEN), seeded(TorchFixedHidden)
    assert torch.equal(ours.rand_weight, theirs.rand_weight)
    assert torch.equal(ours.linear.weight, theirs.linear.weight)
    assert [name for name, _ in ours.named_parameters()] == ["linear.weight", "linear.bias"]
    x = torch.rand(2, 20)
    equal_outputs(ours, theirs, x)
    assert call(ours, x, limits=LIMITS).outputs["output"].shape == ()


def test_b7_registered_blocks_are_used_by_name_inside_others():
    ours = built(["NestMLP()", "Linear(16, 20)", "FixedHiddenMLP()"], LIBRARY)
    theirs = seeded(lambda: nn.Sequential(TorchNest(), nn.Linear(16, 20), TorchFixedHidden()))
    same_state(ours, theirs)
    equal_outputs(ours, theirs, torch.rand(2, 20))
    assert print_tree(ours) == str(theirs).replace("TorchNest", "NestMLP").replace("TorchFixedHidden", "FixedHiddenMLP")


def test_p4_generated_children_print_and_are_reached_by_position_as_in_the_chapter():
    block1 = ["Linear(4, 8)", "ReLU()", "Linear(8, 4)", "ReLU()"]
    block2 = {"type": "Sequential", "layers": [{"repeat": 4, "name": "block {i}", "block": block1}]}
    ours = built([block2, "Linear(4, 1)"])

    def torch_block2():
        net = nn.Sequential()
        for i in range(4):
            net.add_module(f"block {i}", nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU()))
        return net

    theirs = seeded(lambda: nn.Sequential(torch_block2(), nn.Linear(4, 1)))
    same_state(ours, theirs)
    assert print_tree(ours) == str(theirs)
    assert canonical_parameter(ours, "[0][1][0].bias") == "0.block 1.0.bias"
    assert torch.equal(ours.state_dict()["0.block 1.0.bias"], theirs[0][1][0].bias.data)


def test_p9_a_shared_layer_is_one_module_whose_gradients_add_up():
    ours = built(
        {
            "type": "Sequential",
            "shared": {"shared": "Linear(8, 8)"},
            "layers": [
                "Linear(4, 8)",
                "ReLU()",
                {"ref": "shared"},
                "ReLU()",
                {"ref": "shared"},
                "ReLU()",
                "Linear(8, 1)",
            ],
        }
    )

    def make():
        shared = nn.Linear(8, 8)
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(8, 1))

    theirs = seeded(make)
    same_state(ours, theirs)
    x = torch.rand(2, 4)
    ours(x).sum().backward()
    theirs(x).sum().backward()
    assert ours[2] is ours[4]
    assert torch.equal(ours[2].weight.grad, theirs[2].weight.grad)
    listed = {info.name: info.tied_to for info in list_parameters(ours, None)}
    assert listed["2.weight"] == ["4.weight"]
    assert "4.weight" not in listed


def test_l1_a_layer_without_parameters_works_alone_and_as_a_part():
    alone = built(CENTERED)
    x = torch.tensor([1.0, 2, 3, 4, 5])
    assert call(alone, x, limits=LIMITS).outputs["output"].tolist() == [-2, -1, 0, 1, 2]
    part = built(["Linear(8, 128)", "CenteredLayer()"], LIBRARY)
    y = call(part, torch.rand(4, 8), limits=LIMITS).outputs["output"]
    assert abs(y.mean().item()) < 1e-6


def test_l2_a_layer_with_parameters_and_arguments_cuts_the_gradient_as_in_the_chapter():
    ours = built(["MyLinear(64, 8)", {"type": "MyLinear", "kwargs": {"in_units": 8, "units": 1}}], LIBRARY)
    theirs = seeded(lambda: nn.Sequential(TorchMyLinear(64, 8), TorchMyLinear(8, 1)))
    same_parameters(ours, theirs)
    same_state(ours, theirs)
    x = torch.rand(2, 64)
    equal_outputs(ours, theirs, x)
    assert not call(ours, x, limits=LIMITS).outputs["output"].requires_grad
