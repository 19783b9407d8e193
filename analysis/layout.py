"""Plain text in columns: what every printed result of the analysis is laid out with."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

WIDTH = 100
"""Columns of a terminal that results are written for."""
GLUED = "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"


def count(n: int, word: str) -> str:
    """Write a number of things.

    >>> count(1, "row"), count(2, "row")
    ('1 row', '2 rows')
    """
    return f"{n} {word}{'s' * (n != 1)}"


def section(title: str, items: Iterable[str]) -> Iterator[str]:
    """Write a list under a title, or nothing where there is none."""
    listed = list(items)
    if listed:
        yield ""
        yield title
    for item in listed:
        first, *rest = wrap(item, indent=4)
        yield f"  - {first.lstrip()}"
        yield from rest


def wrap(text: str, indent: int = 0) -> list[str]:
    """Break a paragraph into lines."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
    )


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> Iterator[str]:
    """Write a table; `right` lists the columns aligned to the right."""
    for lines in aligned(rows, right):
        yield from lines


def aligned(
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
    folded = [
        part for line in lines for part in textwrap.wrap(line, max(width, 1)) or [""]
    ]
    return [part.replace(GLUED, " ± ") for part in folded]
