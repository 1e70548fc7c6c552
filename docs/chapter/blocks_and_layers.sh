#!/usr/bin/env bash
# The sections "layers and blocks" and "custom layers" of the chapter, over HTTP: Python in the comments, curl below.
#
#   BASE=http://127.0.0.1:8000 bash docs/chapter/blocks_and_layers.sh
#
# Needs a running service, bash and curl; KEY is sent where keys were made. Makes networks called chapter-... and blocks
# called Chapter..., and replaces those of an earlier run.
set -euo pipefail
export LC_ALL=C
BASE=${BASE:-http://127.0.0.1:8000}
NETWORKS=$BASE/v1/networks
JSON='Content-Type: application/json'

curl() { command curl -gsS --fail-with-body -w '\n' ${KEY:+-H "Authorization: Bearer $KEY"} "$@"; }
say() { printf '\n== %s\n' "$1"; }
for name in net mlp net1 net2 my-sequential fixed chimera centered centered-net linear linear-net; do
  command curl -sS -o /dev/null ${KEY:+-H "Authorization: Bearer $KEY"} -X DELETE "$NETWORKS/chapter-$name"
done

# X = torch.rand(2, 20)
X="[[$(seq -s, 0.05 0.05 1)], [$(seq -s, 1 -0.05 0.05)]]"
say 'X'
echo "$X"

# ---------------------------------------------------------------- layers and blocks

# net = nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10))
say 'B1 net = nn.Sequential(...)'
curl "$NETWORKS" -H "$JSON" \
  -d '{"name": "chapter-net", "architecture": ["Linear(20, 256)", "ReLU()", "Linear(256, 10)"], "seed": 7}'

# net(X)
say 'B1 net(X)'
curl "$NETWORKS/chapter-net/forward" -H "$JSON" -d "{\"inputs\": $X}"

# class MLP(nn.Module):
#     def __init__(self):
#         super().__init__()
#         self.hidden = nn.Linear(20, 256)
#         self.out = nn.Linear(256, 10)
#     def forward(self, X):
#         return self.out(F.relu(self.hidden(X)))
say 'B2 class MLP'
curl -X PUT "$BASE/v1/blocks/ChapterMLP" -H "$JSON" -d '{"definition": {
    "children": {"hidden": "nn.Linear(20, 256)", "out": "nn.Linear(256, 10)"},
    "inputs": ["X"],
    "forward": ["return self.out(F.relu(self.hidden(X)))"]}}'

# net = MLP()
say 'B2 net = MLP()'
curl "$NETWORKS" -H "$JSON" -d '{"name": "chapter-mlp", "architecture": "ChapterMLP()", "seed": 7}'

# net(X)
say 'B2 net(X)'
curl "$NETWORKS/chapter-mlp/forward" -H "$JSON" -d "{\"inputs\": $X}"

# net1, net2 = MLP(), MLP(): of one class, each with parameters of its own
say 'B4 net1, net2 = MLP(), MLP()'
curl "$NETWORKS" -H "$JSON" -d '{"name": "chapter-net1", "architecture": "ChapterMLP()", "seed": 1}'
curl "$NETWORKS" -H "$JSON" -d '{"name": "chapter-net2", "architecture": "ChapterMLP()", "seed": 1}'

# net1.out.bias.data[:] = 1
say 'B4 net1.out.bias.data[:] = 1; net1.out.bias, net2.out.bias'
curl -o /dev/null -X PATCH "$NETWORKS/chapter-net1/parameters/out.bias" -H "$JSON" \
  -d '{"edits": [{"index": ":", "value": 1}]}'
curl "$NETWORKS/chapter-net1/parameters/out.bias"
curl "$NETWORKS/chapter-net2/parameters/out.bias"

