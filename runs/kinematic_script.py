"""What one person of the `kinematic` corpus will do: who, in which manner, and when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from scaling.models.skeleton import FPS
from scaling.runs.kinematic_actions import ACTIONS
from scaling.runs.kinematic_catalogue import STYLES, Action, Path, Style

MIN_FRAMES, MAX_FRAMES = 41, 197
"""Frames of joints in a sequence: 40 to 196 feature vectors, HumanML3D's limits."""

_NUM_ACTIONS = (1, 2, 3, 4)
_NUM_ACTIONS_ODDS = (0.3, 0.35, 0.22, 0.13)
_OVERLAY_ODDS = 0.25
_AGAIN_ODDS = 0.2
_STEPS_OF_CIRCLE = 8

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """One action at its place in a sequence, with everything that was drawn for it."""

    action: Action
    """What is done."""
    side: str
    """`left` or `right`: the hand, the leg, or where a turn leads."""
    start: int
    """First frame."""
    frames: int
    """Number of frames."""
    repeats: int
    """Number of repetitions, or steps."""
    cycles: float
    """Repetitions of the tracks' shapes; two steps are one stride."""
    amplitude: float
    """Factor on the size of the movement."""
    path: Path = "forward"
    """Where a gait leads."""
    speed: float = 0.0
    """Speed along the path, metres per second."""
    turn: float = 0.0
    """Change of heading, radians to the left."""
    overlay: Segment | None = None
    """What the arms or the head do meanwhile."""
    again: bool = False
    """Whether it repeats the first segment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """A whole sequence."""

    style: Style
    """The manner that persists throughout."""
    pace: float
    """How quickly this person does everything, 1 is normal; the style comes on top."""
    segments: tuple[Segment, ...]
    """What is done, in order."""
    frames: int
    """Length in frames."""


def zipf(rng: np.random.Generator, rows: Sequence[T]) -> T:
    """Draw a row of a table with probability in proportion to 1 / rank."""
    weights = np.cumsum(1 / np.arange(1, len(rows) + 1))
    return rows[int(np.searchsorted(weights, rng.random() * weights[-1]))]


def write_script(rng: np.random.Generator) -> Script:
    """Draw a script: one to four actions by one person in one manner."""
    style = zipf(rng, STYLES)
    pace = float(np.clip(np.exp(rng.normal(0, 0.2)), 0.7, 1.45))
    amplitude = float(np.clip(np.exp(rng.normal(0, 0.12)), 0.75, 1.3))
    writer = _Writer(
        rng=rng,
        tempo=pace * style.tempo,
        amplitude=amplitude * style.amplitude,
        dominant="right" if rng.random() < 0.85 else "left",
    )
    segments: list[Segment] = []
    now = int(rng.integers(3, 12))
    count = int(rng.choice(_NUM_ACTIONS, p=_NUM_ACTIONS_ODDS))
    for position in range(count):
        segment = writer.segment(segments, position == count - 1, now)
        if segment is None:
            break
        segments.append(segment)
        now += segment.frames + int(rng.integers(0, 5))
    tail = int(rng.integers(4, 14))
    frames = int(np.clip(now + tail, MIN_FRAMES, MAX_FRAMES))
    return Script(
        style=style,
        pace=pace,
        segments=tuple(segments),
        frames=frames,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Writer:
    """One person's habits, from which every segment is drawn."""

    rng: np.random.Generator
    tempo: float
    amplitude: float
    dominant: str

    def segment(
        self, before: Sequence[Segment], is_last: bool, start: int
    ) -> Segment | None:
        """Draw the segment that begins at frame `start`; None if no room is left."""
        room = MAX_FRAMES - 4 - start
        if len(before) >= 2 and self.rng.random() < _AGAIN_ODDS:
            first = before[0]
            if first.action.place == "anywhere" and first.frames <= room:
                return replace(first, start=start, again=True)
        places = {"anywhere"} | ({"last"} if is_last else set())
        if not before:
            places.add("first")
        action = zipf(self.rng, [row for row in ACTIONS if row.place in places])
        return self._drawn(action, start, room)

    def _drawn(self, action: Action, start: int, room: int) -> Segment | None:
        period = self.rng.uniform(*action.period) / self.tempo
        strides = action.gait is not None and action.gait.feet == "alternate"
        each = FPS * period / (2 if strides else 1)
        low, high = action.repeats
        repeats = min(int(self.rng.integers(low, high + 1)), int(room / each))
        if repeats < low:
            return None
        segment = Segment(
            action=action,
            side=self._side(action),
            start=start,
            frames=math.ceil(repeats * each),
            repeats=repeats,
            cycles=repeats / (2 if strides else 1),
            amplitude=self._amplitude(action),
        )
        segment = self._led(segment)
        if self._may_overlay(segment) and self.rng.random() < _OVERLAY_ODDS:
            return replace(segment, overlay=self._overlay(segment))
        return segment

    def _amplitude(self, action: Action) -> float:
        # Arms raised by less than .8 are no longer up; above 1.3 joints reach limits.
        least = 0.8 if action.gait is None else 0.4
        drawn = self.amplitude * self.rng.uniform(0.85, 1.15)
        return float(np.clip(drawn, least, 1.3))

    def _side(self, action: Action) -> str:
        # A hand is a habit; where to turn or to lean is not.
        keeps = 0.85 if action.sided and action.gait is None else 0.5
        other = "left" if self.dominant == "right" else "right"
        return self.dominant if self.rng.random() < keeps else other

    def _led(self, segment: Segment) -> Segment:
        """Choose the path of a gait."""
        gait = segment.action.gait
        if gait is None:
            return segment
        path = zipf(self.rng, gait.paths)
        if path == "circle" and segment.repeats < _STEPS_OF_CIRCLE:
            path = "curve"
        slower = {"backward": 0.6, "sideways": 0.45}.get(path, 1.0)
        speed = self.rng.uniform(*gait.speed) * self.tempo * slower
        angle = {
            "curve": self.rng.uniform(0.7, 1.9),
            "circle": math.tau,
        }.get(path, gait.turn * float(self.rng.choice((0.5, 1.0, 2.0))))
        return replace(
            segment,
            path=path,
            speed=speed * math.sqrt(segment.amplitude),
            turn=angle if segment.side == "left" else -angle,
        )

    def _may_overlay(self, segment: Segment) -> bool:
        gait = segment.action.gait
        return gait is not None and gait.feet == "alternate" and gait.turn == 0

    def _overlay(self, segment: Segment) -> Segment | None:
        action = zipf(self.rng, [row for row in ACTIONS if row.overlay])
        period = self.rng.uniform(*action.period) / self.tempo
        repeats = int(segment.frames / (FPS * period))
        if repeats < action.repeats[0]:
            return None
        return Segment(
            action=action,
            side=self._side(action),
            start=segment.start,
            frames=segment.frames,
            repeats=repeats,
            cycles=repeats,
            amplitude=self._amplitude(action),
        )
