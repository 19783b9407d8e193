"""Results as a notebook shows them: tables, what speaks against them, figures.

Tables have the cells of the printed ones. A page takes its colours from the notebook,
light or dark; a bad state is in capitals, and bold, so that it shows without colour.
What is printed besides can be unfolded.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Collection, Iterable, Sequence
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

from pandas.api.types import is_numeric_dtype

from scaling.analysis.approaches import Approaches, comparisons
from scaling.analysis.arms import Arms
from scaling.analysis.card import Card
from scaling.analysis.layout import count
from scaling.analysis.nextruns import RunPlan, run_rows, score_rows
from scaling.analysis.prediction import Prediction
from scaling.analysis.rates import Rates
from scaling.analysis.render import law_rows, state, summary, warnings
from scaling.analysis.render_fit import (
    built_lines,
    parameter_rows,
    prediction_head,
    prediction_rows,
    selection_rows,
    selection_text,
)
from scaling.analysis.render_rates import rate_rows, rule_text
from scaling.analysis.selection import Selection
from scaling.analysis.study import Study
from scaling.analysis.table import Records

if TYPE_CHECKING:
    from scaling.analysis.figure import Figure
    from scaling.analysis.gallery import Gallery
    from scaling.analysis.tables import Table

BAD = re.compile(r"\b[A-Z]{2,}(?:[ -][A-Z0-9]+)*[ -][A-Z0-9]{2,}\b|\b[A-Z]{5,}\b")
"""A bad state: two words in capitals or more, or one long one."""
DPI, WIDTH = 200, 720
"""Dots per inch of a figure, and pixels that it is shown in: half of what it has."""
HEAD = 5
"""Rows of a table that are shown."""


# --- Parts --------------------------------------------------------------------------


def page(title: str, *parts: str) -> str:
    """Put parts under a title."""
    head = f"<p><b>{escape(title, quote=False)}</b></p>"
    return "\n".join(["<div>", head, *filter(None, parts), "</div>"])


def text(words: str) -> str:
    """Write words, and those bold that stand for a bad state."""
    return BAD.sub(r"<b>\g<0></b>", escape(words, quote=False)).replace("\n", "<br>")


def paragraph(*lines: str) -> str:
    """Write lines under each other."""
    return f"<p>{'<br>'.join(map(text, lines))}</p>"


def table(rows: Sequence[Sequence[str]], numbers: Collection[int] = ()) -> str:
    """Write a table, its head first; `numbers` lists the columns of numbers."""
    head, *body = rows
    lines = [
        "<table>",
        f"<thead><tr>{_cells(head, numbers, 'col')}</tr></thead>",
        "<tbody>",
        *(f"<tr>{_cells(row, numbers)}</tr>" for row in body),
        "</tbody>",
        "</table>",
    ]
    return "\n".join(lines)


def _cells(row: Sequence[str], numbers: Collection[int], scope: str = "") -> str:
    """Write a row; without a scope its first cell is the row's head."""
    cells = []
    for column, cell in enumerate(row):
        side = "right" if column in numbers else "left"  # notebooks have their own
        heads = scope or ("" if column else "row")
        tag, head = ("th", f' scope="{heads}"') if heads else ("td", "")
        shown = text(cell)
        cells.append(f'<{tag}{head} style="text-align: {side}">{shown}</{tag}>')
    return "".join(cells)


def listed(title: str, items: Iterable[str]) -> str:
    """Write a list under a title, or nothing where there is none."""
    lines = [f"<li>{text(item)}</li>" for item in items]
    return "\n".join([f"<p>{title}</p>", "<ul>", *lines, "</ul>"]) if lines else ""


def folded(title: str, content: str) -> str:
    """Hide content until it is asked for."""
    return f"<details><summary>{title}</summary>\n{content}\n</details>"


def printed(words: str) -> str:
    """Hide the whole text that a terminal shows."""
    return folded("Full text output", f"<pre>{escape(words, quote=False)}</pre>")


# --- Results ------------------------------------------------------------------------


def records_html(records: Records) -> str:
    """Show the first rows, how many there are, and what was done to them."""
    points = records.points()
    names = [str(name) for name in points]
    cells = points.head(HEAD).map(lambda x: x if isinstance(x, str) else f"{x:.4g}")
    runs = points["run"].nunique()
    more = len(points) - HEAD
    return page(
        f"Records of {', '.join(records.sources)}",
        paragraph(f"{count(len(points), 'evaluation')} of {count(runs, 'run')}"),
        table(
            [names, *cells.to_numpy().tolist()],
            [k for k, name in enumerate(names) if name not in ("run", "size")],
        ),
        paragraph(f"and {count(more, 'row')} more") if more > 0 else "",
        listed("Doubts", records.suspicions),
        listed("Rows dropped", (f"{n}: {why}" for why, n in records.dropped.items())),
        listed("Notes", records.notes),
    )


def study_html(study: Study) -> str:
    """Show the laws of the envelope."""
    return page(
        f"Laws of {', '.join(study.sources)}",
        paragraph(
            f"{study.evaluations} evaluations of {len(study.minima)} runs, "
            f"{len(study.frontier)} runs on the envelope",
            state(study),
        ),
        table(law_rows(study), (2, 3)) if study.laws else "",
        listed("Warnings", warnings(study)),
        printed(summary(study)),
    )


