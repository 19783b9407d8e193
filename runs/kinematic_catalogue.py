"""The words of the `kinematic` corpus: what an action, a gait and a style are.

An action is a list of tracks; a track adds a shape in time to one channel of the
puppet. The actions themselves are in `kinematic_actions`, the styles below.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Shape = Literal[
    "hold",
    "bump",
    "twin",
    "strike",
    "load",
    "flight",
    "sway",
    "lag",
    "stride",
    "bounce",
]
Path = Literal["forward", "backward", "sideways", "curve", "circle"]
Track = tuple[str, float, Shape]
"""Channel, size (radians or metres) and shape in time.

A channel's side is `near` (the side that the action is done with), `far`, `left`,
`right` or `both`; sideways channels of the trunk point to the near side.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gait:
    """How an action carries the body along."""

    feet: Literal["alternate", "together", "near"]
    """Which feet step: one after the other, both at once, or one only."""
    speed: tuple[float, float] = (0.0, 0.0)
    """Range of forward speed, metres per second."""
    swing: float = 0.4
    """Share of a stride that a foot spends in the air."""
    lift: float = 0.06
    """How high a foot is lifted, metres."""
    roll: float = 0.5
    """How far the heel rises at the end of a stance, radians."""
    paths: tuple[Path, ...] = ("forward",)
    """Where it may lead, most common first."""
    turn: float = 0.0
    """Angle turned in place, radians; a multiple of it is drawn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """One thing a person can do."""

    name: str
    """Key in the catalogue."""
    phrases: tuple[str, ...]
    """What a caption says; `*` marks a verb, {side} and {other} are filled in."""
    tracks: tuple[Track, ...]
    """What it adds to the puppet's channels."""
    period: tuple[float, float] = (0.9, 1.3)
    """Range of the seconds that one repetition (one stride, for a gait) takes."""
    repeats: tuple[int, int] = (1, 3)
    """Range of the repetitions; the number of steps, for a gait."""
    counted: bool = True
    """Whether captions may say how often."""
    sided: bool = False
    """Whether it is done with one side."""
    overlay: bool = False
    """Whether it leaves the legs free, so that it can be done while walking."""
    place: Literal["anywhere", "first", "last"] = "anywhere"
    """Actions that leave the stance can only end a sequence or begin it."""
    gait: Gait | None = None
    """How it moves along, if it does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """A manner that persists over a sequence."""

    name: str
    """Key in the catalogue."""
    phrases: tuple[str, ...]
    """What a caption says at the end of a clause; empty for the neutral style."""
    tempo: float = 1.0
    """Factor on the speed of everything."""
    amplitude: float = 1.0
    """Factor on the size of gestures."""
    pose: dict[str, float] = field(default_factory=dict)
    """Channels held throughout."""
    tremor: float = 0.0
    """Fast shaking of the arms, radians."""
    stagger: float = 0.0
    """Slow swaying of trunk and path, radians."""


STYLES: tuple[Style, ...] = (
    Style(name="neutral", phrases=()),
    Style(
        name="confident",
        phrases=("confidently", "with confidence"),
        amplitude=1.2,
        pose={"trunk_pitch": -0.1, "head_pitch": -0.1, "both_arm_abduction": 0.12},
    ),
    Style(
        name="tired",
        phrases=("tiredly", "as if exhausted"),
        tempo=0.8,
        amplitude=0.75,
        pose={"trunk_pitch": 0.28, "head_pitch": 0.35, "pelvis_height": -0.03},
    ),
    Style(
        name="happy",
        phrases=("happily", "in a cheerful mood"),
        tempo=1.1,
        amplitude=1.25,
        pose={"head_pitch": -0.12, "both_arm_abduction": 0.1, "both_elbow": 0.35},
    ),
    Style(
        name="old",
        phrases=("like an old person", "as an elderly person would"),
        tempo=0.68,
        amplitude=0.7,
        pose={"trunk_pitch": 0.55, "head_pitch": -0.2, "pelvis_height": -0.07},
        tremor=0.02,
    ),
    Style(
        name="angry",
        phrases=("angrily", "in an angry way"),
        tempo=1.15,
        amplitude=1.3,
        pose={"trunk_pitch": 0.15, "both_elbow": 0.7, "both_arm_abduction": 0.18},
    ),
    Style(
        name="sad",
        phrases=("sadly", "with the head hanging"),
        tempo=0.82,
        amplitude=0.65,
        pose={"trunk_pitch": 0.2, "head_pitch": 0.6, "both_shrug": -0.15},
    ),
    Style(
        name="drunk",
        phrases=("as if drunk", "like a drunk person"),
        tempo=0.85,
        amplitude=1.05,
        pose={"pelvis_height": -0.02, "both_arm_abduction": 0.15},
        stagger=0.16,
    ),
    Style(
        name="nervous",
        phrases=("nervously", "in a nervous way"),
        tempo=1.1,
        amplitude=0.75,
        pose={"trunk_pitch": 0.12, "both_elbow": 1.2, "both_shrug": 0.2},
        tremor=0.035,
    ),
    Style(
        name="robot",
        phrases=("stiffly", "as if the joints were stiff"),
        tempo=0.9,
        amplitude=0.45,
        pose={"trunk_pitch": -0.05, "both_arm_abduction": 0.06},
    ),
    Style(
        name="zombie",
        phrases=("like a zombie", "as a zombie would"),
        tempo=0.72,
        amplitude=0.6,
        pose={"both_arm_flexion": 1.3, "head_roll": 0.3, "trunk_pitch": 0.12},
        stagger=0.06,
    ),
    Style(
        name="proud",
        phrases=("proudly", "with the chest out"),
        tempo=0.95,
        amplitude=1.1,
        pose={"trunk_pitch": -0.2, "head_pitch": -0.2, "both_arm_abduction": 0.2},
    ),
)
"""Manners, most common first."""
