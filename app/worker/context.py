"""What every handler has at hand: the device, the networks on it, the store and the limits.

Made once when the worker starts. Knows no tasks.
"""

from collections.abc import Callable
from dataclasses import dataclass

import orjson
import torch

from app.db import blocks
from app.db.engine import Database
from app.settings import Limits, Settings
from app.store.store import TensorStore
from app.worker.layouts import Layouts
from app.worker.memory import resident_budget
from app.worker.residency import Residency
from app.worker.residents import Residents
from app.worker.turn import Turn


@dataclass(frozen=True)
class Worker:
    """One worker: `device` is its canonical name ("cpu:1"), which is also what replies call it. Through `turn` a
    handler tells how far it is."""

    device: str
    settings: Settings
    database: Database
    store: TensorStore
    residency: Residency
    residents: Residents
    layouts: Layouts
    turn: Turn

    @classmethod
    def make(
        cls, device: str, settings: Settings, database: Database, turn: Turn | None = None, place: str = "cpu"
    ) -> "Worker":
        store = TensorStore(database)
        residency = Residency(torch.device(place), resident_budget(place, settings))
        return cls(
            device=device,
            settings=settings,
            database=database,
            store=store,
            residency=residency,
            residents=Residents(residency, settings, database, store),
            layouts=Layouts(database, settings.limits),
            turn=turn or Turn.alone(),
        )

    @property
    def limits(self) -> Limits:
        return self.settings.limits

    def library(self, workspace: str) -> Callable[[str], object | None]:
        """Looks up named blocks of a workspace: name → definition, or None."""

        def find(name: str) -> object | None:
            with self.database.reading() as connection:
                row = blocks.find(connection, workspace, name)
            return None if row is None else orjson.loads(row.definition)

        return find
