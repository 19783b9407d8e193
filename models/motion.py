"""The 263-dim HumanML3D representation of human motion, there and back.

A clip of T frames becomes T - 1 feature vectors, because velocities look one
frame ahead:

    joints (T, 22, 3)  --features-->  (T - 1, 263)  --recover-->  (T - 1, 22, 3)

The representation is Guo et al., "Generating Diverse and Natural 3D Human Motions
from Text", CVPR 2022 (github.com/EricGuo5513/HumanML3D), its slips included, since
every published number was made with them. No torch: a corpus is read long before it
is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter1d

from scaling.errors import ScalingError
from scaling.models.skeleton import (
    CHAINS,
    NUM_JOINTS,
    PARENTS,
    REST_DIRECTIONS,
    Array,
    across_hips,
    across_shoulders,
    bone_directions,
    checked_joints,
    heading_of,
    turn,
    unit,
)

Facing = Literal["h3d", "fixed"]

GROUPS: dict[str, slice] = {
    "root_yaw_step": slice(0, 1),
    "root_velocity": slice(1, 3),
    "root_height": slice(3, 4),
    "positions": slice(4, 67),
    "rotations": slice(67, 193),
    "velocities": slice(193, 259),
    "contacts": slice(259, 263),
}
"""The seven groups of feature dimensions; each shares one standard deviation."""
NUM_FEATURES = 263

CONTACT_JOINTS = (7, 10, 8, 11)
"""Joints of the four contact dimensions: left ankle, foot, right ankle, foot."""
CONTACT_THRESHOLD = 0.002
"""A joint rests when it moves less than this, in squared metres per frame."""
FACING_SMOOTHING = 20.0
"""Standard deviation, in frames, of the Gaussian that smooths the facing."""

# The frame in which HumanML3D writes each bone's rotation: that of the bone before
# it in its chain, or the facing (row 0) where a chain starts. The arm chains start
# at the chest and still take the facing, as in the original.
_CHAIN_PARENTS = [
    0 if joint in {chain[1] for chain in CHAINS} else PARENTS[joint]
    for joint in range(1, NUM_JOINTS)
]


def features(joints: ArrayLike, facing: Facing = "h3d") -> Array:
    """Describe a clip by the 263 HumanML3D features of each frame.

    Parameters
    ----------
    joints : (T, 22, 3)
        Joint positions in metres at 20 fps; `canonical` first, if the clip does not
        start at the origin facing +Z. T is at least 2.
    facing : {"h3d", "fixed"}
        How the body's facing is found. "h3d" reproduces the published data, which
        enter the hips with the wrong sign (HumanML3D issues 107, 112, 119) and turn
        the yaw step around where the facing crosses -Z. "fixed" does neither.

    Returns
    -------
    (T - 1, 263)
        Laid out as `GROUPS` says:

        ============= =========================================================
        root_yaw_step half the turn to the right to the next frame, radians
        root_velocity x, z of the pelvis' step, in the next frame's heading, m
        root_height   height of the pelvis, m
        positions     joints 1 to 21 about the pelvis' ground point, heading removed
        rotations     the first two columns of each bone's rotation in its chain
        velocities    step of every joint to the next frame, heading removed, m
        contacts      1 where left ankle, left foot, right ankle, right foot rest
        ============= =========================================================

    Raises
    ------
    ScalingError
        If the shape is wrong, a value is not finite, or there is only one frame.

    Notes
    -----
    The heading of frame 0 is set to zero and that of frame 1 is not, so that the first
    step carries a jump; the original does so too. Under "h3d", a clip whose facing
    crosses -Z does not come back from `recover` (one CMU clip in six); under "fixed"
    every clip does.
    """
    joints = checked_joints(joints, frames=2)
    heading = _heading(joints, facing)
    step = joints[1:] - joints[:-1]
    ground = joints[:-1, :1] * np.array([1.0, 0.0, 1.0])
    here = heading[:-1, None]
    frames = len(step)
    rotations = _chain_rotations(bone_directions(joints[:-1]), heading[:-1])
    moved = np.sum(step[:, CONTACT_JOINTS] ** 2, axis=-1)
    return np.concatenate(
        [
            _half_yaw_step(heading, facing)[:, None],
            turn(step[:, 0], -heading[1:])[:, [0, 2]],
            joints[:-1, 0, 1:2],
            turn(joints[:-1, 1:] - ground, -here).reshape(frames, -1),
            rotations.reshape(frames, -1),
            turn(step, -here).reshape(frames, -1),
            (moved < CONTACT_THRESHOLD).astype(np.float64),
        ],
        axis=-1,
    )


def recover(features: ArrayLike) -> Array:
    """Rebuild joint positions from the root and position features.

    This is HumanML3D's `recover_from_ric`: it reads the first 67 dimensions; rotations,
    velocities and contacts take no part.

    Parameters
    ----------
    features : (..., T, 263)
        Features of one clip or a batch of clips.

    Returns
    -------
    (..., T, 22, 3)
        Joint positions in metres, starting at the origin. Errors in the root's steps
        add up along the clip.

    Raises
    ------
    ScalingError
        If the last axis is not 263 long.
    """
    rows = _checked_features(features)
    yaw_step, velocity = rows[..., 0], rows[..., GROUPS["root_velocity"]]
    heading = -2 * _sum_before(yaw_step)
    step = np.zeros((*rows.shape[:-1], 3))
    # Frame t's velocity is written in the heading of frame t + 1, where it is undone.
    step[..., 1:, 0::2] = velocity[..., :-1, :]
    root = np.cumsum(turn(step, heading), axis=-2)
    root[..., 1] = rows[..., 3]

    positions = rows[..., GROUPS["positions"]].reshape(*rows.shape[:-1], -1, 3)
    positions = turn(positions, heading[..., None])
    positions += root[..., None, :] * np.array([1.0, 0.0, 1.0])
    return np.concatenate([root[..., None, :], positions], axis=-2)


def mean_std(clips: Sequence[ArrayLike]) -> tuple[Array, Array]:
    """Mean and standard deviation by which features are normalised; (263,) each.

    As in HumanML3D, the deviation is taken per dimension and then averaged inside each
    of `GROUPS`, so that the axes of one group keep their proportions.

    Parameters
    ----------
    clips : sequence of array_like
        Features of each, (frames, 263). They are gone through twice, one after another,
        so that a corpus need not fit into memory.
    """
    frames = sum(len(np.asarray(clip)) for clip in clips)
    mean = _summed(clips) / frames
    std = np.sqrt(_summed(clips, about=mean) / frames)
    for group in GROUPS.values():
        std[group] = std[group].mean()
    return mean, std


def _summed(clips: Sequence[ArrayLike], about: Array | None = None) -> Array:
    """Sum frames, or their squared distances from `about`, in their order."""
    total = np.zeros(NUM_FEATURES)
    for clip in clips:
        rows = _checked_features(clip)
        rows = rows if about is None else (rows - about) ** 2
        # as one sum over all frames would round
        total = np.add.reduce(np.vstack([total, rows]))
    return total


def mpjpe(a: ArrayLike, b: ArrayLike) -> float:
    """Mean distance between the joints of two motions, in millimetres.

    Both (..., 22, 3) are moved so that their pelvises coincide in every frame, the
    convention of MoMask and ScaMo: a drift of the root does not count.

    Raises
    ------
    ScalingError
        If the shapes differ or are not of 22 joints.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape or first.shape[-2:] != (NUM_JOINTS, 3):
        raise ScalingError(
            f"cannot compare joints of shapes {first.shape} and {second.shape}: "
            f"expected two equal shapes (..., {NUM_JOINTS}, 3); "
            "cut both to the same frames"
        )
    offset = (first - first[..., :1, :]) - (second - second[..., :1, :])
    return float(1000 * np.linalg.norm(offset, axis=-1).mean())


