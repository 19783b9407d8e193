"""The built-in corpus: captioned human motion, made from a seed, without end.

Sequence i of seed s depends on (s, i) alone, so that any part of the corpus can be made
by any process at any time, and nothing needs to be stored. A sequence is drawn in
steps: a script says who does what and when, a grammar turns the script into captions,
tracks and smooth noise move the channels of a puppet, footsteps carry it along, and
inverse kinematics closes the legs.

What is drawn spans many levels of difficulty, because that is what a scaling law is
measured on: common and rare actions (Zipf), continuous parameters, habits that persist
over a sequence (pace, style, handedness, posture), counted repetitions, and noise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.models.skeleton import FPS, Array, canonical, turn
from scaling.runs.kinematic_captions import captions
from scaling.runs.kinematic_catalogue import Shape
from scaling.runs.kinematic_rig import CHANNELS, COLUMN, SIDES, Ground, pose_joints
from scaling.runs.kinematic_script import Script, Segment, write_script
from scaling.runs.kinematic_steps import Stance, Step, footfall, smooth

VERSION = 1
"""Raised whenever the same seed makes other motion: part of a corpus' identity."""

_RAMP = 8.0  # frames in which a held pose is taken up and given up
_FLIGHT = (0.4, 0.75)  # part of a jump's repetition that is in the air
_SET_OFF = 0.7  # strides in which a gait reaches its speed
_GATHER = 8.0  # frames of the step that brings the feet together after a gait
_GRAVITY = 9.81  # m/s^2
_OCTAVES = ((48.0, 1.0), (20.0, 0.6), (8.0, 0.25), (3.0, 0.06))  # knots' distance, size
_TREMOR_SPACING = 1.6  # frames, about 6 Hz


@dataclass(frozen=True, kw_only=True, slots=True)
class KinematicSequence:
    """One captioned motion."""

    name: str
    """Unique within the corpus: seed and index."""
    captions: tuple[str, ...]
    """Two or three descriptions, all of them true."""
    joints: NDArray[np.float32]
    """Joint positions (T, 22, 3) in metres at 20 fps, canonical; 41 <= T <= 197."""


def sequence(index: int, seed: int) -> KinematicSequence:
    """Make sequence `index` of the corpus with this seed.

    Raises
    ------
    ScalingError
        If the index or the seed is negative.
    """
    if index < 0 or seed < 0:
        raise ScalingError(
            f"no kinematic sequence has index {index} and seed {seed}: "
            "expected integers from 0 on; choose others"
        )
    for_script, for_captions, for_body = streams(index, seed)
    script = write_script(for_script)
    return KinematicSequence(
        name=f"kinematic-{seed}-{index:08d}",
        captions=captions(script, for_captions),
        joints=perform(script, for_body),
    )


def streams(index: int, seed: int) -> list[np.random.Generator]:
    """Independent randomness for script, captions and body of a sequence.

    They are apart so that a new synonym in the grammar changes no motion.
    """
    children = np.random.SeedSequence((seed, index)).spawn(3)
    return [np.random.default_rng(child) for child in children]


def perform(script: Script, rng: np.random.Generator) -> NDArray[np.float32]:
    """Act out a script by one person, drawn here; joints (T, 22, 3) in metres."""
    pose = _posture(script, rng)
    for segment in script.segments:
        for part in (segment, segment.overlay):
            if part is not None:
                if part.action.overlay:
                    _free_arms(pose, part)
                _add_tracks(pose, part)
    ground, pitch = _walked(script, rng)
    for side, extra in zip(SIDES, pitch, strict=True):
        pose[:, COLUMN[f"{side}_foot_pitch"]] += extra
    return canonical(pose_joints(pose, ground)).astype(np.float32)


# --- the body ---------------------------------------------------------------------