def card_html(card: Card) -> str:
    """Show the parameters of a law, and what speaks against it."""
    fit, sample = card.fit, card.fit.sample
    found = "nothing speaks against this fit" if card.status == "good" else "DOUBTFUL"
    held = [card.holdout.sentence()] if card.holdout else []
    return page(
        f"Law {fit.formula.name}: {sample.loss_symbol} = {fit.formula.written()}",
        paragraph(
            f"{count(sample.n, 'row')} of {count(sample.clusters, 'run')} of "
            f"{', '.join(sample.sources)}",
            found,
        ),
        table(parameter_rows(card), (1, 2)),
        listed("Hold-out", held),
        listed("Warnings", card.warnings),
        printed(repr(card)),
    )


def selection_html(selection: Selection) -> str:
    """Show the laws that were compared."""
    return page(
        "Laws compared on rows held out",
        paragraph(selection.sentence(), selection.rows),
        table(selection_rows(selection), (1, 2, 3, 4, 5)),
        printed(selection_text(selection)),
    )


def approaches_html(found: Approaches) -> str:
    """Show what each approach says, a table for each quantity."""
    tables = []
    for rows, agreement in comparisons(found):
        tables += [table(rows, (1,)), paragraph(*agreement) if agreement else ""]
    return page(
        f"Approaches to {', '.join(found.sources)}",
        *tables,
        listed("No answer", found.refusals),
        listed("Warnings", found.warnings),
        printed(repr(found)),
    )


def prediction_html(prediction: Prediction) -> str:
    """Show a prediction, and the run that can be built."""
    head, *rest = prediction_head(prediction)
    return page(
        head,
        paragraph(rest[0]),
        table(prediction_rows(prediction), (1, 2)),
        listed("Nearest run that can be built", built_lines(prediction)),
        listed("Warnings", prediction.warnings),
        printed(repr(prediction)),
    )


def plan_html(plan: RunPlan) -> str:
    """Show the runs to make next, and what they are worth."""
    runs = run_rows(plan)
    return page(
        f"Next runs for {plan.number} at {plan.target:.4g} FLOPs",
        paragraph(plan.sentence()),
        table(runs, range(1, len(runs[0]))),
        paragraph(plan.cost()),
        table(score_rows(plan), (1, 2, 3)),
        listed("Warnings", plan.warnings),
        printed(repr(plan)),
    )


def arms_html(arms: Arms) -> str:
    """Show what one set of runs needs of the other's compute."""
    formula = arms.fit.formula
    ends = arms.uncertainty.parameters(0.95)
    rows = [("parameter", "value", "95 % interval", "meaning")]
    for each in formula.parameters:
        low, high = ends.get(each.name, (None, None))
        interval = "held" if low is None else f"{low:.4g} to {high:.4g}"
        value = f"{arms.fit.value(each.name):.4g}"
        rows.append((each.name, value, interval, each.meaning))
    return page(
        arms.sentence().partition("; ")[0],
        paragraph(f"{arms.fit.sample.loss_symbol} = {formula.written()}"),
        table(rows, (1,)),
        listed("Warnings", arms.warnings),
    )


def rates_html(found: Rates) -> str:
    """Show the best learning rates, and their rule."""
    rows = rate_rows(found)
    return page(
        f"Learning rates of {found.source}",
        table(rows, range(1, len(rows[0]) - 2)),
        paragraph(rule_text(found)),
        f"<pre>{escape(found.yaml(), quote=False)}</pre>" if found.yaml() else "",
        listed("Notes", found.notes),
    )


# --- Figures ------------------------------------------------------------------------


def figure_html(figure: Figure) -> str:
    """Show a figure, with its caption."""
    from scaling.analysis.axes import house_style  # it loads matplotlib
    from scaling.analysis.figure import METADATA

    file, metadata = BytesIO(), METADATA["png"](figure)
    with house_style():
        figure.page().savefig(file, format="png", dpi=DPI, metadata=metadata)
    source = f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
    return (
        f'<figure><img src="{source}" alt="{escape(figure.title)}" width="{WIDTH}">'
        f"\n<figcaption>{escape(figure.caption, quote=False)}</figcaption></figure>"
    )


def table_html(made: Table) -> str:
    """Show a table of the paper, with its caption."""
    rows = made.cells()
    kinds = made.table.dtypes
    numbers = [k for k, kind in enumerate(kinds) if is_numeric_dtype(kind)]
    return page(made.title, table(rows, numbers), paragraph(made.caption))


def gallery_html(gallery: Gallery) -> str:
    """Show all figures and tables, and why there are no more."""
    figures, tables = len(gallery.figures), len(gallery.tables)
    return page(
        f"{count(figures, 'figure')}, {count(tables, 'table')}",
        *map(figure_html, gallery.figures),
        *map(table_html, gallery.tables),
        listed("Not made", (f"{n}: {why}" for n, why in gallery.missing.items())),
    )
