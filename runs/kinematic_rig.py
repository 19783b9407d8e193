"""The puppet of the `kinematic` corpus: from named channels to joint positions.

A pose is a row of channels: angles in radians and offsets in metres, each zero in a
neutral stance. The trunk and arms follow the channels, the feet follow footholds on
the ground, and two-bone inverse kinematics closes the legs between them. Everything
is computed for all frames at once, in the frame of the root's path (Y up, facing +Z,
left at +X); the path is applied last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scaling.models.skeleton import (
    BONE_LENGTHS,
    JOINTS,
    Array,
    joints_from_directions,
    turn,
    unit,
)

SIDES = ("left", "right")
_CENTRAL = (
    "airborne",
    *(f"pelvis_{axis}" for axis in ("side", "height", "forward")),
    *(
        f"{part}_{axis}"
        for part in ("pelvis", "trunk", "head")
        for axis in ("yaw", "pitch", "roll")
    ),
)
_SIDED = (
    *("arm_flexion", "arm_abduction", "arm_twist", "elbow", "shrug"),
    *("foot_side", "foot_forward", "foot_up", "foot_pitch"),
)
CHANNELS = (*_CENTRAL, *(f"{side}_{name}" for side in SIDES for name in _SIDED))
"""Names of the columns of a pose.

Yaw turns to the left, pitch bends forward, roll leans to the left; `arm_abduction`,
`arm_twist` and `foot_side` point outwards on both sides. `airborne` lifts the pelvis
and both feet together.
"""
COLUMN = {name: column for column, name in enumerate(CHANNELS)}

STANDING_HEIGHT = 0.968
"""Height of the pelvis of a body that stands at ease, in metres."""
_TOE_HEIGHT = 0.018
_FOOT_SLOPE = 0.44
_REACH = 0.985  # a leg is never quite straight

# Bones of the trunk: direction in a neutral stance (means over standing frames of the
# CMU motion capture database), share of the trunk's angles, share of the head's.
_TRUNK: dict[str, tuple[tuple[float, float, float], float, float]] = {
    "left_hip": ((0.57, -0.80, -0.20), 0.0, 0.0),
    "right_hip": ((-0.57, -0.80, -0.20), 0.0, 0.0),
    "spine1": ((0.0, 1.0, -0.04), 0.1, 0.0),
    "spine2": ((0.0, 1.0, 0.08), 0.5, 0.0),
    "spine3": ((0.0, 1.0, -0.04), 0.8, 0.0),
    "neck": ((0.0, 1.0, -0.02), 1.0, 0.3),
    "left_collar": ((0.52, 0.84, -0.14), 1.0, 0.0),
    "right_collar": ((-0.52, 0.84, -0.14), 1.0, 0.0),
    "head": ((0.0, 0.93, 0.36), 1.0, 1.0),
    "left_shoulder": ((0.965, -0.22, 0.14), 1.0, 0.0),
    "right_shoulder": ((-0.965, -0.22, 0.14), 1.0, 0.0),
}
_TRUNK_BONES = [JOINTS.index(name) - 1 for name in _TRUNK]
_TRUNK_DIRECTIONS = unit(np.array([row[0] for row in _TRUNK.values()]))
_TRUNK_SHARE = np.array([row[1] for row in _TRUNK.values()])
_HEAD_SHARE = np.array([row[2] for row in _TRUNK.values()])
_OUTWARD = np.array([1.0, -1.0])  # the x of a side's outward direction


def _both(name: str) -> list[int]:
    return [COLUMN[f"{side}_{name}"] for side in SIDES]


def _bones(name: str) -> list[int]:
    return [JOINTS.index(f"{side}_{name}") - 1 for side in SIDES]


def _lengths(name: str) -> Array:
    lengths: Array = BONE_LENGTHS[[JOINTS.index(f"{side}_{name}") for side in SIDES]]
    return lengths


_THIGH, _SHIN, _FOOT = _lengths("knee"), _lengths("ankle"), _lengths("foot")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """Where the body is on the floor: the root's path and the feet's places."""

    path: Array
    """Ground point below the neutral pelvis, (T, 3) with y = 0, metres."""
    heading: Array
    """Direction of the body, (T,) radians from +Z to the left."""
    feet: Array
    """Ground point of left and right toe, (T, 2, 3), metres; y is the swing's lift."""
    feet_heading: Array
    """Direction of left and right foot, (T, 2) radians."""


def pose_joints(pose: Array, ground: Ground) -> Array:
    """Place the 22 joints of the puppet.

    Parameters
    ----------
    pose : (T, C)
        Channels, in the order of `CHANNELS`.
    ground : Ground
        The root's path and the feet's places.

    Returns
    -------
    (T, 22, 3)
        Joint positions in metres; bone lengths are those of HumanML3D.
    """
    directions = np.empty((len(pose), len(JOINTS) - 1, 3))
    _bend_trunk(directions, pose)
    _swing_arms(directions, pose)
    pelvis = _reach_ground(directions, pose, ground)
    joints = joints_from_directions(pelvis, directions)
    placed: Array = turn(joints, ground.heading[:, None]) + ground.path[:, None]
    return placed


