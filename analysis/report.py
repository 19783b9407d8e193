"""The report of a study: one HTML page that asks nobody for anything.

::

    verdict -> slider of compute -> predictions tested -> runs -> figures -> tables
            -> motions -> FLOPs -> laws in full -> how to make it again -> symbols

`report.html` is its template, `report.css` its style; `report.js` and `report_runs.js`
are what moves on it.
A section that the data does not allow is left out, with the reason at the end.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import jinja2
import yaml
from markupsafe import Markup

from scaling import __version__
from scaling.analysis import player, tested
from scaling.analysis.card import card
from scaling.analysis.gallery import gallery
from scaling.analysis.layout import count
from scaling.analysis.lines import lines_of
from scaling.analysis.material import Material
from scaling.analysis.render_html import card_html, study_html, table_html
from scaling.analysis.render_html import table as rows_html
from scaling.analysis.report_data import (
    Download,
    loss_quantity,
    outlook_json,
    runs_json,
    table_download,
)
from scaling.analysis.report_figures import data_uri, pictures
from scaling.analysis.report_flops import FORMULAS, accounting, template_of
from scaling.analysis.report_text import GLOSSARY, formulas, set_html, titled
from scaling.analysis.study import Study
from scaling.analysis.verdict import verdict
from scaling.errors import ScalingError

MARK = '<meta name="generator" content="scaling report">'
"""What stands near the beginning of every report."""

FACTS = {
    "Code": "code_version",
    "Seeds": "seed",
    "Devices": "device",
    "Precision": "precision",
    "Schedules": "schedule",
}
"""Columns of the record that say how the runs were made."""
MOST_FACTS = 8
"""Values of each that are named."""

Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True, slots=True)
class Motions:
    """Motions that a report plays."""

    run: str
    """The run that generated them."""
    groups: Sequence[Sequence[player.Motion]]
    """For each caption what is to be seen side by side."""
    notes: Sequence[str] = ()
    """What a reader should know of them."""


@dataclass(slots=True)
class _Sections:
    """Makes sections, and keeps the reason of each that cannot be made."""

    missing: dict[str, str] = field(default_factory=dict)

    def make(
        self, name: str, section: Callable[..., Made], *arguments: Any
    ) -> Made | None:
        try:
            return section(*arguments)
        except ScalingError as reason:
            self.missing[name] = str(reason)
            return None


def page(
    material: Material,
    *,
    motions: Motions | None = None,
    missing: Mapping[str, str] | None = None,
    command: Sequence[str] = (),
) -> str:
    """Write the report.

    Parameters
    ----------
    material : Material
        Rows and laws.
    motions : Motions, optional
        What a model of motion does.
    missing : mapping, optional
        Reasons why something that the caller was to bring is not there.
    command : sequence of str
        The words of the command line that writes this report.

    Returns
    -------
    str
        HTML; the same material gives the same text.
    """
    make = (sections := _Sections()).make
    found, shown = verdict(material), gallery(material)
    runs = make("Runs", runs_json, material)
    laws = [make(name, law, material) for name, law in LAWS.items()]
    return _template().render(
        title=_title(material),
        lead=_lead(runs),
        loss=_loss(material),
        verdict=found,
        outlook=make("Slider of compute", outlook_json, material, found.next_run),
        tested=make("Predictions put to the test", tested.rows, material),
        runs=runs,
        figures=pictures(shown.figures),
        tables=[set_html(table_html(table)) for table in shown.tables],
        motions=motions,
        players=_players(motions),
        flops=make("FLOPs per token", accounting, material),
        formulas_of=FORMULAS,
        laws=[law for law in laws if law],
        download=make("Download", table_download, material),
        grid=_grid(material),
        facts=(facts := _facts(material)),
        provenance=_provenance(facts),
        commands=_commands(material, command),
        glossary=GLOSSARY,
        missing=_by_reason(sections.missing, shown.missing, missing or {}),
    )


def _template() -> jinja2.Template:
    folder = files("scaling.analysis")

    def read(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8")

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(read),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["formulas"] = formulas
    environment.globals |= {
        "mark": Markup(MARK),
        "style": Markup(read("report.css")),
        "script": Markup(read("report.js") + read("report_runs.js")),
        "player_assets": Markup(player.assets()),
    }
    return environment.get_template("report.html")


def _players(motions: Motions | None) -> list[Markup]:
    groups = [] if motions is None else [group for group in motions.groups if group]
    return [
        Markup(player.fragment(group, f"Clip {number}"))
        for number, group in enumerate(groups, 1)
    ]


# --- Sections -----------------------------------------------------------------------


def _envelope(material: Material) -> Markup:
    material.study.require_laws()
    return set_html(study_html(material.study) + _codebook_html(material.study))


def _codebook_html(study: Study) -> str:
    """Show the law that a codebook is chosen by, which is none of the paper's."""
    law = lines_of(study).get("V")
    if law is None:
        return ""
    low, high = (f"{end:.1e}" for end in law.x_range)
    head = ("law", "formula, ± standard error", "R2", "n", "stands on")
    ranges = f"C {low} to {high} FLOPs"
    row = (law.name, law.formula(), f"{law.r2:.3f}", f"{law.n}", ranges)
    said = "The codebook is chosen by a law beside the paper's, of the same runs:"
    return f"<p>{said}</p>{rows_html([head, row], (2, 3))}"