def _checked_features(features: ArrayLike) -> Array:
    array = np.asarray(features, dtype=np.float64)
    if array.ndim < 2 or array.shape[-1] != NUM_FEATURES:
        raise ScalingError(
            f"features have shape {array.shape}: expected (..., frames, "
            f"{NUM_FEATURES}); make them with scaling.models.motion.features"
        )
    return array


def _heading(joints: Array, facing: Facing) -> Array:
    """Smoothed heading of each frame, (T,), zero in frame 0."""
    sign = {"h3d": -1.0, "fixed": 1.0}.get(facing)
    if sign is None:
        raise ScalingError(
            f"facing is {facing!r}: expected 'h3d' (as published) or 'fixed'"
        )
    across = unit(across_shoulders(joints) + sign * across_hips(joints))
    smooth = gaussian_filter1d(across, FACING_SMOOTHING, axis=0, mode="nearest")
    heading = heading_of(smooth)
    heading[0] = 0.0
    return heading


def _half_yaw_step(heading: Array, facing: Facing) -> Array:
    """Half the turn to the right from each frame to the next, (T - 1,) radians."""
    half = (heading[:-1] - heading[1:]) / 2
    if facing == "fixed":
        return (half + np.pi / 2) % np.pi - np.pi / 2
    # The y component of a quaternion quotient: past half a turn it changes sign.
    return np.asarray(np.arcsin(np.sin(half)))


def _sum_before(values: Array) -> Array:
    """Sum of the values before each one along the last axis: 0, v0, v0 + v1, ..."""
    return np.cumsum(values, axis=-1) - values


def _chain_rotations(directions: Array, heading: Array) -> Array:
    """First two columns of every bone's rotation in its chain; (T, 21, 2, 3)."""
    facing = np.moveaxis(turn(np.eye(3), -heading[:, None]), -1, -2)
    bones = _shortest_rotations(REST_DIRECTIONS[1:], directions)
    frames = np.concatenate([facing[:, None], bones], axis=1)[:, _CHAIN_PARENTS]
    columns = np.swapaxes(bones[..., :2], -1, -2)
    # (R^-1 c)^T = c^T R for a column c of the bone's own rotation.
    local: Array = columns @ frames
    return local


def _shortest_rotations(start: Array, end: Array) -> Array:
    """Rotation matrices (..., 3, 3) of the shortest way between unit vectors.

    R = c I + [w]_x + w w^T / (1 + c) with w = start x end and c = start . end. Opposite
    vectors (c = -1) have no shortest way: there half a turn about `start` rolled by one
    axis, which is perpendicular to it because the rest directions are axes.
    """
    x, y, z = np.moveaxis(np.cross(start, end), -1, 0)
    c = np.sum(start * end, axis=-1)
    k = 1 / np.maximum(1 + c, 1e-12)
    rows = [
        [c + k * x * x, k * x * y - z, k * x * z + y],
        [k * x * y + z, c + k * y * y, k * y * z - x],
        [k * x * z - y, k * y * z + x, c + k * z * z],
    ]
    rotations = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    opposite = 1 + c < 1e-12
    if opposite.any():
        axis = np.broadcast_to(np.roll(start, 1, axis=-1), end.shape)[opposite]
        rotations[opposite] = 2 * axis[:, :, None] * axis[:, None, :] - np.eye(3)
    return rotations
