"""The paper's figures of a study: training curves, laws, lowest loss by codebook.

Names are the paper's (ScaMo, arXiv 2412.14559): training curves (2), laws (3a, 3b, 7a,
7b, 7c), and lowest loss against codebook size (8). They show the paper's quantities, to
be laid beside it; intervals, held-out marks and residuals are added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes

from scaling.analysis import drawing
from scaling.analysis.axes import canvas
from scaling.analysis.figure import Figure
from scaling.analysis.fit_drawing import short
from scaling.analysis.laws import FORM_OF, Form, Law
from scaling.analysis.study import Study
from scaling.analysis.table import Quantity, Records
from scaling.errors import ScalingError

LAW_FIGURES = {
    "figure3a": "N_v(N_nv)",
    "figure3b": "L_u(C)",
    "figure7a": "N_v(C)",
    "figure7b": "N_nv(C)",
    "figure7c": "D(C)",
}
TITLES = {
    "figure3a": "Best codebook against model: vocabulary and other parameters",
    "figure3b": "Test loss against compute, and its law",
    "figure7a": "Vocabulary parameters against compute, and their law",
    "figure7b": "Non-vocabulary parameters against compute, and their law",
    "figure7c": "Training data against compute, and its law",
}
SEEN = {
    "N_v(N_nv)": "Parameters of each model size's best codebook, against those of the "
    "rest of the model",
    "L_u(C)": "Loss of the best run at each compute",
    "N_v(C)": "Vocabulary parameters of the best run at each compute",
    "N_nv(C)": "Non-vocabulary parameters of the best run at each compute",
    "D(C)": "Training data of the best run at each compute",
}
"""What the points of a law's figure are."""
NAMES = ("figure2", *LAW_FIGURES, "figure8")
DEFINITIONS = {
    "normalised_loss": "L_u is the test cross-entropy less that of the unigram "
    "distribution of the codes; below 0 is better than unigram.",
    "loss": "L_u stands for the test cross-entropy, not normalised.",
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StudyFigure(Figure):
    """A figure of a study, which may stand on axes that are there."""

    quantities: Mapping[str, Quantity]
    """Axis labels."""
    sizes: tuple[str, ...]
    """All sizes of the study, smallest first: a size's colour is its place here."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LawFigure(StudyFigure):
    """A law over its points, with intervals; residuals on a figure of its own.

    The table holds `held_out`, the law at each point and its intervals, and `residual`.
    """

    law: Law
    """The law drawn."""

    def _draw(self, ax: Axes | None) -> Axes:
        below = None
        if ax is None:
            ax, below = canvas(4.6, ratios=(3.2, 1))
        drawing.draw_law(ax, below, self.law, self.table, self.quantities, self.sizes)
        return ax


class CurvesFigure(StudyFigure):
    """Loss against compute, one line per run, coloured by codebook size.

    One row per evaluation; `on_envelope` marks the points of the laws.
    """

    __slots__ = ()

    def _draw(self, ax: Axes | None) -> Axes:
        ax = ax or canvas(4.4)[0]
        drawing.draw_curves(ax, self.table, self.quantities, self.sizes)
        return ax


class MinimaFigure(StudyFigure):
    """Lowest loss against codebook size, one line per transformer size.

    One row per size and codebook; `best` marks each size's best codebook.
    """

    __slots__ = ()

    def _draw(self, ax: Axes | None) -> Axes:
        ax = ax or canvas(4.0)[0]
        drawing.draw_minima(ax, self.table, self.quantities, self.sizes)
        return ax


def study_figure(name: str, records: Records | None, study: Study) -> StudyFigure:
    """Make one figure of a study.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    records : Records, optional
        The evaluations; only figure 2, the training curves, needs them.
    study : Study
        The laws and the points behind them.

    Raises
    ------
    ScalingError
        If the data does not allow it.
    """
    if name == "figure2":
        return _curves(records, study)
    if name == "figure8":
        return _minima(study)
    return _law(name, study)


# --- Tables and captions ------------------------------------------------------------


def _curves(records: Records | None, study: Study) -> CurvesFigure:
    if records is None:
        raise ScalingError("training curves need the records, not only the laws")
    _need(study, "V")
    points = records.points().dropna(subset="C")
    points = points.sort_values(["run", "C"]).reset_index(drop=True)
    chosen = pd.MultiIndex.from_frame(study.frontier[["run", "C"]])
    points["on_envelope"] = pd.MultiIndex.from_frame(points[["run", "C"]]).isin(chosen)
    runs = points["run"].nunique()
    return CurvesFigure(
        name="figure2",
        title="Training curves: test loss against compute",
        caption=(
            "The test loss of each run as its compute grows; the lowest points from "
            "left to right are the envelope, on which the laws rest. "
            f"L_u along {runs} training runs ({len(points)} evaluations), coloured by "
            f"codebook size. Rings: the {len(chosen)} runs on the envelope, "
            f"{study.settings['selection']}. {_definition(study)}"
        ),
        table=points,
        quantities=study.quantities,
        sizes=_sizes(study),
    )


def _minima(study: Study) -> MinimaFigure:
    _need(study, "V")
    if "size" not in study.minima:
        raise ScalingError("the records hold no transformer size")
    lowest_first = study.minima.sort_values(["L_u", "V", "run"])
    table = lowest_first.drop_duplicates(["size", "V"])
    table = table.assign(best=~table.duplicated("size"))
    sizes = _sizes(study)
    return MinimaFigure(
        name="figure8",
        title="Lowest test loss against codebook size",
        caption=(
            "The lowest test loss that each transformer size reached, by codebook; "
            "rings are each size's best codebook. "
            f"L_u of {len(table)} pairs of {len(sizes)} transformer sizes and "
            f"{table['V'].nunique()} codebook sizes. {_definition(study)}"
        ),
        table=table.sort_values(["size", "V"]).reset_index(drop=True),
        quantities=study.quantities,
        sizes=sizes,
    )


def _law(name: str, study: Study) -> LawFigure:
    form = FORM_OF[LAW_FIGURES[name]]
    if form.name not in study.laws:
        raise ScalingError(study.skipped.get(form.name, "the law was not fitted"))
    law = study.laws[form.name]
    return LawFigure(
        name=name,
        title=TITLES[name],
        caption=_law_caption(form, law, study),
        law=law,
        table=_law_table(form, law, study),
        quantities=study.quantities,
        sizes=_sizes(study),
    )


def _law_table(form: Form, law: Law, study: Study) -> pd.DataFrame:
    table = study.table(form)
    interval = law.interval(table[law.x], drawing.LEVEL)
    return table.assign(
        held_out=study.held_out(table),
        law=interval.predicted,
        law_low=interval.mean_low,
        law_high=interval.mean_high,
        new_low=interval.new_low,
        new_high=interval.new_high,
        residual=law.residuals(table[law.x], table[law.y]),
    )


def _law_caption(form: Form, law: Law, study: Study) -> str:
    held = int(study.held_out(study.table(form)).sum())
    rule = (
        study.settings["selection"]
        if form.table == "frontier"
        else "each transformer size's best codebook"
    )
    ranges = {law.x: law.x_range, "C": study.compute_range(law.name)}
    spans = (
        f"{s} from {short(low)} to {short(high)}" for s, (low, high) in ranges.items()
    )
    formula = law.formula(study.quantities[law.y].shown)
    sentences = [
        f"{SEEN[form.name]} (points), and their law, a straight line.",
        f"{formula}, {study.settings['objective']} on n = {law.n} points ({rule}), "
        f"{', '.join(spans)} FLOPs; R2 = {law.r2:.3f}.",
        f"Hollow diamonds: held out ({held})." if held else "",
        "± is one standard error; shaded, where the panel can show them, are the 95 % "
        f"intervals of the law and of a new run, Student's t with {law.n - 2} degrees "
        "of freedom."
        if law.n > 2
        else "Two points leave no standard errors.",
        "Residuals are y - law" + (", in decades." if law.kind == "power" else "."),
        _definition(study) if law.y == "L_u" else "",
        *(f"{warning}." for warning in law.warnings),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _definition(study: Study) -> str:
    loss = study.quantities["L_u"]
    return DEFINITIONS.get(loss.column, f"L_u stands for: {loss.label}.")


def _need(study: Study, symbol: str) -> None:
    if symbol not in study.quantities:
        raise ScalingError(
            f"needs {symbol}, which the records do not hold: "
            f"name the column with --columns {symbol}=COLUMN"
        )


def _sizes(study: Study) -> tuple[str, ...]:
    """Order the transformer sizes by their parameters, or else by their loss."""
    if "size" not in study.minima:
        return ()
    by_loss = study.minima.assign(better=-study.minima["L_u"])
    order = next(name for name in ("N_nv", "N", "better") if name in by_loss)
    return tuple(by_loss.groupby("size")[order].max().sort_values().index)
