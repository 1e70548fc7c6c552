"""The task that asks whether requests of a network may share a run."""

from app.messages.base import Message


class ProveRowWise(Message, frozen=True):
    """Prove from its graph that a network keeps rows apart. Reply: `RowWise`; `not-row-wise` where it does not."""

    network_id: str


class RowWise(Message, frozen=True):
    """The network keeps the rows of a batch apart, for inputs of some ranks at least."""
