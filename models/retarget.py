"""Bodies of other skeletons as the 22 joints of HumanML3D, and other rates as 20 fps.

Limbs and spine keep the directions they have in the source. The pelvis and the chest,
whose joints every skeleton places elsewhere, are rigid: their bones point as they do in
HumanML3D's body, in the frame of the source's hips and shoulders. All bones take the
lengths of HumanML3D's skeleton; the path of the pelvis is scaled by the legs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.interpolate import CubicSpline

from scaling.errors import ScalingError
from scaling.models.skeleton import (
    BONE_LENGTHS,
    FPS,
    JOINTS,
    PARENTS,
    Array,
    across_hips,
    bone_directions,
    joints_from_directions,
    uniform_skeleton,
    unit,
)

SKELETONS: Mapping[str, Mapping[str, str]] = {
    "CMU MotionBuilder": {
        "left_hip": "LeftUpLeg",
        "right_hip": "RightUpLeg",
        "left_knee": "LeftLeg",
        "right_knee": "RightLeg",
        "left_ankle": "LeftFoot",
        "right_ankle": "RightFoot",
        "left_foot": "LeftToeBase",
        "right_foot": "RightToeBase",
        "spine1": "Spine",
        "spine2": "Spine1",
        "neck": "Neck1",
        "head": "Head",
        "left_shoulder": "LeftArm",
        "right_shoulder": "RightArm",
        "left_elbow": "LeftForeArm",
        "right_elbow": "RightForeArm",
        "left_wrist": "LeftHand",
        "right_wrist": "RightHand",
    },
    "CMU Daz-friendly": {
        "left_hip": "lThigh",
        "right_hip": "rThigh",
        "left_knee": "lShin",
        "right_knee": "rShin",
        "left_ankle": "lFoot",
        "right_ankle": "rFoot",
        "left_foot": "lFoot_End",
        "right_foot": "rFoot_End",
        "spine1": "abdomen",
        "spine2": "chest",
        "neck": "neck",
        "head": "head",
        "left_collar": "lCollar",
        "right_collar": "rCollar",
        "left_shoulder": "lShldr",
        "right_shoulder": "rShldr",
        "left_elbow": "lForeArm",
        "right_elbow": "rForeArm",
        "left_wrist": "lHand",
        "right_wrist": "rHand",
    },
    "Bandai-Namco": {
        "left_hip": "UpperLeg_L",
        "right_hip": "UpperLeg_R",
        "left_knee": "LowerLeg_L",
        "right_knee": "LowerLeg_R",
        "left_ankle": "Foot_L",
        "right_ankle": "Foot_R",
        "left_foot": "Toes_L",
        "right_foot": "Toes_R",
        "spine1": "Spine",
        "spine2": "Chest",
        "neck": "Neck",
        "head": "Head",
        "left_collar": "Shoulder_L",
        "right_collar": "Shoulder_R",
        "left_shoulder": "UpperArm_L",
        "right_shoulder": "UpperArm_R",
        "left_elbow": "LowerArm_L",
        "right_elbow": "LowerArm_R",
        "left_wrist": "Hand_L",
        "right_wrist": "Hand_R",
    },
    "HumanML3D": {name: name for name in JOINTS},
}
"""Which joint of a source stands for which of ours. `pelvis` and `spine3` are placed by
the template, and so are collars that the source lacks."""

# Bones of HumanML3D's body in metres, in the frame of its pelvis (x from right to left
# hip, y up the spine) or chest (x from right to left collar, y up the neck): means over
# the published sample clip 012314, where those above the line vary by less than 1e-6.
_TEMPLATE = {
    "left_hip": (0.05427, -0.08631, -0.01516),
    "right_hip": (-0.06630, -0.08631, -0.01516),
    "spine1": (0.00328, 0.13065, -0.01516),
    "neck": (-0.00666, 0.21926, 0.0),
    "left_collar": (0.06614, 0.11958, -0.01513),
    "right_collar": (-0.07766, 0.11958, -0.01513),
    # ---
    "left_shoulder": (0.12628, 0.00906, 0.01743),
    "right_shoulder": (-0.11083, 0.00498, 0.03720),
}
_LEGS = ("left_knee", "left_ankle", "right_knee", "right_ankle")
_PELVIS = ("left_hip", "right_hip", "spine1")
_CHEST = ("neck", "left_collar", "right_collar")


def _template(name: str) -> Array:
    """Vector of a bone of the template, of the skeleton's length; (3,)."""
    vector: Array = unit(np.array(_TEMPLATE[name])) * BONE_LENGTHS[JOINTS.index(name)]
    return vector


def axes(x: Array, up: Array) -> Array:
    """Frames (T, 3, 3) whose columns are x, y towards `up`, and z = x x y."""
    x = unit(x)
    z = unit(np.cross(x, up))
    return np.stack([x, np.cross(z, x), z], axis=-1)


