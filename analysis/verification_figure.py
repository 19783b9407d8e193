"""A prediction put to the test: what was frozen before a run, and what came of it.

Loss against compute with the law behind the prediction, from its runs to the run that
tests it; below, close up, the predicted loss with its intervals and the measured one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.interpolate import PchipInterpolator

from scaling.analysis.axes import mathtext, panels
from scaling.analysis.figure import Figure
from scaling.analysis.fit_drawing import labels_of, short, size_order
from scaling.analysis.freezing import unique_data
from scaling.analysis.laws_file import Laws
from scaling.analysis.layout import count
from scaling.analysis.outlook import fitted_range
from scaling.analysis.prediction import with_compute
from scaling.analysis.sample import LOSS
from scaling.analysis.tested import DIGITS, law_name, off, place, span, when
from scaling.analysis.verification import Frozen, Verification
from scaling.analysis.verification_drawing import draw_close_up, draw_reach
from scaling.errors import ScalingError
from scaling.words import plain

KNOTS, POINTS = 8, 90
"""Computes at which the law is asked, and at which it is drawn: a law of two sizes
takes long to answer, and is smooth between."""
OF_SIZES = re.compile(r"(N_nv|N_v|V|D)\(C\): ")
"""How warnings begin that are of laws beside that of the loss."""
MOST_ROWS = 2_000
"""Rows of the fit that are drawn."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class VerificationFigure(Figure):
    """A frozen prediction and the run that tests it.

    In the table `kind` says what a row is of. `fitted`: a row that the law was fitted
    to, with its `loss`; `run`: one that it was not. `law`: the law at its best use of
    compute `C`, with the 90 % interval of a new run, `low_90` to `high_90`.
    `predicted`: what was frozen, with its 50 % interval too; `measured`: what came of
    it.
    """

    heading: tuple[str, ...]
    """Lines over the drawing."""
    labels: Mapping[str, str]
    """Axis labels of `C` and of the loss, `L_u`."""
    log: bool
    """Whether the loss has a log axis."""
    sizes: tuple[str, ...]
    """All sizes, smallest first: a size's colour is its place here."""
    fitted: tuple[float, float]
    """Least and largest compute of the rows fitted."""

    def _draw(self, ax: Axes | None) -> Axes:
        grid = panels(2, 1, 5.0, ax, height_ratios=(3.4, 1))
        above: Axes = grid[0, 0]
        said = draw_reach(above, self.table, self.sizes, self.fitted, log=self.log)
        above.set_xlabel(self.labels["C"])
        above.set_ylabel(self.labels[LOSS])
        above.set_title("\n".join([*self.heading, *said]))
        draw_close_up(grid[1, 0], self.table)
        grid[1, 0].set_xlabel(f"{self.labels[LOSS]}, close up")
        return above


def verification_figure(
    frozen: Frozen, verification: Verification | None = None
) -> VerificationFigure:
    """Make the figure of one prediction and of its test.

    Parameters
    ----------
    frozen : Frozen
        What was predicted, and the laws and rows behind it.
    verification : Verification, optional
        What came of it, once the run is trained.

    Raises
    ------
    ScalingError
        If the laws know no compute.
    """
    laws = frozen.predictor
    points, kinds = _points(laws)
    parts = [points, _law(laws, frozen), _predicted(frozen)]
    if verification is not None:
        parts.append(_measured(frozen, verification))
    known = laws.study.quantities if laws.study is not None else None
    labels = labels_of(("C", LOSS), known)
    if laws.study is None:
        labels[LOSS] = labels_of((frozen.loss_symbol,), None)[frozen.loss_symbol]
    return VerificationFigure(
        name="verification",
        title="A prediction put to the test",
        caption=_caption(laws, frozen, verification, kinds),
        table=pd.concat(parts, ignore_index=True),
        heading=_heading(frozen, verification),
        labels=labels,
        log=laws.fit is not None and laws.fit.objective.space == "log",
        sizes=size_order(points.rename(columns={"loss": LOSS})),
        fitted=fitted_range(laws),
    )


# --- The table ----------------------------------------------------------------------


