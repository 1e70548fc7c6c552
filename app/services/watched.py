"""What was counted in the database last, which is not done for every look: kept in the `Lab`, used by `metrics.py`."""

from dataclasses import dataclass

from app.db.figures import Figures


@dataclass
class Watched:
    """The figures, and the time (monotonic) when they were counted."""

    figures: Figures | None = None
    counted_at: float = 0.0
