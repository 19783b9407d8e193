"""Figures as parts of a page: data URIs on a transparent ground, within a budget.

A drawing is SVG, sharp at any size; where the drawings of a page together outgrow the
budget, the largest of them become PNG, one after the other.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from scaling.analysis.axes import house_style
from scaling.analysis.figure import METADATA, Figure

BUDGET = 1_000_000
"""Bytes of all drawings of a page, before base64 makes a third more of them."""
DPI = 170
"""Of a drawing as PNG: sharp at the width of a page."""
COLOURS = 96
"""Of a drawing as PNG: few enough to be small, enough for all palettes."""
MIMES = {"svg": "image/svg+xml", "png": "image/png"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A figure as a page shows it."""

    name: str
    """Name of the figure."""
    title: str
    """Its heading."""
    caption: str
    """What it shows, in sentences."""
    source: str
    """The drawing, a data URI."""
    width: int
    """In pixels of 1/96 inch."""
    height: int
    """In pixels of 1/96 inch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Drawing:
    form: str
    content: bytes
    inches: tuple[float, float]


def pictures(figures: Sequence[Figure], budget: int = BUDGET) -> list[Picture]:
    """Draw figures for a page.

    Parameters
    ----------
    figures : sequence of Figure
        In the order of the page.
    budget : int
        Bytes that all drawings may take before some become PNG.
    """
    drawings = [_draw(figure, "svg") for figure in figures]
    by_size = sorted(range(len(figures)), key=lambda k: -len(drawings[k].content))
    for place in by_size:
        if sum(len(each.content) for each in drawings) <= budget:
            break
        smaller = _draw(figures[place], "png")
        drawings[place] = min(drawings[place], smaller, key=lambda x: len(x.content))
    return [_picture(*both) for both in zip(figures, drawings, strict=True)]


def _draw(figure: Figure, form: str) -> _Drawing:
    page, file = figure.page(), BytesIO()
    with house_style():
        page.savefig(
            file,
            format=form,
            dpi=DPI,
            transparent=True,
            metadata=METADATA[form](figure) if form == "svg" else {},
        )
    width, height = page.get_size_inches()
    content = _few_colours(file) if form == "png" else _lean(file.getvalue())
    return _Drawing(form=form, content=content, inches=(float(width), float(height)))


def _lean(svg: bytes) -> bytes:
    r"""Leave out what no eye sees: metadata (the caption stands in the page), comments.

    >>> _lean(b"<svg> <metadata>x</metadata><!-- y -->\n  <g/></svg>")
    b'<svg>\n<g/></svg>'
    """
    bare = re.sub(rb"\s*<(?:metadata>.*?</metadata|!--.*?--)>", b"", svg, flags=re.S)
    return re.sub(rb"\n\s+", b"\n", bare)


def _few_colours(file: BytesIO) -> bytes:
    small = BytesIO()
    image = Image.open(file).quantize(COLOURS, method=Image.Quantize.FASTOCTREE)
    image.save(small, format="png", optimize=True)
    return small.getvalue()


def _picture(figure: Figure, drawing: _Drawing) -> Picture:
    width, height = (round(96 * inches) for inches in drawing.inches)
    return Picture(
        name=figure.name,
        title=figure.title,
        caption=figure.caption,
        source=data_uri(MIMES[drawing.form], drawing.content),
        width=width,
        height=height,
    )


def data_uri(mime: str, content: bytes) -> str:
    """Write a file as an address.

    >>> data_uri("text/csv", b"C,L")
    'data:text/csv;base64,QyxM'
    """
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"
