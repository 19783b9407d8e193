"""A figure: a table, a caption, and how the two become a drawing and its files.

Every figure of the project is one of these small objects. What it shows is worked out
before, in its table; drawing takes the table and adds nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Page

from scaling.analysis.axes import house_style
from scaling.errors import ScalingError
from scaling.files import write_aside

FORMATS = ("png", "svg", "pdf")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Figure(ABC):
    """A table, and how it is drawn."""

    name: str
    """Name of its files."""
    title: str
    """What it shows, in a few words: its heading, and its alternative text."""
    caption: str
    """What it shows, in sentences, with law, n, interval and method."""
    table: pd.DataFrame
    """What is drawn, and nothing else."""

    def to_frame(self) -> pd.DataFrame:
        """Give the table behind the figure."""
        return self.table.copy()

    def draw(self, ax: Axes | None = None) -> Axes:
        """Draw on the axes given, or on a page of its own; give the (first) axes."""
        with house_style():
            return self._draw(ax)

    @abstractmethod
    def _draw(self, ax: Axes | None) -> Axes:
        """Draw in the style that is set."""

    def page(self) -> Page:
        """Draw on a page of its own."""
        page = self.draw().get_figure(root=True)
        assert page is not None, "a figure draws on axes of its own"
        return page

    def svg(self) -> str:
        """Give the drawing as SVG, the same text every time."""
        page, text = self.page(), StringIO()
        with house_style():
            page.savefig(text, format="svg", metadata=METADATA["svg"](self))
        return text.getvalue()

    def _repr_html_(self) -> str:
        from scaling.analysis.render_html import figure_html

        return figure_html(self)


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
