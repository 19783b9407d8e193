"""Which evaluations count, where the learning rate is held and then brought down.

A loss under a high learning rate lies above the one that the same run has once the rate
has come down (Haegele et al. 2024, arXiv 2405.18392, Fig. 2), so that a law may rest on
evaluations of the one kind or of the other, and never on both. A study of cosine runs
alone is taken as ScaMo does, evaluations along the run included.
"""

from __future__ import annotations

import pandas as pd

from scaling.analysis.checks import place
from scaling.analysis.table import blank
from scaling.errors import ScalingError
from scaling.record import TRUTHS

NOT_COOLED = (
    "not cooled: the learning rate was still up, and the loss with it (--rows uncooled "
    "fits the trunks alone)"
)
NOT_CONSTANT = "cooled, cooling down, or of a run that did not finish"
CONSTANT = (
    "the rows are evaluations at a constant learning rate, whose loss lies above that "
    "of runs that have cooled down"
)


def choose(
    frame: pd.DataFrame, uncooled: bool, notes: list[str]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Keep the evaluations of one kind, and count the others.

    Parameters
    ----------
    frame : DataFrame
        All rows, indexed by place.
    uncooled : bool
        Take those at a constant learning rate: of finished runs that never cool down,
        the trunks.
    notes : list of str
        Receives what a reader must know.

    Raises
    ------
    ScalingError
        If no row is of the kind, or a cell says neither yes nor no.
    """
    if uncooled and "cooled" not in frame:
        raise ScalingError(
            "--rows uncooled: the rows do not say which of them are cooled; expected a "
            "column cooled, such as runs with schedule wsd have: leave it out"
        )
    if not uncooled and not _some_cool_down(frame):
        return frame, {}
    cooled = _read(frame, notes)
    kept, reason = cooled, NOT_COOLED
    if uncooled:
        kept, reason = _constant(frame, cooled), NOT_CONSTANT
        notes.append(CONSTANT)
    if not kept.any():
        raise ScalingError(
            f"no evaluation is left: all {len(frame)} are {reason.partition(':')[0]}; "
            "expected some: let the runs finish, or "
            f"{'leave --rows uncooled out' if uncooled else 'add --rows uncooled'}"
        )
    left = int((~kept).sum())
    return frame[kept], {reason: left} if left else {}


def _some_cool_down(frame: pd.DataFrame) -> bool:
    """Whether some runs, no cosine ones, say where they are cooled."""
    if "cooled" not in frame:
        return False
    says = ~blank(frame["cooled"])
    if "schedule" in frame:
        says &= frame["schedule"] != "cosine"
    return bool(says.any())


def _read(frame: pd.DataFrame, notes: list[str]) -> pd.Series[bool]:
    """Read the column; of runs that lack it the last evaluation counts as cooled."""
    unknown = blank(frame["cooled"])
    found = frame["cooled"].astype(str).str.strip().str.lower().map(TRUTHS)
    odd = frame["cooled"][found.isna() & ~unknown]
    if len(odd):
        raise ScalingError(
            f"cooled is {odd.iloc[0]!r} in {place(odd.index[0])}; expected true or "
            "false: correct the row or remove it"
        )
    if not unknown.any():
        return found == 1
    runs = frame.loc[unknown, "run"].nunique()
    notes.append(
        f"{runs} runs do not say where they are cooled: the last evaluation of each "
        "counts as cooled"
    )
    last = frame["flops"] == frame.groupby("run")["flops"].transform("max")
    return found.where(~unknown, last.astype(float)) == 1


def _constant(frame: pd.DataFrame, cooled: pd.Series[bool]) -> pd.Series[bool]:
    """Find the rows of runs whose learning rate stays up to their end."""
    constant = ~cooled.groupby(frame["run"]).transform("any")
    if "schedule" in frame:
        constant &= frame["schedule"] != "cosine"
    if "status" in frame:  # a branch that was cut short never cooled down either
        constant &= blank(frame["status"]) | (frame["status"] == "finished")
    return constant
