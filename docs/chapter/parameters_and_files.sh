#!/usr/bin/env bash
# The sections "parameter management" and "reading and writing files" of the chapter, over HTTP: Python in the comments,
# curl below.
#
#   BASE=http://127.0.0.1:8000 bash docs/chapter/parameters_and_files.sh
#
# Needs a running service, bash and curl; KEY is sent where keys were made. Makes networks and artifacts called
# chapter-..., and replaces those of an earlier run. Files go to FOLDER, by default a new one for what is temporary.
set -euo pipefail
BASE=${BASE:-http://127.0.0.1:8000}
NETWORKS=$BASE/v1/networks
JSON='Content-Type: application/json'
cd "${FOLDER:-$(mktemp -d)}"

curl() { command curl -gsS --fail-with-body -w '\n' ${KEY:+-H "Authorization: Bearer $KEY"} "$@"; }
say() { printf '\n== %s\n' "$1"; }
for name in networks/chapter-{net,rgnet,tied,mlp,clone} artifacts/chapter-{x-file,x-files,mydict}; do
  command curl -sS -o /dev/null ${KEY:+-H "Authorization: Bearer $KEY"} -X DELETE "$BASE/v1/$name"
done

# ---------------------------------------------------------------- parameter access

# net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
NET=$NETWORKS/chapter-net
say 'net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))'
curl "$NETWORKS" -H "$JSON" \
  -d '{"name": "chapter-net", "architecture": ["Linear(4, 8)", "ReLU()", "Linear(8, 1)"], "seed": 7}'

# net(X)
X='[[0.1, 0.2, 0.3, 0.4], [0.9, 0.8, 0.7, 0.6]]'
say 'net(X)'
curl "$NET/forward" -H "$JSON" -d "{\"inputs\": $X}"

# print(net[2].state_dict())
say 'P1 net[2].state_dict()'
curl "$NET/state_dict?prefix=2&format=json"
curl "$NET/state_dict?prefix=[2]&format=json"

# print(type(net[2].bias)); print(net[2].bias); print(net[2].bias.data)
say 'P2 net[2].bias'
curl "$NET/parameters/2.bias"

# net[2].weight.grad == None
say 'P2 net[2].weight.grad == None'
curl "$NET/parameters/2.weight"

# print(*[(name, param.shape) for name, param in net[0].named_parameters()])
say 'P3 net[0].named_parameters()'
curl "$NET/parameters?prefix=0"

# print(*[(name, param.shape) for name, param in net.named_parameters()])
say 'P3 net.named_parameters()'
curl "$NET/parameters"

# net.state_dict()['2.bias'].data
say "P3 net.state_dict()['2.bias'].data"
curl "$NET/parameters/2.bias?format=npy" -o 2.bias.npy

# def block1():
#     return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU())
# def block2():
#     net = nn.Sequential()
#     for i in range(4):
#         net.add_module(f'block {i}', block1())
#     return net
# rgnet = nn.Sequential(block2(), nn.Linear(4, 1))
say 'P4 rgnet = nn.Sequential(block2(), nn.Linear(4, 1))'
curl "$NETWORKS" -H "$JSON" -d '{"name": "chapter-rgnet", "seed": 7, "architecture": [
    {"type": "Sequential", "layers": [
      {"repeat": 4, "name": "block {i}", "block": ["Linear(4, 8)", "ReLU()", "Linear(8, 4)", "ReLU()"]}]},
    "Linear(4, 1)"]}'

# rgnet(X)
say 'P4 rgnet(X)'
curl "$NETWORKS/chapter-rgnet/forward" -H "$JSON" -d "{\"inputs\": $X}"

# print(rgnet)
say 'P4 print(rgnet)'
curl "$NETWORKS/chapter-rgnet/modules" -H 'Accept: text/plain'

# rgnet[0][1][0].bias.data
say 'P4 rgnet[0][1][0].bias.data'
curl "$NETWORKS/chapter-rgnet/parameters/[0][1][0].bias"

# ---------------------------------------------------------------- initialization

# def init_normal(m):
#     if type(m) == nn.Linear:
#         nn.init.normal_(m.weight, mean=0, std=0.01)
#         nn.init.zeros_(m.bias)
# net.apply(init_normal)
say 'P5 net.apply(init_normal)'
curl "$NET/initialize" -H "$JSON" -d '{"seed": 1, "rules": [
    {"module_type": "Linear", "parameters": {"weight": "normal_(mean=0, std=0.01)", "bias": "zeros_()"}}]}'

# net[0].weight.data[0], net[0].bias.data[0]
say 'P5 net[0].weight.data[0], net[0].bias.data[0]'
curl "$NET/parameters/0.weight?index=0"
curl "$NET/parameters/0.bias?index=0"

