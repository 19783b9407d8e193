"""What every figure must be at its real size: readable, whole, the same every time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure as Page
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from scaling.analysis.axes import WIDTH_INCHES, house_style
from scaling.analysis.figure import Figure

LEAST_CONTRAST = 3.0
"""Of graphical objects against their ground, WCAG 2.2, success criterion 1.4.11."""
PIXEL = 0.5
"""Slack of boxes."""


def assert_readable(figure: Figure) -> None:
    """Hold a figure to the house rules, on a page of its own."""
    assert figure.title
    assert len(figure.caption) > len(figure.title)
    assert len(figure.to_frame())
    page = figure.page()
    assert page.get_size_inches()[0] == WIDTH_INCHES
    with house_style():
        texts = visible_texts(page)
    assert_inside(texts, page)
    assert_apart(texts)
    assert_contrast(page)
    assert figure.svg() == figure.svg()


# --- Texts --------------------------------------------------------------------------


def visible_texts(page: Page) -> list[tuple[str, Bbox]]:
    """Give the boxes of the texts that are drawn, in pixels."""
    page.draw_without_rendering()
    boxes = []
    for text in page.findobj(Text):
        if not text.get_visible() or not text.get_text().strip():
            continue
        # An annotation's own extent includes its line; ticks out of view are not drawn.
        box = Text.get_window_extent(text)
        if isinstance(text, Annotation) or not is_hidden_tick(text, page, box):
            boxes.append((text.get_text(), box))
    return boxes


def is_hidden_tick(text: Text, page: Page, box: Bbox) -> bool:
    for ax in page.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if text in (tick.label1, tick.label2):
                    slack = 1e-9 * (high - low)
                    shown = low - slack <= tick.get_loc() <= high + slack
                    return not (shown and ax.axison)
    return False


def assert_inside(texts: list[tuple[str, Bbox]], page: Page) -> None:
    width, height = page.bbox.size
    for text, box in texts:
        inside = box.x0 >= -PIXEL and box.x1 <= width + PIXEL
        inside &= box.y0 >= -PIXEL and box.y1 <= height + PIXEL
        assert inside, f"{text!r} leaves the figure: {box}"


def assert_apart(texts: list[tuple[str, Bbox]]) -> None:
    for (one, first), (other, second) in itertools.combinations(texts, 2):
        common = Bbox.intersection(first, second)
        apart = common is None or min(common.size) < PIXEL
        assert apart, f"{one!r} overlaps {other!r}"


# --- Colours ------------------------------------------------------------------------


def assert_contrast(page: Page) -> None:
    """Lines, marks and texts stand out from white; shading and pictures need not."""
    for ax in page.axes:
        for what, colour in drawn_colours(ax):
            found = contrast(colour)
            assert found >= LEAST_CONTRAST, f"{what} {colour}: {found:.2f}"


def drawn_colours(ax: Axes) -> Iterator[tuple[str, Any]]:
    for line in ax.findobj(Line2D):
        assert isinstance(line, Line2D)
        if line.get_visible() and line.get_linestyle() not in ("None", "", " "):
            yield f"line {line.get_label()}", _seen(line.get_color(), line.get_alpha())
    for marks in ax.collections:
        if isinstance(marks, PathCollection):
            yield from _mark_colours(marks)
    for text in ax.findobj(Text):
        assert isinstance(text, Text)
        on_box = text.get_bbox_patch() is not None or text.get_path_effects()
        if text.get_visible() and text.get_text().strip() and not on_box:
            yield f"text {text.get_text()!r}", text.get_color()


def _mark_colours(marks: PathCollection) -> Iterator[tuple[str, Any]]:
    """Give of each mark the colour, of face or edge, that stands out more."""
    faces, edges = marks.get_facecolor(), marks.get_edgecolor()
    count = max(len(faces), len(edges))
    for k in range(count if len(marks.get_offsets()) else 0):
        seen = [_seen(c[k % len(c)], None) for c in (faces, edges) if len(c)]
        yield "mark", max(seen, key=contrast)


def _seen(colour: Any, alpha: float | None) -> tuple[float, ...]:
    """Lay a colour on white."""
    *rgb, opacity = to_rgba(colour, alpha)
    return tuple(opacity * channel + 1 - opacity for channel in rgb)


def contrast(colour: Any) -> float:
    """Contrast ratio against white, WCAG 2.2."""
    rgb = np.array(to_rgba(colour)[:3])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05))
