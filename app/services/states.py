"""The state_dict of a network, whole or of one module: down from a revision, up into a new one.

Down needs no worker: names are the manifest's, bytes the store's. Up, what comes is compared with what the network has
before a byte is stored, where the format says so early (safetensors), and in any case before the head moves. A tensor
goes to all names that are tied to its own; names that are given different values are refused.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from app.db.revisions import RevisionRow
from app.errors import Conflict, Place, Unprocessable, in_place, pointer_to
from app.messages import DescribeState, NetworkRef, StateDescribed
from app.pool.base import expect
from app.services.artifacts import receive_artifact
from app.services.downloads import NamedTensor
from app.services.idempotency import Answer
from app.services.lab import Lab, in_thread
from app.services.networks import no_network
from app.services.references import find_reference, find_reference_at
from app.services.uploads import Body, Received, receive_file, receive_safetensors
from app.services.writes import Change, Work, check_match, write_revision
from app.store.store import TensorStore
from app.store.tensors import StoredTensor
from app.tensors.media_types import Format
from app.tensors.pt_pickle import Described
from app.tensors.safetensors_header import Header

NAMES_SHOWN = 100  # of missing and unexpected tensors in a refusal


@dataclass(frozen=True)
class State:
    """Tensors of a network at a revision, named as `net[prefix].state_dict()` names them."""

    revision: int
    manifest: str
    tensors: list[NamedTensor]


@dataclass(frozen=True)
class Target:
    """What a file is loaded into: names relative to `prefix`, and which full names are one parameter."""

    network: NetworkRef
    prefix: str  # by names; "" is the network
    tensors: Mapping[str, StoredTensor]  # by relative name, in order
    ties: Mapping[str, tuple[str, ...]]  # full name -> all names of the parameter; only for tied ones

    def full(self, name: str) -> str:
        return f"{self.prefix}.{name}" if self.prefix else name

    def group(self, name: str) -> tuple[str, ...]:
        """The full names that get the tensor called `name` here."""
        full = self.full(name)
        return self.ties.get(full, (full,))


@dataclass(frozen=True)
class Loaded:
    """What became of a file: the new revision, and names that only one side had."""

    revision: int
    loaded: int
    missing: list[str]
    unexpected: list[str]


async def find_state(lab: Lab, name: str, prefix: str, revision: int | None) -> State:
    """Finds the tensors of a network or of one of its modules, at its head or at `revision`. Raises: NotFound."""
    network = await find_reference_at(lab, name, revision)
    entries = await in_thread(lambda: TensorStore(lab.database).manifest(network.manifest))
    tensors = _under(entries, prefix)
    if not tensors:
        described = await _describe(lab, network, prefix)
        tensors = _under(entries, described.prefix)
    found = [NamedTensor(short, full, entries[full]) for short, full in tensors.items()]
    return State(network.revision, network.manifest, found)


def _under(entries: Iterable[str], prefix: str) -> dict[str, str]:
    """Names relative to `prefix` -> full names, for what lies below it."""
    start = f"{prefix}." if prefix else ""
    return {full[len(start) :]: full for full in entries if full.startswith(start)}


async def _describe(lab: Lab, network: NetworkRef, prefix: str) -> StateDescribed:
    task = DescribeState(network_id=network.network_id, prefix=prefix)
    return expect(await lab.pool.submit(task), StateDescribed)


async def find_target(lab: Lab, name: str, prefix: str, if_match: frozenset[str] | None) -> Target:
    """Finds what a file would be loaded into. Raises: NotFound for the network or the prefix; Stale."""
    head = await find_reference(lab, name)
    check_match(name, head.revision, if_match)
    return await describe_target(lab, head, prefix)


async def describe_target(lab: Lab, head: NetworkRef, prefix: str) -> Target:
    """The same of a network that was found already. Raises: NotFound for the prefix."""
    described = await _describe(lab, head, prefix)
    entries = await in_thread(lambda: TensorStore(lab.database).manifest(head.manifest))
    under = _under(entries, described.prefix)
    return Target(
        head,
        described.prefix,
        {short: entries[full] for short, full in under.items()},
        {full: tuple(group) for group in described.ties for full in group},
    )


def match(target: Target, given: Collection[Described], *, strict: bool) -> tuple[list[str], list[str]]:
    """Compares names, shapes and dtypes of a file with a network's. Returns names that are missing and unexpected.

    A tied parameter is there when any of its names is. Raises: Unprocessable `shape-mismatch`, `dtype-mismatch`; and
    `state-dict-mismatch` for missing and unexpected names if `strict`.
    """
    names = {tensor.name for tensor in given}
    covered = {full for name in names & target.tensors.keys() for full in target.group(name)}
    missing = [name for name in target.tensors if target.full(name) not in covered]
    unexpected = [tensor.name for tensor in given if tensor.name not in target.tensors]
    if strict and (missing or unexpected):
        raise _refusal(missing, unexpected)
    known = [tensor for tensor in given if tensor.name in target.tensors]
    _check(known, target, "shape-mismatch", lambda tensor: list(tensor.shape))
    _check(known, target, "dtype-mismatch", lambda tensor: tensor.dtype)
    return missing, unexpected


def _refusal(missing: list[str], unexpected: list[str]) -> Unprocessable:
    places = [Place("", f"'{name}' is missing.") for name in missing[:NAMES_SHOWN]]
    places += [Place(pointer_to(name), f"The network has no tensor '{name}'.") for name in unexpected[:NAMES_SHOWN]]
    return Unprocessable(
        f"The file and the network do not have the same tensors: {len(missing)} are missing and {len(unexpected)} "
        "unexpected. `?strict=false` takes those that fit.",
        code="state-dict-mismatch",
        places=places,
        extra={"missing": missing[:NAMES_SHOWN], "unexpected": unexpected[:NAMES_SHOWN]},
    )


def _check(
    given: Iterable[Described], target: Target, code: str, what: Callable[[Described | StoredTensor], object]
) -> None:
    wrong = [tensor for tensor in given if what(tensor) != what(target.tensors[tensor.name])]
    if wrong:
        places = [
            Place(
                pointer_to(t.name), f"'{t.name}' is {what(t)} here and {what(target.tensors[t.name])} in the network."
            )
            for t in wrong[:NAMES_SHOWN]
        ]
        raise Unprocessable(places[0].message, code=code, places=places)


async def receive_state(lab: Lab, target: Target, body: Body, format_name: Format, *, strict: bool) -> Received:
    """Stores a body's tensors; a safetensors file is compared with the network before its bytes come.

    A JSON body may name an artifact. Raises: Malformed, Unprocessable, TooLarge; NotFound for the artifact; what
    `match` raises.
    """
    if format_name == "safetensors":

        def choose(header: Header) -> Collection[str]:
            match(target, [Described(e.name, e.dtype.name, e.shape) for e in header.entries], strict=strict)
            return {entry.name for entry in header.entries if entry.name in target.tensors}

        return await receive_safetensors(lab, body, choose)
    dtypes = {name: stored.dtype for name, stored in target.tensors.items()} if format_name == "json" else {}
    received = await receive_file(
        lab, body, format_name, dtypes=dtypes, artifact=lambda name: receive_artifact(lab, name)
    )
    if received.kind != "dict":
        message = f"A state_dict is a dict of tensors by name, and this is a {received.kind}."
        raise in_place("", message, code="bad-tensor")
    return received


async def load_state(
    lab: Lab,
    name: str,
    target: Target,
    received: Received,
    *,
    strict: bool,
    if_match: frozenset[str] | None,
    detail: Mapping[str, object],
    render: Callable[[Loaded], Answer],
) -> Answer:
    """Makes a revision of stored tensors; all names of a tied parameter get what one of them is given.

    Raises: Conflict `tied-conflict`; Stale, NotFound; what `match` raises.
    """
    work, tell = plan_load(lab, name, target, received, strict=strict, detail=detail)
    return await write_revision(lab, name, work, lambda row: render(tell(row)), if_match=if_match)


def plan_load(
    lab: Lab, name: str, target: Target, received: Received, *, strict: bool, detail: Mapping[str, object]
) -> tuple[Work, Callable[[RevisionRow], Loaded]]:
    """What makes the change, and what is to be told of the revision. Raises: as `load_state`."""
    given = [Described(key, stored.dtype, stored.shape) for key, stored in received.tensors.items()]
    missing, unexpected = match(target, given, strict=strict)
    replaced = _replacements(target, received.tensors)

    def tell(row: RevisionRow) -> Loaded:
        loaded = sum(key in target.tensors for key in received.tensors)
        return Loaded(row.number, loaded, missing, [*unexpected, *received.left_out])

    async def work(head: NetworkRef) -> Change:
        if head.network_id != target.network.network_id:
            raise no_network(name)  # the one that was asked for; another has its name by now
        return Change(await in_thread(lambda: _derive(lab, head, replaced)), "load", detail)

    return work, tell


def _replacements(target: Target, given: Mapping[str, StoredTensor]) -> dict[str, str]:
    """Full name -> digest of its new tensor. Raises: Conflict where names of one parameter differ."""
    replaced: dict[str, str] = {}
    sources: dict[str, str] = {}
    for name, stored in given.items():
        if name not in target.tensors:
            continue
        for full in target.group(name):
            if replaced.setdefault(full, stored.digest) != stored.digest:
                raise Conflict(
                    f"'{sources[full]}' and '{name}' are one parameter in this network, and the file gives them "
                    "different values.",
                    code="tied-conflict",
                    extra={"names": [sources[full], name]},
                )
            sources.setdefault(full, name)
    return replaced


def _derive(lab: Lab, head: NetworkRef, replaced: Mapping[str, str]) -> str:
    store = TensorStore(lab.database)
    entries = [(name, replaced.get(name, stored.digest)) for name, stored in store.manifest(head.manifest).items()]
    return store.keep_manifest(entries)
