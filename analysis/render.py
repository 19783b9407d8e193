"""A study as text: what `scaling fit` prints.

A good state is written quietly, a bad one in capitals, so that it shows without colour.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from scaling.analysis.laws import FORMS, Law
from scaling.analysis.study import Comparison, Study

WIDTH = 100
UNITS = {"C": " FLOPs"}


def summary(study: Study) -> str:
    """Write a study for the terminal.

    Returns
    -------
    str
        Lines of at most 100 columns, with a newline at the end.
    """
    lines = [
        *_heading(study),
        *_table(_law_rows(study), right=(2, 3)),
        *_holdout(study),
        *_section("Warnings", _warnings(study)),
        *_section("Not fitted", (f"{k}: {why}" for k, why in study.skipped.items())),
        *_published(study.published),
        *_section("Rows dropped", (f"{n}: {why}" for why, n in study.dropped.items())),
        *_section("Notes", study.notes),
    ]
    return "\n".join(lines) + "\n"


def _heading(study: Study) -> Iterator[str]:
    bad = [law.name for law in study.laws.values() if law.status != "good"]
    state = f"DOUBTFUL: {', '.join(bad)}" if bad else "no law is in doubt"
    yield from textwrap.wrap(f"Laws of {', '.join(study.sources)}", WIDTH)
    yield (
        f"{study.evaluations} evaluations of {len(study.minima)} runs, "
        f"{len(study.frontier)} runs on the envelope; data {study.data_hash}"
    )
    yield f"{study.settings['selection']}; {study.settings['objective']}"
    yield state
    yield ""


def _law_rows(study: Study) -> Iterator[tuple[str, ...]]:
    yield "law", "formula, ± standard error", "R2", "n", "stands on"
    for form in FORMS:
        if form.name in study.laws:
            law = study.laws[form.name]
            yield law.name, law.formula(), f"{law.r2:.3f}", f"{law.n}", _range(law)


def _range(law: Law) -> str:
    low, high = (f"{end:.1e}".replace("e+", "e") for end in law.x_range)
    return f"{law.x} {low} to {high}{UNITS.get(law.x, '')}"


def _holdout(study: Study) -> Iterator[str]:
    if study.holdout is None:
        return
    yield ""
    yield f"Held out: points from {study.holdout.compute:.3g} FLOPs on; error = y - law"
    rows = [("law", "n", "rms", "mean", "in")]
    for name, error in study.holdout.errors.items():
        law = study.laws[name]
        unit = law.y if law.kind == "log" else f"log10 {law.y}"
        rows.append(
            (name, f"{error.n}", f"{error.rmse:.3f}", f"{error.mean:+.3f}", unit)
        )
    yield from _table(rows, right=(1, 2, 3))


def _warnings(study: Study) -> Iterator[str]:
    """Give each warning once, after the laws that it stands against."""
    laws_of: dict[str, list[str]] = {}
    for law in study.laws.values():
        for warning in law.warnings:
            laws_of.setdefault(warning, []).append(law.name)
    for warning, laws in laws_of.items():
        yield f"{', '.join(laws)}: {warning}"


def _published(comparisons: Sequence[Comparison]) -> Iterator[str]:
    if not comparisons:
        return
    yield ""
    yield "The paper's laws beside ours (slope, intercept)"
    rows = [("", "law", "printed", "least squares", "")]
    for row in comparisons:
        printed = f"{row.printed_slope:g}, {row.printed_intercept:g}"
        fitted = f"{row.slope:.5f}, {row.intercept:.5f}"
        verdict = "agrees" if row.agrees else "DIFFERS"
        rows.append((row.equation, row.law, printed, fitted, verdict))
    for line, comparison in zip(_table(rows), (None, *comparisons), strict=True):
        yield line
        if comparison is not None:
            yield from _wrap(comparison.note, indent=10)


def _section(title: str, items: Iterable[str]) -> Iterator[str]:
    listed = list(items)
    if listed:
        yield ""
        yield title
    for item in listed:
        first, *rest = _wrap(item, indent=4)
        yield f"  - {first.lstrip()}"
        yield from rest


def _wrap(text: str, indent: int) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
    )


def _table(rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> Iterator[str]:
    """Align the columns of a table; `right` lists those aligned to the right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield ("  " + "  ".join(cells)).rstrip()
