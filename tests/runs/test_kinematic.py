"""The kinematic corpus: reproducible, well-formed, varied, and captioned truly."""

from __future__ import annotations

import hashlib
import math
import re
import subprocess
import sys
from collections import Counter
from functools import cache

import numpy as np
import pytest
from scipy.signal import find_peaks

from scaling.errors import ScalingError
from scaling.models.motion import GROUPS, features
from scaling.models.skeleton import (
    BONE_LENGTHS,
    FPS,
    JOINTS,
    PARENTS,
    Array,
    across_hips,
    heading_of,
)
from scaling.runs.kinematic import KinematicSequence, sequence, streams
from scaling.runs.kinematic_actions import ACTIONS
from scaling.runs.kinematic_captions import captions
from scaling.runs.kinematic_rig import CHANNELS, SIDES
from scaling.runs.kinematic_script import Script, write_script

SEED = 3
MANNER = r"( [a-z ]+)?\."


def digest(index: int, seed: int) -> str:
    made = sequence(index, seed)
    return hashlib.sha256(
        made.joints.tobytes() + repr(made.captions).encode()
    ).hexdigest()


@cache
def written(index: int) -> tuple[Script, tuple[str, ...]]:
    """Write the script and captions of a sequence without acting it out."""
    for_script, for_captions, _ = streams(index, SEED)
    script = write_script(for_script)
    return script, captions(script, for_captions)


@cache
def made(index: int) -> KinematicSequence:
    return sequence(index, SEED)


def told(pattern: str, count: int) -> list[tuple[re.Match[str], Array]]:
    """Find sequences of one action with a caption that matches, and act them out.

    The caption starts with its subject and verb; the words of the manner may follow.
    """
    full = re.compile(rf"(?:a|the|someone)( [a-z]+)? {pattern}{MANNER}")
    found: list[tuple[re.Match[str], Array]] = []
    for index in range(6000):
        script, texts = written(index)
        match = next((hit for text in texts if (hit := full.fullmatch(text))), None)
        if match and len(script.segments) == 1 and not script.segments[0].overlay:
            found.append((match, made(index).joints.astype(np.float64)))
        if len(found) == count:
            return found
    raise AssertionError(f"only {len(found)} of {count} captions match {pattern!r}")


def joint(joints: Array, name: str) -> Array:
    return joints[:, JOINTS.index(name)]


def turned(joints: Array) -> float:
    """Angle by which the hips turn to the left in a clip, radians."""
    heading = np.unwrap(heading_of(across_hips(joints)))
    return float(heading[-1] - heading[0])


def top_speed(joints: Array) -> float:
    pelvis = joint(joints, "pelvis")[:, [0, 2]]
    step = np.linalg.norm(np.diff(pelvis, axis=0), axis=1)
    return float(np.percentile(step, 80) * FPS)


