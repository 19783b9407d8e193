"""What `scaling watch` draws on a terminal, however narrow or low that is."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Literal, NamedTuple

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from scaling.runs.watch_lines import left
from scaling.runs.watch_snapshot import Curve, Progress, Snapshot, Trouble

BLOCKS = "▁▂▃▄▅▆▇█"
"""Heights of a curve."""

WIDEST = 32
"""Characters of a curve at most."""

ROWS = 12
"""Rows of a table where the height does not matter."""

ROOMY, WIDE = 60, 84
"""Columns from which tokens per second are shown, and from which owners."""

HASH = re.compile(r"-[0-9a-f]{8}$")
"""End of a folder's name, which tells a person nothing."""

STYLES = {
    "done": "green",
    "running": "cyan",
    "waiting": "default",
    "failed": "bold red",
    "diverged": "bold red",
    "stopped": "yellow",
    "stale": "yellow",
}
"""Of a state, which its word says as well."""


class Brush(NamedTuple):
    """What a terminal can show."""

    width: int
    """Columns."""
    heights: str = BLOCKS
    """Characters of a curve, from the lowest."""
    bar: tuple[str, str] = ("█", "░")
    """What is done, and what is not."""
    overflow: Literal["ellipsis", "crop"] = "ellipsis"
    """How a text ends that has no room."""


class Screen:
    """A study as a picture that fits.

    Parameters
    ----------
    shown : Snapshot
        What is drawn.
    height : int, optional
        Lines that there are; by default as many as are of use.
    foot : str
        The last line.
    """

    def __init__(
        self, shown: Snapshot, height: int | None = None, foot: str = ""
    ) -> None:
        self.shown = shown
        self.height = height
        self.foot = foot

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        """Draw what fits, troubles before all."""
        brush = Brush(options.max_width)
        if options.ascii_only:
            brush = Brush(options.max_width, "_.-~=+*#", ("#", "."), "crop")

        def lines(parts: Iterator[RenderableType]) -> list[list[Segment]]:
            return [
                line
                for part in parts
                for line in console.render_lines(part, options, pad=False)
            ]

        head = lines(_head(self.shown, brush))
        drawn = head + lines(self._tables(brush, len(head)))
        if self.height is not None:
            drawn = drawn[: self.height - bool(self.foot)]
        for line in drawn:
            yield from line
            yield Segment.line()
        if self.foot:
            yield _line(self.foot, brush, "dim")

    def _tables(self, brush: Brush, head: int) -> Iterator[RenderableType]:
        troubles, running, curves = self._rows(head)
        if troubles:
            yield Text()
            yield from self._troubles(self.shown.troubles[:troubles], brush)
            yield from _more(len(self.shown.troubles) - troubles)
        if running:
            yield Text()
            yield _running(self.shown.running[:running], brush)
            yield from _more(len(self.shown.running) - running)
        if curves:
            yield Text()
            yield _curves(self.shown.curves[:curves], brush)

    def _rows(self, head: int) -> tuple[int, int, int]:
        """Deal the lines out to the troubles, the jobs at work and the curves."""
        shown = self.shown
        wanted = [len(shown.troubles), len(shown.running), len(shown.curves)]
        rows = [0, 0, 0]
        frames = 3 * sum(number > 0 for number in wanted)  # blank, heading, how many
        frames += max(0, len({trouble.advice for trouble in shown.troubles}) - 1)
        room = (self.height or 10**6) - head - bool(self.foot) - frames
        most = ROWS if self.height is None else room
        dealt = True
        while dealt:
            dealt = False
            for place in range(3):
                if rows[place] < min(wanted[place], most) and room > 0:
                    rows[place] += 1
                    room -= 1
                    dealt = True
        return rows[0], rows[1], rows[2]

    def _troubles(self, troubles: Sequence[Trouble], brush: Brush) -> Iterator[Text]:
        """Say what went wrong, and below all that have the same cure what to do."""
        for _, alike in groupby(troubles, lambda trouble: trouble.advice):
            for trouble in alike:
                name = HASH.sub("", trouble.job)
                said = Text().append(trouble.status.upper(), STYLES[trouble.status])
                said.append(f" {name}: {trouble.said}")
                yield self._cropped(said, brush)
            yield self._cropped(Text(f"  -> {trouble.advice}", style="dim"), brush)

    def _cropped(self, text: Text, brush: Brush) -> Text:
        """Keep a text to its line where lines are counted."""
        if self.height is not None:
            text.no_wrap, text.overflow = True, brush.overflow
        return text


