"""A study as text: what `scaling fit` prints.

A good state is written quietly, a bad one in capitals, so that it shows without colour.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from scaling.analysis.laws import FORMS, Law
from scaling.analysis.study import Comparison, Study

WIDTH = 100
GLUED = "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"


def summary(study: Study) -> str:
    """Write a study for the terminal.

    Returns
    -------
    str
        Lines of at most 100 columns, without a newline at the end.
    """
    lines = [
        *_heading(study),
        *_laws(study),
        *_holdout(study),
        *_section("Warnings", _warnings(study)),
        *_section("Not fitted", (f"{k}: {why}" for k, why in study.skipped.items())),
        *_published(study.published),
        *_section("Rows dropped", (f"{n}: {why}" for why, n in study.dropped.items())),
        *_section("Notes", study.notes),
    ]
    return "\n".join(lines)


def _heading(study: Study) -> Iterator[str]:
    bad = [law.name for law in study.laws.values() if law.status != "good"]
    state = f"DOUBTFUL: {', '.join(bad)}" if bad else "no law is in doubt"
    yield from _wrap(f"Laws of {', '.join(study.sources)}")
    yield from _wrap(
        f"{study.evaluations} evaluations of {len(study.minima)} runs, "
        f"{len(study.frontier)} runs on the envelope; data {study.data_hash}"
    )
    yield from _wrap(f"{study.settings['selection']}; {study.settings['objective']}")
    yield state if study.laws else "NO LAW COULD BE FITTED"


def _laws(study: Study) -> Iterator[str]:
    rows = [("law", "formula, ± standard error", "R2", "n", "stands on")]
    for form in FORMS:
        if form.name in study.laws:
            law = study.laws[form.name]
            cells = (
                _formula(law, study),
                f"{law.r2:.3f}",
                f"{law.n}",
                _ranges(law, study),
            )
            rows.append((law.name, *cells))
    if study.laws:
        yield ""
        yield from _table(rows, right=(2, 3))


def _formula(law: Law, study: Study) -> str:
    return law.formula(study.quantities[law.y].shown)


def _ranges(law: Law, study: Study) -> str:
    """Give the range of compute, below that of x where x is another quantity."""
    compute = _range("C", study.compute_range(law.name), " FLOPs")
    return compute if law.x == "C" else f"{_range(law.x, law.x_range)};\n{compute}"


def _range(symbol: str, ends: tuple[float, float], unit: str = "") -> str:
    if math.isnan(ends[0]):
        return f"{symbol} not known"
    low, high = (f"{end:.1e}".replace("e+", "e") for end in ends)
    return f"{symbol} {low} to {high}{unit}"


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
    for lines, comparison in zip(_aligned(rows), (None, *comparisons), strict=True):
        yield from lines
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


def _wrap(text: str, indent: int = 0) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
    )


def _table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> Iterator[str]:
    """Write a table; `right` lists the columns aligned to the right."""
    for lines in _aligned(rows, right):
        yield from lines


def _aligned(
    rows: Sequence[Sequence[str]], right: Sequence[int] = ()
) -> Iterator[list[str]]:
    """Give each row's lines: several where a cell has them, or is too wide for one."""
    widths = [
        max(len(line) for cell in column for line in cell.split("\n"))
        for column in zip(*rows, strict=True)
    ]
    widest = widths.index(max(widths))
    widths[widest] -= max(0, sum(widths) + 2 * len(widths) - WIDTH)
    for row in rows:
        cells = [_fold(*pair) for pair in zip(row, widths, strict=True)]
        lines = []
        for line in zip_longest(*cells, fillvalue=""):
            aligned = (
                part.rjust(width) if column in right else part.ljust(width)
                for column, (part, width) in enumerate(zip(line, widths, strict=True))
            )
            lines.append(("  " + "  ".join(aligned)).rstrip())
        yield lines


def _fold(cell: str, width: int) -> list[str]:
    """Break a cell into lines, but not between a value and its error."""
    lines = cell.replace(" ± ", GLUED).split("\n")
    folded = [part for line in lines for part in textwrap.wrap(line, width) or [""]]
    return [part.replace(GLUED, " ± ") for part in folded]
