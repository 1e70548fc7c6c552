"""KServe's own client runs the chapter's networks, in JSON and in binary."""

import json
import subprocess
from pathlib import Path

import httpx
import torch

from tests.inference.nets import NETS, create_all

SCRIPT = Path(__file__).with_name("use_kserve.py")


def test_kserves_client_runs_the_networks_of_the_chapter(service: httpx.Client, clients: Path) -> None:
    create_all(service, "kserve")
    requests = [(f"kserve_{net.name}", net.input, net.X.tolist(), binary) for net in NETS for binary in (False, True)]
    done = subprocess.run(
        [clients / "python", "-I", SCRIPT, str(service.base_url).rstrip("/")],
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["live"], told["ready"], told["model ready"]) == (True, True, True)
    assert "no network 'nobody'" in told["refusal"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for (name, _, _, binary), (model, request_id, shape, numbers) in zip(requests, told["results"], strict=True):
        wanted = next(net for net in NETS if f"kserve_{net.name}" == name).wanted()
        assert (model, request_id) == (name, "7")
        assert torch.equal(torch.tensor(numbers).reshape(shape), wanted), (name, binary)
    torch.set_num_threads(threads)
