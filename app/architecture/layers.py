"""The catalogue of layers: every module of `torch.nn`, what it takes, and why a few cannot be used.

All of it is read from PyTorch's own classes when this module is loaded, so a new release brings its new layers.
Knows nothing of blocks or documents. Called by `plan.py`, `check.py` and the catalogue's route.
"""

import inspect
from dataclasses import dataclass
from functools import lru_cache

from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from app.architecture.arguments import BLOCK, BOOLEAN, INTEGER, NULL, Kind, either
from app.architecture.constructors import Constructor, read_parameters

CONTAINERS: dict[str, type[nn.Module]] = {
    "Sequential": nn.Sequential,
    "ModuleList": nn.ModuleList,
    "ModuleDict": nn.ModuleDict,
}

UNSUPPORTED = {
    "Module": "it is the base of all layers; write a block of your own with children and forward",
    "Container": "it is a name that PyTorch gave up; write a block of your own with children and forward",
    "RNNBase": "it is the base of RNN, LSTM and GRU; use one of them",
    "RNNCellBase": "it is the base of RNNCell, LSTMCell and GRUCell; use one of them",
    "ParameterList": "parameters are named in a block's own parameters",
    "ParameterDict": "parameters are named in a block's own parameters",
    "DataParallel": "the service places networks on devices itself",
}
LAZY = "its sizes are known only after a first call, and a network here has all its parameters from the start"

WITHHELD = {
    "device": "the device is chosen beside the architecture, for the whole network",
    "dtype": "the dtype is chosen beside the architecture, for the whole network",
    "process_group": "a network runs in one process",
}
KNOWN_KINDS: dict[str, Kind] = {  # parameters that PyTorch does not annotate
    "size_average": either([BOOLEAN, NULL]),
    "reduce": either([BOOLEAN, NULL]),
    "kdim": either([INTEGER, NULL]),
    "vdim": either([INTEGER, NULL]),
    "custom_encoder": either([BLOCK, NULL]),
    "custom_decoder": either([BLOCK, NULL]),
}


@dataclass(frozen=True)
class Layer(Constructor):
    """One class of `torch.nn`. `reason` says why it cannot be used, None when it can."""

    module: type[nn.Module]
    takes_device: bool
    reason: str | None
    summary: str

    @property
    def takes_any(self) -> bool:
        return self.name == "Identity"

    @property
    def signature(self) -> str:
        """The call as one would write it: `Linear(in_features, out_features, bias=True)`."""
        if self.name == "ModuleDict":
            return 'ModuleDict, as {"type": "ModuleDict", "layers": {...}}'
        if self.name in CONTAINERS:
            return f"{self.name}({'*blocks' if self.name == 'Sequential' else 'blocks'})"
        return f"{self.name}({', '.join([*self.shown_parameters, *(['*args', '**kwargs'] if self.takes_any else [])])})"


def _describe(name: str, module: type[nn.Module]) -> Layer:
    reason = LAZY if issubclass(module, LazyModuleMixin) else UNSUPPORTED.get(name)
    plain = module.__init__ is nn.Module.__init__ or name in CONTAINERS
    parameters = () if plain else read_parameters(module, WITHHELD, KNOWN_KINDS)
    if any(parameter.required and parameter.kind is None for parameter in parameters):
        reason = reason or "one of its arguments cannot be described in JSON"
    summary = (inspect.getdoc(module) or "").strip().split("\n\n")[0].replace("\n", " ")
    takes_device = any(parameter.name == "device" for parameter in parameters)
    return Layer(name, parameters, module, takes_device, reason, summary)


LAYERS: dict[str, Layer] = {
    name: _describe(name, module)
    for name, module in sorted(vars(nn).items())
    if isinstance(module, type) and issubclass(module, nn.Module)
}


@lru_cache(maxsize=1)
def catalogue() -> list[dict[str, object]]:
    """Lists every layer: type, signature, summary, JSON Schema of its arguments, and whether it can be used."""
    return [_entry(layer) for layer in LAYERS.values()]


def _entry(layer: Layer) -> dict[str, object]:
    return {
        "type": layer.name,
        "signature": layer.signature,
        "summary": layer.summary,
        "supported": layer.reason is None,
        "reason": layer.reason,
        "arguments": layer.schema,
        "positional": [
            parameter.name
            for parameter in layer.parameters
            if parameter.kind is not None and not parameter.keyword_only
        ],
        "withheld": {parameter.name: parameter.reason for parameter in layer.parameters if parameter.kind is None},
    }
