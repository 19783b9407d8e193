"""BVH motion files: read them, place their joints, write the 22-joint skeleton.

A BVH file is a tree of joints, each with an offset o_j from its parent and rotation
channels in degrees, and then one line of channel values per frame. Channels apply in
the order in which they are listed, so that Z, X, Y is R_j = R_z R_x R_y, and

    G_j = G_parent R_j        p_j = p_parent + G_parent o_j.

Position channels take the place of the offset in their axes. The format leaves open
whether they are added to it instead; files that carry both repeat the offset in them
(Bandai-Namco's, for every bone), where adding would double the bones.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scaling.errors import ScalingError
from scaling.models.retarget import axes
from scaling.models.skeleton import (
    BONE_LENGTHS,
    FPS,
    JOINTS,
    NUM_JOINTS,
    PARENTS,
    REST_DIRECTIONS,
    Array,
    across_hips,
    bone_directions,
    checked_joints,
    unit,
)

TWIST = (
    "twist not determined: joint positions fix where a bone points, not how it is "
    "turned about itself; bones have the lengths of HumanML3D's skeleton"
)
"""What to say beside every BVH that `write` makes."""

AXES = "XYZ"
CHANNELS = {f"{axis}{kind}" for axis in AXES for kind in ("position", "rotation")}
"""Names of channels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bvh:
    """A BVH file."""

    names: tuple[str, ...]
    """Joints in the order of the file; an end site is its parent's name and `_End`."""
    parents: tuple[int, ...]
    """Parent of each joint, -1 for a root; a parent comes before its children."""
    offsets: Array
    """Offset of each joint from its parent, (joints, 3), in the file's unit."""
    channels: tuple[tuple[str, ...], ...]
    """Channels of each joint, such as `Zrotation`, in the order they apply."""
    frames: Array
    """Values of all channels, (frames, channels): degrees and the file's unit."""
    frame_time: float
    """Seconds from one frame to the next, as the file says."""

    @property
    def fps(self) -> float:
        """Frames per second; files round 1 / 30 s to 0.0333333, and this undoes it."""
        return round(1 / self.frame_time, 2)


@dataclass(slots=True)
class _Joint:
    """A joint while the hierarchy is being read."""

    name: str
    parent: int
    offset: tuple[float, ...] = ()
    channels: tuple[str, ...] = ()


def parse(text: str) -> Bvh:
    """Read the text of a BVH file.

    Raises
    ------
    ScalingError
        If there is no MOTION, a joint's channels are not what they should be, lines of
        motion are missing or not numbers, a value is not finite, or there is no frame.
    """
    parts = re.split(r"^\s*MOTION\b", text, maxsplit=1, flags=re.MULTILINE)
    if len(parts) < 2:
        raise ScalingError(
            "no MOTION follows the hierarchy; expected a line of that word and the "
            "frames: the file is cut short, or is no BVH"
        )
    joints = _hierarchy(parts[0])
    channels = tuple(joint.channels for joint in joints)
    frames, frame_time = _motion(parts[1], sum(map(len, channels)))
    return Bvh(
        names=tuple(joint.name for joint in joints),
        parents=tuple(joint.parent for joint in joints),
        offsets=np.array([joint.offset for joint in joints]),
        channels=channels,
        frames=frames,
        frame_time=frame_time,
    )


def _hierarchy(text: str) -> list[_Joint]:
    joints: list[_Joint] = []
    opened: list[int] = []
    lines = re.sub(r"([{}])", r"\n\1\n", text).splitlines()
    for line in filter(None, map(str.strip, lines)):
        try:
            _read_line(line.split(), joints, opened)
        except (IndexError, ValueError) as error:
            detail = f": {error}" if isinstance(error, ScalingError) else ""
            raise ScalingError(
                f"{line!r} cannot be read in the hierarchy{detail}; expected ROOT, "
                "JOINT or End Site with OFFSET and CHANNELS in braces: mend that line"
            ) from None
    bare = [joint.name for joint in joints if not joint.offset]
    if bare or opened or not joints:
        what = f"joint {bare[0]!r} has no OFFSET" if bare else "a brace is not closed"
        raise ScalingError(
            f"the hierarchy is not whole: {what if joints else 'it has no ROOT'}; "
            "the file is cut short, or is no BVH: get it anew"
        )
    return joints


def _read_line(words: list[str], joints: list[_Joint], opened: list[int]) -> None:
    match words:
        case ["HIERARCHY"]:
            pass
        case ["ROOT" | "JOINT", *name]:
            joints.append(_Joint(" ".join(name), opened[-1] if opened else -1))
        case ["End", *_]:
            joints.append(_Joint(f"{joints[opened[-1]].name}_End", opened[-1]))
        case ["{"]:
            opened.append(len(joints) - 1)
        case ["}"]:
            opened.pop()
        case ["OFFSET", *numbers]:
            joints[opened[-1]].offset = _checked_offset(numbers)
        case ["CHANNELS", count, *names]:
            joint = joints[opened[-1]]
            joint.channels = _checked_channels(joint.name, int(count), names)
        case _:
            raise ValueError