# Standard deviation of the noise, in radians and metres. Planted feet have none.
_NOISE = {
    **dict.fromkeys(("airborne", "foot_pitch"), 0.0),
    **dict.fromkeys(("foot_side", "foot_forward", "foot_up"), 0.0),
    **dict.fromkeys(("pelvis_side", "pelvis_height", "pelvis_forward"), 0.006),
    **dict.fromkeys(("pelvis_yaw", "pelvis_pitch", "pelvis_roll"), 0.02),
    **dict.fromkeys(("trunk_yaw", "trunk_pitch", "trunk_roll"), 0.03),
    **dict.fromkeys(("head_pitch", "head_roll", "shrug", "arm_abduction"), 0.04),
    **dict.fromkeys(("arm_flexion", "arm_twist", "elbow"), 0.06),
    "head_yaw": 0.09,
}
_NOISE_SIZES = np.array(
    [_NOISE[re.sub("^(left|right)_", "", name)] for name in CHANNELS]
)
_ARMS = [
    COLUMN[f"{side}_{name}"]
    for side in SIDES
    for name in ("arm_flexion", "arm_abduction", "arm_twist", "elbow")
]
_EASE = {"arm_flexion": 0.03, "arm_abduction": 0.15, "arm_twist": -0.15, "elbow": 0.28}


def _posture(script: Script, rng: np.random.Generator) -> Array:
    """Channels (T, C) of somebody who stands in a style and does nothing."""
    habit = rng.normal(size=len(CHANNELS)) * _NOISE_SIZES
    for side in SIDES:
        for name, angle in _EASE.items():
            habit[COLUMN[f"{side}_{name}"]] += angle
    for name, value in script.style.pose.items():
        habit[_columns(name, "right")] += value
    restless = float(np.exp(rng.normal(0, 0.35)))
    pose: Array = habit + restless * _NOISE_SIZES * smooth_noise(
        rng, script.frames, len(CHANNELS)
    )
    if script.style.tremor:
        shaking = value_noise(rng, script.frames, len(_ARMS), _TREMOR_SPACING)
        pose[:, _ARMS] += 2 * script.style.tremor * shaking
    if script.style.stagger:
        leaning = value_noise(rng, script.frames, 2, 18.0)
        lean = [COLUMN["trunk_roll"], COLUMN["trunk_pitch"]]
        pose[:, lean] += script.style.stagger * leaning
    return pose


def value_noise(
    rng: np.random.Generator, frames: int, channels: int, spacing: float
) -> Array:
    """Cubic B-spline with normal knots `spacing` frames apart; (frames, channels)."""
    at = np.arange(frames) / spacing
    first = at.astype(np.intp)
    u = (at - first)[:, None]
    knots = rng.normal(size=(int(first[-1]) + 4, channels))
    weights = (
        (1 - u) ** 3 / 6,
        (3 * u**3 - 6 * u**2 + 4) / 6,
        (-3 * u**3 + 3 * u**2 + 3 * u + 1) / 6,
        u**3 / 6,
    )
    total = np.zeros((frames, channels))
    for shift, weight in enumerate(weights):
        total += weight * knots[first + shift]
    return total


def smooth_noise(rng: np.random.Generator, frames: int, channels: int) -> Array:
    """Sum of octaves of value noise, slow ones large and fast ones small."""
    total = np.zeros((frames, channels))
    for spacing, size in _OCTAVES:
        total += size * value_noise(rng, frames, channels, spacing)
    return total


# --- actions ----------------------------------------------------------------------


def _columns(name: str, near: str) -> list[int]:
    """Columns of a track's channel: resolve near, far and both."""
    prefix, _, rest = name.partition("_")
    far = "left" if near == "right" else "right"
    sides = {"near": (near,), "far": (far,), "both": SIDES}.get(prefix)
    if sides is None:
        return [COLUMN[name]]
    return [COLUMN[f"{side}_{rest}"] for side in sides]


def _points_sideways(name: str) -> bool:
    return name.startswith(("pelvis", "trunk", "head")) and name.endswith(
        ("yaw", "roll", "side")
    )


def _envelope(segment: Segment, frames: int) -> Array:
    """Rise to 1 at the start of a segment and fall to 0 at its end; (frames,)."""
    frame = np.arange(frames)
    ramp = min(_RAMP, 0.4 * segment.frames)
    if segment.action.place != "anywhere":
        ramp = 0.6 * segment.frames  # sitting down takes its time
    stop = segment.start + segment.frames
    rise = smooth(np.clip((frame - segment.start) / ramp, 0, 1))
    fall = smooth(np.clip((stop - frame) / ramp, 0, 1))
    if segment.action.place == "first":
        return fall
    return rise if segment.action.place == "last" else rise * fall


