"""Where names of blocks, hyperparameters and shared modules are known: lexical scopes, for checking and planning.

A named block is planned in the scope where it was defined, seeing its own hyperparameters only; an unnamed one in
the scope around it. Library blocks have a scope of their own, which sees nothing of any network. Called by
`check.py` and `planner.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.architecture.plan import Slot
from app.architecture.read import read_block
from app.architecture.spec import Block
from app.errors import LabError
from app.settings import Limits

LibraryReader = Callable[[str], object | None]


@dataclass(eq=False)
class Scope:
    """Names in sight. `values` are hyperparameters; in a check, where they have no values yet, names alone count."""

    values: Mapping[str, object] = field(default_factory=dict)
    blocks: "Mapping[str, Definition]" = field(default_factory=dict)
    shared: Mapping[str, Slot | None] = field(default_factory=dict)
    results: dict[str, object] = field(default_factory=dict)  # what texts gave in this scope


@dataclass(frozen=True, eq=False)
class Definition:
    """A named block, and the scope it was defined in."""

    name: str
    block: Block
    scope: Scope
    from_library: bool


class Library:
    """Blocks of the library, each read once; all share one scope."""

    def __init__(self, find: LibraryReader, limits: Limits) -> None:
        self._find = find
        self._limits = limits
        self._found: dict[str, Definition | None] = {}
        self.documents: dict[str, object] = {}
        self.scope = Scope()

    def __call__(self, name: str) -> Definition | None:
        """Gives the library's block `name`, or None. Raises LabError if what is kept there cannot be read."""
        if name not in self._found:
            document = self._find(name)
            self._found[name] = None
            if document is not None:
                self.documents[name] = document
                try:
                    block = read_block(document, self._limits, "")
                except LabError as error:
                    error.detail = f"block {name} of the library: {error.detail}"
                    raise
                self._found[name] = Definition(name, block, self.scope, from_library=True)
        return self._found[name]


def find_block(name: str, scope: Scope, library: Library) -> Definition | None:
    """Gives the block that `name` means in `scope`: the nearest inline one, else the library's."""
    return scope.blocks.get(name) or library(name)


def define(blocks: Mapping[str, Block], scope: Scope) -> None:
    """Puts inline `blocks` in `scope`, hiding others of their names; they see one another."""
    defined = {name: Definition(name, block, scope, from_library=False) for name, block in blocks.items()}
    scope.blocks = {**scope.blocks, **defined}
