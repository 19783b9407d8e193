"""Retargeting: limbs keep their pose, whatever the skeleton, unit and place."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scaling.errors import ScalingError
from scaling.models.bvh import parse, positions
from scaling.models.retarget import SKELETONS, resample, retarget, y_up
from scaling.models.skeleton import (
    BONE_LENGTHS,
    JOINTS,
    PARENTS,
    Array,
    across_hips,
    bone_directions,
    heading_of,
    joints_from_directions,
    uniform_skeleton,
)
from scaling.runs import kinematic

# Chains of each format's joints, down to those that are mapped.
CHAINS = {
    "CMU MotionBuilder": """
        Hips LHipJoint LeftUpLeg LeftLeg LeftFoot LeftToeBase
        Hips RHipJoint RightUpLeg RightLeg RightFoot RightToeBase
        Hips LowerBack Spine Spine1 Neck Neck1 Head
        Spine1 LeftShoulder LeftArm LeftForeArm LeftHand LThumb
        Spine1 RightShoulder RightArm RightForeArm RightHand RThumb""",
    "CMU Daz-friendly": """
        hip abdomen chest neck head leftEye
        chest rCollar rShldr rForeArm rHand rThumb1
        chest lCollar lShldr lForeArm lHand lThumb1
        hip rButtock rThigh rShin rFoot rFoot_End
        hip lButtock lThigh lShin lFoot lFoot_End""",
    "Bandai-Namco": """
        joint_Root Hips Spine Chest Neck Head
        Chest Shoulder_L UpperArm_L LowerArm_L Hand_L
        Chest Shoulder_R UpperArm_R LowerArm_R Hand_R
        Hips UpperLeg_L LowerLeg_L Foot_L Toes_L
        Hips UpperLeg_R LowerLeg_R Foot_R Toes_R""",
}
KINDS = sorted(CHAINS)

LIMBS = [
    JOINTS.index(f"{side}_{joint}") - 1
    for side in ("left", "right")
    for joint in ("knee", "ankle", "foot", "elbow", "wrist")
]


def body() -> Array:
    """A motion whose feet point one way, as end sites of one offset must."""
    joints = kinematic.sequence(3, 0).joints.astype(np.float64)
    directions = bone_directions(joints)
    for side in ("left", "right"):
        directions[:, JOINTS.index(f"{side}_foot") - 1] = [0.0, -0.6, 0.8]
    return joints_from_directions(joints[:, 0], directions)


def bvh_of(kind: str, joints: Array) -> str:
    """Write our 22 joints, in metres, as a BVH of another skeleton, in centimetres.

    Position channels say where a joint is; those that are not mapped are on the parent.
    """
    chains = [line.split() for line in CHAINS[kind].strip().splitlines()]
    parents = {c: p for chain in chains for p, c in itertools.pairwise(chain)}
    root = chains[0][0]
    ours = {its: JOINTS.index(name) for name, its in SKELETONS[kind].items()}
    places: dict[str, Array] = {root: 100 * joints[:, 0]}
    for name, parent in parents.items():
        mapped = name in ours
        places[name] = 100 * joints[:, ours[name]] if mapped else places[parent]
    values = []

    def block(title: str, name: str) -> list[str]:
        step = places[name] - (places[parents[name]] if name in parents else 0)
        if name.endswith("_End"):
            x, y, z = step[0]
            return ["End Site", "{", f"OFFSET {x} {y} {z}", "}"]
        values.append(step)
        lines = [f"{title} {name}", "{", "OFFSET 1 2 3"]
        lines.append("CHANNELS 3 Xposition Yposition Zposition")
        below = [block("JOINT", child) for child, p in parents.items() if p == name]
        return [*lines, *itertools.chain(*below), "}"]

    tree = block("ROOT", root)
    head = ["HIERARCHY", *tree, "MOTION", f"Frames: {len(joints)}", "Frame Time: 0.05"]
    table = io.StringIO()
    np.savetxt(table, np.concatenate(values, axis=1))
    return "\n".join(head) + "\n" + table.getvalue()


def carried(kind: str, joints: Array) -> Array:
    """The 22 joints by way of another skeleton's file."""
    bvh = parse(bvh_of(kind, joints))
    return retarget(positions(bvh), bvh.names)


@pytest.mark.parametrize("kind", KINDS)
def test_limbs_keep_their_pose(kind: str) -> None:
    joints = body()
    found, expected = (
        bone_directions(j)[:, LIMBS] for j in (carried(kind, joints), joints)
    )
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_bones_have_the_lengths_of_humanml3d(kind: str) -> None:
    joints = carried(kind, body())
    bones = joints[:, 1:] - joints[:, list(PARENTS[1:])]
    lengths = np.broadcast_to(BONE_LENGTHS[1:], (len(joints), 21))
    np.testing.assert_allclose(np.linalg.norm(bones, axis=-1), lengths)


