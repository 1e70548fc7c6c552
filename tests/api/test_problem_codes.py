"""Every code that the source can raise is one that `/problems` explains."""

import ast
import re
from pathlib import Path

from app.api.problem_codes import CODES
from app.errors import BY_NAME

APP = Path(__file__).parents[2] / "app"
CODE = re.compile(r"[a-z]+(-[a-z]+)+")
BY_POSITION = {"BadArguments", "LanguageError", "refuse"}  # calls that may give a code without naming it
INTERNAL = {"needs-values"}  # on `meta`; a check answers it with a note, and no request ends with it


def codes_in(tree: ast.AST) -> set[str]:
    """Texts that are given as a code: `code="..."`, `code = "..."`, `code: str = "..."`, or by position."""
    found: list[ast.expr | None] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "code":
            found.append(node.value)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                found += _assigned_code(target, node.value)
        elif isinstance(node, ast.AnnAssign):
            found += _assigned_code(node.target, node.value)
        elif isinstance(node, ast.arguments):
            named = [*node.posonlyargs, *node.args]
            pairs = [*zip(named[len(named) - len(node.defaults) :], node.defaults, strict=True)]
            pairs += [*zip(node.kwonlyargs, node.kw_defaults, strict=True)]
            found += [default for argument, default in pairs if argument.arg == "code"]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", None) in BY_POSITION:
            found += [given for given in node.args if _text(given) and CODE.fullmatch(_text(given))]
    return {text for value in found if value is not None for text in _texts(value)}


def _assigned_code(target: ast.expr, value: ast.expr | None) -> list[ast.expr | None]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return [found for pair in zip(target.elts, value.elts, strict=True) for found in _assigned_code(*pair)]
    name = target.id if isinstance(target, ast.Name) else getattr(target, "attr", None)
    return [value] if name == "code" else []


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _texts(node: ast.expr) -> list[str]:
    """Gives a text, or the texts that `a if test else b` chooses from."""
    if isinstance(node, ast.IfExp):
        return _texts(node.body) + _texts(node.orelse)
    return [_text(node)] if _text(node) else []


def test_codes_are_found_however_they_are_given():
    source = """
def f(code: str = "a-a", *, x=1): g(code="b-b"); refuse(node, "words", "c-c")
class E: code = "d-d"
told.code, told.message = "e-e", "words"
h(code="f-f" if late else "g-g")
"""
    assert codes_in(ast.parse(source)) == {"a-a", "b-b", "c-c", "d-d", "e-e", "f-f", "g-g"}


def test_every_code_in_the_source_is_explained():
    unknown = {
        str(path.relative_to(APP)): codes - CODES.keys() - INTERNAL
        for path in APP.rglob("*.py")
        if (codes := codes_in(ast.parse(path.read_text())))
    }
    assert {path: codes for path, codes in unknown.items() if codes} == {}
    assert {kind.code for kind in BY_NAME.values()} <= CODES.keys()