def _checked_offset(numbers: list[str]) -> tuple[float, ...]:
    offset = tuple(map(float, numbers))
    if len(offset) != 3 or not np.isfinite(offset).all():
        raise ScalingError("an offset is three finite lengths")
    return offset


def _checked_channels(joint: str, count: int, names: list[str]) -> tuple[str, ...]:
    channels = tuple(name.capitalize() for name in names)
    if count != len(channels):
        raise ScalingError(f"{joint} says {count} channels and names {len(channels)}")
    unknown = [name for name in channels if name not in CHANNELS]
    if unknown:
        raise ScalingError(f"{joint} has the unknown channel {unknown[0]!r}")
    turned = [name[0] for name in channels if name.endswith("rotation")]
    if len(set(channels)) < len(channels) or len(turned) not in (0, 3):
        raise ScalingError(
            f"{joint} turns about {' '.join(turned) or 'nothing'} in "
            f"{' '.join(channels)}, which is no order of X, Y and Z"
        )
    return channels


_HEAD = re.compile(
    r"\s*Frames:\s*(\d+)\s+Frame\s+Time:\s*(\S+)[^\n]*\n?", re.IGNORECASE
)


def _motion(text: str, channels: int) -> tuple[Array, float]:
    head = _HEAD.match(text)
    frames, frame_time = _counts(*head.groups()) if head else (0, 0.0)
    if not head or frames < 1 or not 0 < frame_time < np.inf or not channels:
        first = " ".join(text.split()[:5])
        raise ScalingError(
            f"the motion begins with {first!r} and has {channels} channels; expected "
            "'Frames: 1' or more, 'Frame Time:' in seconds, and channels: "
            "leave the file out"
        )
    values = _numbers(text[head.end() :], frames, channels)
    if not np.isfinite(values).all():
        frame = int(np.argmin(np.isfinite(values).all(axis=1)))
        raise ScalingError(
            f"frame {frame} is not finite; expected degrees and lengths: "
            "repair the file or leave it out"
        )
    return values, frame_time


def _counts(frames: str, seconds: str) -> tuple[int, float]:
    try:
        return int(frames), float(seconds)
    except ValueError:
        return 0, 0.0


def _numbers(text: str, frames: int, channels: int) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # what is not a number
        try:
            values = np.fromstring(text, dtype=np.float64, sep=" ")
        except (DeprecationWarning, ValueError):
            values = np.empty(0)
    if values.size == frames * channels:
        return values.reshape(frames, channels)
    raise ScalingError(
        f"{_odd(text, channels)}; expected {frames} frames of {channels} numbers: "
        "the file is cut short, or mend that line"
    )


