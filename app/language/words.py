"""The words of the language that are neither a user's names nor PyTorch functions.

Data only. `NAMESPACES` are what may stand before a dot to reach the catalogue.
"""

import torch

LITERALS = frozenset({"inf", "nan", "pi"})

DTYPES = frozenset(
    name
    for name in (
        *("float16", "float32", "float64", "bfloat16", "complex64", "complex128"),
        *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"),
    )
    if hasattr(torch, name)
)
DTYPE_ALIASES = frozenset({"float", "double", "half", "int", "long", "short", "cfloat", "cdouble"})  # after torch. only

NAMESPACES = frozenset({"torch", "F", "nn", "linalg", "fft", "special"})

NUMBER_FUNCTIONS = frozenset({"len", "min", "max", "sqrt", "abs", "exp", "log", "int", "float", "round", "sum", "pow"})
LOOP_FUNCTIONS = frozenset({"range", "enumerate", "zip", "reversed"})

TENSOR_ATTRIBUTES = frozenset({"shape", "ndim", "dtype", "device", "T", "mT", "data"})
LIST_METHODS = frozenset({"append", "pop"})

FORBIDDEN_KEYWORDS = {
    "out": "results are new tensors; write x = f(...) instead of out=x",
    "generator": "random numbers come from the network's own generator; leave generator out",
    "requires_grad": "what needs a gradient is a parameter; leave requires_grad out",
    "pin_memory": "leave pin_memory out",
    "layout": "tensors are dense; leave layout out",
    "memory_format": "leave memory_format out",
    "names": "dimensions have no names here; leave names out",
    "non_blocking": "leave non_blocking out",
    "distance_function": "functions are no values here; leave distance_function out",
}

_CHILDREN = "the children in their order are children(), as in for block in children()"
_BY_NAME = "a member is reached by its name, as in self.weight"
HINTS_OF_SELF = {
    "_modules": _CHILDREN,
    "modules": _CHILDREN,
    "named_children": _CHILDREN,
    "named_modules": _CHILDREN,
    "parameters": _BY_NAME,
    "named_parameters": _BY_NAME,
    "_parameters": _BY_NAME,
    "_buffers": _BY_NAME,
    "forward": "forward does not call itself; write a loop",
}