# class MySequential(nn.Module):
#     def __init__(self, *args):
#         super().__init__()
#         for idx, module in enumerate(args):
#             self._modules[str(idx)] = module
#     def forward(self, X):
#         for block in self._modules.values():
#             X = block(X)
#         return X
say 'B5 class MySequential'
curl -X PUT "$BASE/v1/blocks/ChapterMySequential" -H "$JSON" -d '{"definition": {
    "hyperparameters": ["*args"],
    "children": "args",
    "inputs": ["X"],
    "forward": ["for block in self._modules.values():",
                "    X = block(X)",
                "return X"]}}'

# net = MySequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10))
say 'B5 net = MySequential(...)'
curl "$NETWORKS" -H "$JSON" -d '{"name": "chapter-my-sequential", "seed": 7,
    "architecture": "ChapterMySequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 10))"}'

# net(X)
say 'B5 net(X)'
curl "$NETWORKS/chapter-my-sequential/forward" -H "$JSON" -d "{\"inputs\": $X}"

# class FixedHiddenMLP(nn.Module):
#     def __init__(self):
#         super().__init__()
#         self.rand_weight = torch.rand((20, 20), requires_grad=False)
#         self.linear = nn.Linear(20, 20)
#     def forward(self, X):
#         X = self.linear(X)
#         X = F.relu(torch.mm(X, self.rand_weight) + 1)
#         X = self.linear(X)
#         while X.abs().sum() > 1:
#             X /= 2
#         return X.sum()
say 'B6 class FixedHiddenMLP'
curl -X PUT "$BASE/v1/blocks/ChapterFixedHiddenMLP" -H "$JSON" -d '{"definition": {
    "constants": {"rand_weight": "torch.rand((20, 20), requires_grad=False)"},
    "children": {"linear": "nn.Linear(20, 20)"},
    "inputs": ["X"],
    "forward": ["X = self.linear(X)",
                "X = F.relu(torch.mm(X, self.rand_weight) + 1)",
                "X = self.linear(X)",
                "while X.abs().sum() > 1:",
                "    X /= 2",
                "return X.sum()"]}}'

# net = FixedHiddenMLP()
say 'B6 net = FixedHiddenMLP()'
curl "$NETWORKS" -H "$JSON" -d '{"name": "chapter-fixed", "architecture": "ChapterFixedHiddenMLP()", "seed": 7}'

# net(X)
say 'B6 net(X)'
curl "$NETWORKS/chapter-fixed/forward" -H "$JSON" -d "{\"inputs\": $X}"

# class NestMLP(nn.Module):
#     def __init__(self):
#         super().__init__()
#         self.net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
#         self.linear = nn.Linear(32, 16)
#     def forward(self, X):
#         return self.linear(self.net(X))
say 'B7 class NestMLP'
curl -X PUT "$BASE/v1/blocks/ChapterNestMLP" -H "$JSON" -d '{"definition": {
    "children": {"net": ["nn.Linear(20, 64)", "nn.ReLU()", "nn.Linear(64, 32)", "nn.ReLU()"],
                 "linear": "nn.Linear(32, 16)"},
    "inputs": ["X"],
    "forward": ["return self.linear(self.net(X))"]}}'

# chimera = nn.Sequential(NestMLP(), nn.Linear(16, 20), FixedHiddenMLP())
say 'B7 chimera = nn.Sequential(NestMLP(), nn.Linear(16, 20), FixedHiddenMLP())'
curl "$NETWORKS" -H "$JSON" -d '{"name": "chapter-chimera", "seed": 7,
    "architecture": ["ChapterNestMLP()", "nn.Linear(16, 20)", "ChapterFixedHiddenMLP()"]}'

# chimera(X)
say 'B7 chimera(X)'
curl "$NETWORKS/chapter-chimera/forward" -H "$JSON" -d "{\"inputs\": $X}"

# blocks inside blocks: children and parameters by their path
say 'B3 chimera[0].net'
curl "$NETWORKS/chapter-chimera/modules/0.net"
say 'B3 [name for name, _ in chimera[0].named_parameters()]'
curl "$NETWORKS/chapter-chimera/parameters?prefix=0"

# X.requires_grad_(); chimera(X).backward(); X.grad
say 'B8 the gradient of the output with respect to the input'
curl "$NETWORKS/chapter-chimera/backward" -H "$JSON" -d "{\"inputs\": $X}"

