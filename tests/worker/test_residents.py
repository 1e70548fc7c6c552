"""Networks on a worker's device: what is loaded, what leaves, and what moves from one revision to the next."""

import pytest
import torch

from app.db import networks
from app.errors import Damaged, NotFound, Unprocessable
from app.messages import NetworkRef
from app.store.store import TensorStore
from app.store.tensors import TensorBytes
from app.tensors.buffers import bytes_of
from app.worker import residents, transfer
from app.worker.context import Worker
from app.worker.residents import OBJECT_BYTES
from tests.worker.conftest import create


def test_a_loaded_network_holds_the_values_that_were_drawn(make_worker):
    worker = make_worker()
    net = worker.residents.find(create(worker, ["Linear(4, 3)", "ReLU()"], seed=5)).module
    torch.manual_seed(5)
    twin = torch.nn.Linear(4, 3)
    assert torch.equal(net.state_dict()["0.weight"], twin.weight)
    assert torch.equal(net.state_dict()["0.bias"], twin.bias)


def test_a_network_that_is_there_is_not_loaded_again(make_worker):
    worker = make_worker()
    ref = create(worker, "Linear(2, 2)")
    assert worker.residents.find(ref) is worker.residents.find(ref)


def test_the_least_recently_used_network_leaves_when_the_budget_is_full(make_worker):
    one = 100 * 100 * 4 + 2 * OBJECT_BYTES
    worker = make_worker(resident_bytes=2 * one + one // 2)
    first, second, third = (create(worker, "Linear(100, 100, bias=False)", seed) for seed in range(3))
    worker.residents.find(first)
    worker.residents.find(second)
    worker.residents.find(first)
    worker.residents.find(third)
    assert [resident.id for resident in worker.residency.report()] == [first.network_id, third.network_id]
    assert all(resident.bytes == one for resident in worker.residency.report())


def test_many_small_networks_fill_the_budget_too(make_worker):
    worker = make_worker(resident_bytes=20 * OBJECT_BYTES)
    for seed in range(12):
        worker.residents.find(create(worker, "Linear(1, 1)", seed))
    assert len(worker.residency.report()) == 6  # a module and two tensors each


def test_a_network_larger_than_the_budget_is_refused_and_the_others_stay(make_worker):
    worker = make_worker(resident_bytes=50_000)
    small = create(worker, "Linear(2, 2)")
    worker.residents.find(small)
    with pytest.raises(Unprocessable) as caught:
        worker.residents.find(create(worker, "Linear(200, 200)"))
    assert caught.value.code == "limit-exceeded"
    assert [resident.id for resident in worker.residency.report()] == [small.network_id]


def test_equal_tensors_have_memory_of_their_own(make_worker):
    worker = make_worker()
    architecture = {"parameters": {"a": "zeros(3)", "b": "zeros(3)"}, "inputs": ["x"], "forward": "return x + a + b"}
    net = worker.residents.find(create(worker, architecture)).module
    with torch.no_grad():
        net.a += 1
    assert torch.equal(net.b, torch.zeros(3))


def test_tied_tensors_stay_one(make_worker):
    worker = make_worker()
    architecture = {"type": "Sequential", "shared": {"s": "Linear(3, 3)"}, "layers": [{"ref": "s"}, {"ref": "s"}]}
    net = worker.residents.find(create(worker, architecture)).module
    assert net[0] is net[1]


def changed(worker: Worker, ref: NetworkRef, name: str, value: torch.Tensor) -> NetworkRef:
    """The next revision, in which one tensor is another."""
    store: TensorStore = worker.store
    tensors = transfer.read_tensors(store, store.manifest(ref.manifest), torch.device("cpu"))
    tensors[name] = value
    manifest = store.put((key, TensorBytes("float32", tuple(t.shape), bytes_of(t))) for key, t in tensors.items())
    return NetworkRef(ref.network_id, ref.revision + 1, manifest, ref.dtype, ref.device)


def test_a_new_revision_fetches_only_the_tensors_that_changed(make_worker, monkeypatch):
    worker = make_worker()
    ref = create(worker, ["Linear(4, 4)", "Linear(4, 4)"])
    before = worker.residents.find(ref).module.state_dict()["1.weight"].clone()
    fetched = []
    read = transfer.read_tensors
    monkeypatch.setattr(residents, "read_tensors", lambda *args: fetched.extend(args[1]) or read(*args))
    loaded = worker.residents.find(changed(worker, ref, "0.bias", torch.arange(4.0)))
    assert fetched == ["0.bias"]
    assert loaded.revision == 2
    assert torch.equal(loaded.module.state_dict()["0.bias"], torch.arange(4.0))
    assert torch.equal(loaded.module.state_dict()["1.weight"], before)


def test_a_network_half_way_between_revisions_is_dropped(make_worker, monkeypatch):
    worker = make_worker()
    ref = create(worker, "Linear(4, 4)")
    worker.residents.find(ref)
    newer = changed(worker, ref, "bias", torch.ones(4))

    def damaged(*_):
        raise Damaged("a flipped bit")

    with monkeypatch.context() as patch:
        patch.setattr(residents, "read_tensors", damaged)
        with pytest.raises(Damaged):
            worker.residents.find(newer)
    assert worker.residency.report() == []
    assert torch.equal(worker.residents.find(newer).module.state_dict()["bias"], torch.ones(4))


def test_a_network_deleted_meanwhile_is_not_found(make_worker):
    worker = make_worker()
    ref = create(worker, "Linear(2, 2)")
    with worker.database.transaction() as connection:
        networks.delete(connection, "default", ref.network_id)
    with pytest.raises(NotFound):
        worker.residents.find(ref)