def retarget(positions: Array, names: Sequence[str]) -> Array:
    """Carry a body over to the 22 joints.

    Parameters
    ----------
    positions : (T, J, 3)
        Joints of the source in any unit, Y up.
    names : sequence of str
        Their names; the skeleton is the one of `SKELETONS` that they fit.

    Returns
    -------
    (T, 22, 3)
        Metres.

    Raises
    ------
    ScalingError
        If joints are missing, or two that a bone joins coincide.
    """
    skeleton = _skeleton(names)
    index = {name: number for number, name in enumerate(names)}
    chosen = {ours: positions[:, index[its]] for ours, its in skeleton.items()}
    source, chest = _stand_ins(chosen)
    _refuse_zero_bones(source, skeleton)
    if "pelvis" in skeleton:
        return uniform_skeleton(source)
    middle = (source[:, 1] + source[:, 2]) / 2
    spine = source[:, JOINTS.index("spine1")]
    pelvis = axes(-across_hips(source), spine - middle)
    directions = bone_directions(source)
    for frame, rigid in ((pelvis, _PELVIS), (chest, _CHEST)):
        for name in rigid:
            directions[:, JOINTS.index(name) - 1] = unit(frame @ _template(name))
    hips = (_template("left_hip") + _template("right_hip")) / 2
    root = middle * _scale(source) - pelvis @ hips
    return joints_from_directions(root, directions)


def _stand_ins(chosen: Mapping[str, Array]) -> tuple[Array, Array]:
    """Source joints in our order (T, 22, 3), and the frames of the chest.

    The joints that it lacks stand where the bones that end in them, or begin, point the
    right way: spine3 in the neck, a collar before its shoulder as in the template.
    """
    across = chosen["left_shoulder"] - chosen["right_shoulder"]
    chest = axes(across, chosen["neck"] - chosen["spine2"])
    missing = {
        "pelvis": (chosen["left_hip"] + chosen["right_hip"]) / 2,
        "spine3": chosen["neck"],
        **{
            f"{side}_collar": chosen[shoulder] - chest @ _template(shoulder)
            for side in ("left", "right")
            for shoulder in [f"{side}_shoulder"]
        },
    }
    source = np.stack([{**missing, **chosen}[name] for name in JOINTS], axis=1)
    return source, chest


def _scale(source: Array) -> float:
    """Metres per unit of the source, by the length of both legs."""
    legs = [JOINTS.index(name) for name in _LEGS]
    bones = source[:, legs] - source[:, [PARENTS[joint] for joint in legs]]
    lengths = np.linalg.norm(bones, axis=-1).sum(axis=-1)
    return float(BONE_LENGTHS[legs].sum() / np.median(lengths))


def _skeleton(names: Sequence[str]) -> Mapping[str, str]:
    """Find the skeleton that the names fit."""
    present = set(names)

    def share(skeleton: str) -> float:
        wanted = SKELETONS[skeleton].values()
        return len(present.intersection(wanted)) / len(wanted)

    best = max(SKELETONS, key=share)
    missing = [name for name in SKELETONS[best].values() if name not in present]
    if missing:
        raise ScalingError(
            f"joints {', '.join(missing)} of the {best} skeleton, the nearest, are "
            f"missing; known skeletons: {', '.join(SKELETONS)}: rename the joints, or "
            "leave the file out"
        )
    return SKELETONS[best]


def _refuse_zero_bones(source: Array, skeleton: Mapping[str, str]) -> None:
    rigid = () if "pelvis" in skeleton else (*_PELVIS, *_CHEST)
    pairs = [
        (name, JOINTS[PARENTS[joint]])
        for joint, name in enumerate(JOINTS)
        if joint and name not in rigid
    ]
    pairs += [("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")]
    ends = np.array([[JOINTS.index(name) for name in pair] for pair in pairs])
    lengths = np.linalg.norm(source[:, ends[:, 0]] - source[:, ends[:, 1]], axis=-1)
    zero = ~(lengths > 1e-6 * lengths.max())
    if zero.any():
        frame, pair = (int(i) for i in np.argwhere(zero)[0])
        called = {"spine3": skeleton["neck"], **skeleton}
        to, begin = (called.get(name, name) for name in pairs[pair])
        raise ScalingError(
            f"the bone from {begin} to {to} has no length in frame {frame}; expected "
            "a body: repair the file or leave it out"
        )


def y_up(joints: Array) -> Array:
    """Turn a body (..., 3) whose Z points up, as AMASS', so that Y does.

    HumanML3D exchanges y and z and negates x: (x, y, z) to (-x, z, y), a rotation,
    which leaves left and right what they are.
    """
    turned: Array = joints[..., [0, 2, 1]] * np.array([-1.0, 1.0, 1.0])
    return turned


def stride(fps: float) -> int | None:
    """Tell that every n-th frame makes 20 fps, or None if no whole number does."""
    if not 0 < fps < np.inf:
        raise ScalingError(
            f"{fps:g} frames per second; expected a number above 0: give the true rate"
        )
    ratio = fps / FPS
    whole = round(ratio)
    return whole if whole and abs(ratio - whole) < 0.01 else None


def resample(joints: Array, fps: float) -> Array:
    """Bring a motion (T, J, 3) to 20 fps.

    As HumanML3D, every n-th frame where the rate is a multiple of 20; a cubic spline
    through every coordinate where it is not.

    Raises
    ------
    ScalingError
        If the rate is not above 0, or there is one frame only.
    """
    every = stride(fps)
    if every:
        return joints[::every]
    if len(joints) < 2:
        raise ScalingError(
            f"{len(joints)} frames cannot be brought from {fps:g} to {FPS} fps; "
            "expected at least 2: leave the file out"
        )
    times = np.arange(len(joints)) / fps
    wanted = np.arange(int(times[-1] * FPS + 1e-6) + 1) / FPS
    resampled: Array = CubicSpline(times, joints, axis=0)(wanted)
    return resampled