# ---------------------------------------------------------------- custom layers

# class CenteredLayer(nn.Module):
#     def forward(self, X):
#         return X - X.mean()
say 'L1 class CenteredLayer'
curl -X PUT "$BASE/v1/blocks/ChapterCenteredLayer" -H "$JSON" \
  -d '{"definition": {"inputs": ["X"], "forward": ["return X - X.mean()"]}}'

# layer = CenteredLayer()
# layer(torch.FloatTensor([1, 2, 3, 4, 5]))
say 'L1 layer(torch.FloatTensor([1, 2, 3, 4, 5]))'
curl -o /dev/null "$NETWORKS" -H "$JSON" -d '{"name": "chapter-centered", "architecture": "ChapterCenteredLayer()"}'
curl "$NETWORKS/chapter-centered/forward" -H "$JSON" -d '{"inputs": [1, 2, 3, 4, 5]}'

# net = nn.Sequential(nn.Linear(8, 128), CenteredLayer())
# Y = net(torch.rand(4, 8))
say 'L1 net = nn.Sequential(nn.Linear(8, 128), CenteredLayer()); net(X)'
curl -o /dev/null "$NETWORKS" -H "$JSON" \
  -d '{"name": "chapter-centered-net", "architecture": ["nn.Linear(8, 128)", "ChapterCenteredLayer()"], "seed": 7}'
curl "$NETWORKS/chapter-centered-net/forward" -H "$JSON" -d '{"inputs": [[1, 2, 3, 4, 5, 6, 7, 8],
    [8, 7, 6, 5, 4, 3, 2, 1], [0, 0, 0, 0, 0, 0, 0, 0], [1, -1, 1, -1, 1, -1, 1, -1]]}'

# class MyLinear(nn.Module):
#     def __init__(self, in_units, units):
#         super().__init__()
#         self.weight = nn.Parameter(torch.randn(in_units, units))
#         self.bias = nn.Parameter(torch.randn(units,))
#     def forward(self, X):
#         linear = torch.matmul(X, self.weight.data) + self.bias.data
#         return F.relu(linear)
say 'L2 class MyLinear'
curl -X PUT "$BASE/v1/blocks/ChapterMyLinear" -H "$JSON" -d '{"definition": {
    "hyperparameters": ["in_units", "units"],
    "parameters": {"weight": "torch.randn(in_units, units)", "bias": "torch.randn(units,)"},
    "inputs": ["X"],
    "forward": ["linear = torch.matmul(X, self.weight.data) + self.bias.data",
                "return F.relu(linear)"]}}'

# linear = MyLinear(5, 3)
# linear.weight
say 'L2 linear = MyLinear(5, 3); linear.weight'
curl -o /dev/null "$NETWORKS" -H "$JSON" \
  -d '{"name": "chapter-linear", "architecture": "ChapterMyLinear(5, 3)", "seed": 7}'
curl "$NETWORKS/chapter-linear/parameters/weight"

# linear(torch.rand(2, 5))
say 'L2 linear(X)'
curl "$NETWORKS/chapter-linear/forward" -H "$JSON" -d '{"inputs": [[0.1, 0.2, 0.3, 0.4, 0.5], [0.5, 0.4, 0.3, 0.2, 0.1]]}'

# net = nn.Sequential(MyLinear(64, 8), MyLinear(8, 1))
# net(torch.rand(2, 64))
say 'L2 net = nn.Sequential(MyLinear(64, 8), MyLinear(8, 1)); net(X)'
curl -o /dev/null "$NETWORKS" -H "$JSON" \
  -d '{"name": "chapter-linear-net", "architecture": ["ChapterMyLinear(64, 8)", "ChapterMyLinear(8, 1)"], "seed": 7}'
curl "$NETWORKS/chapter-linear-net/forward" -H "$JSON" -d "{\"inputs\": [[$(seq -s, 1 64)], [$(seq -s, 64 -1 1)]]}"
