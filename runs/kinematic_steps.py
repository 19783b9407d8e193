"""Footsteps of the `kinematic` corpus: feet that stay where they are planted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scaling.models.skeleton import Array, turn


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One foot in the air, from one foothold to the next; times in frames."""

    foot: int
    """0 is the left foot, 1 the right."""
    lift: float
    """When the foot leaves the ground."""
    land: float
    """When it is planted again."""
    height: float
    """How high it is lifted, metres."""
    roll: float
    """How far the heel rises before the foot leaves the ground, radians."""
    settle: float
    """Frames from landing until the body stands above the foot."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stance:
    """Where a person's feet stand below the pelvis."""

    width: float
    """Distance between the feet, metres."""
    toe_out: float
    """Angle of each foot away from straight ahead, radians."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Footfall:
    """One foot over time."""

    place: Array
    """Ground point of the toe, (T, 3); y is the lift."""
    heading: Array
    """Direction of the foot, (T,) radians."""
    pitch: Array
    """Extra slope of the foot, (T,) radians; the heel is up where it is positive."""


_TOE_FORWARD = 0.06  # of the pelvis, metres
_HEEL_OFF = 3.0  # frames before a step in which the heel rises


def smooth(u: Array) -> Array:
    """Rise from 0 to 1 with flat ends: 3u^2 - 2u^3."""
    return u * u * (3 - 2 * u)


def footfall(
    steps: list[Step], foot: int, path: Array, heading: Array, stance: Stance
) -> Footfall:
    """Carry one foot from foothold to foothold.

    Between two steps a foot is planted where the body stands in the middle of that
    stance, so that a leg leads at first as much as it trails later.

    Parameters
    ----------
    steps : list of Step
        Steps of both feet, in order of time.
    foot : int
        The foot to follow, 0 or 1.
    path, heading : (T, 3), (T,)
        The root's path and direction.
    stance : Stance
        Where the feet stand below the pelvis.
    """
    # The foothold of the first frame is that of a step before the clip.
    planted = Step(foot=foot, lift=-2.0, land=-1.0, height=0.0, roll=0.0, settle=1.0)
    lift, land, height, roll, settle = np.array(
        [
            (step.lift, step.land, step.height, step.roll, step.settle)
            for step in [planted, *steps]
            if step.foot == foot
        ]
    ).T
    until = np.append(lift[1:], np.inf)
    land = np.minimum(land, until)
    middle = np.minimum((land + until) / 2, land + settle)
    hold, facing = _footholds(middle, foot, path, heading, stance)

    frame = np.arange(len(path), dtype=np.float64)
    now = np.searchsorted(lift, frame, side="right") - 1
    before = np.maximum(now - 1, 0)
    span = np.maximum(land - lift, 1.0)
    u = np.clip((frame - lift[now]) / span[now], 0, 1)
    carried = smooth(u)
    place = hold[before] + (hold[now] - hold[before]) * carried[:, None]
    place[:, 1] = height[now] * np.sin(np.pi * u**0.8) ** 2
    turned = facing[before] + (facing[now] - facing[before]) * carried

    # The toes push off at the end of a stance and point up before landing.
    coming = np.append(roll[1:], 0.0)[now]
    push = coming * smooth(np.clip(1 - (until[now] - frame) / _HEEL_OFF, 0, 1))
    swing = roll[now] * ((1 - u) ** 2 - 3 * u * u * (1 - u))
    return Footfall(place=place, heading=turned, pitch=np.where(u < 1, swing, push))


def _footholds(
    times: Array, foot: int, path: Array, heading: Array, stance: Stance
) -> tuple[Array, Array]:
    """Ground points (K, 3) and directions (K,) of a foot below the body at K times."""
    frame = np.arange(len(path))
    outward = 1.0 if foot == 0 else -1.0
    facing = np.interp(times, frame, heading)
    body = np.stack([np.interp(times, frame, axis) for axis in path.T], axis=-1)
    offset = np.array([outward * stance.width / 2, 0.0, _TOE_FORWARD])
    return body + turn(offset, facing), facing + outward * stance.toe_out