def _rotated(vectors: Array, yaw: Array, pitch: Array, roll: Array) -> Array:
    """Lean, then bend, then turn vectors (..., 3): R_y(yaw) R_x(pitch) R_z(-roll)."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    cos, sin = np.cos(roll), np.sin(roll)
    x, y = x * cos + y * sin, y * cos - x * sin
    cos, sin = np.cos(pitch), np.sin(pitch)
    y, z = y * cos - z * sin, z * cos + y * sin
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.stack([x * cos + z * sin, y, z * cos - x * sin], axis=-1)


def _angles(pose: Array, part: str) -> Array:
    """Yaw, pitch and roll of a part, (3, T, 1)."""
    first = COLUMN[f"{part}_yaw"]
    return pose[:, first : first + 3].T[:, :, None]


def _bend_trunk(directions: Array, pose: Array) -> None:
    """Fill in the bones between hips, head and shoulders."""
    angles = (
        _angles(pose, "pelvis")
        + _angles(pose, "trunk") * _TRUNK_SHARE
        + _angles(pose, "head") * _HEAD_SHARE
    )
    directions[:, _TRUNK_BONES] = _rotated(_TRUNK_DIRECTIONS, *angles)
    shoulders = _bones("shoulder")
    directions[:, shoulders, 1] += pose[:, _both("shrug")]
    directions[:, shoulders] = unit(directions[:, shoulders])


def _swing_arms(directions: Array, pose: Array) -> None:
    """Fill in the arms: flexion swings them forward, abduction away from the body."""
    chest = _angles(pose, "pelvis") + _angles(pose, "trunk")
    flexion = np.clip(pose[:, _both("arm_flexion")], -1.3, 3.1)
    abduction = np.clip(pose[:, _both("arm_abduction")], -0.3, 3.0)
    twist = pose[:, _both("arm_twist")] * _OUTWARD
    elbow = np.clip(pose[:, _both("elbow")], 0.03, 2.6)
    zero = np.zeros_like(elbow)
    upper = np.stack([zero, zero - 1, zero], axis=-1)
    lower = np.stack([zero, -np.cos(elbow), np.sin(elbow)], axis=-1)
    lower = turn(lower, twist)
    for bones, arm in ((_bones("elbow"), upper), (_bones("wrist"), lower)):
        raised = _rotated(arm, zero, -flexion, zero)
        spread = _rotated(raised, zero, zero, -abduction * _OUTWARD)
        directions[:, bones] = _rotated(spread, *chest)


def _reach_ground(directions: Array, pose: Array, ground: Ground) -> Array:
    """Fill in the legs, and return the pelvis (T, 3) in the frame of the path."""
    heading = ground.heading[:, None]
    foot_yaw = ground.feet_heading - heading
    foot = _foot_directions(pose, foot_yaw)
    ankle = _toes(pose, ground) - foot * _FOOT[:, None]
    hips = directions[:, _bones("hip")] * _lengths("hip")[:, None]
    pelvis = pose[
        :, [COLUMN[f"pelvis_{axis}"] for axis in ("side", "height", "forward")]
    ]
    pelvis[:, 1] += STANDING_HEIGHT + pose[:, COLUMN["airborne"]]
    pelvis[:, 1] -= _drop_to_reach(pelvis[:, None] + hips, ankle)

    leg = ankle - (pelvis[:, None] + hips)
    left_axis = turn(np.array([1.0, 0.0, 0.0]), foot_yaw / 2)
    thigh, shin = two_bone_directions(leg, left_axis)
    directions[:, _bones("knee")] = thigh
    directions[:, _bones("ankle")] = shin
    directions[:, _bones("foot")] = foot
    return pelvis


def _foot_directions(pose: Array, foot_yaw: Array) -> Array:
    slope = np.clip(pose[:, _both("foot_pitch")] + _FOOT_SLOPE, -0.4, 1.5)
    level = np.stack([np.zeros_like(slope), -np.sin(slope), np.cos(slope)], axis=-1)
    return turn(level, foot_yaw)


def _toes(pose: Array, ground: Ground) -> Array:
    """Toes (T, 2, 3) in the frame of the path, gestures of the feet included."""
    toes = turn(ground.feet - ground.path[:, None], -ground.heading[:, None])
    toes[..., 0] += pose[:, _both("foot_side")] * _OUTWARD
    toes[..., 1] += pose[:, _both("foot_up")] + pose[:, [COLUMN["airborne"]]]
    toes[..., 1] = np.maximum(toes[..., 1], 0) + _TOE_HEIGHT
    toes[..., 2] += pose[:, _both("foot_forward")]
    return toes


def _drop_to_reach(hips: Array, ankle: Array) -> Array:
    """How far the pelvis must sink, (T,), so that both legs reach their ankles."""
    away = np.sum((ankle - hips)[..., 0::2] ** 2, axis=-1)
    reach = (_REACH * (_THIGH + _SHIN)) ** 2
    highest = ankle[..., 1] + np.sqrt(np.maximum(reach - away, 0.01))
    drop = np.maximum(hips[..., 1] - highest, 0).max(axis=1)
    padded = np.pad(drop, 2, mode="edge")
    smooth: Array = np.convolve(padded, [0.1, 0.2, 0.4, 0.2, 0.1], mode="valid")
    return smooth


def two_bone_directions(leg: Array, left_axis: Array) -> tuple[Array, Array]:
    """Thigh and shin of legs (T, 2, 3) from hip to ankle; the knee bends forward.

    The law of cosines gives the angle a at the hip, cos a = (t^2 + r^2 - s^2) / 2tr;
    the knee lies in the plane of the leg and of leg x left. A leg too short or too long
    is brought into reach, which moves the ankle.
    """
    distance = np.sqrt(np.sum(leg * leg, axis=-1))
    reach = np.clip(distance, 0.3, 0.998 * (_THIGH + _SHIN))
    along = unit(leg)
    knee_way = unit(np.cross(along, left_axis))
    cos = (_THIGH**2 + reach**2 - _SHIN**2) / (2 * _THIGH * reach)
    sin = np.sqrt(np.maximum(1 - cos**2, 0))
    thigh = along * cos[..., None] + knee_way * sin[..., None]
    shin = (along * reach[..., None] - thigh * _THIGH[:, None]) / _SHIN[:, None]
    return thigh, shin
