"""All figures and tables of a study: which there are, and which can be made.

What the data does not allow has a reason in `Gallery.missing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from scaling.analysis import study_figures
from scaling.analysis.conventions_figure import conventions_figure
from scaling.analysis.cost_figure import cost_figure
from scaling.analysis.data_figure import data_figure
from scaling.analysis.extrapolation_figure import extrapolation_figure
from scaling.analysis.figure import FORMATS, Figure, save
from scaling.analysis.fit_figure import fit_figure
from scaling.analysis.intervals import Uncertainty
from scaling.analysis.isoflop_figure import isoflop_figure
from scaling.analysis.learning_figure import learning_figure
from scaling.analysis.material import Material
from scaling.analysis.optima_figure import optima_figure
from scaling.analysis.profiles_figure import profiles_figure
from scaling.analysis.residuals_figure import residuals_figure
from scaling.analysis.surface_figure import surface_figure
from scaling.analysis.table import Quantity
from scaling.analysis.tables import TABLES, Table, corpus, save_table
from scaling.analysis.tested import all_tested, foremost
from scaling.analysis.tokenizer_figure import tokenizer_figure
from scaling.analysis.verification_figure import verification_figure
from scaling.errors import ScalingError, suggestion

Maker = Callable[[Material], Figure]


def _of_study(name: str, material: Material) -> Figure:
    records = material.records if name == "figure2" else None
    return study_figures.study_figure(name, records, material.study)


def _data(material: Material) -> Figure:
    made = corpus(material)
    table = made.to_frame()
    if "split" in table:
        parts = table.rename(columns={"split": "source"})
        return data_figure(parts, "the corpus", "split")
    return data_figure(table, "MotionUnion")


def _tokenizers(material: Material) -> Figure:
    figure = tokenizer_figure(material.tokenizers)
    if material.of_runs and figure.table["codebook_size"].nunique() < 2:
        raise ScalingError("there is one codebook, and nothing to compare it with")
    return figure


def _quantities(material: Material) -> Mapping[str, Quantity] | None:
    """Give the labels of the records; a file of one law holds none."""
    return None if material.loaded is not None else material.records.quantities


def _of_law(draw: Callable[[Uncertainty, Material], Figure]) -> Maker:
    """Make a figure of one law, of not too many rows."""

    def make(material: Material) -> Figure:
        uncertain, said = material.drawn
        figure = draw(uncertain, material)
        return replace(figure, caption=figure.caption + said)

    return make


def _fit(uncertain: Uncertainty, material: Material) -> Figure:
    return fit_figure(uncertain, material.holdout, _quantities(material))


def _residuals(uncertain: Uncertainty, material: Material) -> Figure:
    return residuals_figure(uncertain.fit, _quantities(material))


def _surface(material: Material) -> Figure:
    try:
        uncertain = material.uncertain
    except ScalingError:  # the losses as they were measured can be shown all the same
        uncertain = None
    return surface_figure(material.records, uncertain)


MAKERS: dict[str, Maker] = {
    **{name: partial(_of_study, name) for name in study_figures.NAMES},
    "data": _data,
    "tokenizers": _tokenizers,
    "optima": lambda material: optima_figure(material.laws, material.outlook),
    "isoflop": lambda material: isoflop_figure(material.records),
    "surface": _surface,
    "fit": _of_law(_fit),
    "residuals": _of_law(_residuals),
    "extrapolation": _of_law(lambda law, _: extrapolation_figure(law.fit)),
    "profiles": _of_law(lambda law, _: profiles_figure(law.fit)),
    "verification": lambda each: verification_figure(*foremost(all_tested(each))),
    "conventions": lambda each: conventions_figure(each.records, each.stores),
    "learning": lambda each: learning_figure(each.records, each.stores),
    "cost": lambda each: cost_figure(each.records, each.stores, each.price),
}
"""How each figure is made, in the order in which they are shown."""
NAMES = (*MAKERS, *TABLES)
"""Everything that `scaling plot` knows, figures before tables."""
ALIASES = {"figure4": "data", "figure6": "tokenizers"}
"""The paper's names of figures that have words of their own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gallery:
    """The figures and tables that the data allows, and why there are no more."""

    figures: tuple[Figure, ...]
    """In the order of `MAKERS`."""
    tables: tuple[Table, ...]
    """In the order of `TABLES`."""
    missing: Mapping[str, str]
    """Reason for each figure or table that cannot be made."""

    def __iter__(self) -> Iterator[Figure]:
        return iter(self.figures)

    def __getitem__(self, word: str) -> Figure | Table:
        """Give a figure or table by its name, such as `figure3b` or `table3`."""
        name = figure_name(word)
        made: dict[str, Figure | Table] = {each.name: each for each in self.figures}
        made |= {each.name: each for each in self.tables}
        if name in made:
            return made[name]
        reason = self.missing.get(name, "it was not asked for")
        raise ScalingError(f"{name} cannot be made: {reason}")

    @property
    def captions(self) -> dict[str, str]:
        """The caption of each figure and table, by name."""
        drawn = {each.name: each.caption for each in self.figures}
        return drawn | {each.name: each.caption for each in self.tables}

    @property
    def reasons(self) -> dict[str, list[str]]:
        """What is missing, by the reason."""
        found: dict[str, list[str]] = {}
        for name, reason in self.missing.items():
            found.setdefault(reason, []).append(name)
        return found

    def save(self, folder: str | Path, formats: Sequence[str] = FORMATS) -> list[Path]:
        """Write all figures and tables into a folder; give the paths."""
        drawn = [path for each in self.figures for path in save(each, folder, formats)]
        return [*drawn, *(p for each in self.tables for p in save_table(each, folder))]

    def _repr_html_(self) -> str:
        from scaling.analysis.render_html import gallery_html

        return gallery_html(self)


def gallery(material: Material, only: Sequence[str] | None = None) -> Gallery:
    """Make the figures and tables that a study allows.

    Parameters
    ----------
    material : Material
        What they are made from.
    only : sequence of str, optional
        Names of those wanted, such as `figure3b`, `3b` or `table3`; all by default.

    Raises
    ------
    ScalingError
        If a name in `only` is unknown, or that figure or table cannot be made.
    """
    wanted = [figure_name(word) for word in only or NAMES]
    figures: list[Figure] = []
    tables: list[Table] = []
    missing = {}
    for name in (name for name in NAMES if name in wanted):
        try:
            if name in MAKERS:
                figures.append(MAKERS[name](material))
            else:
                tables.append(TABLES[name](material))
        except ScalingError as reason:
            if only:
                raise ScalingError(f"{name} cannot be made: {reason}") from reason
            missing[name] = str(reason)
    return Gallery(figures=tuple(figures), tables=tuple(tables), missing=missing)


def figure_name(word: str) -> str:
    """Find the name of a figure or table in how it was asked for, `3b` say.

    Raises
    ------
    ScalingError
        If there is none of this name.
    """
    plain = word.strip().lower()
    known = (*NAMES, *ALIASES)
    name = plain if plain in known else "figure" + plain.removeprefix("figure")
    if name not in known:
        raise ScalingError(f"no figure or table {word!r}; {suggestion(name, known)}")
    return ALIASES.get(name, name)
