"""The motion representation: hand-computed values, invariances, and real clips."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from scaling.errors import ScalingError
from scaling.models.motion import (
    CONTACT_JOINTS,
    GROUPS,
    NUM_FEATURES,
    features,
    mean_std,
    mpjpe,
    recover,
)
from scaling.models.skeleton import (
    BONE_LENGTHS,
    CHAINS,
    FPS,
    JOINTS,
    PARENTS,
    REST_DIRECTIONS,
    Array,
    bone_directions,
    canonical,
    joints_from_directions,
    mirror,
    turn,
    uniform_skeleton,
    unit,
)

DATA = os.environ.get("SCALING_DATA", "")
real_data = pytest.mark.skipif(
    not DATA, reason="SCALING_DATA does not name a folder with motion/cmu_subset"
)


def standing(frames: int, velocity: tuple[float, float, float] = (0, 0, 0)) -> Array:
    """Translate the rest pose at a constant velocity, in metres per second."""
    time = np.arange(frames)[:, None] / FPS
    root = np.array([0.0, 0.95, 0.0]) + time * np.array(velocity)
    directions = np.broadcast_to(REST_DIRECTIONS[1:], (frames, 21, 3))
    return joints_from_directions(root, directions)


def wandering(seed: int, frames: int = 24) -> Array:
    """Move and bend a body at random but smoothly, by less than half a turn."""
    rng = np.random.default_rng(seed)
    drift = np.cumsum(rng.normal(0, 0.02, (frames, 21, 3)), axis=0)
    directions = unit(REST_DIRECTIONS[1:] + rng.normal(0, 0.15, (21, 3)) + drift)
    root = np.array([0, 0.95, 0]) + np.cumsum(rng.normal(0, 0.03, (frames, 3)), axis=0)
    heading = np.linspace(0, rng.uniform(-1.5, 1.5), frames)
    return joints_from_directions(root, turn(directions, heading[:, None]))


class TestSkeleton:
    def test_is_a_tree_of_named_joints(self) -> None:
        assert len(JOINTS) == len(PARENTS) == len(BONE_LENGTHS) == 22
        assert [JOINTS[joint] for joint in CHAINS[0]] == [
            *("pelvis", "right_hip", "right_knee", "right_ankle", "right_foot")
        ]
        for chain in CHAINS:
            assert [PARENTS[joint] for joint in chain[1:]] == list(chain[:-1])

    def test_forward_kinematics_adds_bones(self) -> None:
        joints = standing(1)[0]
        assert joints[1] == pytest.approx([0.103074, 0.95, 0])
        assert joints[7] == pytest.approx([0.103074, 0.95 - 0.393623 - 0.432433, 0])

    def test_uniform_skeleton_keeps_directions_and_sets_lengths(self) -> None:
        joints = wandering(1)
        large = joints * 1.7
        assert uniform_skeleton(large) == pytest.approx(joints)

    def test_canonical_puts_the_first_frame_at_the_origin(self) -> None:
        joints = canonical(turn(wandering(2), 2.0) + np.array([3.0, -1.0, 5.0]))
        across = joints[0, 1] - joints[0, 2] + joints[0, 16] - joints[0, 17]
        assert joints[0, 0, [0, 2]] == pytest.approx([0, 0])
        assert joints[..., 1].min() == pytest.approx(0)
        assert across[0] > 0
        assert across[2] == pytest.approx(0)

    @given(seed=st.integers(0, 1000))
    def test_mirror_is_an_involution_that_exchanges_sides(self, seed: int) -> None:
        joints = wandering(seed, frames=3)
        assert np.array_equal(mirror(mirror(joints)), joints)
        left, right = JOINTS.index("left_wrist"), JOINTS.index("right_wrist")
        assert np.array_equal(mirror(joints)[:, left], joints[:, right] * [-1, 1, 1])

    def test_body_without_a_leg_is_refused(self) -> None:
        with pytest.raises(ScalingError, match=r"no length in frame 0.*remove"):
            uniform_skeleton(np.zeros((3, 22, 3)))


class TestFeatures:
    def test_groups_tile_the_dimensions(self) -> None:
        sizes = [group.stop - group.start for group in GROUPS.values()]
        assert sizes == [1, 2, 1, 63, 126, 66, 4]
        starts = [group.start for group in GROUPS.values()]
        assert starts == [0, *np.cumsum(sizes)[:-1]]
        assert sum(sizes) == NUM_FEATURES

    def test_walking_sideways_at_one_metre_per_second(self) -> None:
        rows = features(standing(5, velocity=(1, 0, 0)))
        assert rows.shape == (4, 263)
        assert rows[:, 0] == pytest.approx(np.zeros(4))
        assert rows[:, GROUPS["root_velocity"]] == pytest.approx(
            np.tile([0.05, 0.0], (4, 1))
        )
        assert rows[:, 3] == pytest.approx(np.full(4, 0.95))
        velocities = rows[:, GROUPS["velocities"]].reshape(4, 22, 3)
        assert velocities == pytest.approx(np.tile([0.05, 0, 0], (4, 22, 1)))

    def test_rest_pose_has_identity_rotations(self) -> None:
        rows = features(standing(2))
        rotations = rows[0, GROUPS["rotations"]].reshape(21, 6)
        assert rotations == pytest.approx(np.tile([1, 0, 0, 0, 1, 0], (21, 1)))

    def test_rotations_are_relative_to_the_bone_before(self) -> None:
        directions = np.broadcast_to(REST_DIRECTIONS[1:], (2, 21, 3)).copy()
        directions[:, JOINTS.index("left_knee") - 1] = [0, 0, 1]  # thigh forward
        rows = features(joints_from_directions(np.zeros((2, 3)), directions))
        rotations = rows[0, GROUPS["rotations"]].reshape(21, 6)
        thigh, shin = (
            rotations[JOINTS.index(f"left_{n}") - 1] for n in ("knee", "ankle")
        )
        assert thigh == pytest.approx([1, 0, 0, 0, 0, -1])
        assert shin == pytest.approx([1, 0, 0, 0, 0, 1])

    def test_left_turn_is_half_its_angle_and_negative(self) -> None:
        heading = np.linspace(0, 2, 200)  # long, so that smoothing leaves the middle
        joints = turn(standing(200), heading[:, None])
        rows = features(joints)
        assert rows[100, 0] == pytest.approx(-2 / 199 / 2)

    @pytest.mark.parametrize(("speed", "rests"), [(0.88, 1.0), (0.91, 0.0)])
    def test_contact_ends_at_four_and_a_half_centimetres(
        self, speed: float, rests: float
    ) -> None:
        rows = features(standing(3, velocity=(0, 0, speed)))
        assert rows[:, GROUPS["contacts"]] == pytest.approx(np.full((2, 4), rests))

    def test_contacts_are_left_ankle_left_foot_right_ankle_right_foot(self) -> None:
        for column, joint in enumerate(CONTACT_JOINTS):
            joints = standing(3)
            joints[1:, joint] += 0.1
            contacts = features(joints)[0, GROUPS["contacts"]]
            assert contacts.tolist() == [float(other != column) for other in range(4)]

    def test_facing_fixed_uses_hips_where_h3d_subtracts_them(self) -> None:
        directions = np.broadcast_to(REST_DIRECTIONS[1:], (3, 21, 3)).copy()
        directions[1:, [0, 1]] = turn(directions[1:, [0, 1]], 0.5)
        joints = joints_from_directions(np.zeros((3, 3)), directions)
        turned = {way: features(joints, way)[0, 0] for way in ("h3d", "fixed")}
        assert turned["h3d"] > 0 > turned["fixed"]  # hips turn left; h3d says right

    def test_bones_opposite_to_rest_are_finite_rotations(self) -> None:
        directions = np.broadcast_to(-REST_DIRECTIONS[1:], (2, 21, 3)).copy()
        directions[:, [0, 1, 12, 13]] *= -1  # hips and collars give the facing
        rows = features(joints_from_directions(np.zeros((2, 3)), directions))
        columns = rows[0, GROUPS["rotations"]].reshape(21, 2, 3)
        assert np.linalg.norm(columns, axis=-1) == pytest.approx(np.ones((21, 2)))

    @settings(deadline=None)
    @given(
        seed=st.integers(0, 1000),
        angle=st.floats(-3, 3),
        shift=st.tuples(st.floats(-9, 9), st.floats(-9, 9), st.floats(-9, 9)),
    )
    def test_features_of_the_canonical_clip_ignore_the_place(
        self, seed: int, angle: float, shift: tuple[float, float, float]
    ) -> None:
        joints = wandering(seed)
        moved = turn(joints, angle) + np.array(shift)
        expected = features(canonical(joints))
        assert_allclose(features(canonical(moved)), expected, atol=1e-9)

    @settings(deadline=None)
    @given(seed=st.integers(0, 1000))
    def test_mirroring_negates_turns_and_exchanges_contacts(self, seed: int) -> None:
        joints = canonical(wandering(seed))
        rows, mirrored = features(joints), features(mirror(joints))
        assert mirrored[:, 0] == pytest.approx(-rows[:, 0], abs=1e-9)
        assert np.array_equal(mirrored[:, 259:], rows[:, [261, 262, 259, 260]])


class TestRecover:
    @settings(deadline=None)
    @given(seed=st.integers(0, 1000))
    def test_round_trip(self, seed: int) -> None:
        joints = canonical(wandering(seed))
        found = recover(features(joints, "fixed"))
        assert_allclose(found, joints[:-1], atol=1e-9)

    def test_round_trip_of_a_full_circle_needs_the_fixed_facing(self) -> None:
        heading = np.linspace(0, 2 * np.pi, 120)
        joints = canonical(turn(standing(120), heading[:, None]))
        assert recover(features(joints, "fixed")) == pytest.approx(joints[:-1])
        assert np.abs(recover(features(joints)) - joints[:-1]).max() > 0.01

    def test_batches_broadcast(self) -> None:
        clips = [features(wandering(seed)) for seed in range(6)]
        batch = np.stack(clips).reshape(2, 3, -1, NUM_FEATURES)
        expected = np.stack([recover(clip) for clip in clips]).reshape(2, 3, -1, 22, 3)
        assert recover(batch) == pytest.approx(expected)


class TestStatistics:
    def test_std_is_averaged_inside_each_group(self) -> None:
        rows = np.zeros((2, NUM_FEATURES))
        rows[1, 1:3] = [2.0, 6.0]
        mean, std = mean_std([rows])
        assert mean[:4].tolist() == [0, 1, 3, 0]
        assert std[:4].tolist() == [0, 2, 2, 0]

    def test_clips_one_by_one_give_the_same_bits_as_all_at_once(self) -> None:
        rows = np.random.default_rng(0).normal(3, 2, (500, NUM_FEATURES))
        rows = rows.astype(np.float32)
        for whole, cut in zip(
            mean_std([rows]), mean_std(np.split(rows, [7, 250])), strict=True
        ):
            np.testing.assert_array_equal(whole, cut)
        exact = rows.astype(np.float64)
        np.testing.assert_array_equal(mean_std([rows])[0], exact.mean(axis=0))

    def test_mpjpe_aligns_pelvises_and_counts_millimetres(self) -> None:
        joints = standing(4)
        bent = joints + np.array([1.0, 2.0, 3.0])
        bent[:, 15, 0] += 0.022
        assert mpjpe(joints, bent) == pytest.approx(1.0)


class TestErrors:
    @pytest.mark.parametrize(
        ("joints", "message"),
        [
            (np.zeros((5, 24, 3)), r"\(5, 24, 3\): expected \(frames, 22, 3\); map"),
            (np.zeros((1, 22, 3)), "too few frames, 1: expected at least 2.*leave"),
            (
                np.where(np.arange(4)[:, None, None] == 2, np.nan, standing(4)),
                "not finite, first in frame 2: expected metres; repair",
            ),
        ],
    )
    def test_bad_joints(self, joints: Array, message: str) -> None:
        with pytest.raises(ScalingError, match=message):
            features(joints)

    def test_unknown_facing(self) -> None:
        with pytest.raises(ScalingError, match="facing is 'left': expected 'h3d'"):
            features(standing(3), "left")  # type: ignore[arg-type]

    def test_features_of_another_size(self) -> None:
        with pytest.raises(ScalingError, match=r"\(4, 251\): expected .* 263\); make"):
            recover(np.zeros((4, 251)))

    def test_motions_of_different_lengths(self) -> None:
        with pytest.raises(ScalingError, match=r"cannot compare.*cut both"):
            mpjpe(standing(3), standing(4))


def clips(pack: Path, split: str) -> Iterator[Array]:
    """Read the clips of one split of a pack; its README gives the layout."""
    archive = np.load(pack / "joints.npz")
    offsets = np.cumsum(archive["local_delta"], axis=1, dtype=np.int16)
    local = offsets.T.reshape(-1, 21, 3) / 1e4
    root = archive["root"][:, None]
    joints = np.concatenate([root, root + local], axis=1)
    for line in (pack / "sequences.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["split"] == split:
            for start, stop in row["clips"]:
                yield joints[row["start"] + start : row["start"] + stop]


@real_data
class TestRealMotion:
    """The CMU pack; its statistics were made without mirrored clips."""

    pack = Path(DATA) / "motion" / "cmu_subset"

    def test_mean_and_std_are_the_pack_s(self) -> None:
        rows = [features(canonical(clip)) for clip in clips(self.pack, "train")]
        mean, std = mean_std(rows)
        assert mean == pytest.approx(np.load(self.pack / "Mean.npy"), abs=1e-6)
        assert std == pytest.approx(np.load(self.pack / "Std.npy"), abs=1e-6)

    def test_every_clip_comes_back(self) -> None:
        for clip in clips(self.pack, "test"):
            joints = canonical(clip)
            found = recover(features(joints, "fixed"))
            assert_allclose(found, joints[:-1], atol=1e-4)

    def test_bones_have_the_target_lengths(self) -> None:
        for clip in clips(self.pack, "val"):
            rebuilt = uniform_skeleton(clip)
            scale = np.abs(rebuilt[:, 0] - clip[:, 0]).max()
            assert scale < 2e-3  # metres: the pack is rounded to 0.1 mm
            assert_allclose(bone_directions(rebuilt), bone_directions(clip), atol=1e-9)
