#!/usr/bin/env bash
# The section on devices of the chapter, over HTTP: Python in the comments, curl below.
#
#   MODEL_LAB_DEVICES=cpu:0,cpu:1 make run        # two CPU slots stand for two GPUs where there are none
#   BASE=http://127.0.0.1:8000 bash docs/chapter/devices.sh
#
# Needs bash and curl; FIRST and SECOND name the two devices, KEY is sent where keys were made. Makes a network and
# tensors called chapter-..., and replaces those of an earlier run.
set -euo pipefail
export LC_ALL=C
BASE=${BASE:-http://127.0.0.1:8000}
FIRST=${FIRST:-cpu:0}
SECOND=${SECOND:-cpu:1}
V1=$BASE/v1
JSON='Content-Type: application/json'

curl() { command curl -gsS --fail-with-body -w '\n' ${KEY:+-H "Authorization: Bearer $KEY"} "$@"; }
refused() { command curl -gsS -w '\n' ${KEY:+-H "Authorization: Bearer $KEY"} "$@"; } # shows the problem
say() { printf '\n== %s\n' "$1"; }
for thing in networks/chapter-device networks/chapter-anywhere tensors/chapter-{X,Y,Z,W}; do
  command curl -sS -o /dev/null ${KEY:+-H "Authorization: Bearer $KEY"} -X DELETE "$V1/$thing"
done

# ---------------------------------------------------------------- computing devices

# !nvidia-smi
say 'D1 nvidia-smi'
curl "$V1/devices"

# torch.device('cpu'), torch.device('cuda'), torch.device('cuda:1'); torch.cuda.device_count()
say 'D2 cuda_count, and the names of all'
curl "$V1/devices" | grep -oE '"cuda_count": ?[0-9]+|"name": ?"c[a-z]+:[0-9]+"'

# def try_gpu(i=0): return torch.device(f'cuda:{i}') if it is there else torch.device('cpu')
say 'D2 try_gpu(10)'
curl "$V1/networks" -H "$JSON" \
  -d '{"name": "chapter-anywhere", "architecture": "Linear(3, 1)", "device": "cuda:10", "fallback": true}'
say 'D2 cuda:10 without a fallback'
refused "$V1/networks" -H "$JSON" -d '{"architecture": "Linear(3, 1)", "device": "cuda:10"}'

# ---------------------------------------------------------------- tensors and devices

# X = torch.ones(2, 3, device=try_gpu())
say 'D3 X = torch.ones(2, 3, device=first)'
curl "$V1/tensors" -H "$JSON" -d "{\"name\": \"chapter-X\", \"expression\": \"ones(2, 3)\", \"device\": \"$FIRST\"}"

# x.device
say 'D3 X.device'
curl "$V1/tensors/chapter-X"

# Y = torch.rand(2, 3, device=try_gpu(1))
say 'D3 Y = torch.rand(2, 3, device=second)'
curl "$V1/tensors" -H "$JSON" \
  -d "{\"name\": \"chapter-Y\", \"expression\": \"rand(2, 3)\", \"device\": \"$SECOND\", \"seed\": 7}"

# X + Y
say 'D3 X + Y'
refused "$V1/tensors/evaluate" -H "$JSON" \
  -d '{"expression": "X + Y", "tensors": {"X": "chapter-X", "Y": "chapter-Y"}}'

# Z = X.cuda(1)
say 'D3 Z = X.cuda(1)'
curl "$V1/tensors/chapter-X/copy" -H "$JSON" -d "{\"device\": \"$SECOND\", \"name\": \"chapter-Z\"}"

# Y + Z
say 'D3 Y + Z'
curl "$V1/tensors/evaluate" -H "$JSON" \
  -d '{"expression": "Y + Z", "tensors": {"Y": "chapter-Y", "Z": "chapter-Z"}, "name": "chapter-W"}'
for name in W Y; do curl "$V1/tensors/chapter-$name"; done

# Z.cuda(1) is Z
say 'D3 Z.cuda(1) is Z'
curl "$V1/tensors/chapter-Z/copy" -H "$JSON" -d "{\"device\": \"$SECOND\"}" -w '\n%{http_code}\n'

# ---------------------------------------------------------------- networks and devices

# net = nn.Sequential(nn.Linear(3, 1))
# net = net.to(device=try_gpu())
say 'D4 net = net.to(second)'
curl "$V1/networks" -H "$JSON" -d '{"name": "chapter-device", "architecture": ["Linear(3, 1)"], "seed": 7}'
curl -X PUT "$V1/networks/chapter-device/device" -H "$JSON" -d "{\"device\": \"$SECOND\"}"

# net(X), where the parameters are: X is brought there
say 'D4 net(X)'
refused "$V1/networks/chapter-device/forward" -H "$JSON" -d '{"inputs": {"tensor": "chapter-X"}}'
curl "$V1/networks/chapter-device/forward" -H "$JSON" -d '{"inputs": {"tensor": "chapter-Z"}}'
curl "$V1/networks/chapter-device/forward" -H "$JSON" -d '{"inputs": {"tensor": "chapter-X"}, "move": true}'

# net[0].weight.data.device
say 'D4 net[0].weight.data.device'
curl "$V1/networks/chapter-device/parameters/[0].weight" | grep -oE '"device": ?"[a-z]+:[0-9]+"'

# Many small operations are worse than one big one, and moving data is slow: parameters stay where they are between
# calls, so the network is on its device and was loaded there once; inputs travel once, as bytes.
say 'D5 what stays on the device between calls'
curl "$V1/devices" | grep -o '"chapter-device"'
say 'D5 many rows at once, as bytes'
printf '\x93NUMPY\x01\x00v\x00%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (100, 3), }" |
  cat - <(head -c 1200 /dev/zero) |
  curl "$V1/networks/chapter-device/forward" -H 'Content-Type: application/x-npy' --data-binary @- |
  grep -oE '"shape": ?\[[0-9, ]+\]'
