"""GIF and strip show what they were given, in its time, colours and place."""

from __future__ import annotations

from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from scaling.analysis import stick
from scaling.analysis.player import Motion
from scaling.errors import ScalingError
from scaling.runs import kinematic

Pixels = NDArray[np.int64]


def walk(frames: int = 30, caption: str = "walks", label: str = "real") -> Motion:
    joints = kinematic.sequence(0, 7).joints[:frames]
    return Motion(joints=joints, caption=caption, label=label)


def frames_of(path: Path) -> tuple[list[Pixels], list[int]]:
    """Pixels (height, width, 3) of each frame, and milliseconds that it stays."""
    pictures, times = [], []
    with Image.open(path) as image:
        for frame in range(getattr(image, "n_frames", 1)):
            image.seek(frame)
            pictures.append(np.asarray(image.convert("RGB"), dtype=np.int64))
            times.append(image.info["duration"])
    return pictures, times


def drawn(folder: Path, *motions: Motion) -> list[Pixels]:
    path = folder / "drawn.gif"
    stick.gif(motions, path)
    return frames_of(path)[0]


def limbs(picture: Pixels) -> NDArray[np.bool_]:
    """Where left or right limbs are: nothing else has a colour."""
    coloured: NDArray[np.bool_] = np.abs(picture[..., 0] - picture[..., 2]) > 100
    return coloured


# --- the GIF ---


def test_twenty_frames_a_second_over_and_over(tmp_path: Path) -> None:
    path = tmp_path / "new" / "walk.gif"
    stick.gif([walk()], path)
    pictures, times = frames_of(path)
    assert len(pictures) == 30
    assert set(times) == {50}
    with Image.open(path) as image:
        assert image.info["loop"] == 0
    assert len({picture.tobytes() for picture in pictures}) == 30
    assert [each.name for each in path.parent.iterdir()] == ["walk.gif"]


def test_same_motions_same_bytes(tmp_path: Path) -> None:
    for name in ("a.gif", "b.gif"):
        stick.gif([walk(), walk(20)], tmp_path / name)
    a, b = ((tmp_path / name).read_bytes() for name in ("a.gif", "b.gif"))
    assert a == b


def test_a_shorter_motion_stays_in_its_last_frame(tmp_path: Path) -> None:
    pictures = drawn(tmp_path, walk(10), walk(20))
    middle = pictures[0].shape[1] // 2
    left, right = ([p[:, k] for p in pictures] for k in np.s_[:middle, middle:])
    assert len(pictures) == 20
    assert len({each.tobytes() for each in left}) == 10
    assert all((each == left[9]).all() for each in left[10:])
    assert len({each.tobytes() for each in right}) == 20


def test_the_body_stays_in_view_and_clear_of_the_text(tmp_path: Path) -> None:
    """However far it goes, jumps, or lies on the floor."""
    away = np.linspace(0, 1, 30)[:, None, None] * [30.0, 0.0, -20.0]
    lying = walk().joints[..., [1, 0, 2]] + [0, 0.5, 0]
    jumping = walk().joints + np.sin(np.linspace(0, 3, 30))[:, None, None] * [0, 2.0, 0]
    for joints in (walk().joints + away, lying, jumping):
        pictures = drawn(tmp_path, Motion(joints=joints, caption="one line"))
        for picture in pictures:
            rows, columns = np.nonzero(limbs(picture))
            assert columns.min() > 2
            assert columns.max() < picture.shape[1] - 3
            assert rows.min() > 16  # below the label
            assert rows.max() < picture.shape[0] - 32  # above the caption
            assert len(rows) > 100


def test_left_is_blue_and_right_is_orange(tmp_path: Path) -> None:
    """A body that faces the camera has its left at the right of the picture."""
    (picture,) = drawn(tmp_path, walk(1))
    columns = np.arange(picture.shape[1])
    red, _, blue = np.moveaxis(picture, -1, 0)
    left, right = blue - red > 100, red - blue > 100
    assert (left.sum(0) @ columns) / left.sum() > (right.sum(0) @ columns) / right.sum()


