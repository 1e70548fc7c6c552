"""Which networks keep the rows of a batch apart, proven from their graphs: `prove` and `prove_some`.

`proof.py` asks; `walk.py` and `expressions.py` follow a network over the forms of `forms.py`; the other files hold a
rule for each operation that is known to keep rows apart, with the reason. What has no rule is not.
"""

from app.architecture.rowwise.proof import NotRowWise, Ranks, RowWise, prove, prove_some

__all__ = ["NotRowWise", "Ranks", "RowWise", "prove", "prove_some"]
