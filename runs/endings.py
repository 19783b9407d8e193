"""How a run ends, and what ends it early."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scaling.files import read_json
from scaling.record import RESULT, Row

HOPELESS = 1
"""Nats above guessing, at which a training loss does not come back."""

INHERITED = "its trunk did: "
"""Before the reason of a run that ended before it began."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How a run ended."""

    status: str
    """`finished`, `diverged` or `overfitted`."""
    reason: str = ""
    """Why, where it ended early."""
    diagnosis: Row = field(default_factory=dict)
    """What the model looked like when it diverged."""
    micro_batch: int | None = None
    """Rows that were seen at once, where memory did not hold a whole batch."""

    def result(self, precision: str) -> Row:
        """Give the run's result, without what there is nothing to say of."""
        early = {
            "reason": self.reason,
            "diagnosis": self.diagnosis and {**self.diagnosis, "precision": precision},
            "micro_batch": self.micro_batch,
        }
        return {"status": self.status, **{key: x for key, x in early.items() if x}}


def inherited_from(trunk: Path) -> Ending | None:
    """How a trunk ended early, which is how all that begins at its end does."""
    result = read_json(trunk / RESULT)
    if result["status"] == "finished":
        return None
    reason = result.get("reason", "").removeprefix(INHERITED)
    return Ending(status=result["status"], reason=INHERITED + reason)


def verdict(
    rows: Sequence[Row], *, uniform: float, rising: int, patience: int | None
) -> Ending | None:
    """Say whether the evaluations so far end a run."""
    if not rows:
        return None
    return climbed(rows[-1], uniform=uniform, rising=rising) or overfitted(
        rows, patience=patience
    )


def climbed(row: Row, *, uniform: float, rising: int) -> Ending | None:
    """Say whether a run diverged though its loss is finite.

    Parameters
    ----------
    row : dict
        The last evaluation.
    uniform : float
        Loss of guessing, where training starts, in nats.
    rising : int
        Steps of the warm-up, in which a loss may still come down.

    Examples
    --------
    >>> row = {"step": 9, "train_loss": 6.5}
    >>> climbed(row, uniform=5.5, rising=4)
    >>> climbed(row, uniform=5.4, rising=4).reason
    'the training loss of step 9, 6.5000, is more than 1 nat above guessing, 5.4000'
    """
    loss = row.get("train_loss")
    if loss is None or row["step"] <= rising or loss <= uniform + HOPELESS:
        return None
    reason = (
        f"the training loss of step {row['step']}, {loss:.4f}, is more than {HOPELESS} "
        f"nat above guessing, {uniform:.4f}"
    )
    return Ending(status="diverged", reason=reason)


def overfitted(rows: Sequence[Row], *, patience: int | None) -> Ending | None:
    """Say whether the test loss has not come down for so many evaluations.

    >>> rows = [{"loss": loss, "step": step} for step, loss in enumerate([3, 2, 2, 4])]
    >>> overfitted(rows[:3], patience=2)
    >>> overfitted(rows, patience=2).reason
    'the test loss of step 1, 2.0000, was the lowest for 2 evaluations'
    """
    best = min(range(len(rows)), key=lambda row: rows[row]["loss"])
    if patience is None or len(rows) - 1 - best < patience:
        return None
    step, loss = rows[best]["step"], rows[best]["loss"]
    reason = (
        f"the test loss of step {step}, {loss:.4f}, was the lowest for {patience} "
        "evaluations"
    )
    return Ending(status="overfitted", reason=reason)
