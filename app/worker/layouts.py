"""Layouts of networks, found in the database and remembered; and which parameters a revision trains.

A network of the first format has no layout in the database: it is built on `meta` once to find it out. Called by what
reads and changes parameters.
"""

from collections import OrderedDict
from collections.abc import Mapping

import orjson

from app.architecture.build import build_on_meta
from app.architecture.layout import Layout, TensorGroup
from app.db import networks, revisions
from app.db.engine import Database
from app.errors import NotFound
from app.messages import NetworkRef, ParameterInfo
from app.settings import Limits
from app.store.tensors import StoredTensor

REMEMBERED = 256


class Layouts:
    """Layouts by network id; they never change."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database = database
        self._limits = limits
        self._known: OrderedDict[str, Layout] = OrderedDict()  # least recently used first

    def find(self, network_id: str) -> Layout:
        """Raises: NotFound when the network was deleted meanwhile."""
        layout = self._known.get(network_id)
        if layout is None:
            layout = self._known[network_id] = self._read(network_id)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(network_id)
        return layout

    def flags(self, ref: NetworkRef) -> Mapping[str, bool]:
        """`requires_grad` by first name, where the revision has it another way than it was built."""
        with self._database.reading() as connection:
            row = revisions.find(connection, ref.network_id, ref.revision)
        return {} if row is None else row.requires_grad or {}

    def _read(self, network_id: str) -> Layout:
        with self._database.reading() as connection:
            found = networks.find_layout(connection, network_id)
        if found is None:
            raise NotFound("The network was deleted meanwhile.")
        layout, resolved = found
        if layout is not None:
            return Layout.from_json(layout)
        return Layout.of(build_on_meta(orjson.loads(resolved), limits=self._limits))


def describe(name: str, group: TensorGroup, stored: StoredTensor, flags: Mapping[str, bool]) -> ParameterInfo:
    """One parameter or buffer under one of its names, with the shape and dtype that a revision stores."""
    return ParameterInfo(
        name=name,
        kind=group.kind,
        shape=list(stored.shape),
        dtype=stored.dtype,
        requires_grad=flags.get(group.names[0], group.requires_grad),
        tied_to=[other for other in group.names if other != name],
    )
