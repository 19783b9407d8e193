"""A verification as text: what `scaling verify` prints."""

from __future__ import annotations

from collections.abc import Iterator

from scaling.analysis.layout import count, section, table, wrap
from scaling.analysis.verification import (
    ENVELOPE,
    Expected,
    Frozen,
    Interval,
    Verification,
)

ELSEWHERE = (
    "the study's grid is not at hand; train such a run where the others were trained, "
    "and compare its loss by scaling verify STUDY --measured LOSS"
)


def verification_text(frozen: Frozen, verification: Verification | None) -> str:
    """Write a prediction, and what came of it where that is known.

    Returns
    -------
    str
        Lines of at most 100 columns, without a newline at the end.
    """
    lines = [*_head(frozen), "", *table([*_rows(frozen)])]
    if verification is not None:
        return "\n".join([*lines, "", *_outcome(verification)])
    elsewhere = [ELSEWHERE] if frozen.grid is None else []
    lines += section("No run is trained here", elsewhere)
    lines += section("Warnings", frozen.warnings)
    return "\n".join(lines)


def _head(frozen: Frozen) -> Iterator[str]:
    """Say what was foretold, when, and by what."""
    law = "the laws of the envelope" if frozen.law == ENVELOPE else f"law {frozen.law}"
    yield from wrap(
        f"Foretold by {law} from {count(frozen.rows, 'row')} of "
        f"{count(frozen.runs, 'run')}, data {frozen.data}"
    )
    yield f"{frozen.compute:.4g} FLOPs, {frozen.beyond:.3g} times the most of any row"
    if frozen.digest:
        yield f"frozen {frozen.frozen}, SHA-256 {frozen.digest[:16]}..."
    if frozen.configuration is not None:
        yield f"{frozen.run}: {_built(frozen)}"


def _built(frozen: Frozen) -> str:
    assert frozen.configuration is not None
    built = frozen.configuration
    return (
        f"N_nv {built['non_vocab_params']:,}, V {built['codebook_size']:,}, "
        f"D {built['tokens']:,}"
    )


def _rows(frozen: Frozen) -> Iterator[tuple[str, ...]]:
    """Write the numbers: what is best at the budget, then the loss of the run."""
    yield "", "foretold", "50 % interval", "90 % interval"
    for name, each in frozen.quantities.items():
        yield _row(f"{name}*", each, " tokens" if name == "D" else "")
    yield _row(frozen.loss_symbol, frozen.loss)
    yield _row(f"{frozen.loss_symbol} of a new run", frozen.new_run)


def _row(name: str, each: Expected, unit: str = "") -> tuple[str, ...]:
    ends = _interval(each.fifty), _interval(each.ninety)
    return name, f"{each.value:.4g}{unit}", *ends


def _interval(interval: Interval) -> str:
    return f"{interval.low:.4g} to {interval.high:.4g}"


def _outcome(found: Verification) -> Iterator[str]:
    """Say what was measured, and how far off the prediction was."""
    width = len(f"measured {found.loss_symbol}  ")
    yield f"  measured {found.loss_symbol}  {found.measured:.4g}"
    share = f"{100 * found.relative_error:+.1f} %"
    unit = " nats" if found.loss_symbol in ("L", "L_u") else ""
    lower = ""
    if found.percentile is not None:
        lower = f"; the law expects {found.percentile:g} % of new runs below it"
    yield f"  {'error':{width}}{found.error:+.4g}{unit}, {share}{lower}"
    yield ""
    yield from wrap(found.verdict)