def shape_values(shape: Shape, cycles: Array, envelope: Array) -> Array:
    """Values in time of a track of size one; (T,).

    Parameters
    ----------
    shape : Shape
        `hold` follows the envelope; each repetition has one `bump`, or `twin` bumps,
        or an early one, `strike`; `load` prepares a jump and softens its landing, and
        `flight` carries it out; the others swing to and fro.
    cycles : (T,)
        Repetitions done so far.
    envelope : (T,)
        How far the action's pose is taken up, 0 to 1.
    """
    u = cycles % 1.0
    angle = 2 * np.pi * u
    match shape:
        case "hold":
            return envelope
        case "bump":
            return np.sin(np.pi * u) ** 2
        case "twin":
            return np.sin(angle) ** 2
        case "strike":
            return np.sin(np.pi * u**0.7) ** 2
        case "load":
            lift, land = _FLIGHT
            return _hump(u / lift) + 0.5 * _hump((u - land) / (1 - land))
        case "flight":
            lift, land = _FLIGHT
            v = np.clip((u - lift) / (land - lift), 0, 1)
            return 4 * v * (1 - v)
        case "sway":
            return envelope * np.sin(angle)
        case "lag":
            return envelope * np.cos(angle)
        case "stride":  # largest where the near foot lands
            return envelope * np.cos(angle - 0.88 * np.pi)
        case "bounce":  # highest over the standing foot
            return envelope * np.cos(2 * angle - np.pi)


def _hump(u: Array) -> Array:
    inside = np.clip(u, 0, 1)
    return np.asarray(np.sin(np.pi * inside) ** 2)


def _cycles(segment: Segment, frames: int) -> Array:
    """Repetitions done so far, (frames,): 0 before the segment, 0 again after it."""
    done = (np.arange(frames) - segment.start) / segment.frames
    return np.where((done > 0) & (done < 1), done * segment.cycles, 0.0)


def _add_tracks(pose: Array, segment: Segment) -> None:
    """Add an action's tracks to the channels."""
    cycles = _cycles(segment, len(pose))
    envelope = _envelope(segment, len(pose))
    sideways = 1.0 if segment.side == "left" else -1.0
    values: dict[Shape, Array] = {}
    for name, size, shape in segment.action.tracks:
        if shape not in values:
            values[shape] = shape_values(shape, cycles, envelope)
        scale = size if shape == "hold" else size * segment.amplitude
        if _points_sideways(name):
            scale *= sideways
        if name == "airborne" and shape == "flight":
            scale = min(scale, _highest_jump(segment))
        for column in _columns(name, segment.side):
            pose[:, column] += scale * values[shape]


def _highest_jump(segment: Segment) -> float:
    """Height, in metres, that the time in the air allows: h = g t^2 / 8."""
    lift, land = _FLIGHT
    seconds = (land - lift) * segment.frames / segment.cycles / FPS
    return _GRAVITY * seconds**2 / 8


def _free_arms(pose: Array, gesture: Segment) -> None:
    """Take the arms that a gesture needs out of the gait's swing and the style."""
    sides = {
        side
        for name, *_ in gesture.action.tracks
        for side in SIDES
        if name.startswith("both") or (name.startswith("near") and side == gesture.side)
    }
    kept = 1 - 0.85 * _envelope(gesture, len(pose))
    for side in sides:
        for name, angle in _EASE.items():
            column = COLUMN[f"{side}_{name}"]
            pose[:, column] = angle + (pose[:, column] - angle) * kept


# --- the way ----------------------------------------------------------------------


