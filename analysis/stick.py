"""Stick figures by Pillow alone: motions as a GIF, or one of them along time as a PNG.

The view is orthographic, from a little above and the body's left, and follows the
body over a floor of half metres. Left limbs are blue, right ones orange.

Everything is drawn at twice its size and halved, for smooth edges. In a GIF no colours
have to be looked for then: its five inks are numbers of which any four have a sum of
their own, so the sum of four pixels says where their mixture is in the palette.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement, pairwise
from pathlib import Path
from typing import TypeAlias

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from scaling.analysis.player import Motion, at_least_one
from scaling.errors import ScalingError
from scaling.files import write_aside
from scaling.models.skeleton import CHAINS, FPS, JOINTS, Array

Ints: TypeAlias = NDArray[np.int64]
Colour: TypeAlias = tuple[int, int, int]
Inks: TypeAlias = Mapping[Colour, int | Colour]

PAPER, FLOOR, INK = (255, 255, 255), (204, 211, 221), (45, 55, 70)
LEFT, RIGHT = (30, 110, 200), (194, 86, 10)

_ENLARGED = 2
"""Pixels are drawn; so many of them, each way, make one of the picture."""
_WIDTH, _HEIGHT = 512, 480
"""Of the figure in a panel of the GIF, in drawn pixels, like all that follow."""
_SLOT_WIDTH, _SLOT_HEIGHT = 240, 400
"""Of a pose in a strip."""
_MARGIN, _LETTERS, _LINE = 16, 24, 32
"""About a panel; size of the letters, height of a line of text."""
_MOST_LINES, _MOST_LETTERS = 4, 400
"""Of a caption."""

_PATCH, _GRID = 0.75, 0.5
"""Half the side of the floor, and between its lines, in metres."""
_LIMB, _HEAD_RADIUS = 0.05, 0.085
"""Width of a limb, radius of the head, in metres."""

_AZIMUTH, _ELEVATION = np.radians((32, 14))
_ACROSS = np.array([np.cos(_AZIMUTH), 0, -np.sin(_AZIMUTH)])
_NEAR = np.array([np.sin(_AZIMUTH), np.tan(_ELEVATION), np.cos(_AZIMUTH)])
_NEAR *= np.cos(_ELEVATION)
_VIEW = np.stack([_ACROSS, np.cross(_ACROSS, _NEAR), _NEAR])
"""Rows: to the right, down, and towards who looks."""

_BONES = tuple(
    (start, end, colour)
    for chain, colour in zip(CHAINS, (RIGHT, LEFT, INK, RIGHT, LEFT), strict=True)
    for start, end in pairwise(chain)
)
_HEAD = JOINTS.index("head")


# --- the pictures ---


def gif(motions: Sequence[Motion], path: Path) -> None:
    """Draw motions side by side, 20 frames a second, over and over.

    A motion shorter than the others stays in its last frame. Same motions, same bytes.

    Raises
    ------
    ScalingError
        If there are no motions.
    """
    first, *others = _frames(at_least_one(motions))
    write_aside(
        path,
        lambda aside: first.save(
            aside,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=1000 // FPS,
            loop=0,
            palette=_mixtures()[1],
        ),
    )


def strip(motion: Motion, path: Path, frames: int = 8) -> None:
    """Draw poses of a motion beside one another, later ones darker, as a PNG.

    Parameters
    ----------
    motion : Motion
        Its caption is written below.
    path : Path
        Where the picture goes.
    frames : int
        Poses, evenly spaced from the first frame to the last; no more than there are.

    Raises
    ------
    ScalingError
        If no poses are asked for.
    """
    if frames < 1:
        raise ScalingError(
            f"a strip of {frames} frames shows nothing; expected at least 1: "
            "give another number"
        )
    last = len(motion.joints) - 1
    chosen = np.unique(np.linspace(0, last, frames).round().astype(int))
    picture = _strip(motion, chosen).reduce(_ENLARGED)
    write_aside(path, lambda aside: picture.save(aside, format="PNG"))


# --- what is seen, in metres ---


def _seen(joints: NDArray[np.floating]) -> tuple[Array, Array]:
    """See joints, and the floor below, from where the camera follows.

    Returns
    -------
    body : (T, 22, 3)
        Metres to the right, down, and towards who looks, from the floor under the body.
    floor : (T, lines, 2, 3)
        Ends of the lines.
    """
    target = _followed(joints)
    return (joints - target[:, None]) @ _VIEW.T, _floor(target) @ _VIEW.T


def _followed(joints: NDArray[np.floating]) -> Array:
    """Mean of the pelvis over a second, on the floor; (T, 3)."""
    radius = FPS // 2
    padded = np.pad(joints[:, 0], ((radius, radius), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1, axis=0)
    followed: Array = windows.mean(axis=-1) * [1, 0, 1]
    return followed


def _floor(target: Array) -> Array:
    """Lines at whole multiples of the grid, not farther than the patch."""
    steps = np.arange(_GRID - _PATCH, _PATCH + _GRID / 2, _GRID)
    across = steps - np.mod(target, _GRID)[..., None]  # (T, 3, lines)
    lines = np.zeros((len(target), 2, len(steps), 2, 3))
    for k, (fixed, along) in enumerate(((0, 2), (2, 0))):
        lines[:, k, :, :, fixed] = across[:, fixed, :, None]
        lines[:, k, :, :, along] = -_PATCH, _PATCH
    return lines.reshape(len(target), -1, 2, 3)


def _far_to_near(body: Array) -> Ints:
    """Order the bones for a painter, (T, 21)."""
    starts, ends = ([bone[k] for bone in _BONES] for k in (0, 1))
    near = body[:, starts, 2] + body[:, ends, 2]
    return np.argsort(near, axis=1, kind="stable")


# --- where it is drawn, in pixels ---


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fit:
    """How metres become pixels."""

    scale: float
    """Pixels per metre."""
    origin: tuple[float, float]
    """Pixel of the floor under the body."""

    def pixels(self, points: Array) -> Ints:
        """Place points (..., 3); (..., 2)."""
        placed = points[..., :2] * self.scale + self.origin
        return placed.round().astype(np.int64)


def _fit(bodies: Sequence[Array], patch: float, width: int, height: int) -> _Fit:
    """Stand bodies (T, 22, 3), as thick as heads, with their floor in a box."""
    right, down, _ = np.concatenate(bodies).reshape(-1, 3).T
    floor = patch * np.abs(_VIEW[:2, ::2]).sum(axis=1)  # its corners from its middle
    half = max(np.abs(right).max() + _HEAD_RADIUS, floor[0])
    top = min(down.min() - _HEAD_RADIUS, -floor[1])
    bottom = max(down.max() + _HEAD_RADIUS, floor[1])
    scale = min((width / 2 - _MARGIN) / half, (height - 2 * _MARGIN) / (bottom - top))
    ground = height - _MARGIN - scale * bottom
    return _Fit(scale=float(scale), origin=(width / 2, float(ground)))


def _draw_body(
    draw: ImageDraw.ImageDraw, pixels: Ints, order: Ints, scale: float, inks: Inks
) -> None:
    """Draw one pose (22, 2), its bones in order, with round ends."""
    points: list[list[int]] = pixels.tolist()
    half = max(1, round(_LIMB / 2 * scale))
    for bone in order.tolist():
        start, end, colour = _BONES[bone]
        x, y = points[end]
        radius = round(_HEAD_RADIUS * scale) if end == _HEAD else half
        draw.line((*points[start], x, y), fill=inks[colour], width=2 * half)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), inks[colour])


@cache
def _font(weight: str = "") -> ImageFont.FreeTypeFont:
    """Return the font of the figures, which matplotlib brings along."""
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    # raqm, the other layout, is not in every Pillow and fails on control characters
    basic = ImageFont.Layout.BASIC
    return ImageFont.truetype(
        fonts / f"DejaVuSans{weight}.ttf", _LETTERS, layout_engine=basic
    )


def _write(
    draw: ImageDraw.ImageDraw,
    lines: Sequence[str],
    y: int,
    ink: int | Colour,
    weight: str = "",
) -> None:
    for k, line in enumerate(lines):
        draw.text((_MARGIN, y + _LINE * k), line, ink, _font(weight))


def _lines(text: str, width: int, weight: str = "") -> list[str]:
    """Cut a text to lines that fit between the margins of so many pixels."""
    lines: list[str] = []
    for letters in range(width // 4, 1, -2):
        lines = textwrap.wrap(
            text[:_MOST_LETTERS], letters, max_lines=_MOST_LINES, placeholder=" …"
        )
        widest = max((_font(weight).getlength(line) for line in lines), default=0)
        if widest <= width - 2 * _MARGIN:
            break
    return lines


# --- the GIF ---

_WEIGHTS = (0, 1, 24, 37, 41)
"""Five numbers of which any four have a sum of their own; the least such, by search."""
_INKS = {
    colour: _ENLARGED**2 * weight  # the mean of four of these is the sum of the weights
    for colour, weight in zip((PAPER, FLOOR, LEFT, RIGHT, INK), _WEIGHTS, strict=True)
}


@cache
def _mixtures() -> tuple[list[int], bytes]:
    """Mix any four pixels: the place in the palette of each sum, and the palette."""
    places: list[int] = [0] * 256
    colours: list[Array] = []
    inks = zip(_WEIGHTS, _INKS, strict=True)
    for four in combinations_with_replacement(inks, 4):
        places[sum(weight for weight, _ in four)] = len(colours)
        colours.append(np.mean([ink for _, ink in four], axis=0))
    return places, np.array(colours).astype(np.uint8).tobytes()


def _halved(drawn: Image.Image) -> Image.Image:
    """Make four pixels, in the numbers of the inks, one in a colour of the palette."""
    places, palette = _mixtures()
    picture = drawn.reduce(_ENLARGED).point(places)
    picture.putpalette(palette)
    return picture


@dataclass(frozen=True, kw_only=True, slots=True)
class _Panel:
    """One motion of a GIF, in drawn pixels."""

    background: Image.Image
    """What stays: label and caption, in the numbers of the inks."""
    body: Ints
    """Joints, (T, 22, 2)."""
    floor: Ints
    """Lines from end to end, (T, lines, 4)."""
    order: Ints
    """Bones for a painter, (T, 21)."""
    scale: float
    """Pixels per metre."""

    def picture(self, frame: int) -> Image.Image:
        """Draw a frame, or the last one when it is over."""
        picture = self.background.copy()
        draw = ImageDraw.Draw(picture)
        frame = min(frame, len(self.body) - 1)
        for line in self.floor[frame].tolist():
            draw.line(line, fill=_INKS[FLOOR], width=_ENLARGED)
        _draw_body(draw, self.body[frame], self.order[frame], self.scale, _INKS)
        y, played = _LINE + _HEIGHT, (frame + 1) / len(self.body)
        right = _MARGIN + played * (_WIDTH - 2 * _MARGIN)
        draw.rectangle((_MARGIN, y, right, y + 3), _INKS[FLOOR])
        return picture


def _frames(motions: Sequence[Motion]) -> Iterator[Image.Image]:
    panels = _panels(motions)
    height = panels[0].background.height
    for frame in range(max(len(motion.joints) for motion in motions)):
        drawn = Image.new("L", (_WIDTH * len(panels), height))
        for k, panel in enumerate(panels):
            drawn.paste(panel.picture(frame), (k * _WIDTH, 0))
        yield _halved(drawn)


def _panels(motions: Sequence[Motion]) -> list[_Panel]:
    """Lay out all motions to one scale."""
    seen = [_seen(motion.joints) for motion in motions]
    fit = _fit([body for body, _ in seen], _PATCH, _WIDTH, _HEIGHT)
    captions = [_lines(motion.caption, _WIDTH) for motion in motions]
    height = _HEIGHT + _LINE * (2 + max(map(len, captions)))
    below = np.array([0, _LINE])  # the label
    return [
        _Panel(
            background=_background(motion.label, caption, height),
            body=fit.pixels(body) + below,
            floor=(fit.pixels(floor) + below).reshape(len(floor), -1, 4),
            order=_far_to_near(body),
            scale=fit.scale,
        )
        for motion, caption, (body, floor) in zip(motions, captions, seen, strict=True)
    ]


def _background(label: str, caption: Sequence[str], height: int) -> Image.Image:
    picture = Image.new("L", (_WIDTH, height), _INKS[PAPER])
    draw = ImageDraw.Draw(picture)
    draw.fontmode = "1"  # a letter's pixel has its ink or none
    _write(draw, _lines(label, _WIDTH, "-Bold")[:1], 4, _INKS[INK], "-Bold")
    _write(draw, caption, _HEIGHT + _LINE * 3 // 2, _INKS[INK])
    return picture


# --- the strip ---


def _strip(motion: Motion, chosen: Ints) -> Image.Image:
    body, _ = _seen(motion.joints)
    body = body[chosen]
    fit = _fit([body], 0, _SLOT_WIDTH, _SLOT_HEIGHT)
    width = _SLOT_WIDTH * len(chosen)
    caption = _lines(motion.caption, width)
    height = _SLOT_HEIGHT + _LINE * (len(caption) + 2)
    picture = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(picture)
    ground = round(fit.origin[1])
    draw.line((_MARGIN, ground, width - _MARGIN, ground), FLOOR, width=_ENLARGED)
    order, pixels = _far_to_near(body), fit.pixels(body)
    for k, frame in enumerate(chosen.tolist()):
        inks = _faded(0.65 * (1 - (k + 1) / len(chosen)))
        left = _SLOT_WIDTH * k
        _draw_body(draw, pixels[k] + (left, 0), order[k], fit.scale, inks)
        place = (left + _SLOT_WIDTH // 2, _SLOT_HEIGHT)
        draw.text(place, f"{frame / FPS:.2f} s", INK, _font(), anchor="ma")
    _write(draw, caption, _SLOT_HEIGHT + _LINE * 3 // 2, INK)
    top = int(pixels[..., 1].min() - _HEAD_RADIUS * fit.scale) - _MARGIN
    return picture.crop((0, max(top, 0), width, height))


def _faded(share: float) -> Inks:
    """Mix the inks with so much paper."""
    return {
        ink: (
            round(ink[0] + share * (PAPER[0] - ink[0])),
            round(ink[1] + share * (PAPER[1] - ink[1])),
            round(ink[2] + share * (PAPER[2] - ink[2])),
        )
        for ink in (LEFT, RIGHT, INK)
    }
