"""A player of motions: one HTML page, or a piece of one, that asks nobody for anything.

The joints stand in the page as int16 in base64, 132 bytes a frame before base64 makes
176 of them; `player.html` holds the style and the script that draw them. Pages with
several players put `assets()` once into their head and a `fragment` where each belongs.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.models.skeleton import CHAINS, FPS, checked_joints

UNIT = 0.0005
"""Metres of one step of a coordinate, unless the motion leaves +-16.4 m."""

_NO_NETWORK = (
    "default-src 'none'; img-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Motion:
    """A motion to be seen.

    Raises
    ------
    ScalingError
        If the joints are not (T, 22, 3) with T >= 1, or one is not finite.
    """

    joints: NDArray[np.floating]
    """Joints of `scaling.models.skeleton`, (T, 22, 3) in metres, Y up, 20 fps."""
    caption: str = ""
    """What it shows."""
    label: str = ""
    """What it is: real, reconstructed, generated."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "joints", checked_joints(self.joints, frames=1))


def at_least_one(motions: Sequence[Motion]) -> Sequence[Motion]:
    """Return the motions if there are any; a picture of none is a ScalingError."""
    if not motions:
        raise ScalingError(
            "there are 0 motions to show; expected at least one: name a clip or a run"
        )
    return motions


def page(motions: Sequence[Motion], title: str) -> str:
    """Show motions side by side on a page of their own.

    The address may end in `#frame=30`: the page then opens there, and waits.
    """
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_NO_NETWORK}">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
{assets()}</head>
<body class="motion-page">
<h1>{escape(title)}</h1>
{fragment(motions)}</body>
</html>
"""


def assets() -> str:
    """Return the style and the script of all players of a page, for its head."""
    html = files("scaling.analysis") / "player.html"
    return html.read_text(encoding="utf-8")


def fragment(motions: Sequence[Motion], name: str = "") -> str:
    """Show motions side by side, with one slider, inside a page that has `assets()`.

    A `name`, such as "Clip 1", tells it from the other players of the page; what all
    motions show is then said once, beside the name.
    """
    last = max(len(motion.joints) for motion in at_least_one(motions)) - 1
    captions = {motion.caption for motion in motions}
    shared = escape(captions.pop()) if name and len(captions) == 1 else ""
    views = "".join(_view(motion, not shared) for motion in motions)
    speeds = "".join(
        f'<option value="{speed}"{" selected" * (speed == 1)}>{speed}×</option>'
        for speed in (0.25, 0.5, 1, 2)
    )
    named = escape(name)
    heading = f'<p class="name"><b>{named}</b> {shared}</p>\n' if name else ""
    of = f"{named}: " if name else ""
    spoken = f"Motion player{name and ': '}{named}"
    return f"""<section class="motion-player" tabindex="0" aria-label="{spoken}"
 data-fps="{FPS}" data-chains="{json.dumps(CHAINS)}">
{heading}<div class="views">
{views}</div>
<div class="controls">
<button type="button">Play</button>
<input type="range" min="0" max="{last}" value="0" aria-label="{of}Frame">
<output></output>
<select aria-label="{of}Speed">{speeds}</select>
</div>
<p class="help"><b class="left">left</b> and <b class="right">right</b> limbs, floor in
half metres. Drag to orbit, scroll or pinch to zoom; space plays, arrows step, with
shift they orbit.</p>
</section>
"""


def _view(motion: Motion, with_caption: bool = True) -> str:
    """Write one motion: its canvas, with the joints, and what is said about it."""
    unit = max(UNIT, float(np.abs(motion.joints).max()) / np.iinfo(np.int16).max)
    steps = (motion.joints / unit).round().astype("<i2")
    data = base64.b64encode(steps.tobytes()).decode("ascii")
    label, caption = escape(motion.label), escape(motion.caption)
    spoken = ": ".join(part for part in (label, caption) if part) or "motion"
    said = caption if with_caption else ""
    return f"""<figure>
<canvas role="img" aria-label="{spoken}" data-unit="{unit!r}" data-joints="{data}">
</canvas>
<figcaption><b>{label}</b> {said}</figcaption>
</figure>
"""