def _walked(script: Script, rng: np.random.Generator) -> tuple[Ground, Array]:
    """Lay the root's path, and plant the feet along it; also the feet's pitch."""
    path, heading = _path(script, rng)
    steps = [step for segment in script.segments for step in _steps(segment)]
    steps.sort(key=lambda step: step.lift)
    stance = Stance(
        width=0.2 + 0.25 * script.style.stagger + rng.normal(0, 0.02),
        toe_out=0.18 + rng.normal(0, 0.06),
    )
    falls = [footfall(steps, foot, path, heading, stance) for foot in (0, 1)]
    ground = Ground(
        path=path,
        heading=heading,
        feet=np.stack([fall.place for fall in falls], axis=1),
        feet_heading=np.stack([fall.heading for fall in falls], axis=1),
    )
    return ground, np.stack([fall.pitch for fall in falls])


def _path(script: Script, rng: np.random.Generator) -> tuple[Array, Array]:
    """Integrate the commanded velocities: path (T, 3), heading (T,)."""
    command = np.zeros((script.frames, 3))  # sideways, forward (m/s), yaw (rad/s)
    for segment in script.segments:
        _command(command, segment)
    kernel = np.exp(-0.5 * (np.arange(-6, 7) / 2.0) ** 2)
    kernel /= kernel.sum()
    side, forward, yaw = (
        np.convolve(np.pad(column, 6), kernel, mode="valid") for column in command.T
    )
    wander = value_noise(rng, script.frames, 2, 14.0)
    wander *= (0.06 + 1.5 * script.style.stagger) * np.hypot(side, forward)[:, None]
    heading = np.cumsum(yaw + wander[:, 0]) / FPS
    velocity = np.stack([side + 0.5 * wander[:, 1], 0 * side, forward], axis=-1)
    return np.cumsum(turn(velocity, heading), axis=0) / FPS, heading


def _command(command: Array, segment: Segment) -> None:
    gait = segment.action.gait
    if gait is None:
        return
    inside = slice(segment.start, segment.start + segment.frames)
    cycles = _cycles(segment, len(command))[inside]
    if gait.feet == "alternate":  # set off while the first foot swings, and stop so
        left = segment.cycles - cycles
        profile = smooth(np.clip(np.minimum(cycles, left) / _SET_OFF, 0, 1))
    else:  # move in the air only
        u = cycles % 1
        profile = ((u > _FLIGHT[0]) & (u < _FLIGHT[1])) / (_FLIGHT[1] - _FLIGHT[0])
    sideways = 1.0 if segment.side == "left" else -1.0
    axis, sign = {"backward": (1, -1.0), "sideways": (0, sideways)}.get(
        segment.path, (1, 1.0)
    )
    command[inside, axis] = sign * segment.speed * profile
    command[inside, 2] = segment.turn * FPS * profile / max(profile.sum(), 1)


def _steps(segment: Segment) -> list[Step]:
    """Footsteps of a segment, in order of time for each foot."""
    gait = segment.action.gait
    if gait is None:
        return []
    near, far = (0, 1) if segment.side == "left" else (1, 0)
    stride = segment.frames / segment.cycles
    stop = segment.start + segment.frames

    def step(foot: int, lift: float, land: float, size: float = 1.0) -> Step:
        return Step(
            foot=foot,
            lift=lift,
            land=land,
            height=gait.lift * size,
            roll=gait.roll * size,
            settle=(1 - gait.swing) * stride / 2,
        )

    if gait.feet == "alternate":
        middles = segment.start + stride * (np.arange(segment.repeats) / 2 + 0.25)
        half = 0.5 * gait.swing * stride
        steps = [
            step((near, far)[number % 2], middle - half, middle + half)
            for number, middle in enumerate(middles.tolist())
        ]
        trailing = (near, far)[segment.repeats % 2]
        return [*steps, step(trailing, stop + 1, stop + 1 + _GATHER, 0.4)]
    feet = (near, far) if gait.feet == "together" else (near,)
    jumps = [
        step(
            foot,
            segment.start + stride * (number + _FLIGHT[0]),
            segment.start + stride * (number + _FLIGHT[1]),
            0.0,
        )
        for number in range(segment.repeats)
        for foot in feet
    ]
    # A foot that is held up is carried in one long step.
    held = [] if gait.feet == "together" else [step(far, segment.start, stop, 0.0)]
    return jumps + held
