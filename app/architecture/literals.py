"""Tensors written as JSON inside an architecture, read as everywhere else: lists, a number, or an object.

Called by `read_own.py`.
"""

from app.architecture.spec import TensorLiteral
from app.errors import in_place
from app.settings import Limits
from app.tensors.codecs.json_reading import TensorReference, read_tensor


def read_literal(value: object, limits: Limits, pointer: str) -> TensorLiteral:
    """Makes the tensor on the CPU: of its dtype, else bool or float32 (the network is cast to its own as a whole).

    Raises Unprocessable with a pointer to the very element, as `read_tensor` does, and `unknown-name` for
    `{"tensor": name}`, where no such tensor has been put in its place.
    """
    tensor = read_tensor(value, pointer=pointer, dtype="float32", limits=limits)
    if isinstance(tensor, TensorReference):
        message = f"there is no tensor {tensor.name!r:.60}; write its values here, as data"
        raise in_place(f"{pointer}/tensor", message, code="unknown-name")
    return TensorLiteral(tensor, pointer)
