"""What stays in the device's memory between calls: networks and tensors under one budget of bytes, the least recently
used leaving first.

Owns the order and the sums; what a resident is, its owner knows (`residents.py`). Memory that is freed is given back.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from app.errors import Unprocessable
from app.messages import Holding, Resident, ResidentKind
from app.worker.memory import device_bytes, give_back, is_full

Key = tuple[ResidentKind, str]
MadeT = TypeVar("MadeT")

WORTH_GIVING_BACK_BYTES = 2**20  # giving back takes a while


@dataclass
class _Held:
    resident: Resident
    thing: object


class Residency:
    """The residents of one device."""

    def __init__(self, device: torch.device, budget_bytes: int) -> None:
        self.device = device
        self.budget_bytes = budget_bytes
        self.changed = False  # since `changes` was asked last
        self._held: OrderedDict[Key, _Held] = OrderedDict()  # least recently used first
        self._byte_count = 0
        self._came: dict[Key, Resident] = {}
        self._left: set[Key] = set()
        self._evicted = 0
        self._to_give_back = 0

    def find(self, key: Key) -> object | None:
        """The resident, which counts as used now."""
        held = self._held.get(key)
        if held is None:
            return None
        self._held.move_to_end(key)
        return held.thing

    def add(self, resident: Resident, thing: object) -> None:
        """Takes a resident in, in place of what has its key. `make_room` comes before its memory is taken."""
        key = (resident.kind, resident.id)
        self.drop(key)
        self._held[key] = _Held(resident, thing)
        self._byte_count += resident.bytes
        self._note(resident)

    def now_at(self, key: Key, revision: int) -> None:
        """A network that is here has gone to another revision."""
        held = self._held[key]
        old = held.resident
        held.resident = Resident(old.kind, old.id, revision, old.bytes)
        self._note(held.resident)

    def fits(self, byte_count: int) -> bool:
        """Whether it would fit if it were alone here."""
        return byte_count <= self.budget_bytes

    def make_room(self, byte_count: int, what: str) -> None:
        """Lets the least recently used go until there is room. Raises: Unprocessable for what can never fit."""
        if not self.fits(byte_count):
            message = (
                f"{what} holds {byte_count} bytes and a device keeps at most {self.budget_bytes} "
                "(MODEL_LAB_RESIDENT_BYTES)."
            )
            raise Unprocessable(message, code="limit-exceeded")
        while self._byte_count + byte_count > self.budget_bytes:
            self._evict()
        self._give_back()

    def allocate(self, make: Callable[[], MadeT]) -> MadeT:
        """Runs `make`; once more without all the others here if there is no memory for it beside them."""
        try:
            return make()
        except (MemoryError, RuntimeError) as error:
            if not is_full(error) or not self._held:
                raise
        self.clear()
        return make()

    def clear(self) -> None:
        """Lets everybody go."""
        while self._held:
            self._evict()
        self._give_back()

    @property
    def byte_count(self) -> int:
        """What the residents take."""
        return self._byte_count

    def drop(self, key: Key) -> int:
        """Lets a resident go and tells its bytes; 0 where it was not here."""
        held = self._held.get(key)
        if held is None:
            return 0
        self.changed = True
        self._came.pop(key, None)
        self._left.add(key)
        del self._held[key]
        self._byte_count -= held.resident.bytes
        self._to_give_back += held.resident.bytes
        return held.resident.bytes

    def mend(self) -> None:
        """Puts right what a task may have left that was broken off between any two instructions.

        What was used last may be half changed and goes; the sums are made anew, and all that stay are told of again.
        """
        if self._held:
            self.drop(next(reversed(self._held)))
        self._byte_count = sum(held.resident.bytes for held in self._held.values())
        self._came = {key: held.resident for key, held in self._held.items()}
        self._left -= self._held.keys()
        self.changed = True

    def release(self, keys: list[Key]) -> int:
        """Lets residents go, gives their memory back and tells how many bytes they took."""
        byte_count = sum(map(self.drop, keys))
        self._give_back()
        return byte_count

    def report(self) -> list[Resident]:
        """The residents, the least recently used first."""
        return [held.resident for held in self._held.values()]

    def changes(self) -> Holding:
        """What changed since this was asked last."""
        holding = Holding(list(self._came.values()), list(self._left), self._evicted, device_bytes(self.device))
        self._came, self._left, self._evicted, self.changed = {}, set(), 0, False
        return holding

    def _evict(self) -> None:
        """Lets the least recently used resident go."""
        self.drop(next(iter(self._held)))
        self._evicted += 1

    def _note(self, resident: Resident) -> None:
        key = (resident.kind, resident.id)
        self.changed = True
        self._left.discard(key)
        self._came[key] = resident

    def _give_back(self) -> None:
        if self._to_give_back >= WORTH_GIVING_BACK_BYTES:
            self._to_give_back = 0
            give_back(self.device)
