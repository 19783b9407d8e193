"""The 22-joint skeleton of HumanML3D: names, bones, and putting a body in place.

Positions are metres, Y up, 20 frames per second; a body that faces +Z has its left
at +X. Joints are those of SMPL without the hands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling.errors import ScalingError

Array = NDArray[np.float64]

FPS = 20
"""Frames per second of every clip."""

# One row per joint: name, parent, rest direction and length (m) of the bone from its
# parent. The lengths are those of HumanML3D's target skeleton, clip 000021, frame 0.
_SKELETON: tuple[tuple[str, int, tuple[int, int, int], float], ...] = (
    ("pelvis", -1, (0, 0, 0), 0.0),
    ("left_hip", 0, (1, 0, 0), 0.103074),
    ("right_hip", 0, (-1, 0, 0), 0.109883),
    ("spine1", 0, (0, 1, 0), 0.131568),
    ("left_knee", 1, (0, -1, 0), 0.393623),
    ("right_knee", 2, (0, -1, 0), 0.390188),
    ("spine2", 3, (0, 1, 0), 0.143190),
    ("left_ankle", 4, (0, -1, 0), 0.432433),
    ("right_ankle", 5, (0, -1, 0), 0.425643),
    ("spine3", 6, (0, 1, 0), 0.057365),
    ("left_foot", 7, (0, 0, 1), 0.143382),
    ("right_foot", 8, (0, 0, 1), 0.149419),
    ("neck", 9, (0, 1, 0), 0.219360),
    ("left_collar", 9, (1, 0, 0), 0.137487),
    ("right_collar", 9, (-1, 0, 0), 0.143383),
    ("head", 12, (0, 0, 1), 0.103039),
    ("left_shoulder", 13, (0, -1, 0), 0.131614),
    ("right_shoulder", 14, (0, -1, 0), 0.122984),
    ("left_elbow", 16, (0, -1, 0), 0.256840),
    ("right_elbow", 17, (0, -1, 0), 0.263092),
    ("left_wrist", 18, (0, -1, 0), 0.266012),
    ("right_wrist", 19, (0, -1, 0), 0.269876),
)

JOINTS = tuple(name for name, *_ in _SKELETON)
"""Names of the 22 joints, in SMPL's order."""
PARENTS = tuple(parent for _, parent, *_ in _SKELETON)
"""Parent of each joint, -1 for the pelvis; a parent comes before its children."""
REST_DIRECTIONS: Array = np.array([row[2] for row in _SKELETON], dtype=np.float64)
"""Unit direction of the bone that ends in each joint, in the rest pose; (22, 3)."""
BONE_LENGTHS: Array = np.array([row[3] for row in _SKELETON])
"""Length of the bone that ends in each joint, in metres; (22,)."""
CHAINS = (
    (0, 2, 5, 8, 11),
    (0, 1, 4, 7, 10),
    (0, 3, 6, 9, 12, 15),
    (9, 14, 17, 19, 21),
    (9, 13, 16, 18, 20),
)
"""Kinematic chains: right leg, left leg, spine, right arm, left arm."""
NUM_JOINTS = len(JOINTS)
"""Number of joints, 22."""

_LEFT_HIP, _RIGHT_HIP = JOINTS.index("left_hip"), JOINTS.index("right_hip")
_LEFT_SHOULDER = JOINTS.index("left_shoulder")
_RIGHT_SHOULDER = JOINTS.index("right_shoulder")


def _opposite(name: str) -> str:
    side, _, rest = name.partition("_")
    return {"left": "right_", "right": "left_"}.get(side, side) + rest


_MIRRORED = [JOINTS.index(_opposite(name)) for name in JOINTS]


def _bone_paths() -> Array:
    """Lengths of the bones between the pelvis and each joint; (22 joints, 21 bones)."""
    paths = np.zeros((NUM_JOINTS, NUM_JOINTS))
    for joint in range(1, NUM_JOINTS):
        paths[joint] = paths[PARENTS[joint]]
        paths[joint, joint] = BONE_LENGTHS[joint]
    return paths[:, 1:]


_BONE_PATHS = _bone_paths()


def unit(vectors: Array) -> Array:
    """Scale vectors (..., 3) to length one; a zero vector stays zero."""
    length = np.sqrt(np.sum(vectors * vectors, axis=-1, keepdims=True))
    scaled: Array = vectors / np.maximum(length, np.finfo(np.float64).tiny)
    return scaled


