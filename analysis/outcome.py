"""What came of a frozen prediction: the measured loss beside the one foretold.

Only what is in the two files counts: the laws are those that the prediction holds.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from scaling.analysis.freezing import foretell
from scaling.analysis.measures import MISSES
from scaling.analysis.verification import Frozen, Verification
from scaling.errors import ScalingError
from scaling.record import Row, evaluated


class Measured(NamedTuple):
    """What training a run gave."""

    loss: float
    """Its loss at its end."""
    flops: float | None = None
    """What it cost."""
    seconds: float | None = None
    """How long it took."""
    device: str | None = None
    """On what."""


def compare(frozen: Frozen, measured: Measured, code_version: str = "") -> Verification:
    """Lay what was measured beside what was foretold."""
    expected, error = frozen.new_run, measured.loss - frozen.loss.value
    return Verification(
        prediction=frozen.digest,
        run=frozen.run if measured.device else None,
        measured=measured.loss,
        predicted=expected.value,
        error=error,
        relative_error=error / abs(expected.value),
        inside_50=expected.fifty.holds(measured.loss),
        inside_90=expected.ninety.holds(measured.loss),
        percentile=percentile(frozen, measured.loss),
        compute=frozen.compute,
        flops=measured.flops,
        beyond=frozen.beyond,
        law=frozen.law,
        loss_symbol=frozen.loss_symbol,
        seconds=measured.seconds,
        device=measured.device,
        code_version=code_version,
        verdict=verdict(frozen, measured.loss),
    )


def verdict(frozen: Frozen, loss: float) -> str:
    """Say in a sentence whether a prediction held."""
    within = frozen.new_run
    low, high = within.ninety.low, within.ninety.high
    measured = f"{frozen.loss_symbol} of {loss:.4g}"
    of_runs = f"{low:.4g} to {high:.4g}"
    far = f"{frozen.beyond:.3g} times the largest compute of the rows"
    if within.fifty.holds(loss):
        low, high = within.fifty.low, within.fifty.high
        where = f"inside the 50 % interval of a new run, {low:.4g} to {high:.4g}"
    elif within.ninety.holds(loss):
        where = f"inside the 90 % interval of a new run, {of_runs}"
    else:
        side = "below" if loss < low else "above"
        where = f"{side} the 90 % interval of a new run, {of_runs}"
    held = "holds" if within.ninety.holds(loss) else "FAILS"
    return f"The prediction {held}: {measured} lies {where}, at {far}."


def percentile(frozen: Frozen, loss: float) -> float:
    """Give the percent of new runs that the law expects to have a lower loss."""
    laws, value = frozen.predictor, frozen.new_run.value
    side = int(loss > value)

    def missing(level: float) -> float:
        with np.errstate(over="ignore"):  # sizes at such levels may be anything
            found = foretell(laws, frozen.configuration, frozen.compute, level)
        return abs(found.new_run[side] - value) - abs(loss - value)

    least, most = 1e-6, 1 - 1e-6
    if missing(most) < 0:
        share = 1.0
    else:
        share = 0.0 if missing(least) > 0 else brentq(missing, least, most, xtol=1e-4)
    return round(50 * (1 + share if side else 1 - share), 1)


def measure(store: Path, frozen: Frozen) -> Measured:
    """Read how a run ended, in the measure that the laws are of.

    Raises
    ------
    ScalingError
        If the run is not over, diverged, or was not measured so.
    """
    assert frozen.run is not None
    ran = {str(run.constant["run"]): run for run in evaluated(store)}
    run = ran.get(frozen.run)
    if run is None or run.status == "unfinished":
        raise ScalingError(
            f"{store / frozen.run} is not finished; expected the run that was "
            "foretold: launch scaling verify again to train it"
        )
    if run.status == "diverged":
        raise ScalingError(
            f"{store / frozen.run} diverged and has no loss to compare; expected a "
            "run that ends: lower the study's learning rate, and verify anew in "
            "another folder with --out"
        )
    last = {**run.constant, **run.rows[-1]}
    return Measured(
        loss=_in_measure(last, frozen),
        flops=last["flops"],
        seconds=sum(each.rows[-1]["seconds"] for each in ran.values()),
        device=str(last["device"]),
    )


def _in_measure(row: Row, frozen: Frozen) -> float:
    """Take the loss of an evaluation in the measure that the laws are of."""
    column = {"L_u": "normalised_loss", "L": "loss"}.get(
        frozen.loss_symbol, frozen.loss_symbol
    )
    scores = {missed: score for score, missed in MISSES.items()}
    value = row.get(scores.get(column, column))
    if value is None:
        raise ScalingError(
            f"run {frozen.run} holds no {column}, which the laws are of; expected it "
            "at its end: scaling evaluate takes it; then launch scaling verify again"
        )
    return float(1 - value if column in scores else value)
