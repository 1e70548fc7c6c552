"""Networks loaded on this worker's device: found by id and brought to the revision asked for.

A network moves from one revision to another by fetching only the tensors whose digests differ. How long it stays is
the business of `residency.py`. Called by the handlers alone.
"""

from dataclasses import dataclass, field

import orjson
import torch
from torch import Tensor, nn

from app.architecture.build import build_on_meta
from app.architecture.materialise import materialise
from app.architecture.rowwise import NotRowWise, RowWise
from app.db import networks
from app.db.engine import Database
from app.errors import NotFound
from app.messages import Mode, NetworkRef, Resident
from app.settings import Settings
from app.store.store import TensorStore
from app.store.tensors import StoredTensor
from app.tensors.buffers import bytes_of
from app.tensors.torch_dtypes import torch_dtype
from app.worker.residency import Residency
from app.worker.transfer import read_tensors

LARGE_BYTES = 4 * 2**20
OBJECT_BYTES = 2048  # of one module or one tensor besides its data, so that many small networks fill the budget too


@dataclass
class LoadedNetwork:
    """A network on the device, holding the tensors of one manifest."""

    network_id: str
    module: nn.Module
    dtype: torch.dtype
    revision: int
    manifest: str
    entries: dict[str, StoredTensor]
    byte_count: int
    mode: Mode | None = None
    proofs: dict[object, RowWise | NotRowWise] = field(default_factory=dict)  # by the ranks of the inputs

    def set_mode(self, mode: Mode) -> None:
        """Puts the module in `mode`; walks the tree only on a change."""
        if self.mode != mode:
            self.module.train(mode == "train")
            self.mode = mode


class Residents:
    """The networks of one worker. Raises `Unprocessable` (`limit-exceeded`) for one that can never fit."""

    def __init__(self, residency: Residency, settings: Settings, database: Database, store: TensorStore) -> None:
        self.device = residency.device
        self._residency = residency
        self._limits = settings.limits
        self._database = database
        self._store = store

    def find(self, ref: NetworkRef) -> LoadedNetwork:
        """The network of `ref` at its revision, loaded if it is not there, brought up to date if it is."""
        loaded = self._residency.find(("network", ref.network_id))
        assert loaded is None or isinstance(loaded, LoadedNetwork)
        if loaded is None or loaded.dtype != torch_dtype(ref.dtype):
            self._drop(ref.network_id)
            loaded = self._load(ref)
        elif loaded.manifest != ref.manifest:
            self._bring_to(loaded, ref)
        return loaded

    def adopt(self, ref: NetworkRef, module: nn.Module) -> None:
        """Keeps a network that was built here, on the CPU, as if it had been loaded; one that does not fit is left."""
        entries = self._store.manifest(ref.manifest)
        byte_count = _size_of(module, entries)
        if self._residency.fits(byte_count):
            self._residency.make_room(byte_count, "The network")
            self._add(ref, self._residency.allocate(lambda: module.to(self.device)), entries, byte_count)

    def take(self, ref: NetworkRef) -> LoadedNetwork:
        """As `find`, for a caller who changes the network: it is no longer here afterwards."""
        loaded = self.find(ref)
        self._drop(ref.network_id)
        return loaded

    def _load(self, ref: NetworkRef) -> LoadedNetwork:
        with self._database.reading() as connection:
            resolved = networks.find_resolved(connection, ref.network_id)
        if resolved is None:
            raise NotFound("The network was deleted meanwhile.")
        entries = self._store.manifest(ref.manifest)
        module = build_on_meta(orjson.loads(resolved), limits=self._limits)
        byte_count = _size_of(module, entries)
        self._residency.make_room(byte_count, "The network")
        materialise(module, self._residency.allocate(lambda: self._read(entries)))
        return self._add(ref, module, entries, byte_count)

    def _add(
        self, ref: NetworkRef, module: nn.Module, entries: dict[str, StoredTensor], byte_count: int
    ) -> LoadedNetwork:
        dtype = torch_dtype(ref.dtype)
        loaded = LoadedNetwork(ref.network_id, module, dtype, ref.revision, ref.manifest, entries, byte_count)
        self._residency.add(Resident("network", ref.network_id, ref.revision, byte_count), loaded)
        return loaded

    def _bring_to(self, loaded: LoadedNetwork, ref: NetworkRef) -> None:
        entries = self._store.manifest(ref.manifest)
        changed = {name: entry for name, entry in entries.items() if loaded.entries[name].digest != entry.digest}
        state = loaded.module.state_dict(keep_vars=True)
        try:
            in_place = {name: entry for name, entry in changed.items() if self._writable(state[name], entry)}
            for name, entry in in_place.items():
                self._store.read_change_into(loaded.entries[name], entry, bytes_of(state[name]))
            for name, tensor in self._read({n: e for n, e in changed.items() if n not in in_place}).items():
                state[name].data.copy_(tensor)
        except BaseException:
            self._drop(loaded.network_id)  # half of one revision and half of another is neither
            raise
        loaded.revision, loaded.manifest, loaded.entries = ref.revision, ref.manifest, entries
        self._residency.now_at(("network", ref.network_id), ref.revision)

    def _writable(self, tensor: Tensor, entry: StoredTensor) -> bool:
        """A large tensor on the CPU takes the chunks that changed into its own memory; small ones come in one query."""
        return entry.byte_count > LARGE_BYTES and tensor.device.type == "cpu" and tensor.is_contiguous()

    def _read(self, entries: dict[str, StoredTensor]) -> dict[str, Tensor]:
        return read_tensors(self._store, entries, self.device)

    def _drop(self, network_id: str) -> None:
        self._residency.drop(("network", network_id))


def _size_of(module: nn.Module, entries: dict[str, StoredTensor]) -> int:
    """What a network takes: its tensors, each tied one once, and the Python objects around them."""
    names = [name for name, _ in (*module.named_parameters(), *module.named_buffers()) if name in entries]
    return sum(entries[name].byte_count for name in names) + OBJECT_BYTES * (len(names) + len(list(module.modules())))
