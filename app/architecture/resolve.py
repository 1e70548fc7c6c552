"""From an architecture as sent to one that stands alone: checked whole, with the library's blocks it uses inside.

The resolved form is an architecture again, keeps the order of keys, and needs no library. Called by the worker when
a network is made or checked and when a block is registered.
"""

import ast
from collections.abc import Callable

import orjson

from app.architecture.check import Checker
from app.architecture.make import make
from app.architecture.names import block_name_problem
from app.architecture.planner import plan_network
from app.architecture.read import read_block
from app.architecture.scopes import Library, Scope
from app.architecture.shapes import not_too_deep
from app.errors import in_place
from app.settings import Limits

LibraryReader = Callable[[str], object | None]


def resolve(document: object, *, library: LibraryReader, limits: Limits, pointer: str) -> dict[str, object]:
    """Checks `document` and gives it with the library blocks that it uses under its `blocks`.

    `library` gives the definition of a block (JSON), or None. `pointer` is where the document stands in the request.
    Raises Unprocessable with the code and the place of what is wrong or too large.
    """
    check_bytes(document, limits, pointer)
    known = Library(library, limits)
    checker = Checker(known, limits)
    with not_too_deep(pointer):
        block = read_block(document, limits, pointer)
        checker.network(block)
        plan = plan_network(block, known, limits)
        if checker.ties:
            make(plan, "meta", limits, pointer)
    resolved = embed(document, {name: known.documents[name] for name in checker.all_library_names()})
    check_bytes(resolved, limits, pointer)
    return resolved


def check_block(name: str, definition: object, *, library: LibraryReader, limits: Limits, pointer: str) -> list[str]:
    """Checks the definition of a library block as far as that goes without its hyperparameters.

    Gives the names of the library blocks that it uses itself. Raises Unprocessable: `bad-name` for its name,
    `cycle` where it would use itself, and whatever is wrong in it.
    """
    problem = block_name_problem(name)
    if problem is not None:
        raise in_place("/name", problem, code="bad-name")
    check_bytes(definition, limits, pointer)

    def with_itself(other: str) -> object | None:
        return definition if other == name else library(other)

    checker = Checker(Library(with_itself, limits), limits)
    with not_too_deep(pointer):
        block = read_block(definition, limits, pointer)
        itself = checker.library(name)
        assert itself is not None
        checker.block(block, Scope())
    if itself in checker.uses:
        users = [one.name for one, used in checker.uses.items() if one is not None and itself in used]
        way = f", through {users[0]}" if users and users[0] != name else ""
        raise in_place(pointer, f"block {name} would use itself{way}", code="cycle")
    checker.circles(None, [], set())
    return checker.library_names()


def check_bytes(document: object, limits: Limits, pointer: str) -> None:
    """Refuses a document that is too long as JSON, too deep, or holds what JSON cannot."""
    try:
        size = len(orjson.dumps(document))
    except (TypeError, ValueError, RecursionError) as error:
        raise in_place(
            pointer, f"the architecture is beyond what JSON holds here: {error}", code="limit-exceeded"
        ) from None
    if size > limits.architecture_bytes:
        message = f"the architecture has {size:,} bytes of JSON; at most {limits.architecture_bytes:,} are allowed"
        raise in_place(pointer, message, code="limit-exceeded")


def embed(document: object, blocks: dict[str, object]) -> dict[str, object]:
    """Puts library blocks beside the network's root, where its own blocks and nothing else may hide them.

    Where a block of the root's own has the name of one of these, the whole root goes one scope deeper.
    """
    if isinstance(document, str):
        root = _call_as_object(document) or {"block": document}
    elif isinstance(document, list | tuple):
        root = {"type": "Sequential", "layers": list(document)}
    else:
        assert isinstance(document, dict)
        root = dict(document)
    if not blocks:
        return root
    own = root.get("blocks") or {}
    assert isinstance(own, dict)
    if own.keys() & blocks.keys():
        return {"block": root, "blocks": blocks}
    return {**root, "blocks": {**own, **blocks}}


def _call_as_object(text: str) -> dict[str, object] | None:
    """Reads `Linear(20, 256)` as an object; None where the text is more than a name and numbers."""
    call = ast.parse(text.strip(), mode="eval").body
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        return None
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    if not all(isinstance(value, ast.Constant) and isinstance(value.value, int | float | None) for value in given):
        return None
    found: dict[str, object] = {"type": call.func.id}
    if call.args:
        found["args"] = [ast.literal_eval(value) for value in call.args]
    if call.keywords:
        found["kwargs"] = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    return found