def sparkline(
    values: Sequence[float], low: float, high: float, width: int, heights: str = BLOCKS
) -> str:
    """Draw values as a line of blocks, the last of each part where there are many.

    >>> sparkline([0.0, -0.5, -1.0], low=-1.0, high=0.0, width=8)
    '█▅▁'
    >>> sparkline([3.0, 2.0, 1.0, 0.0], low=0.0, high=3.0, width=2)
    '▆▁'
    """
    if len(values) > width:
        ends = (math.ceil((n + 1) * len(values) / width) for n in range(width))
        values = [values[end - 1] for end in ends]
    scale = (len(heights) - 1) / (high - low) if high > low else 0.0
    return "".join(heights[round((value - low) * scale)] for value in values)


def _line(text: str, brush: Brush, style: str = "") -> Text:
    return Text(text, style=style, overflow=brush.overflow, no_wrap=True)


def _head(shown: Snapshot, brush: Brush) -> Iterator[Text]:
    """Say what it is and how far; colours only repeat what words say."""
    title = _line(shown.study or "study", brush, "bold")
    yield title.append(f"  {shown.out}", style="dim")
    full, empty = brush.bar
    cells = max(8, min(48, brush.width - 22))
    filled = int(cells * shown.share)  # full only when all is done
    bar = _line(full * filled, brush, "green").append(
        empty * (cells - filled), style="dim"
    )
    yield bar.append(
        f" {int(100 * shown.share)} % of {shown.share_of}", style="default"
    )
    counts = Text()
    for word, number in shown.counts.items():
        if number or word == "done":
            of = f" of {shown.jobs:,} jobs" if word == "done" else ""
            counts.append(", " if counts else "").append(
                f"{number:,}{of} {word}", style=STYLES[word]
            )
    yield counts
    if shown.tokens_per_second is not None:
        yield Text(f"{shown.tokens_per_second:,.0f} tokens/s in the last two minutes")
    yield Text(left(shown))


def _running(jobs: Sequence[Progress], brush: Brush) -> Table:
    width = brush.width
    table = _table()
    _name_column(table, "at work", width - 8, brush)
    table.add_column("share", justify="right", no_wrap=True)
    if width >= ROOMY:
        table.add_column("step", justify="right", no_wrap=True)
        table.add_column("tokens/s", justify="right", no_wrap=True)
        table.add_column("L_u", justify="right", no_wrap=True)
    if width >= WIDE:
        table.add_column("by", no_wrap=True, overflow=brush.overflow, style="dim")
    for job in jobs:
        cells = [HASH.sub("", job.job), _percent(job.share)]
        if width >= ROOMY:
            cells += [_steps(job), _number(job.tokens_per_second, ",.0f")]
            cells += [_number(job.normalised_loss, ".3f")]
        if width >= WIDE:
            cells.append(job.owner or "")
        table.add_row(*cells)
    return table


def _curves(curves: Sequence[Curve], brush: Brush) -> Table:
    """Draw curves on one scale, so that their heights compare."""
    known = [loss for curve in curves for loss in curve.normalised_loss]
    low, high = min(known, default=0.0), max(known, default=0.0)
    table = _table()
    longest = min(WIDEST, brush.width // 3)
    _name_column(table, "loss curves", brush.width - longest - 12, brush)
    table.add_column(f"{high:.1f} to {low:.1f}", no_wrap=True)
    table.add_column("L_u", justify="right", no_wrap=True)
    if brush.width >= ROOMY:
        table.add_column("", no_wrap=True)
    for curve in curves:
        line = sparkline(curve.normalised_loss, low, high, longest, brush.heights)
        last = _number(curve.normalised_loss[-1] if line else None, ".3f")
        style = "cyan" if curve.status == "running" else "green"
        status = [curve.status] if brush.width >= ROOMY else []
        name = HASH.sub("", curve.job)
        table.add_row(name, Text(line, style=style), last, *status)
    return table


def _table() -> Table:
    return Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")


def _name_column(table: Table, name: str, widest: int, brush: Brush) -> None:
    table.add_column(
        name, no_wrap=True, overflow=brush.overflow, max_width=max(8, widest)
    )


def _more(number: int) -> Iterator[Text]:
    if number > 0:
        yield Text(f"and {number:,} more", style="dim")


def _steps(job: Progress) -> str:
    if job.step is None:
        return "-"
    return f"{job.step:,}" if job.steps is None else f"{job.step:,}/{job.steps:,}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{int(100 * share)} %"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"
