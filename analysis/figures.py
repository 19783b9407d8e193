"""The paper's figures from any study: what is in them, and the files they become.

A figure is a table with a caption; `scaling.analysis.drawing` draws it. Names are the
paper's (ScaMo, arXiv 2412.14559): training curves (2), laws (3a, 3b, 7a, 7b, 7c), and
lowest loss against codebook size (8). They show the paper's quantities, so that the two
can be laid side by side; intervals, held-out marks and residuals are added.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Page

from scaling.analysis import drawing
from scaling.analysis.axes import canvas, house_style
from scaling.analysis.laws import FORM_OF, Form, Law
from scaling.analysis.study import Study
from scaling.analysis.table import Quantity, Records
from scaling.errors import ScalingError, suggestion
from scaling.files import write_aside

FORMATS = ("png", "svg", "pdf")
LAW_FIGURES = {
    "figure3a": "N_v(N_nv)",
    "figure3b": "L_u(C)",
    "figure7a": "N_v(C)",
    "figure7b": "N_nv(C)",
    "figure7c": "D(C)",
}
NAMES = ("figure2", *LAW_FIGURES, "figure8")
TOKENIZERS = "tokenizers"
"""Name of the figure that `tokenizer_figure` makes, from the tokenizers' own table."""
DEFINITIONS = {
    "normalised_loss": "L_u is the test cross-entropy less that of the unigram "
    "distribution of the codes; below 0 is better than unigram.",
    "loss": "L_u stands for the test cross-entropy, not normalised.",
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Figure(ABC):
    """A table, and how it is drawn."""

    name: str
    """Name of its files."""
    caption: str
    """What it shows, in sentences, with method, n and interval."""
    table: pd.DataFrame
    """What is drawn, and nothing else."""

    def to_frame(self) -> pd.DataFrame:
        """Give the table behind the figure."""
        return self.table.copy()

    @abstractmethod
    def page(self) -> Page:
        """Draw on a page of its own."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StudyFigure(Figure):
    """A figure of a study, which may stand on axes that are there."""

    quantities: Mapping[str, Quantity]
    """Axis labels."""
    sizes: tuple[str, ...]
    """All sizes of the study, smallest first: a size's colour is its place here."""

    def page(self) -> Page:
        """Draw on a page of its own."""
        page = self.draw().get_figure(root=True)
        assert page is not None, "a figure draws on axes of its own"
        return page

    def draw(self, ax: Axes | None = None) -> Axes:
        """Draw on the axes given, or on a figure of its own."""
        with house_style():
            return self._draw(ax)

    @abstractmethod
    def _draw(self, ax: Axes | None) -> Axes:
        """Draw in the style that is set."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Gallery:
    """The figures that the data allows, and why there are no more."""

    figures: tuple[StudyFigure, ...]
    """In the order of `NAMES`."""
    missing: Mapping[str, str]
    """Reason for each figure that cannot be drawn."""


def figures(
    records: Records | None, study: Study, only: Sequence[str] | None = None
) -> Gallery:
    """Make the figures of a study.

    Parameters
    ----------
    records : Records, optional
        The evaluations; only figure 2, the training curves, needs them.
    study : Study
        The laws and the points behind them.
    only : sequence of str, optional
        Names of the figures wanted, such as `figure3b` or `3b`; all by default.

    Raises
    ------
    ScalingError
        If a name in `only` is unknown, or that figure cannot be drawn.
    """
    wanted = [figure_name(word) for word in only or NAMES]
    made: list[StudyFigure] = []
    missing = {}
    if TOKENIZERS in wanted:
        missing[TOKENIZERS] = "it is not of a study; make it with tokenizer_figure"
    for name in NAMES:
        if name not in wanted:
            continue
        try:
            made.append(_make(name, records, study))
        except ScalingError as reason:
            missing[name] = str(reason)
    if only and missing:
        name, reason_text = next(iter(missing.items()))
        raise ScalingError(f"{name} cannot be drawn: {reason_text}")
    return Gallery(figures=tuple(made), missing=missing)


def figure_name(word: str) -> str:
    """Find the name of a figure in how it was asked for, `3b` say.

    Raises
    ------
    ScalingError
        If there is no such figure.
    """
    plain = word.strip().lower()
    name = plain if plain == TOKENIZERS else "figure" + plain.removeprefix("figure")
    known = (*NAMES, TOKENIZERS)
    if name not in known:
        raise ScalingError(f"no figure {word!r}; {suggestion(name, known)}")
    return name


def _make(name: str, records: Records | None, study: Study) -> StudyFigure:
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
        caption=(
            f"Test loss L_u along {runs} training runs ({len(points)} "
            f"evaluations), coloured by codebook size. Rings: the {len(chosen)} runs "
            f"on the envelope, {study.settings['selection']}. {_definition(study)}"
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
        caption=(
            f"Lowest test loss L_u of {len(table)} pairs of {len(sizes)} "
            f"transformer sizes and {table['V'].nunique()} codebook sizes. Rings: each "
            f"size's best codebook. {_definition(study)}"
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
    spans = (f"{s} from {low:.2g} to {high:.2g}" for s, (low, high) in ranges.items())
    formula = law.formula(study.quantities[law.y].shown)
    sentences = [
        f"{formula}, {study.settings['objective']} on n = {law.n} points ({rule}), "
        f"{', '.join(spans)} FLOPs; R2 = {law.r2:.3f}.",
        f"Hollow diamonds: held out ({held})." if held else "",
        "± is one standard error; shaded are the 95 % intervals of the law and of a "
        f"new run, Student t with {law.n - 2} degrees of freedom."
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
    order = "N_nv" if "N_nv" in study.minima else "better"
    return tuple(by_loss.groupby("size")[order].max().sort_values().index)


# --- Files --------------------------------------------------------------------------


def known_formats(formats: Sequence[str]) -> list[str]:
    """Give the names of file formats, each once and without blanks around it.

    Raises
    ------
    ScalingError
        If one is unknown.
    """
    names = list(dict.fromkeys(name.strip() for name in formats))
    for name in names:
        if name not in FORMATS:
            raise ScalingError(
                f"no format {name!r}; expected some of {', '.join(FORMATS)}: "
                "name them with commas between"
            )
    return names


def save(
    figure: Figure, folder: str | Path, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Write a figure, and the table behind it as CSV; the same bytes every time.

    Parameters
    ----------
    figure : Figure
        What to write.
    folder : str or Path
        Where to; made if it is not there.
    formats : sequence of {"png", "svg", "pdf"}
        File formats; blanks around a name do not count.

    Returns
    -------
    list of Path
        The files written, the CSV last.

    Raises
    ------
    ScalingError
        If a format is unknown; nothing is written then.
    """
    formats = known_formats(formats)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    page = figure.page()
    paths = [folder / f"{figure.name}.{name}" for name in formats]
    with house_style():
        # One layout for all formats; each would otherwise make its own, at its own dpi.
        page.draw_without_rendering()
        page.set_layout_engine("none")
        for path, name in zip(paths, formats, strict=True):
            metadata = METADATA[name](figure)
            write_aside(path, partial(page.savefig, metadata=metadata))
    table = folder / f"{figure.name}.csv"
    write_aside(table, partial(figure.to_frame().to_csv, index=False))
    return [*paths, table]


# Dates are left out, so that the same figure gives the same bytes.
METADATA: dict[str, Callable[[Figure], dict[str, Any]]] = {
    "png": lambda figure: {"Title": figure.name, "Description": figure.caption},
    "svg": lambda figure: {
        "Title": figure.name,
        "Description": figure.caption,
        "Date": None,
    },
    "pdf": lambda figure: {
        "Title": figure.name,
        "Subject": figure.caption,
        "CreationDate": None,
    },
}
