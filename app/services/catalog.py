"""What the language, the architectures and training may use. A worker makes each catalogue once; it never changes."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import orjson

from app.errors import NotFound
from app.messages import Encoded, ReadCatalog
from app.pool.base import expect
from app.services.lab import Lab

Kind = Literal["layers", "functions", "initializers", "optimizers", "schedulers"]

_KEY: dict[Kind, str] = {
    "layers": "type",
    "functions": "name",
    "initializers": "name",
    "optimizers": "type",
    "schedulers": "type",
}


@dataclass(frozen=True)
class Catalog:
    """One catalogue: its items as they go out, and each by its name and its other spellings."""

    items: list[dict[str, Any]]
    by_name: dict[str, dict[str, Any]]


async def read_catalog(lab: Lab, kind: Kind) -> Catalog:
    """Reads a catalogue, from memory after the first time."""
    known = lab.catalogs.get(kind)
    if isinstance(known, Catalog):
        return known
    reply = expect(await lab.pool.submit(ReadCatalog(kind=kind)), Encoded)
    items = orjson.loads(reply.body)
    by_name: dict[str, dict[str, Any]] = {}
    for item in items:
        for spelling in item.get("spellings", ()):
            by_name.setdefault(spelling, item)
    by_name.update({item[_KEY[kind]]: item for item in items})
    catalog = Catalog(items, by_name)
    lab.catalogs[kind] = catalog
    return catalog


async def find_in_catalog(lab: Lab, kind: Kind, name: str) -> dict[str, Any]:
    """Finds one entry by its name, or by another spelling of it (`F.relu`). Raises: NotFound with near names."""
    catalog = await read_catalog(lab, kind)
    found = catalog.by_name.get(name) or catalog.by_name.get(name.removeprefix("nn.").removeprefix("torch.nn."))
    if found is None:
        shown = name if len(name) <= 80 else name[:80] + "…"
        near = get_close_matches(shown, catalog.by_name, n=3)
        hint = f" Near: {', '.join(near)}." if near else ""
        raise NotFound(f"There is no {kind.removesuffix('s')} {shown!r}.{hint}")
    return found
