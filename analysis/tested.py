"""Predictions of a study that were put to the test: which there are, and in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scaling.analysis.material import Material
from scaling.analysis.verification import (
    ENVELOPE,
    Frozen,
    Interval,
    Verification,
    verifications,
)
from scaling.errors import ScalingError
from scaling.words import plain

Tested = tuple[Frozen, Verification | None]
"""A prediction, and what came of it."""
DIGITS = 12
"""Hex digits of a digest that are shown."""


def beside(material: Material) -> list[Tested]:
    """Give the verifications that lie beside a study, in order of compute.

    All of those in a run store are of it; beside a file, those of its rows alone.

    Raises
    ------
    ScalingError
        If one was changed after it was written.
    """
    found = {
        frozen.digest: (frozen, verification)
        for path in material.paths
        if path.exists()
        for frozen, verification in verifications(_base(path))
        if path.is_dir() or _is_of(material, path, frozen)
    }
    return sorted(found.values(), key=lambda pair: pair[0].compute)


def all_tested(material: Material) -> list[Tested]:
    """Give the verifications of a study, of which there must be some.

    Raises
    ------
    ScalingError
        If there is none, or one was changed after it was written.
    """
    found = beside(material)
    if not found:
        study = " ".join(map(str, material.paths)) or "STUDY"
        raise ScalingError(
            "no prediction of this study has been frozen; expected one, and its run, "
            f"in a folder verify-* beside the runs: `scaling verify {study}` makes both"
        )
    return found


def _base(path: Path) -> Path:
    """Give the folder that the verifications of a source lie in."""
    return path if path.is_dir() else path.parent


def _is_of(material: Material, path: Path, frozen: Frozen) -> bool:
    """Whether a prediction is of the rows or laws in a file."""
    if material.loaded is not None:
        return material.loaded.sources == frozen.sources
    return path.name in {Path(source).name for source in frozen.sources}


def by_its_law(material: Material) -> list[Tested]:
    """Give the verifications of the law that a study is read by.

    What another law foretold of the same runs speaks neither for it nor against it.

    Raises
    ------
    ScalingError
        If one was changed after it was written.
    """
    fit = material.laws.fit
    name = ENVELOPE if fit is None else fit.formula.name
    return [pair for pair in beside(material) if pair[0].law == name]


def foremost(found: Sequence[Tested]) -> Tested:
    """Choose the verification of most compute, one that was measured if there is."""
    return max(found, key=lambda pair: (pair[1] is not None, pair[0].compute))


# --- Words --------------------------------------------------------------------------


def place(verification: Verification) -> str:
    """Say which interval of a new run holds the measured loss."""
    if verification.inside_50:
        return "inside the 50 % interval"
    if verification.inside_90:
        return "inside the 90 % interval"
    return "OUTSIDE THE 90 % INTERVAL"


def off(verification: Verification) -> str:
    """Say how far the measured loss is off, as a share of what was predicted."""
    side = "above" if verification.error > 0 else "below"
    share = 100 * abs(verification.relative_error)
    return f"{share:.2g} % {side} the prediction"


def share(verification: Verification) -> str:
    """Write the error as a share of what was predicted, with its sign."""
    percent = f"{100 * verification.relative_error:+.2g} %"
    return percent.replace("-", "\N{MINUS SIGN}")


def span(interval: Interval) -> str:
    """Write an interval.

    >>> span(Interval(low=1.23456, high=2))
    '1.235 to 2'
    """
    return f"{interval.low:.4g} to {interval.high:.4g}"


def when(frozen: Frozen) -> str:
    """Write when a prediction was frozen, to the minute."""
    return frozen.frozen[:16].replace("T", " ")


def law_name(frozen: Frozen) -> str:
    """Name the law of a prediction for a sentence."""
    return "the laws of the envelope" if frozen.law == ENVELOPE else f"law {frozen.law}"


def support(found: Sequence[Tested]) -> list[str]:
    """Say which predictions came true."""
    return [f"Put to the test: {_told(*pair)}" for pair in _measured(found, held=True)]


def misses(found: Sequence[Tested]) -> list[str]:
    """Say which predictions did not come true."""
    missed = _measured(found, held=False)
    return [f"PREDICTION MISSED: {_told(*pair)}" for pair in missed]


def _measured(
    found: Sequence[Tested], *, held: bool
) -> Iterator[tuple[Frozen, Verification]]:
    for frozen, verification in found:
        if verification is not None and verification.inside_90 == held:
            yield frozen, verification


def _told(frozen: Frozen, verification: Verification) -> str:
    """Say what a run came to, by the narrowest interval that speaks of it."""
    told = frozen.new_run
    interval = told.fifty if verification.inside_50 else told.ninety
    return (
        f"a run at {plain(frozen.beyond, 3)} times the most compute of the fit came "
        f"out {off(verification)} of {law_name(frozen)}, made before it was trained: "
        f"{place(verification)} ({span(interval)})"
    )


# --- The table of a report ----------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A prediction and what came of it, as a reader sees them."""

    compute: str
    """Budget, in FLOPs."""
    beyond: str
    """How many times the largest compute of the fit that is."""
    law: str
    """Which law foretold the loss."""
    frozen: str
    """When, in UTC."""
    predicted: str
    """The loss foretold, with its symbol."""
    fifty: str
    """Where half of new runs were expected."""
    ninety: str
    """Where nine tenths of them were."""
    measured: str
    """The loss of the run, if it was trained."""
    error: str
    """How far off that is."""
    place: str
    """Which interval holds it, in words."""
    missed: bool
    """Whether neither does."""
    digest: str
    """First digits of the seal of the prediction."""


def rows(material: Material) -> list[Row]:
    """Write the verifications of a study for a table.

    Raises
    ------
    ScalingError
        As `all_tested` does.
    """
    return [_row(*pair) for pair in all_tested(material)]


def _row(frozen: Frozen, found: Verification | None) -> Row:
    told = frozen.new_run
    return Row(
        compute=plain(frozen.compute, 3),
        beyond=plain(frozen.beyond, 3),
        law=frozen.law,
        frozen=when(frozen),
        predicted=f"{frozen.loss_symbol} {told.value:.4g}",
        fifty=span(told.fifty),
        ninety=span(told.ninety),
        measured=f"{found.measured:.4g}" if found else "not trained yet",
        error=share(found) if found else "",
        place=place(found) if found else "",
        missed=found is not None and not found.inside_90,
        digest=frozen.digest[:DIGITS],
    )
