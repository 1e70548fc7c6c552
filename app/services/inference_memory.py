"""What this process remembers for the Open Inference Protocol: how often networks were run by it and how long the parts
took, and what networks take and give.

Kept for the latest few thousand networks; a restart begins anew, as the counts of the protocol's own servers do.
"""

import time
from collections import OrderedDict
from dataclasses import dataclass, field

from app.messages import Inferred, SignatureFound

MOST_KEPT = 4_096
PARTS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss")

Key = tuple[str, str, int]  # workspace, network, revision


@dataclass
class Counts:
    """What was counted of one revision: (how often, nanoseconds in all) by part."""

    last_ms: int = 0
    parts: dict[str, list[int]] = field(default_factory=lambda: {part: [0, 0] for part in PARTS})

    def add(self, part: str, nanoseconds: int) -> None:
        counted = self.parts[part]
        counted[0] += 1
        counted[1] += nanoseconds

    def to_json(self, name: str, revision: int) -> dict[str, object]:
        """As the protocol's statistics extension wants it."""
        runs = self.parts["success"][0]
        return {
            "name": name,
            "version": str(revision),
            "last_inference": self.last_ms,
            "inference_count": runs,
            "execution_count": runs,
            "inference_stats": {part: {"count": count, "ns": ns} for part, (count, ns) in self.parts.items()},
            "batch_stats": [],
        }


class InferenceMemory:
    """Counts and signatures, the least recently used forgotten first."""

    def __init__(self) -> None:
        self._counts: OrderedDict[Key, Counts] = OrderedDict()
        self._signatures: OrderedDict[str, SignatureFound] = OrderedDict()

    def succeeded(self, key: Key, reply: Inferred, total_ns: int) -> None:
        """Counts a request that was answered; what its parts in the worker did not take was waiting."""
        counts = self._find(key)
        counts.last_ms = int(time.time() * 1000)
        counts.add("success", total_ns)
        counts.add("queue", max(0, total_ns - reply.decode_ns - reply.run_ns - reply.encode_ns))
        counts.add("compute_input", reply.decode_ns)
        counts.add("compute_infer", reply.run_ns)
        counts.add("compute_output", reply.encode_ns)

    def failed(self, key: Key, total_ns: int) -> None:
        self._find(key).add("fail", total_ns)

    def of(self, workspace: str, name: str) -> dict[int, Counts]:
        """What was counted of a network, by revision."""
        return {key[2]: counts for key, counts in self._counts.items() if key[:2] == (workspace, name)}

    def names(self, workspace: str) -> list[str]:
        """Networks of a workspace of which anything was counted."""
        return sorted({key[1] for key in self._counts if key[0] == workspace})

    def signature(self, network_id: str) -> SignatureFound | None:
        """What a network takes and gives, where that was found out; it never changes."""
        return self._signatures.get(network_id)

    def keep_signature(self, network_id: str, found: SignatureFound) -> None:
        self._signatures[network_id] = found
        if len(self._signatures) > MOST_KEPT:
            self._signatures.popitem(last=False)

    def _find(self, key: Key) -> Counts:
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = Counts()
            if len(self._counts) > MOST_KEPT:
                self._counts.popitem(last=False)
        self._counts.move_to_end(key)
        return counts