def number(words: str) -> int:
    first = words.split()[0]
    if first in ("once", "twice"):
        return 1 + ("once", "twice").index(first)
    named = ("three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return 3 + named.index(first)


class TestReproducibility:
    def test_another_process_makes_the_same_bits(self) -> None:
        code = (
            "import hashlib; from scaling.runs.kinematic import sequence;"
            "made = sequence(12345, 7);"
            "data = made.joints.tobytes() + repr(made.captions).encode();"
            "print(hashlib.sha256(data).hexdigest())"
        )
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert result.stdout.strip() == digest(12345, 7)

    def test_a_sequence_does_not_depend_on_those_made_before(self) -> None:
        alone = digest(5, 1)
        for index in (4, 0, 6):
            sequence(index, 1)
        assert digest(5, 1) == alone

    def test_index_and_seed_both_matter(self) -> None:
        assert len({digest(*key) for key in ((1, 2), (2, 1), (1, 1), (2, 2))}) == 4

    @pytest.mark.parametrize(("index", "seed"), [(-1, 0), (0, -1)])
    def test_negative_numbers_are_refused(self, index: int, seed: int) -> None:
        with pytest.raises(ScalingError, match=f"index {index} and seed {seed}: expec"):
            sequence(index, seed)


class TestBodies:
    def test_sequences_are_well_formed(self) -> None:
        parents = list(PARENTS[1:])
        for index in range(150):
            joints = made(index).joints
            assert joints.dtype == np.float32
            assert joints.shape[1:] == (22, 3)
            assert 41 <= len(joints) <= 197
            bones = np.linalg.norm(joints[:, 1:] - joints[:, parents], axis=-1)
            assert np.abs(bones - BONE_LENGTHS[1:]).max() < 1e-4
            assert joints[..., 1].min() == pytest.approx(0, abs=1e-6)
            assert joints[0, 0, [0, 2]] == pytest.approx([0, 0], abs=1e-6)

    def test_features_are_finite_and_human(self) -> None:
        rows = np.concatenate([features(made(index).joints) for index in range(150)])
        assert np.isfinite(rows).all()
        contacts = rows[:, GROUPS["contacts"]].mean(axis=0)
        assert (contacts > 0.6).all()
        assert (contacts < 0.95).all()
        assert 0.8 < rows[:, 3].mean() < 0.96  # metres of pelvis height

    def test_knees_bend_forward(self) -> None:
        for index in range(150):
            joints = made(index).joints.astype(np.float64)
            for side in SIDES:
                hip, knee, ankle, foot = (
                    joint(joints, f"{side}_{name}")
                    for name in ("hip", "knee", "ankle", "foot")
                )
                bend = np.cross(knee - hip, ankle - knee)
                left = np.cross([0, 1, 0], foot - ankle)
                upright = np.abs((foot - ankle)[:, 1]) < 0.1
                assert (np.sum(bend * left, axis=1)[upright] > -1e-3).all()

    def test_feet_that_carry_do_not_slide(self) -> None:
        for _, joints in told(r"(walks|strolls|runs|jogs) forward", 20):
            for side in SIDES:
                foot = joint(joints, f"{side}_foot")
                low = foot[:, 1] < foot[:, 1].min() + 0.003
                planted = low[:-2] & low[1:-1] & low[2:]
                step = np.linalg.norm(np.diff(foot[:, [0, 2]], axis=0), axis=1)
                assert step[:-1][planted].mean() < 0.005  # metres per frame
                assert planted.mean() > 0.15

    def test_bodies_do_not_jerk(self) -> None:
        for index in range(150):
            joints = made(index).joints.astype(np.float64)
            jerk = np.diff(joints[:, 0], n=2, axis=0)
            assert np.abs(jerk).max() < 0.2  # metres per frame squared


class TestCaptions:
    def test_captions_belong_to_the_motion(self) -> None:
        assert [made(i).captions for i in range(5)] == [written(i)[1] for i in range(5)]

    def test_two_or_three_different_sentences(self) -> None:
        for index in range(500):
            texts = written(index)[1]
            assert 2 <= len(set(texts)) == len(texts) <= 3
            for text in texts:
                assert re.fullmatch(r"[a-z0-9][a-z0-9,. -]*[a-z0-9]\.", text), text
                assert not re.search(r"  |,,|,\.| \.|\{|\*", text), text

    @pytest.mark.parametrize(
        ("words", "angle"),
        [
            ("slightly to the", math.pi / 4),
            ("to the", math.pi / 2),
            ("around to the", math.pi),
        ],
    )
    def test_turns_are_as_told(self, words: str, angle: float) -> None:
        for match, joints in told(rf"turns {words} (left|right)", 4):
            sign = 1 if match[2] == "left" else -1
            assert turned(joints) == pytest.approx(sign * angle, abs=0.35)

    @pytest.mark.parametrize(
        ("words", "sign"),
        [
            ("in a circle to the left", 1),
            ("in a counterclockwise circle", 1),
            ("in a circle to the right", -1),
            ("in a clockwise circle", -1),
        ],
    )
    def test_circles_close(self, words: str, sign: int) -> None:
        for _, joints in told(rf"(?:walks|strolls) {words}", 2):
            assert turned(joints) == pytest.approx(sign * math.tau, abs=0.6)

    @pytest.mark.parametrize(
        ("words", "axis", "sign"),
        [
            ("forward", 2, 1),
            ("backward", 2, -1),
            ("sideways to the left", 0, 1),
            ("sideways to the right", 0, -1),
        ],
    )
    def test_walks_lead_where_told(self, words: str, axis: int, sign: int) -> None:
        for _, joints in told(rf"(?:walks|strolls) {words}", 4):
            way = joint(joints, "pelvis")[-1] * sign
            assert way[axis] > 0.3
            assert abs(way[2 - axis]) < 0.6 * way[axis]

    def test_running_is_faster_than_walking_than_sneaking(self) -> None:
        verbs = ("(?:sneaks|creeps|tiptoes)", "walks", "(?:jogs|trots)", "runs")
        speeds = [
            np.median([top_speed(joints) for _, joints in told(f"{verb} .*", 6)])
            for verb in verbs
        ]
        assert speeds == sorted(speeds)
        assert speeds[-1] > 2 * speeds[1]

    def test_quick_walkers_are_faster_than_slow_ones(self) -> None:
        slow, quick = (
            np.median(
                [top_speed(clip) for _, clip in told(f"walks forward.* {way}", 8)]
            )
            for way in ("(?:slowly|unhurriedly)", "(?:quickly|fast)")
        )
        assert quick > 1.15 * slow

    def test_kicks_are_counted_and_sided(self) -> None:
        pattern = r"kicks with the (left|right) leg (once|twice|three times|four times)"
        for match, joints in told(pattern, 8):
            other = "left" if match[2] == "right" else "right"
            height = joint(joints, f"{match[2]}_ankle")[:, 1]
            peaks, _ = find_peaks(height, prominence=0.2)
            assert len(peaks) == number(match[3])
            assert np.ptp(joint(joints, f"{other}_ankle")[:, 1]) < 0.1

    def test_jumps_are_counted(self) -> None:
        for match, joints in told(r"jumps up (once|twice|three times|four times)", 5):
            feet = joints[:, [10, 11], 1].min(axis=1)
            peaks, _ = find_peaks(feet, prominence=0.03)
            assert len(peaks) == number(match[2])

    def test_steps_are_counted(self) -> None:
        for match, joints in told(r"walks forward for (\w+) steps", 8):
            heights = [joint(joints, f"{side}_foot")[:, 1] for side in SIDES]
            highest = max(height.max() for height in heights)
            # The half step that brings the feet together at the end stays low.
            steps = sum(
                len(find_peaks(height, height=0.65 * highest, distance=5)[0])
                for height in heights
            )
            assert steps == number(match[2])

    def test_the_named_hand_waves(self) -> None:
        for match, joints in told(r"waves with the (left|right) hand", 8):
            for side in SIDES:
                wrist, shoulder = (
                    joint(joints, f"{side}_{part}")[:, 1]
                    for part in ("wrist", "shoulder")
                )
                assert (wrist.max() > shoulder.max()) == (side == match[2])

    def test_raised_arms_are_up(self) -> None:
        for _, joints in told(r"(?:raises both arms|lifts both arms up)", 8):
            wrists = joints[:, [JOINTS.index(f"{side}_wrist") for side in SIDES], 1]
            assert (wrists.max(axis=0) > joint(joints, "head")[:, 1].mean()).all()

    def test_sitting_ends_low_and_standing_up_starts_low(self) -> None:
        for _, joints in told(r"(?:sits down|takes a seat)", 3):
            assert joint(joints, "pelvis")[-1, 1] < 0.65 < joint(joints, "pelvis")[0, 1]
        for _, joints in told(r"(?:stands up from a chair|gets up from a seat)", 3):
            assert joint(joints, "pelvis")[0, 1] < 0.65 < joint(joints, "pelvis")[-1, 1]


class TestVariety:
    def test_most_captions_are_unique(self) -> None:
        texts = [text for index in range(2000) for text in written(index)[1]]
        assert len(set(texts)) > 0.8 * len(texts)

    def test_actions_follow_zipf(self) -> None:
        counts = Counter(
            segment.action.name
            for index in range(2000)
            for segment in written(index)[0].segments
        )
        assert set(counts) == {action.name for action in ACTIONS}
        ordered = [counts[action.name] for action in ACTIONS if action.place != "last"]
        rank = np.arange(1, len(ordered) + 1)
        slope = np.polyfit(np.log(rank), np.log(ordered), 1)[0]
        assert -1.4 < slope < -0.7

    def test_habits_persist_in_a_sequence(self) -> None:
        sides = [
            [
                segment.side
                for segment in script.segments
                if segment.action.name == "wave"
            ]
            for script, _ in map(written, range(4000))
        ]
        pairs = [names for names in sides if len(names) == 2]
        alike = sum(first == second for first, second in pairs) / len(pairs)
        assert 0.65 < alike < 0.98

    def test_tracks_name_channels_that_exist(self) -> None:
        for action in ACTIONS:
            for name, *_ in action.tracks:
                prefix, _, rest = name.partition("_")
                if prefix in ("near", "far", "both"):
                    name = f"left_{rest}"
                assert name in CHANNELS, action.name
