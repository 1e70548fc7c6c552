"""Layers whose native code trusts its inputs: a look at the inputs before each call.

The functions behind them are guarded in `app.language.native`, but layers call PyTorch's own. Called by `make.py`.
"""

from typing import Any

from torch import nn

from app.language.native import check_bags, check_classes, check_positive


def _bags(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    given = {**dict(zip(("input", "offsets"), args, strict=False)), **kwargs}
    check_bags(
        given.get("input"), given.get("offsets"), last_is_end=bool(getattr(module, "include_last_offset", False))
    )


def _classes(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    names = ("log_probs", "targets", "input_lengths", "target_lengths")
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    check_classes(given.get("log_probs"), given.get("targets"), given.get("target_lengths"))


def _windows(module: nn.Module, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
    check_positive("kernel_size", getattr(module, "kernel_size", None))


def watch(module: nn.Module) -> nn.Module:
    """Gives `module`, its inputs checked before each call where PyTorch does not check them itself."""
    if isinstance(module, nn.EmbeddingBag):
        module.register_forward_pre_hook(_bags, with_kwargs=True)
    elif isinstance(module, nn.CTCLoss):
        module.register_forward_pre_hook(_classes, with_kwargs=True)
    elif isinstance(module, nn.FractionalMaxPool2d | nn.FractionalMaxPool3d):
        module.register_forward_pre_hook(_windows, with_kwargs=True)
    return module
