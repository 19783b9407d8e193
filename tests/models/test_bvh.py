"""BVH: what the file says is where the joints are, and what we write reads back."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from scaling.errors import ScalingError
from scaling.models.bvh import Bvh, parse, positions, write
from scaling.models.skeleton import (
    JOINTS,
    NUM_JOINTS,
    REST_DIRECTIONS,
    Array,
    bone_directions,
    joints_from_directions,
    unit,
)
from scaling.runs import kinematic

ARM = """\
HIERARCHY
ROOT hip
{
  OFFSET 9 9 9
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT upper arm {
    OFFSET 1 0 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 2 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.0333333
0 1 0 0 0 0 0 0 0
5 1 0 90 0 0 0 90 0
"""


def ours(text: str) -> Array:
    """Joints of a file that `write` made, in our order."""
    bvh = parse(text)
    return positions(bvh)[:, [bvh.names.index(name) for name in JOINTS]]


def test_joints_stand_where_the_file_puts_them() -> None:
    bvh = parse(ARM)
    assert (bvh.names, bvh.parents) == (
        ("hip", "upper arm", "upper arm_End"),
        (-1, 0, 1),
    )
    assert bvh.fps == 30
    expected = [
        [[0, 1, 0], [1, 1, 0], [1, 3, 0]],
        # a quarter turn about Z lifts the arm from +X to +Y; one about its X bends it
        [[5, 1, 0], [5, 2, 0], [5, 2, 2]],
    ]
    np.testing.assert_allclose(positions(bvh), expected, atol=1e-12)


@pytest.mark.parametrize("order", ["".join(p) for p in itertools.permutations("XYZ")])
def test_rotations_apply_in_the_order_of_the_channels(order: str) -> None:
    """Against scipy's intrinsic Euler angles."""
    channels = " ".join(f"{axis}rotation" for axis in order)
    angles = np.random.default_rng(0).uniform(-180, 180, (2, 3))
    text = ARM.replace("3 Zrotation Xrotation Yrotation", f"3 {channels}")
    head = text[: text.index("0 1 0 0")]
    rows = [f"0 0 0 0 0 0 {a} {b} {c}\n" for a, b, c in angles]
    arm = positions(parse(head + "".join(rows)))
    expected = Rotation.from_euler(order, angles, degrees=True).apply([0, 2, 0])
    np.testing.assert_allclose(arm[:, 2] - arm[:, 1], expected, atol=1e-12)


def test_position_channels_take_the_place_of_the_offset() -> None:
    """As in Bandai-Namco's files, which repeat every offset in the channels."""
    text = ARM.replace("3 Zrotation", "4 Yposition Zrotation")
    text = text.replace("0 0 0 0\n", "0 7 0 0 0\n").replace("0 90 0\n", "7 0 90 0\n")
    np.testing.assert_allclose(positions(parse(text))[0, 1], [1, 1 + 7, 0])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("MOTION\n", "", r"^no MOTION follows the hierarchy; expected"),
        ("3 Zrotation", "4 Zrotation", r"upper arm says 4 channels and names 3;"),
        ("3 Zrotation", "3 Yrotation", r"upper arm turns about Y X Y .* no order of X"),
        ("Zrotation Xrotation Yrotation\n    End", "Zrotation\n    End", r"names 1;"),
        ("3 Zrotation", "3 Wrotation", r"has the unknown channel 'Wrotation'"),
        ("0 90 0\n", "0 nan 0\n", r"^frame 1 is not finite"),
        ("0 90 0\n", "0 90\n", r"^frame 1 has 8 values; expected 2 frames of 9"),
        ("0 90 0\n", "0 x 0\n", r"^frame 1 has 'x'; expected 2 frames of 9 num"),
        ("Frames: 2", "Frames: 3", r"the motion has 2 frames; expected 3 frames"),
        ("Frames: 2", "Frames: 0", r"begins with 'Frames: 0 Frame Time: 0.0333333'"),
        ("0.0333333", "0.0.3", r"expected 'Frames: 1' or more, 'Frame Time:' in"),
        ("OFFSET 0 2 0", "OFFSET 0 2", r"^'OFFSET 0 2' cannot be read"),
        ("OFFSET 0 2 0", "", r"joint 'upper arm_End' has no OFFSET"),
        ("  }\n}\nMOTION", "  }\nMOTION", r"a brace is not closed"),
        ("  }\n}\nMOTION", "  }}}\nMOTION", r"^'}' cannot be read in the hierarchy"),
    ],
)
def test_a_file_that_is_broken_is_refused(old: str, new: str, message: str) -> None:
    assert old in ARM
    with pytest.raises(ScalingError, match=message):
        parse(ARM.replace(old, new))


def test_a_text_that_is_no_bvh_is_refused() -> None:
    with pytest.raises(ScalingError, match=r"not whole: it has no ROOT"):
        parse("MOTION\nFrames: 1\n")


def test_a_motion_reads_back_as_it_was_written() -> None:
    joints = kinematic.sequence(0, 0).joints
    text = write(joints)
    assert f"Frames: {len(joints)}\nFrame Time: 0.050000\n" in text
    np.testing.assert_allclose(ours(text), joints, atol=2e-6)  # metres


def test_the_root_turns_with_the_body() -> None:
    joints = kinematic.sequence(0, 0).joints.astype(np.float64)
    turned = joints @ Rotation.from_euler("Y", 90, degrees=True).as_matrix().T
    before, after = (
        Rotation.from_euler("ZXY", parse(write(body)).frames[:, 3:6], degrees=True)
        for body in (joints, turned)
    )
    angles = (after * before.inv()).as_rotvec(degrees=True)
    np.testing.assert_allclose(angles, [[0, 90, 0]] * len(joints), atol=1e-4)


@given(
    st.lists(
        st.tuples(*[st.integers(-1, 1)] * 3).filter(any),
        min_size=NUM_JOINTS - 1,
        max_size=NUM_JOINTS - 1,
    )
)
def test_bones_along_any_axes_keep_their_directions(
    bones: list[tuple[int, ...]],
) -> None:
    """Among them opposite ones, and turns of 90 degrees, where Euler angles lock."""
    directions = unit(np.array([bones], dtype=np.float64))
    joints = joints_from_directions(np.zeros((1, 3)), directions)
    np.testing.assert_allclose(ours(write(joints)), joints, atol=2e-6)


def test_a_bone_opposite_to_its_rest_is_turned_around() -> None:
    directions = REST_DIRECTIONS[None, 1:].copy()
    elbow = JOINTS.index("left_elbow")
    directions[0, elbow - 1] *= -1
    joints = joints_from_directions(np.zeros((1, 3)), directions)
    np.testing.assert_allclose(ours(write(joints)), joints, atol=2e-6)


def test_bones_of_other_lengths_keep_their_directions() -> None:
    """A generated motion has such bones; the file has HumanML3D's."""
    joints = np.random.default_rng(0).normal(size=(50, NUM_JOINTS, 3))
    expected = joints_from_directions(joints[:, 0], bone_directions(joints))
    np.testing.assert_allclose(ours(write(joints)), expected, atol=2e-6)


def test_what_is_written_is_a_bvh_of_known_joints() -> None:
    bvh = parse(write(kinematic.sequence(0, 0).joints))
    assert isinstance(bvh, Bvh)
    assert set(JOINTS) <= set(bvh.names)
    assert bvh.fps == 20