# def init_constant(m):
#     if type(m) == nn.Linear:
#         nn.init.constant_(m.weight, 1)
#         nn.init.zeros_(m.bias)
# net.apply(init_constant)
say 'P6 net.apply(init_constant)'
curl "$NET/initialize" -H "$JSON" -d '{"rules": [
    {"module_type": "Linear", "parameters": {"weight": "constant_(1)", "bias": "zeros_()"}}]}'

# net[0].weight.data[0], net[0].bias.data[0]
say 'P6 net[0].weight.data[0], net[0].bias.data[0]'
curl "$NET/parameters/0.weight?index=0"
curl "$NET/parameters/0.bias?index=0"

# net[0].apply(init_xavier); net[2].apply(init_42)
say 'P6 net[0].apply(init_xavier); net[2].apply(init_42)'
curl "$NET/initialize" -H "$JSON" -d '{"seed": 2, "rules": [
    {"path": "0", "module_type": "Linear", "parameters": {"weight": "xavier_uniform_()"}},
    {"path": "2", "module_type": "Linear", "parameters": {"weight": "constant_(42)"}}]}'

# print(net[0].weight.data[0]); print(net[2].weight.data)
say 'P6 net[0].weight.data[0], net[2].weight.data'
curl "$NET/parameters/0.weight?index=0"
curl "$NET/parameters/2.weight"

# def my_init(m):
#     if type(m) == nn.Linear:
#         print("Init", *[(name, param.shape) for name, param in m.named_parameters()][0])
#         nn.init.uniform_(m.weight, -10, 10)
#         m.weight.data *= m.weight.data.abs() >= 5
# net.apply(my_init)
say 'P7 net.apply(my_init)'
curl "$NET/initialize" -H "$JSON" -d '{"seed": 3, "rules": [
    {"module_type": "Linear", "parameters": {"weight": ["uniform_(-10, 10)", "param * (abs(param) >= 5)"]}}]}'

# net[0].weight[:2]
say 'P7 net[0].weight[:2]'
curl "$NET/parameters/0.weight?index=:2"

# net[0].weight.data[:] += 1
# net[0].weight.data[0, 0] = 42
say 'P8 net[0].weight.data[:] += 1; net[0].weight.data[0, 0] = 42'
curl -X PATCH "$NET/parameters/0.weight" -H "$JSON" \
  -d '{"edits": [{"index": ":", "expression": "param + 1"}, {"index": "0, 0", "value": 42}]}'

# net[0].weight.data[0]
say 'P8 net[0].weight.data[0]'
curl "$NET/parameters/0.weight?index=0"

# ---------------------------------------------------------------- tied parameters

# shared = nn.Linear(8, 8)
# net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(8, 1))
TIED=$NETWORKS/chapter-tied
say 'P9 net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(8, 1))'
curl "$NETWORKS" -H "$JSON" -d '{"name": "chapter-tied", "seed": 7, "architecture": {
    "type": "Sequential",
    "shared": {"shared": "Linear(8, 8)"},
    "layers": ["Linear(4, 8)", "ReLU()", {"ref": "shared"}, "ReLU()", {"ref": "shared"}, "ReLU()", "Linear(8, 1)"]}}'

# print(net[2].weight.data[0] == net[4].weight.data[0])
say 'P9 net[2].weight.data[0], net[4].weight.data[0]'
curl "$TIED/parameters/2.weight?index=0"
curl "$TIED/parameters/4.weight?index=0"

# net[2].weight.data[0, 0] = 100
# print(net[2].weight.data[0] == net[4].weight.data[0])
say 'P9 net[2].weight.data[0, 0] = 100; net[2].weight.data[0], net[4].weight.data[0]'
curl -o /dev/null -X PATCH "$TIED/parameters/2.weight" -H "$JSON" -d '{"edits": [{"index": "0, 0", "value": 100}]}'
curl "$TIED/parameters/2.weight?index=0"
curl "$TIED/parameters/4.weight?index=0"

# net(X).sum().backward(): the gradient of what is tied is the sum over its uses
say 'P9 net(X).sum().backward(); net[2].weight.grad, net[4].weight.grad'
curl -o /dev/null "$TIED/backward" -H "$JSON" -d "{\"inputs\": $X}"
curl "$TIED/parameters/2.weight"
curl "$TIED/parameters/4.weight"

# ---------------------------------------------------------------- loading and saving tensors

# x = torch.arange(4)
# torch.save(x, 'x-file')
ARTIFACTS=$BASE/v1/artifacts
say "F1 torch.save(x, 'x-file')"
curl -X PUT "$ARTIFACTS/chapter-x-file" -H "$JSON" -d '{"dtype": "int64", "data": [0, 1, 2, 3]}'

# x2 = torch.load('x-file')
say "F1 torch.load('x-file')"
curl "$ARTIFACTS/chapter-x-file"
curl "$ARTIFACTS/chapter-x-file?format=pt" -o x-file