def turn(vectors: Array, angle: ArrayLike) -> Array:
    """Rotate vectors (..., 3) about +Y by an angle (...) in radians.

    >>> turn(np.array([0.0, 0.0, 1.0]), np.pi / 2).round(6)  # a left turn: +Z to +X
    array([1., 0., 0.])
    """
    x, y, z = np.moveaxis(vectors, -1, 0)
    cos, sin = np.cos(angle), np.sin(angle)
    turned: Array = np.stack(
        np.broadcast_arrays(x * cos + z * sin, y, z * cos - x * sin), axis=-1
    )
    return turned


def bone_directions(joints: Array) -> Array:
    """Point along the bones that end in joints 1 to 21; unit vectors (..., 21, 3)."""
    return unit(joints[..., 1:, :] - joints[..., list(PARENTS[1:]), :])


def joints_from_directions(root: Array, directions: Array) -> Array:
    """Forward kinematics: place the joints of the HumanML3D skeleton.

    Parameters
    ----------
    root : (..., 3)
        Position of the pelvis in metres.
    directions : (..., 21, 3)
        Unit directions of the bones that end in joints 1 to 21.

    Returns
    -------
    (..., 22, 3)
        Joint positions: p_j = root + the sum of length x direction along the path.
    """
    joints: Array = root[..., None, :] + _BONE_PATHS @ directions
    return joints


def uniform_skeleton(joints: Array) -> Array:
    """Give a body (T, 22, 3) the HumanML3D skeleton, keeping its pose.

    Every bone keeps its direction and takes the length in `BONE_LENGTHS`; the path of
    the pelvis is scaled by the ratio of the left legs in frame 0.
    """
    joints = checked_joints(joints, frames=1)
    knee, ankle = JOINTS.index("left_knee"), JOINTS.index("left_ankle")
    thigh = joints[0, knee] - joints[0, _LEFT_HIP]
    shin = joints[0, ankle] - joints[0, knee]
    leg = float(np.linalg.norm(thigh) + np.linalg.norm(shin))
    if leg == 0:
        raise ScalingError(
            "the left leg has no length in frame 0: hip, knee and ankle coincide; "
            "expected a body; remove the clip or its first frame"
        )
    scale = float(BONE_LENGTHS[knee] + BONE_LENGTHS[ankle]) / leg
    return joints_from_directions(joints[:, 0] * scale, bone_directions(joints))


def canonical(joints: Array) -> Array:
    """Put a clip (T, 22, 3) on the floor, at the origin, facing +Z in frame 0.

    The floor is the lowest joint of the whole clip: one jump off a box sinks the rest.
    """
    joints = checked_joints(joints, frames=1)
    lowest = joints[..., 1].min()
    start = np.array([joints[0, 0, 0], lowest, joints[0, 0, 2]])
    across = across_hips(joints[0]) + across_shoulders(joints[0])
    return turn(joints - start, -heading_of(across))


def mirror(joints: Array) -> Array:
    """Reflect a body (..., 22, 3) left to right: negate x, exchange the sides."""
    mirrored: Array = joints[..., _MIRRORED, :] * np.array([-1.0, 1.0, 1.0])
    return mirrored


def checked_joints(joints: ArrayLike, frames: int) -> Array:
    """Return joints as float64 (T, 22, 3) if they are a clip of at least some frames.

    Raises
    ------
    ScalingError
        If the shape is wrong, the clip too short, or a value not finite.
    """
    array = np.asarray(joints, dtype=np.float64)
    if array.ndim != 3 or array.shape[1:] != (NUM_JOINTS, 3):
        raise ScalingError(
            f"joints have shape {array.shape}: expected (frames, {NUM_JOINTS}, 3); "
            "map the data to the 22 joints of scaling.models.skeleton.JOINTS"
        )
    if len(array) < frames:
        raise ScalingError(
            f"the clip has too few frames, {len(array)}: expected at least {frames}, "
            "because velocities look one frame ahead; leave the clip out"
        )
    if not np.isfinite(array).all():
        frame = int(np.argmin(np.isfinite(array).all(axis=(1, 2))))
        raise ScalingError(
            f"joints are not finite, first in frame {frame}: expected metres; "
            "repair the clip or leave it out"
        )
    return array


def across_hips(joints: Array) -> Array:
    """Point from the left hip to the right one; (..., 3) of (..., 22, 3)."""
    return joints[..., _RIGHT_HIP, :] - joints[..., _LEFT_HIP, :]


def across_shoulders(joints: Array) -> Array:
    """Point from the left shoulder to the right one; (..., 3) of (..., 22, 3)."""
    return joints[..., _RIGHT_SHOULDER, :] - joints[..., _LEFT_SHOULDER, :]


def heading_of(across: Array) -> Array:
    """Angle of the facing y x across from +Z, in (-pi, pi]; left is positive."""
    return np.asarray(np.arctan2(across[..., 2], -across[..., 0]))
