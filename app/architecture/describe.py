"""Networks in words: the printed tree, modules by path, parameters with their ties.

Called by the worker. Paths are those of `paths.py`.
"""

from collections.abc import Iterator

import torch
from torch import nn

from app.architecture.paths import NoSuchStep, member, not_found, split, walk
from app.errors import NotFound
from app.messages import ParameterInfo


def print_tree(net: nn.Module) -> str:
    """Gives exactly what `print(net)` prints."""
    return repr(net)


def find_module(net: nn.Module, path: str) -> tuple[str, nn.Module]:
    """Finds a module by names or positions (`0.block 1`, `[0][1]`; empty: the network); gives its path in names too.

    Raises NotFound, naming what is near.
    """
    if not path:
        return "", net
    try:
        names, module = walk(net, split(path))
    except NoSuchStep as error:
        raise not_found("module", path, error) from None
    return ".".join(names), module


def describe_modules(net: nn.Module, path: str) -> dict[str, object]:
    """Gives the tree at `path`: path, type, repr, own parameters and buffers, and the children likewise."""
    canonical, module = find_module(net, path)
    return _describe(module, canonical)


def _describe(module: nn.Module, path: str) -> dict[str, object]:
    own = [*module.named_parameters(recurse=False, remove_duplicate=False), *module.named_buffers(recurse=False)]
    children = [(name, child) for name, child in module._modules.items() if child is not None]  # noqa: SLF001
    return {
        "path": path,
        "type": type(module).__name__,
        "repr": repr(module),
        "children": [_describe(child, f"{path}.{name}" if path else name) for name, child in children],
        "parameters": [
            {"name": name, "shape": list(tensor.shape), "dtype": dtype_name(tensor)} for name, tensor in own
        ],
    }


def list_parameters(net: nn.Module, prefix: str | None) -> list[ParameterInfo]:
    """Lists parameters, then buffers, in PyTorch's order, each once; `tied_to` holds its other names.

    `prefix` is the path of a module: only what is in it is listed, under its names there.
    Raises NotFound where there is no such module.
    """
    names: dict[int, list[str]] = {}
    for name, tensor in _tensors(net, ""):
        names.setdefault(id(tensor), []).append(name)
    path, module = find_module(net, prefix or "")
    listed: list[ParameterInfo] = []
    seen: set[int] = set()
    for name, tensor in _tensors(module, path):
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        listed.append(
            ParameterInfo(
                name=name,
                kind="parameter" if isinstance(tensor, nn.Parameter) else "buffer",
                shape=list(tensor.shape),
                dtype=dtype_name(tensor),
                requires_grad=tensor.requires_grad,
                tied_to=[other for other in names[id(tensor)] if other != name],
            )
        )
    return listed


def _tensors(net: nn.Module, prefix: str) -> Iterator[tuple[str, torch.Tensor]]:
    yield from net.named_parameters(prefix=prefix, remove_duplicate=False)
    yield from net.named_buffers(prefix=prefix, remove_duplicate=False)


def canonical_parameter(net: nn.Module, name: str) -> str:
    """Gives the state_dict name of a parameter or buffer that is named so or by positions: `[0][1][0].bias`.

    Raises NotFound, naming what is near.
    """
    steps = split(name)
    try:
        names, module = walk(net, steps[:-1])
        found = member(module, steps[-1], ".".join(names))
    except NoSuchStep as error:
        raise not_found("parameter", name, error) from None
    if isinstance(found, nn.Module):
        inside = ", ".join(key for key, _ in _tensors(found, name))
        raise NotFound(f"{name!r} is a module; its parameters are {inside[:300] or 'none'}")
    return ".".join([*names, steps[-1]])


def dtype_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