# y = torch.zeros(4)
# torch.save([x, y], 'x-files')
say "F1 torch.save([x, y], 'x-files')"
curl -X PUT "$ARTIFACTS/chapter-x-files" -H "$JSON" \
  -d '[{"dtype": "int64", "data": [0, 1, 2, 3]}, {"data": [0, 0, 0, 0]}]'

# x2, y2 = torch.load('x-files')
say "F1 torch.load('x-files')"
curl "$ARTIFACTS/chapter-x-files"
curl "$ARTIFACTS/chapter-x-files?format=pt" -o x-files

# mydict = {'x': x, 'y': y}
# torch.save(mydict, 'mydict')
say "F1 torch.save(mydict, 'mydict')"
curl -X PUT "$ARTIFACTS/chapter-mydict" -H "$JSON" \
  -d '{"x": {"dtype": "int64", "data": [0, 1, 2, 3]}, "y": {"data": [0, 0, 0, 0]}}'

# mydict2 = torch.load('mydict')
say "F1 torch.load('mydict')"
curl "$ARTIFACTS/chapter-mydict"
curl "$ARTIFACTS/chapter-mydict?format=pt" -o mydict

# ---------------------------------------------------------------- loading and saving model parameters

# class MLP(nn.Module):
#     def __init__(self):
#         super().__init__()
#         self.hidden = nn.Linear(20, 256)
#         self.output = nn.Linear(256, 10)
#     def forward(self, x):
#         return self.output(F.relu(self.hidden(x)))
MLP='{"children": {"hidden": "nn.Linear(20, 256)", "output": "nn.Linear(256, 10)"},
      "inputs": ["x"],
      "forward": ["return self.output(F.relu(self.hidden(x)))"]}'

# net = MLP()
say 'F2 net = MLP()'
curl "$NETWORKS" -H "$JSON" -d "{\"name\": \"chapter-mlp\", \"architecture\": $MLP, \"seed\": 7}"

# X = torch.randn(size=(2, 20))
# Y = net(X)
X="[[$(LC_ALL=C seq -s, -0.9 0.1 1)], [$(LC_ALL=C seq -s, 1 -0.1 -0.9)]]"
say 'F2 X; Y = net(X)'
echo "$X"
curl "$NETWORKS/chapter-mlp/forward" -H "$JSON" -d "{\"inputs\": $X}"
curl "$NETWORKS/chapter-mlp/forward?format=npy" -H "$JSON" -d "{\"inputs\": $X}" -o Y.npy

# torch.save(net.state_dict(), 'mlp.params')
say "F2 torch.save(net.state_dict(), 'mlp.params')"
curl "$NETWORKS/chapter-mlp/state_dict?format=pt" -o mlp.params
curl "$NETWORKS/chapter-mlp/state_dict" -o mlp.safetensors

# clone = MLP()
say 'F2 clone = MLP()'
curl "$NETWORKS" -H "$JSON" -d "{\"name\": \"chapter-clone\", \"architecture\": $MLP}"

# clone.load_state_dict(torch.load('mlp.params'))
say "F2 clone.load_state_dict(torch.load('mlp.params'))"
curl -X PUT "$NETWORKS/chapter-clone/state_dict" -H 'Content-Type: application/x-pytorch' --data-binary @mlp.params

# clone.eval()
say 'F2 clone.eval()'
curl "$NETWORKS/chapter-clone/modules" -H 'Accept: text/plain'

# Y_clone = clone(X)
# Y_clone == Y
say 'F2 Y_clone == Y'
curl "$NETWORKS/chapter-clone/forward?format=npy" -H "$JSON" -d "{\"inputs\": $X}" -o Y_clone.npy
cmp Y.npy Y_clone.npy && echo 'equal, bit for bit'

# ---------------------------------------------------------------- saving intermediate results in long training

# for epoch in range(3):
#     for x, y in loader: ...
#     torch.save(net.state_dict(), f'mlp.params-{epoch}')
say 'F3 train the clone, saving as it goes'
curl "$NETWORKS/chapter-clone/train" -H "$JSON" -D started -o job.json -d "{
  \"inputs\": $X, \"targets\": {\"y\": {\"dtype\": \"int64\", \"data\": [3, 7]}},
  \"loss\": \"cross_entropy(output, y)\", \"optimizer\": \"SGD(lr=0.1)\",
  \"epochs\": 3, \"batch_size\": 1, \"seed\": 7, \"checkpoint\": {\"every_steps\": 2}}"
JOB=$BASE$(sed -n 's/^location: *\([^[:space:]]*\).*/\1/Ip' started)
curl -N "$JOB/events" -o events # until its end
curl "$JOB/result"

# net.load_state_dict(torch.load('mlp.params-1')) after a power cut: the run itself goes on from what it saved last
say 'F3 what was saved on the way'
curl "$NETWORKS/chapter-clone/revisions"
