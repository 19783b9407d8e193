"""Corpora: what goes in comes out normalised, split and captioned."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from scaling.errors import ScalingError
from scaling.files import read_json
from scaling.models.motion import features, recover
from scaling.models.skeleton import canonical
from scaling.runs import corpora, kinematic
from scaling.runs.extent import extent_of
from scaling.runs.sections import KinematicCorpus, PackedCorpus
from scaling.runs.sources import SPLITS

DATA = os.environ.get("SCALING_DATA")
real = pytest.mark.skipif(
    not DATA, reason="SCALING_DATA does not name the folder of real motion"
)


def silent(done: int, total: int) -> None:
    """Report to nobody."""


def pack(folder: Path, joints: np.ndarray, splits: tuple[str, ...]) -> PackedCorpus:
    """Write joints (T, 22, 3) as a pack of one sequence per split."""
    offsets = np.round((joints[:, 1:] - joints[:, :1]) * 1e4).astype(np.int16)
    flat = np.concatenate([offsets.reshape(-1, 63).T] * len(splits), axis=1)
    np.savez(
        folder / "joints.npz",
        root=np.concatenate([joints[:, 0].astype(np.float32)] * len(splits)),
        local_delta=np.diff(flat, axis=1, prepend=np.zeros((63, 1), np.int16)),
    )
    rows = [
        {
            "id": f"clip{n}",
            "captions": ["a person waves the left hand"],
            "split": split,
            "start": n * len(joints),
            "clips": [[0, len(joints)]],
        }
        for n, split in enumerate(splits)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "sequences.jsonl").write_text(lines)
    return PackedCorpus(kind="packed", path=str(folder))


def test_a_generated_corpus_is_what_the_generator_makes(tmp_path: Path) -> None:
    summary = corpora.build(KinematicCorpus(sequences=20, seed=5), tmp_path, silent)
    corpus = corpora.load(tmp_path)
    assert [summary[f"{split}_clips"] for split in SPLITS] == [16, 1, 3]
    assert summary["skipped"] == 0
    assert read_json(tmp_path / "skipped.json") == {"skipped": {}, "notes": []}
    for index in (0, 16, 19):
        clip, made = corpus.clips[index], kinematic.sequence(index, 5)
        assert clip.captions == made.captions
        expected = features(made.joints, "fixed")
        found = corpus.unnormalised(corpus.motion(clip))
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_bounded_test_split_is_the_first_of_the_whole(tmp_path: Path) -> None:
    for folder, bound in (("whole", None), ("part", 4)):
        (tmp_path / folder).mkdir()
        section = KinematicCorpus(sequences=60, test_sequences=bound)
        corpora.build(section, tmp_path / folder, silent)
    whole, part = (corpora.load(tmp_path / folder) for folder in ("whole", "part"))
    kept = [clip.name for clip in whole.split("test")][:4]
    assert [clip.name for clip in part.split("test")] == kept
    assert len(part.split("train")) == len(whole.split("train")) == 48
    np.testing.assert_array_equal(part.mean, whole.mean)
    assert extent_of(KinematicCorpus(sequences=60, test_sequences=4)).test_clips == 4


def test_features_are_normalised_by_the_training_split(tmp_path: Path) -> None:
    corpora.build(KinematicCorpus(sequences=20), tmp_path, silent)
    corpus = corpora.load(tmp_path)
    training = np.concatenate([corpus.motion(clip) for clip in corpus.split("train")])
    np.testing.assert_allclose(training.mean(0, np.float64), 0, atol=1e-4)
    # deviations are averaged within groups: positions are one group
    assert np.mean(training[:, 4:67].std(0)) > 0.5


def test_a_pack_is_read_back(tmp_path: Path) -> None:
    joints = kinematic.sequence(0, 0).joints
    corpora.build(pack(tmp_path, joints, ("train", "test")), tmp_path, silent)
    corpus = corpora.load(tmp_path)
    assert [clip.split for clip in corpus.clips] == ["train", "test"]
    found = recover(corpus.unnormalised(corpus.motion(corpus.clips[1])))
    expected = canonical(joints)[:-1]
    assert np.linalg.norm(found - expected, axis=-1).mean() < 0.02  # metres


def test_mirror_images_join_the_training_split_alone(tmp_path: Path) -> None:
    section = pack(tmp_path, kinematic.sequence(0, 0).joints, ("train", "test"))
    mirrored = section.model_copy(update={"mirror": True})
    corpora.build(mirrored, tmp_path, silent)
    clips = corpora.load(tmp_path).clips
    assert [clip.name for clip in clips] == ["clip0.0", "Mclip0.0", "clip1.0"]
    assert clips[1].captions == ("a person waves the right hand",)


def test_a_corpus_without_a_test_split_is_refused(tmp_path: Path) -> None:
    section = pack(tmp_path, kinematic.sequence(0, 0).joints, ("train", "train"))
    with pytest.raises(
        ScalingError, match="no test clips of a token's length among its 2"
    ):
        corpora.build(section, tmp_path, silent)


def test_a_corpus_without_captions_says_what_is_left_out(tmp_path: Path) -> None:
    section = pack(tmp_path, kinematic.sequence(0, 0).joints, ("train", "test"))
    path = tmp_path / "sequences.jsonl"
    path.write_text(path.read_text().replace("a person waves the left hand", "..."))
    with pytest.raises(
        ScalingError, match=r"2 left out \(clip0.0: no caption with words\); use"
    ):
        corpora.build(section, tmp_path, silent)


def test_clips_of_one_name_are_refused(tmp_path: Path) -> None:
    section = pack(tmp_path, kinematic.sequence(0, 0).joints, ("train", "test"))
    path = tmp_path / "sequences.jsonl"
    path.write_text(path.read_text().replace("clip1", "clip0"))
    with pytest.raises(
        ScalingError, match=r"2 clips of the corpus are called 'clip0.0'"
    ):
        corpora.build(section, tmp_path, silent)


def test_a_clip_without_features_is_named(tmp_path: Path) -> None:
    section = pack(tmp_path, kinematic.sequence(0, 0).joints, ("train", "test"))
    path = tmp_path / "sequences.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[1]["clips"] = [[0, 1]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ScalingError, match=r"^clip clip1\.0: "):
        corpora.build(section, tmp_path, silent)


@real
def test_the_pack_s_own_statistics_are_reproduced(tmp_path: Path) -> None:
    folder = Path(str(DATA)) / "motion" / "cmu_subset"
    section = PackedCorpus(kind="packed", path=str(folder))
    corpora.build(section, tmp_path, silent)
    corpus = corpora.load(tmp_path)
    assert len(corpus.clips) == 345
    np.testing.assert_allclose(corpus.mean, np.load(folder / "Mean.npy"), atol=1e-5)
    np.testing.assert_allclose(corpus.std, np.load(folder / "Std.npy"), atol=1e-5)
