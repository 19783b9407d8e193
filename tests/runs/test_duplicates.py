"""Near-duplicates: what was planted is found, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scaling.models.motion import NUM_FEATURES, features
from scaling.models.skeleton import Array, canonical, mirror, turn
from scaling.runs import corpora, kinematic
from scaling.runs.corpora import Clip, Corpus
from scaling.runs.duplicates import LEAST, near_duplicates
from scaling.runs.sections import PackedCorpus

DATA = os.environ.get("SCALING_DATA")
real = pytest.mark.skipif(
    not DATA, reason="SCALING_DATA does not name the folder of real motion"
)


def corpus(motions: dict[str, tuple[str, Array]]) -> Corpus:
    """Make a corpus of joints by name and split."""
    rows, clips, start = [], [], 0
    for name, (split, joints) in motions.items():
        rows.append(features(canonical(joints)))
        clips.append(
            Clip(
                name=name,
                split=split,
                captions=("moves",),
                start=start,
                frames=len(rows[-1]),
            )
        )
        start += len(rows[-1])
    return Corpus(
        clips=tuple(clips),
        features=np.concatenate(rows).astype(np.float32),
        mean=np.zeros(NUM_FEATURES, np.float32),
        std=np.ones(NUM_FEATURES, np.float32),
    )


def motion(index: int, frames: int = 120) -> Array:
    return kinematic.sequence(index, 7).joints[:frames].astype(np.float64)


def noisy(joints: Array) -> Array:
    """Add noise of 1.5 mm to every coordinate."""
    return joints + np.random.default_rng(0).normal(0, 0.0015, joints.shape)


PLANTED: dict[str, Callable[[Array], Array]] = {
    "the same": lambda joints: joints,
    "later": lambda joints: joints[7:],
    "mirrored": mirror,
    "mirrored and later": lambda joints: mirror(joints)[13:],
    "with noise": noisy,
    "elsewhere": lambda joints: turn(joints, 1.0) + np.array([3.0, 0.5, -2.0]),
    "half of it": lambda joints: joints[len(joints) // 2 :],
}


@pytest.mark.parametrize("how", PLANTED)
def test_a_planted_duplicate_is_found_and_no_other(how: str) -> None:
    motions = {f"train{n}": ("train", motion(n)) for n in range(20)}
    motions |= {f"test{n}": ("test", motion(n)) for n in range(20, 24)}
    planted = PLANTED[how](motion(3))
    (found,) = near_duplicates(corpus(motions | {"planted": ("test", planted)}))
    assert (found.clip, found.split) == ("planted", "test")
    assert (found.other, found.other_split) == ("train3", "train")
    assert found.mirrored == ("mirrored" in how)
    assert found.shift == len(motion(3)) - len(planted)
    assert found.frames == len(planted) - 1
    assert found.same == ("noise" not in how)


@pytest.mark.parametrize(
    "change",
    [
        lambda joints: joints[::-1],
        lambda joints: joints[np.arange(0, len(joints), 1.1).astype(int)],
        lambda joints: np.concatenate([joints[80:], motion(40, 160)]),
    ],
    ids=["backwards", "faster by a tenth", "a third of it"],
)
def test_what_was_made_of_a_walk_is_no_duplicate(
    change: Callable[[Array], Array],
) -> None:
    motions = {
        "train": ("train", motion(11)),
        "other": ("train", motion(5)),
        "test": ("test", change(motion(11))),
    }
    assert near_duplicates(corpus(motions)) == []


def test_only_later_splits_are_looked_at() -> None:
    same = motion(3)
    splits = {"a": "train", "b": "train", "c": "val", "d": "test", "e": "test"}
    found = near_duplicates(corpus({k: (split, same) for k, split in splits.items()}))
    pairs = {(each.clip, each.other) for each in found}
    assert pairs == {
        (x, y) for x, y in ("ca", "cb", "da", "db", "dc", "ea", "eb", "ec")
    }


def test_images_of_the_corpus_itself_are_left_out() -> None:
    joints = motion(3)
    motions = {
        "walk": ("train", joints),
        "Mwalk": ("train", mirror(joints)),
        "Moon": ("test", joints),
    }
    (found,) = near_duplicates(corpus(motions))
    assert (found.clip, found.other, found.mirrored) == ("Moon", "walk", False)


def test_short_clips_are_left_out() -> None:
    short = motion(3, LEAST)
    assert near_duplicates(corpus({"a": ("train", short), "b": ("test", short)})) == []


@real
@pytest.mark.parametrize(
    ("pack", "clips", "nearest"),
    [("cmu_subset", 0, None), ("bandai_namco", 7, "bn2_walk-turn-right_normal_028.0")],
)
def test_real_packs(tmp_path: Path, pack: str, clips: int, nearest: str | None) -> None:
    section = PackedCorpus(kind="packed", path=str(Path(str(DATA)) / "motion" / pack))
    corpora.build(section, tmp_path, lambda done, total: None)
    found = near_duplicates(corpora.load(tmp_path))
    assert len({each.clip for each in found if each.split == "test"}) == clips
    same = [each for each in found if each.same]
    assert [each.other for each in same] == ([nearest] if nearest else [])
