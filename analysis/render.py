"""A study as text: what `scaling fit` prints.

A good state is written quietly, a bad one in capitals, so that it shows without colour.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from scaling.analysis.laws import FORMS, Law
from scaling.analysis.layout import aligned, section, table, wrap
from scaling.analysis.study import Comparison, Study


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
        *section("Warnings", warnings(study)),
        *section("Not fitted", (f"{k}: {why}" for k, why in study.skipped.items())),
        *_published(study.published),
        *section("Rows dropped", (f"{n}: {why}" for why, n in study.dropped.items())),
        *section("Notes", study.notes),
    ]
    return "\n".join(lines)


def _heading(study: Study) -> Iterator[str]:
    yield from wrap(f"Laws of {', '.join(study.sources)}")
    yield from wrap(
        f"{study.evaluations} evaluations of {len(study.minima)} runs, "
        f"{len(study.frontier)} runs on the envelope; data {study.data_hash}"
    )
    yield from wrap(f"{study.settings['selection']}; {study.settings['objective']}")
    yield state(study)


def state(study: Study) -> str:
    """Say which laws are in doubt, if any."""
    if not study.laws:
        return "NO LAW COULD BE FITTED"
    bad = [law.name for law in study.laws.values() if law.status != "good"]
    return f"DOUBTFUL: {', '.join(bad)}" if bad else "no law is in doubt"


def _laws(study: Study) -> Iterator[str]:
    if study.laws:
        yield ""
        yield from table(law_rows(study), right=(2, 3))


def law_rows(study: Study) -> list[tuple[str, ...]]:
    """Write the laws as a table, its head first."""
    head = ("law", "formula, ± standard error", "R2", "n", "stands on")
    rows: list[tuple[str, ...]] = [head]
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
    return rows


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
    yield from table(rows, right=(1, 2, 3))


def warnings(study: Study) -> Iterator[str]:
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
    rows = [("", "law", "printed", "ours", "")]
    for row in comparisons:
        printed = f"{row.printed_slope:g}, {row.printed_intercept:g}"
        fitted = f"{row.slope:.5f}, {row.intercept:.5f}"
        verdict = "agrees" if row.agrees else "DIFFERS"
        rows.append((row.equation, row.law, printed, fitted, verdict))
    for lines, comparison in zip(aligned(rows), (None, *comparisons), strict=True):
        yield from lines
        if comparison is not None:
            yield from wrap(comparison.note, indent=10)