def _odd(text: str, channels: int) -> str:
    """Say what is the first that is wrong with the lines of a motion."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    for number, words in enumerate(lines):
        if len(words) != channels:
            return f"frame {number} has {len(words)} values"
        for word in words:
            try:
                float(word)
            except ValueError:
                return f"frame {number} has {word!r}"
    return f"the motion has {len(lines)} frames"


def positions(bvh: Bvh) -> Array:
    """Place all joints in all frames: forward kinematics.

    Returns
    -------
    (frames, joints, 3)
        Positions in the file's unit, joints in the order of `names`.
    """
    still = np.zeros((3, len(bvh.frames)))
    columns = np.eye(3)[:, :, None] + still  # the columns of a rotation, each (3, T)
    places: list[Array] = []
    frames: list[Array] = []
    values = iter(np.ascontiguousarray(bvh.frames.T))
    joints = zip(bvh.parents, bvh.offsets, bvh.channels, strict=True)
    for parent, offset, channels in joints:
        place, turns = offset[:, None] + still, []
        for channel in channels:
            axis, value = AXES.index(channel[0]), next(values)
            if channel.endswith("position"):
                place[axis] = value
            else:
                turns.append((axis, np.deg2rad(value)))
        if parent >= 0:
            x, y, z = frames[parent]
            place = places[parent] + x * place[0] + y * place[1] + z * place[2]
        places.append(place)
        frames.append(_turned(columns if parent < 0 else frames[parent], turns))
    return np.ascontiguousarray(np.transpose(places, (2, 0, 1)))


def _turned(columns: Array, turns: Sequence[tuple[int, Array]]) -> Array:
    """Multiply a rotation from the right by turns about its axes.

    A turn about one axis mixes the columns of the two others.
    """
    columns = columns.copy()
    for axis, angle in turns:
        cos, sin = np.cos(angle), np.sin(angle)
        j, k = (axis + 1) % 3, (axis + 2) % 3
        first, second = columns[j], columns[k]
        columns[j], columns[k] = (
            cos * first + sin * second,
            cos * second - sin * first,
        )
    return columns


def write(joints: Array) -> str:
    """Write a motion of the 22 joints as the text of a BVH file.

    The root carries the pelvis' position and the frame of hips and spine; every other
    bone is turned the shortest way from its rest direction in its parent's frame to
    where it points. A joint with several children has a joint of no length, `..._base`,
    for each, because one rotation cannot point three bones. `TWIST` says what such a
    file cannot hold.

    Parameters
    ----------
    joints : (T, 22, 3)
        Positions in metres, 20 fps. Bones take the lengths in `BONE_LENGTHS`: those of
        a generated motion vary, and its joints move by as much as they differ.

    Returns
    -------
    str
        Lengths in metres, Y up; rotations Z, X, Y.
    """
    joints = checked_joints(joints, frames=1)
    carried: list[int] = [0]
    tree = _tree("ROOT", 0, carried)
    # the last row belongs to joints that carry no bone
    angles = np.zeros((NUM_JOINTS + 1, len(joints), 3))
    angles[:-1] = np.rad2deg(_zxy(_swings(joints)))
    rows = np.concatenate([joints[None, :, 0], angles[carried]])
    table = io.StringIO()
    np.savetxt(table, np.concatenate(rows, axis=1), fmt="%.6f")
    head = f"MOTION\nFrames: {len(joints)}\nFrame Time: {1 / FPS:.6f}\n"
    return "\n".join(["HIERARCHY", *tree, head]) + table.getvalue()


def _swings(joints: Array) -> Array:
    """Rotation of each bone in its parent's frame; (22, T, 3, 3), first the pelvis'."""
    across, middle = across_hips(joints), (joints[:, 1] + joints[:, 2]) / 2
    root = axes(-across, joints[:, JOINTS.index("spine1")] - middle)
    root[~root[..., 2].any(axis=-1)] = np.eye(3)  # hips and spine in one line
    local, frames = [root], [root]
    for bone, direction in enumerate(np.moveaxis(bone_directions(joints), 1, 0), 1):
        frame = frames[PARENTS[bone]]
        seen = (direction[:, None] @ frame)[:, 0]
        local.append(_swing(REST_DIRECTIONS[bone], seen))
        frames.append(frame @ local[bone])
    return np.stack(local)


def _swing(rest: Array, direction: Array) -> Array:
    """Shortest rotations (T, 3, 3) from a unit vector (3,) to others (T, 3).

    A half-turn about `rest` and one about the direction halfway. Opposite vectors have
    none: any across will do, and `rest` is an axis, so that rolling it gives one.
    """
    half = rest + direction
    opposite = np.linalg.norm(half, axis=-1, keepdims=True) < 1e-7
    half = unit(np.where(opposite, np.roll(rest, 1), half))
    return _half_turn(half) @ _half_turn(rest)


def _half_turn(axis: Array) -> Array:
    turn: Array = 2 * axis[..., :, None] * axis[..., None, :] - np.eye(3)
    return turn


def _zxy(rotations: Array) -> Array:
    """Angles z, x, y (..., 3) in radians of R = R_z R_x R_y (..., 3, 3).

    Where x is a right angle, z and y turn about the same axis and z takes it all.
    """
    r = np.moveaxis(rotations, (-2, -1), (0, 1))
    x = np.arcsin(np.clip(r[2, 1], -1, 1))
    locked = np.abs(r[2, 1]) > 1 - 1e-12
    z = np.where(locked, np.arctan2(r[1, 0], r[0, 0]), np.arctan2(-r[0, 1], r[1, 1]))
    y = np.where(locked, 0.0, np.arctan2(-r[2, 0], r[2, 2]))
    return np.stack([z, x, y], axis=-1)


def _tree(kind: str, joint: int, carried: list[int]) -> list[str]:
    """Lines of a joint and all below it; adds the bone that each joint carries."""
    children = [child for child in range(NUM_JOINTS) if PARENTS[child] == joint]
    inside: list[str] = []
    if joint:
        carried.append(children[0] if len(children) == 1 else -1)
    for child in children:
        if len(children) == 1:
            inside += _tree("JOINT", child, carried)
        else:
            carried.append(child)
            below = _tree("JOINT", child, carried)
            inside += _block(f"JOINT {JOINTS[child]}_base", 0, below)
    return _block(f"{kind} {JOINTS[joint]}", joint, inside or _block("End Site", 0, []))


def _block(title: str, joint: int, inside: list[str]) -> list[str]:
    x, y, z = REST_DIRECTIONS[joint] * BONE_LENGTHS[joint]
    channels = "Zrotation Xrotation Yrotation"
    lines = [f"OFFSET {x:.6f} {y:.6f} {z:.6f}"]
    if title.startswith("ROOT"):
        lines.append(f"CHANNELS 6 Xposition Yposition Zposition {channels}")
    elif title.startswith("JOINT"):
        lines.append(f"CHANNELS 3 {channels}")
    return [title, "{", *(f"  {line}" for line in [*lines, *inside]), "}"]
