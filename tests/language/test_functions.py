"""The catalogue: what it holds, what it leaves out, and that nothing in it changes what it is given."""

import json

import pytest
import torch
from torch import Tensor

from app.language.compile import evaluate
from app.language.errors import LanguageError
from app.language.functions import BARE, DOTTED, METHODS, REFUSED_METHODS, catalogue
from app.language.names import FUNCTIONAL, LINALG, TORCH
from app.settings import Limits

LIMITS = Limits()
TENSORS = {
    "a": torch.rand(3, 3) * 0.8 + 0.1,
    "b": torch.rand(3, 3) * 0.8 + 0.1,
    "i": torch.arange(3),
    "j": torch.tensor([1, 2, 4]),
    "m": torch.eye(3) * 2 + 0.1,
    "images": torch.rand(1, 2, 8, 8),
}
ARGUMENTS = (
    "a",
    "a, b",
    "m",
    "a, 1",
    "i",
    "i, j",
    "a, b, m",
    "a, 0, i",
    "a, 0, i, 1.0",
    "images, 2",
    "a > 0.5",
    "a, 0, 1",
)

NEEDS_MORE = {
    "torch.imag",
    "torch.masked_fill",
    "torch.polygamma",
    "torch.renorm",
}  # functions that none of these arguments suit


def test_every_function_is_described_with_a_signature_a_schema_and_words() -> None:
    described = catalogue()
    assert len(described) > 500
    assert len({entry.name for entry in described}) == len(described)
    for entry in described:
        assert entry.spellings, entry.name
        assert "(" in entry.signature, entry.name
        assert entry.arguments is not None, entry.name
        json.dumps(entry.arguments)
        assert entry.doc, entry.name
        assert "inplace" not in entry.signature, entry.signature
        assert "out=" not in entry.signature, entry.signature
        assert "generator" not in entry.signature, entry.signature
        assert "\0" not in entry.signature


def test_every_name_on_the_allow_list_is_there() -> None:
    """A name that PyTorch drops should be taken off the list with open eyes."""
    missing = [name for names in TORCH.values() for name in names.split() if f"torch.{name}" not in DOTTED]
    missing += [name for names in FUNCTIONAL.values() for name in names.split() if f"F.{name}" not in DOTTED]
    missing += [name for name in LINALG.split() if f"linalg.{name}" not in DOTTED]
    assert missing == []


def test_no_function_or_method_works_in_place_by_name() -> None:
    for name in [*BARE, *METHODS, *(key.split(".")[1] for key in DOTTED)]:
        assert not name.endswith("_"), name
        assert not name.startswith("_"), name


def test_what_is_dangerous_is_in_no_catalogue() -> None:
    dangerous = {
        *(
            "empty",
            "empty_like",
            "empty_strided",
            "new_empty",
            "as_strided",
            "set_",
            "storage",
            "untyped_storage",
            "resize",
        ),
        *(
            "load",
            "save",
            "from_file",
            "manual_seed",
            "seed",
            "set_default_dtype",
            "set_num_threads",
            "compile",
            "vmap",
        ),
        *("apply_", "map_", "cuda", "cpu", "numpy", "tolist", "backward", "register_hook", "data_ptr", "pin_memory"),
        *("frombuffer", "from_numpy", "from_dlpack", "to_sparse", "type", "requires_grad_", "cudnn_convolution"),
        *("lu_solve", "ldl_solve", "segment_reduce", "unsafe_split", "__array__", "as_subclass", "new"),
    }
    assert not dangerous & {*BARE, *METHODS, *(key.split(".")[1] for key in DOTTED)}
    assert {"backward", "cuda", "numpy", "apply", "half_"} - set(REFUSED_METHODS) <= {"half_"}


def _attempt(text: str, values: dict[str, Tensor]) -> object:
    try:
        return evaluate(text, values, limits=LIMITS)
    except LanguageError as error:
        return error


@pytest.mark.parametrize("key", sorted(DOTTED))
def test_a_function_is_reachable_and_changes_none_of_its_inputs(key: str) -> None:
    spelling = DOTTED[key].shown
    for arguments in ARGUMENTS:
        values = {name: tensor.clone() for name, tensor in TENSORS.items()}
        torch.manual_seed(1)
        result = _attempt(f"{spelling}({arguments})", values)
        assert not (isinstance(result, LanguageError) and result.code in ("bad-expression", "bad-expression")) or (
            "by position" in str(result)
        ), str(result)
        for name, tensor in values.items():
            assert torch.equal(tensor, TENSORS[name]), f"{spelling}({arguments}) changed {name}"


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_is_reachable_and_changes_neither_its_tensor_nor_its_arguments(name: str) -> None:
    for arguments in ARGUMENTS:
        values = {name: tensor.clone() for name, tensor in TENSORS.items()}
        first, _, rest = arguments.partition(", ")
        result = _attempt(f"({first}).{name}({rest})", values)
        assert not (isinstance(result, LanguageError) and result.code == "bad-expression"), str(result)
        for given, tensor in values.items():
            assert torch.equal(tensor, TENSORS[given]), f"{first}.{name}({rest}) changed {given}"


@pytest.mark.parametrize(
    ("key", "original"),
    [
        (key, getattr(torch, entry.name))
        for key, entry in sorted(DOTTED.items())
        if entry.category in ("elementwise", "reduction") and key.startswith("torch.")
    ],
)
def test_an_elementwise_function_or_reduction_gives_what_pytorch_gives(key: str, original: object) -> None:
    tried = 0
    for arguments in ARGUMENTS:
        torch.manual_seed(1)
        try:
            expected = original(*eval(f"({arguments},)", dict(TENSORS)))
        except (TypeError, RuntimeError, ValueError, IndexError):
            continue
        torch.manual_seed(1)
        got = evaluate(f"{key}({arguments})", TENSORS, limits=LIMITS)
        pairs = zip(got, expected, strict=True) if isinstance(expected, tuple) else [(got, expected)]
        for mine, theirs in pairs:
            same = torch.equal(mine.nan_to_num(), theirs.nan_to_num()) if isinstance(mine, Tensor) else mine == theirs
            assert same, f"{key}({arguments})"
            tried += 1
    assert tried or key in NEEDS_MORE


def test_the_same_function_has_its_three_spellings() -> None:
    x = TENSORS["a"]
    for text in (
        "relu(x)",
        "F.relu(x)",
        "torch.relu(x)",
        "torch.nn.functional.relu(x)",
        "nn.functional.relu(x)",
        "x.relu()",
    ):
        assert torch.equal(evaluate(text, {"x": x}, limits=LIMITS), x.relu())
    for text in ("linalg.norm(x)", "torch.linalg.norm(x)", "torch.norm(x)", "x.norm()", "norm(x)"):
        assert torch.allclose(evaluate(text, {"x": x}, limits=LIMITS), x.norm())
