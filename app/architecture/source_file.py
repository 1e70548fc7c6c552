"""The file around the classes of a network: imports, what forwards need of Python, and the functions build and load.

Called by `source.py`.
"""

from collections.abc import Collection, Mapping, Sequence

import torch

from app.architecture.source_text import block_text
from app.language.printed import EITHER

HEAD = '''"""The network {title} in plain PyTorch, written by Model Lab {version}. It needs nothing but PyTorch.

    net = load("{title}.safetensors")   # what GET /v1/networks/{title}/state_dict gives
    net(...)

`load` takes .pt files as well. `build` gives the network with first values of its own: after `torch.manual_seed(n)`
those that the service draws from the seed n.
"""
'''
LOAD = '''def load(path: str) -> nn.Module:
    """Makes the network with the state that a file holds (.safetensors or .pt), in mode eval."""
    if str(path).endswith(".safetensors"):
        from safetensors.torch import load_file

        state = load_file(path)
    else:
        state = torch.load(path, weights_only=True)
    net = build()
    net.load_state_dict(state)
    return net.eval()
'''
HERE = '''class Here(TorchFunctionMode):
    """While it lasts, new tensors are on `device`, and new floats have the network's dtype."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function in MAKERS and kwargs.get("device") is None:
            if kwargs.get("dtype") is None and function(*args, **{**kwargs, "device": "meta"}).is_floating_point():
                kwargs["dtype"] = DTYPE
            kwargs["device"] = self.device
        return function(*args, **kwargs)
'''
MADE_HERE = '''def made_here(forward):
    """Lets a forward make its tensors where the tensors are that it is given."""

    @functools.wraps(forward)
    def run(self, *args, **kwargs):
        tensors = (*args, *kwargs.values(), *self.parameters(), *self.buffers())
        near = next((value for value in tensors if isinstance(value, torch.Tensor)), torch.empty(()))
        with {here}:
            return forward(self, *args, **kwargs)

    return run
'''


def assemble(
    definitions: Sequence[str],
    building: Sequence[str],
    *,
    title: str,
    dtype: torch.dtype,
    changed: Mapping[str, bool],
    version: str,
    outer: Collection[str],
    helpers: Collection[str],
    makers: Collection[str],
    aliases: Mapping[str, str],
) -> str:
    """Puts the file together. `building` are the lines of `build`; the last is what makes the network."""
    parts = [HEAD.format(title=title, version=version) + _imports(outer, helpers, dtype if makers else None)]
    parts += [EITHER[name] for name in sorted(helpers)]
    if aliases:
        parts.append("\n".join(f"{alias} = {name}" for name, alias in sorted(aliases.items())))
    if makers:
        parts.append(_here(dtype, makers))
    parts += definitions
    parts += [_build(building, dtype, changed), LOAD]
    return "\n\n\n".join(part.strip("\n") for part in parts) + "\n"


def _imports(outer: Collection[str], helpers: Collection[str], made: torch.dtype | None) -> str:
    """The imports; `made` is the dtype of the tensors that forwards make, None where they make none."""
    standard = [] if made is None else ["import functools"]
    if "math" in outer or any("math." in EITHER[name] for name in helpers):
        standard.append("import math")
    if "OrderedDict" in outer:
        standard.append("from collections import OrderedDict")
    third = ["import torch"]
    if "F" in outer:
        third.append("import torch.nn.functional as F")
    third.append("from torch import nn")
    if made not in (None, torch.float32):
        third.append("from torch.overrides import TorchFunctionMode")
    return "\n" + "\n".join([*standard, *([""] if standard else []), *third])


def _here(dtype: torch.dtype, makers: Collection[str]) -> str:
    """What lets forwards make tensors on the network's device; in float32 PyTorch itself has it."""
    if dtype is torch.float32:
        return MADE_HERE.format(here="near.device")
    constants = f"MAKERS = {{{', '.join(sorted(makers))}}}\nDTYPE = {dtype}\n"
    return f"{constants}\n\n{HERE}\n\n{MADE_HERE.format(here='Here(near.device)')}"


def _build(building: Sequence[str], dtype: torch.dtype, changed: Mapping[str, bool]) -> str:
    *lines, made = building
    cast = "" if dtype is torch.float32 else f".to({dtype})"
    header = 'def build() -> nn.Module:\n    """Makes the network with first values."""'
    if not changed:
        return block_text(header, [*lines, f"return {made}{cast}"])
    flags = [f"net.get_parameter({name!r}).requires_grad_({trained})" for name, trained in changed.items()]
    return block_text(header, [*lines, f"net = {made}{cast}", *flags, "return net"])