def _points(laws: Laws) -> tuple[pd.DataFrame, str]:
    """Give the rows that the laws were fitted to and the runs beside; say what."""
    if laws.study is not None:
        study = laws.study
        points = study.minima.dropna(subset=["C", LOSS])
        on = study.frontier.loc[~study.held_out(study.frontier), "run"]
        kind = np.where(points["run"].isin(on), "fitted", "run")
        said = f"{count(len(on), 'run')} of the envelope of {len(points)}"
    else:
        assert laws.fit is not None
        points = with_compute(laws.fit)
        kind = np.full(len(points), "fitted")
        said = count(len(points), "evaluation")
    names = [n for n in ("run", "size", "C", "N_nv", "N", LOSS) if n in points]
    points = points[names].assign(kind=kind).rename(columns={LOSS: "loss"})
    if len(points) > MOST_ROWS:
        even = np.linspace(0, len(points) - 1, MOST_ROWS).round().astype(int)
        points, said = points.iloc[even], f"{said}, an even {MOST_ROWS:,} of them drawn"
    return points, said


def _law(laws: Laws, frozen: Frozen) -> pd.DataFrame:
    """Follow the law along its best use of compute, where it has one."""
    low, high = fitted_range(laws)
    knots = np.geomspace(low, max(high, frozen.compute), KNOTS)
    told = pd.DataFrame(_told(laws, knots), columns=["C", "loss", "low_90", "high_90"])
    if len(told) < 2:
        return told.head(0)
    log_c = np.log(told.pop("C"))
    ends = log_c.iloc[0], log_c.iloc[-1]
    places = np.unique([*np.linspace(*ends, POINTS), np.log(high)])
    known = [name for name in told if np.isfinite(told[name]).all()]
    smooth = PchipInterpolator(log_c, told[known])(places)
    line = pd.DataFrame(smooth, columns=known).reindex(columns=told.columns)
    return line.assign(kind="law", C=np.exp(places))


def _told(laws: Laws, computes: Iterable[float]) -> Iterator[tuple[float, ...]]:
    """Ask for the loss at computes, and for 90 % of new runs, where there is a best."""
    for compute in computes:
        with suppress(ScalingError):
            found = laws.budget(float(compute), unique_data(laws), level=0.9)
            yield compute, found.loss.value, *found.new_run


def _predicted(frozen: Frozen) -> pd.DataFrame:
    told = frozen.new_run
    row = {
        "kind": "predicted",
        "run": frozen.run,
        "C": frozen.compute,
        "loss": told.value,
        "low_50": told.fifty.low,
        "high_50": told.fifty.high,
        "low_90": told.ninety.low,
        "high_90": told.ninety.high,
    }
    return pd.DataFrame([row])


def _measured(frozen: Frozen, verification: Verification) -> pd.DataFrame:
    row = {
        "kind": "measured",
        "run": verification.run,
        "C": verification.flops or frozen.compute,
        "loss": verification.measured,
    }
    return pd.DataFrame([row])


# --- Words --------------------------------------------------------------------------


def _heading(frozen: Frozen, verification: Verification | None) -> tuple[str, ...]:
    told = frozen.new_run
    first = (
        f"{plain(frozen.compute, 3)} FLOPs, {plain(frozen.beyond, 3)} times beyond the "
        f"fit: predicted ${mathtext(frozen.loss_symbol)}$ {told.value:.4g} "
        f"(90 %: {span(told.ninety)})"
    )
    second = "NOT TRAINED YET: the prediction is frozen, the run is to come"
    if verification is not None:
        second = (
            f"Measured {verification.measured:.4g}, {off(verification)}, "
            f"{place(verification)}"
        )
    return tuple(line.replace(" -", " \N{MINUS SIGN}") for line in (first, second))


def _caption(
    laws: Laws, frozen: Frozen, verification: Verification | None, points: str
) -> str:
    low, high = fitted_range(laws)
    built = frozen.configuration or {}
    sentences = [
        "A prediction that was written down before its run was trained (dot), with "
        "where half and nine tenths of such runs should end (thick and thin bar)"
        + (", and the run (star)." if verification else "; it is not trained yet."),
        f"By {law_name(frozen)} on n = {points} (points), C from {short(low)} to "
        f"{short(high)} FLOPs; the line is the law along its best use of compute, "
        "shaded the 90 % interval of a new run, dashed beyond the points.",
        "The dot is the law at the run that can be built, which need not lie on the "
        "line."
        if built and laws.study is None
        else "",
        f"Frozen {when(frozen)} UTC, digest {frozen.digest[:DIGITS]}, from data "
        f"{frozen.data}.",
        *(f"{each}." for each in frozen.warnings if not OF_SIZES.match(each)),
    ]
    return " ".join(sentence for sentence in sentences if sentence)
