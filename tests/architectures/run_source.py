"""Runs files of `GET .../code` in a process of its own: `python run_source.py FOLDER`.

Each folder inside holds `code.py`, `state.safetensors` and `inputs.pt`; it gets `outputs.pt`: what the loaded network
gives, and the first values that `build` draws from the seed 7. Imports nothing of this repository.
"""

import sys
from pathlib import Path

import torch


def run(folder: Path) -> None:
    space: dict = {"__name__": folder.name}
    exec(compile((folder / "code.py").read_text(), folder.name, "exec"), space)
    torch.manual_seed(7)
    built = space["build"]()
    net = space["load"](str(folder / "state.safetensors"))
    given = torch.load(folder / "inputs.pt")
    torch.manual_seed(11)
    with torch.inference_mode():
        result = net(**given)
    flags = {name: value.requires_grad for name, value in net.named_parameters()}
    outputs = {"result": result, "first": built.state_dict(), "flags": flags, "repr": repr(net)}
    torch.save(outputs, folder / "outputs.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for folder in sorted(Path(sys.argv[1]).iterdir()):
        run(folder)
    assert not [name for name in sys.modules if name == "app" or name.startswith("app.")]
