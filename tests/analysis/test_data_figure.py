"""The ring of a corpus' sources: shares that are right, labels that can be read."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Wedge
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from scaling.analysis import reference
from scaling.analysis.axes import house_style
from scaling.analysis.data_figure import data_figure
from scaling.analysis.figure import save
from scaling.errors import ScalingError


def motion_union():
    """Table 5 of the paper, of which Fig. 4 shows the frames."""
    return reference.load("table5_motionunion").rename(columns={"subset": "source"})


def parts(**frames):
    return pd.DataFrame({"source": list(frames), "frames": list(frames.values())})


MANY = pd.DataFrame({"source": [f"s{n}" for n in range(40)], "frames": range(40)})
CORPORA = {
    "MotionUnion": motion_union(),
    "one": parts(train=7),
    "three": parts(train=800, test=150, val=1),
    "a corpus-of-many_sources": MANY,
    "long names": MANY.assign(source=[f"SOME+lengthy_Name-{n}" * 2 for n in range(40)]),
    "equal": MANY.assign(frames=5),
}


def texts(page):
    with house_style():
        page.draw_without_rendering()
    return {t.get_text(): t.get_window_extent() for t in page.findobj(Text)}


def wedges(page):
    return [patch for patch in page.axes[0].patches if isinstance(patch, Wedge)]


@pytest.mark.parametrize("name", CORPORA)
def test_labels_are_inside_and_apart(name):
    page = data_figure(CORPORA[name], name).page()
    found = texts(page)
    found.pop("", None)
    width, height = page.bbox.size
    for text, box in found.items():
        assert 0 <= box.x0 < box.x1 <= width, text
        assert 0 <= box.y0 < box.y1 <= height, text
    for (one, first), (other, second) in itertools.combinations(found.items(), 2):
        assert Bbox.intersection(first, second) is None, f"{one} overlaps {other}"


def test_the_paper_s_shares():
    """Fig. 4: 15 sources, whose percentages are shares of frames."""
    table = motion_union()
    figure = data_figure(table, "MotionUnion")
    assert len(wedges(figure.page())) == 15
    labels = [text for text in texts(figure.page()) if text.endswith("%")]
    printed = {
        text.rsplit("  ", 1)[0]: float(text.rsplit("  ", 1)[1].removesuffix(" %"))
        for text in labels
    }
    assert printed == pytest.approx(
        dict(zip(table["source"], 100 * table["frames"] / 26_866_598, strict=True)),
        abs=0.05 + 1e-9,
    )
    assert printed["PhysHumanML3D"] == 21.5
    assert printed["Animation"] == 0.2
    assert "26,866,598 frames of 15 sources" in figure.caption


def test_wedges_are_as_wide_as_their_shares():
    figure = data_figure(CORPORA["three"], "three")
    drawn = wedges(figure.page())
    widths = [wedge.theta2 - wedge.theta1 for wedge in drawn]
    np.testing.assert_allclose(widths, 360 * figure.to_frame()["share"])
    # clockwise: each begins where the one before it ends
    ends = [
        (before.theta1, after.theta2) for before, after in itertools.pairwise(drawn)
    ]
    np.testing.assert_allclose(*zip(*ends, strict=True))


def test_the_smallest_of_many_share_a_wedge():
    table = data_figure(MANY, "many").to_frame()
    assert len(table) == 15
    assert table["source"].iloc[-1] == "26 others"
    assert table["frames"].sum() == MANY["frames"].sum()
    assert table["share"].sum() == pytest.approx(1)


def test_a_share_too_small_for_a_digit_is_not_nothing():
    page = data_figure(parts(a=99_999, b=1), "c").page()
    assert "b  < 0.1 %" in texts(page)


def test_files_are_the_same_bytes_every_time(tmp_path):
    figure = data_figure(motion_union(), "MotionUnion")
    first, second = (save(figure, tmp_path / name) for name in "ab")
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert pd.read_csv(first[-1])["source"].iloc[0] == "PhysHumanML3D"


def test_a_corpus_without_frames_is_refused():
    with pytest.raises(ScalingError, match="c has no frames; expected some"):
        data_figure(parts(train=0), "c")
