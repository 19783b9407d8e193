import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from scaling.analysis.axes import (
    FIT,
    HELD_OUT,
    LEADER,
    canvas,
    codebook_axis,
    codebook_colours,
    codebook_labels,
    decade_axis,
    house_style,
    size_colours,
    spread,
)


def test_codebooks_are_powers_of_two_together_or_not_at_all():
    assert list(codebook_labels([64, 1024]).values()) == ["$2^{6}$", "$2^{10}$"]
    assert list(codebook_labels([64, 1000]).values()) == ["64", "1,000"]


def contrast(colour) -> float:
    """Contrast against white, WCAG 2.2."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in to_rgb(colour)
    ]
    return 1.05 / (np.dot(linear, (0.2126, 0.7152, 0.0722)) + 0.05)


@pytest.mark.parametrize("count", [1, 2, 3, 6, 12])
def test_every_colour_stands_out_from_white(count):
    sizes = size_colours([str(i) for i in range(count)])
    codebooks = codebook_colours([2.0**i for i in range(count)])
    for colour in (*sizes.values(), *codebooks.values(), FIT, HELD_OUT, LEADER):
        assert contrast(colour) >= 3
    assert len(set(sizes.values())) == count


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=9), st.floats(0, 0.1))
def test_labels_are_spread_in_order_and_inside(wanted, gap):
    placed = spread(wanted, gap, 0, 1)
    ordered = placed[np.argsort(wanted, kind="stable")]
    assert (np.diff(ordered) >= gap - 1e-9).all()
    assert ((placed >= -1e-9) & (placed <= 1 + 1e-9)).all()


def test_labels_far_apart_stay_where_they_are():
    assert spread([0.9, 0.1, 0.5], 0.1, 0, 1) == pytest.approx([0.9, 0.1, 0.5])


def test_too_many_labels_share_the_room():
    assert spread([0.5] * 5, 1, 0, 1) == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def labels(axis, which):
    axis.axes.get_figure().draw_without_rendering()
    low, high = axis.get_view_interval()
    ticks = axis.get_major_ticks() if which == "major" else axis.get_minor_ticks()
    return [
        tick.label1.get_text() for tick in ticks if low <= tick.get_loc() <= high
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("limits", "major", "minor"),
    [
        ((3e10, 2e13), [11, 12, 13], set()),
        ((2e6, 9e6), [], {"2", "5"}),
        ((5e6, 2e7), [7], {"5", "2"}),
        ((4e6, 9e6), [], set("456789")),
    ],
)
def test_log_axes_have_whole_powers_of_ten(limits, major, minor):
    with house_style():
        ax = canvas(3)[0]
        ax.set_xscale("log")
        ax.set_xlim(limits)
        decade_axis(ax.xaxis)
        texts = labels(ax.xaxis, "major")
        between = {text[1] for text in labels(ax.xaxis, "minor") if text}
    assert texts == [rf"$\mathdefault{{10^{{{power}}}}}$" for power in major]
    assert between == minor


def test_codebook_axes_have_powers_of_two():
    with house_style():
        ax = canvas(3)[0]
        ax.set_xscale("log", base=2)
        codebook_axis(ax.xaxis, [240, 1000])
        ax.set_xlim(100, 2000)
        assert labels(ax.xaxis, "major") == ["$2^{8}$", "$2^{9}$"]


def test_the_house_style_does_not_stay():
    before = dict(matplotlib.rcParams)
    with house_style():
        assert matplotlib.rcParams["font.size"] == 8
    assert dict(matplotlib.rcParams) == before
