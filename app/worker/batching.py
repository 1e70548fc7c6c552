"""Whether requests of a network may share a run: asked when batching is turned on. Called by the handlers."""

import orjson

from app.architecture.build import build_on_meta
from app.architecture.rowwise import NotRowWise, prove_some
from app.db import networks
from app.errors import NotFound, Place, Unprocessable
from app.messages import ProveRowWise, RowWise
from app.worker.context import Worker


def prove_row_wise(worker: Worker, task: ProveRowWise) -> RowWise:
    """Raises: NotFound; Unprocessable `not-row-wise` with the operation that mixes rows, its child and line."""
    with worker.database.reading() as connection:
        resolved = networks.find_resolved(connection, task.network_id)
    if resolved is None:
        raise NotFound("The network was deleted meanwhile.")
    proof = prove_some(build_on_meta(orjson.loads(resolved), limits=worker.limits))
    if isinstance(proof, NotRowWise):
        raise _refusal(proof)
    return RowWise()


def _refusal(proof: NotRowWise) -> Unprocessable:
    where = f"in child {proof.child!r}" if proof.child else "in the network"
    line = "" if proof.line is None else f", at line {proof.line} of its forward"
    message = f"Rows of a batch would not stay apart: {where}{line}, {proof.operation} {proof.reason}."
    extra: dict[str, object] = {"operation": proof.operation, "child": proof.child}
    if proof.line is not None:
        extra["line"] = proof.line
    return Unprocessable(message, code="not-row-wise", places=[Place("/batching", message)], extra=extra)