@pytest.mark.parametrize("kind", KINDS)
def test_the_path_is_that_of_the_hips(kind: str) -> None:
    """The bodies have the same legs, so that nothing is scaled."""
    joints = body()
    middles = [(j[:, 1] + j[:, 2]) / 2 for j in (carried(kind, joints), joints)]
    np.testing.assert_allclose(middles[0], middles[1], atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_turned_moved_and_in_another_unit_is_turned_and_moved(kind: str) -> None:
    source = parse(bvh_of(kind, body()))
    places, rotation = positions(source), Rotation.from_rotvec([1.0, 2.0, 3.0])
    turn = rotation.as_matrix().T
    expected = retarget(places, source.names) @ turn + [1.0, 2.0, 3.0]
    found = retarget((places @ turn + [100, 200, 300]) * 7, source.names)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_the_skeletons_agree() -> None:
    """Of one body, but for the shoulders that MotionBuilder's has no collar for."""
    daz, bandai, builder = (
        carried(kind, body())
        for kind in ("CMU Daz-friendly", "Bandai-Namco", "CMU MotionBuilder")
    )
    np.testing.assert_allclose(daz, bandai, atol=1e-9)
    trunk = [JOINTS.index(name) for name in ("pelvis", "spine3", "head", "left_foot")]
    np.testing.assert_allclose(daz[:, trunk], builder[:, trunk], atol=1e-9)


def test_pelvis_and_chest_are_rigid() -> None:
    joints = carried("Bandai-Namco", body())
    for rigid in ([0, 1, 2, 3], [9, 12, 13, 14]):
        steps = joints[:, rigid][:, :, None] - joints[:, rigid][:, None]
        lengths = np.linalg.norm(steps, axis=-1)
        np.testing.assert_allclose(lengths, lengths[:1].repeat(len(joints), 0))


def test_our_own_joints_are_taken_as_they_are() -> None:
    joints = body()
    found = retarget(joints * 100, JOINTS)
    np.testing.assert_allclose(found, uniform_skeleton(joints), atol=1e-9)


def test_missing_joints_are_named() -> None:
    bvh = parse(bvh_of("Bandai-Namco", body()))
    names = [name.replace("Hand_", "Finger_") for name in bvh.names]
    message = (
        r"joints Hand_L, Hand_R of the Bandai-Namco skeleton, the nearest, are "
        r"missing; known skeletons: CMU MotionBuilder, CMU Daz-friendly, Bandai-Namco, "
        r"HumanML3D: rename"
    )
    with pytest.raises(ScalingError, match=message):
        retarget(positions(bvh), names)


@pytest.mark.parametrize(
    ("joint", "onto", "bone"),
    [
        ("LowerArm_L", "UpperArm_L", "from UpperArm_L to LowerArm_L"),
        ("UpperLeg_R", "UpperLeg_L", "from UpperLeg_R to UpperLeg_L"),
        ("Neck", "Chest", "from Chest to Neck"),
    ],
)
def test_a_bone_without_length_is_named(joint: str, onto: str, bone: str) -> None:
    bvh = parse(bvh_of("Bandai-Namco", body()))
    places = positions(bvh)
    places[5, bvh.names.index(joint)] = places[5, bvh.names.index(onto)]
    with pytest.raises(ScalingError, match=f"{bone} has no length in frame 5"):
        retarget(places, bvh.names)


def test_a_multiple_of_the_rate_takes_every_nth_frame() -> None:
    joints = np.random.default_rng(0).normal(size=(121, 22, 3))
    np.testing.assert_array_equal(resample(joints, 120.0), joints[::6])
    np.testing.assert_array_equal(resample(joints, 119.88), joints[::6])


@pytest.mark.parametrize("fps", [15.0, 30.0, 29.97, 100 / 3])
def test_other_rates_go_through_a_spline(fps: float) -> None:
    """A cubic of time comes back exactly, from the first frame to the last."""

    def cubic(seconds: Array) -> Array:
        path = seconds**3 - 2 * seconds**2 + 1
        return np.broadcast_to(path[:, None, None], (len(path), 22, 3))

    found = resample(cubic(np.arange(91) / fps), fps)
    assert len(found) == int(90 / fps * 20 + 1e-6) + 1
    np.testing.assert_allclose(found, cubic(np.arange(len(found)) / 20), atol=1e-9)


@pytest.mark.parametrize("fps", [0.0, -30.0, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(fps: float) -> None:
    with pytest.raises(
        ScalingError, match="frames per second; expected a number above"
    ):
        resample(body(), fps)


def test_one_frame_has_no_rate() -> None:
    with pytest.raises(ScalingError, match=r"1 frames cannot be brought from 30 to 20"):
        resample(body()[:1], 30.0)


def test_turning_z_up_to_y_up_leaves_left_and_right() -> None:
    """AMASS' y and z change places and x is negated, HumanML3D's rule: a rotation."""
    joints = body()
    amass = y_up(joints)  # which undoes itself
    assert np.ptp(amass[..., 2]) > 1.5  # metres, head to foot
    np.testing.assert_array_equal(y_up(amass), joints)
    assert np.linalg.det(y_up(np.eye(3))) == 1.0
    across = across_hips(amass)[0]
    forward = np.cross([0, 0, 1], across)  # facing, from left, right and up
    np.testing.assert_allclose(
        np.arctan2(*y_up(forward)[[0, 2]]), heading_of(across_hips(joints)[0])
    )