@pytest.mark.parametrize("colour", [stick.LEFT, stick.RIGHT, stick.INK])
def test_inks_can_be_read_on_paper(colour: stick.Colour) -> None:
    """4.5:1, as WCAG 1.4.3 asks of text."""
    channels = np.array(colour) / 255
    linear = ((channels + 0.055) / 1.055) ** 2.4
    assert 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) >= 4.5


def test_captions_and_labels_are_written(tmp_path: Path) -> None:
    plain, captioned, labelled = (
        drawn(tmp_path, walk(1, caption, label))[0]
        for caption, label in (("walks", ""), ("hops", ""), ("walks", "generated"))
    )
    changed = np.nonzero((plain != captioned).any(axis=(1, 2)))[0]
    assert changed.min() > 250
    changed = np.nonzero((plain != labelled).any(axis=(1, 2)))[0]
    assert changed.max() < 20


@given(text=st.text(max_size=300) | st.just("a person walks " * 1250))
def test_any_caption_is_cut_to_lines_that_fit(text: str) -> None:
    lines = stick._lines(text, 512)
    assert len(lines) <= 4
    assert all(stick._font().getlength(line) <= 480 for line in lines)


def test_pixels_in_the_palette_are_mixtures_of_four() -> None:
    """As a picture in true colour is halved, here by Pillow, up to a rounding."""
    ends = np.random.default_rng(0).integers(0, 128, (60, 4)).tolist()
    numbers, colours = Image.new("L", (128, 128)), Image.new("RGB", (128, 128), "white")
    for picture, is_true in ((numbers, False), (colours, True)):
        draw = ImageDraw.Draw(picture)
        for k, line in enumerate(ends):
            ink = list(stick._INKS)[k % 5]
            draw.line(line, fill=ink if is_true else stick._INKS[ink], width=5)
    expected = np.asarray(colours.reduce(2), dtype=np.int64)
    found = np.asarray(stick._halved(numbers).convert("RGB"), dtype=np.int64)
    assert np.abs(found - expected).max() <= 1


def test_any_four_weights_have_a_sum_of_their_own() -> None:
    sums = [sum(four) for four in combinations_with_replacement(stick._WEIGHTS, 4)]
    assert len(set(sums)) == len(sums) == 70
    assert max(sums) < 256
    palette = np.frombuffer(stick._mixtures()[1], np.uint8).reshape(-1, 3)
    assert len({tuple(colour) for colour in palette.tolist()}) == 70


def test_a_gif_of_no_motions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScalingError, match="0 motions to show; expected at least one"):
        stick.gif([], tmp_path / "none.gif")
    assert not list(tmp_path.iterdir())


# --- the strip ---


def strip(folder: Path, motion: Motion, frames: int = 8) -> Pixels:
    path = folder / "strip.png"
    stick.strip(motion, path, frames)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=np.int64)


def test_later_poses_are_darker(tmp_path: Path) -> None:
    """The same pose eight times over, evenly spaced."""
    still = Motion(joints=np.repeat(walk(1).joints, 8, axis=0), caption="stands")
    slots = np.split(strip(tmp_path, still), 8, axis=1)
    darkest = [slot[:100].sum(axis=-1).min() for slot in slots]
    assert darkest == sorted(darkest, reverse=True)
    assert len(set(darkest)) == 8
    shapes = [(slot[:100] < 255).any(axis=-1) for slot in slots]
    assert all((shape == shapes[0]).all() for shape in shapes)


@pytest.mark.parametrize(
    ("length", "asked", "poses"), [(30, 8, 8), (3, 8, 3), (1, 1, 1)]
)
def test_as_many_poses_as_asked_or_as_there_are(
    tmp_path: Path, length: int, asked: int, poses: int
) -> None:
    assert strip(tmp_path, walk(length), asked).shape[1] == 120 * poses


def test_a_strip_of_no_poses_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScalingError, match="0 frames shows nothing; expected at least"):
        stick.strip(walk(), tmp_path / "none.png", 0)