def _card(material: Material) -> Markup:
    return set_html(card_html(card(material.uncertain.fit, holdout=material.holdout)))


LAWS = {"Laws of the envelope": _envelope, "One law of all rows": _card}
"""How laws are shown in full."""


def _by_reason(*missing: Mapping[str, str]) -> dict[str, list[str]]:
    """Gather what is missing for the same reason."""
    found: dict[str, list[str]] = {}
    for name, reason in (pair for each in missing for pair in each.items()):
        found.setdefault(reason, []).append(titled(name))
    return found


def _grid(material: Material) -> Download | None:
    """Offer the grid that the runs were launched with."""
    grid = template_of(material)
    if grid is None:
        return None
    text = yaml.safe_dump(grid, sort_keys=False, allow_unicode=True, width=88)
    source = data_uri("text/yaml", text.encode())
    return Download(name="grid.yaml", source=source, what=text)


def _commands(material: Material, command: Sequence[str]) -> list[str]:
    """Give the command lines from the grid to this page."""
    store = material.stores[0] if len(material.stores) == 1 else None
    known = store is not None and template_of(material) is not None
    trained = (
        [f"scaling run grid.yaml --out {shlex.quote(str(store))}"] if known else []
    )
    return [*trained, *([shlex.join(command)] if command else [])]


def _facts(material: Material) -> dict[str, str]:
    """Name what determines the numbers: data, settings, versions."""
    found = {"Sources": ", ".join(_sources(material)), "Data hash": _hash(material)}
    if material.loaded is None:
        frame = material.records.frame
        for label, column in FACTS.items():
            if column in frame and (held := frame[column].dropna()).size:
                found[label] = ", ".join(sorted(map(str, set(held)))[:MOST_FACTS])
    return {**found, "Report made by": f"scaling {__version__}"}


def _provenance(facts: Mapping[str, str]) -> str:
    """Say in a line what code and data this comes from."""
    runs = f"; the runs by code {facts['Code']}" if "Code" in facts else ""
    return f"From data {facts['Data hash']}, by {facts['Report made by']}{runs}."


def _hash(material: Material) -> str:
    if material.loaded is None:
        return material.records.data_hash
    if material.loaded.study is not None:
        return material.loaded.study.data_hash
    return material.uncertain.fit.sample.data_hash or "not known"


def _title(material: Material) -> str:
    """Name the study: as its grid does, else by its sources."""
    grid = template_of(material) or {}
    names = [Path(name).name for name in _sources(material)]
    return str(grid.get("study") or ", ".join(names))


def _sources(material: Material) -> list[str]:
    return [str(path) for path in material.paths] or ["a table"]


def _lead(runs: Mapping[str, Any] | None) -> str:
    """Say in a line what there was to go by, and how far it got."""
    if runs is None:
        return "no runs"
    said = count(runs["runs"], "run")
    if runs["evaluations"] > runs["runs"]:
        said += f", {count(runs['evaluations'], 'evaluation')}"
    place = runs["columns"].index("L_u")
    best = min(runs["rows"], key=lambda row: row[place])
    return f"{said}; the lowest loss is {runs['shown']['L_u']} {best[place]:.4g}"


def _loss(material: Material) -> str:
    """Explain the loss to one who never heard of it."""
    quantity = loss_quantity(material)
    return GLOSSARY.get(quantity.shown, f"{quantity.shown}: {quantity.label}.")
