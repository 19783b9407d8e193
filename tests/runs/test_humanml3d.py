"""HumanML3D's published folder: every clip as published, every bad file named."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from scaling.errors import ScalingError
from scaling.files import read_json
from scaling.models.motion import features
from scaling.runs import corpora, humanml3d, kinematic
from scaling.runs.sections import HumanML3DCorpus
from scaling.runs.sources import Report, Source

WALKS = "a person walks.#a/DET person/NOUN walk/VERB#0.0#0.0\n"


def silent(done: int, total: int) -> None:
    """Report to nobody."""


def motion(frames: int = 60) -> np.ndarray:
    long = np.concatenate([features(kinematic.sequence(n, 0).joints) for n in range(3)])
    return long[:frames].astype(np.float32)


def published(folder: Path, **splits: dict[str, tuple[np.ndarray, str]]) -> Path:
    """Write a folder in the published layout: split = {name: (motion, texts)}."""
    for part in ("new_joint_vecs", "texts"):
        (folder / part).mkdir()
    for split in ("train", "val", "test"):
        clips = splits.get(split, {})
        (folder / f"{split}.txt").write_text("".join(f"{name}\n" for name in clips))
        for name, (array, texts) in clips.items():
            np.save(folder / "new_joint_vecs" / f"{name}.npy", array)
            (folder / "texts" / f"{name}.txt").write_text(texts)
    return folder


def read(folder: Path) -> tuple[list[Source], Report]:
    report = Report()
    groups = humanml3d.sources(folder, report).groups
    return [source for group in groups for source in group], report


def test_clips_are_what_was_published(tmp_path: Path) -> None:
    array = motion()
    published(
        tmp_path,
        train={"000001": (array, WALKS + "someone goes#someone/PRON#nan#nan\n")},
        val={"000003": (array, WALKS)},
        test={"M000002": (array[:40], WALKS)},
    )
    clips, report = read(tmp_path)
    assert [(clip.name, clip.split) for clip in clips] == [
        ("000001", "train"),
        ("000003", "val"),
        ("M000002", "test"),
    ]
    assert clips[0].captions == ("a person walks.", "someone goes")
    np.testing.assert_array_equal(clips[0].motion, array)
    assert not report.skipped


def test_captions_of_a_part_make_a_clip_of_it(tmp_path: Path) -> None:
    """int(20 * 1.12) is 22, and the code behind the published scores cuts there."""
    array = motion(120)
    texts = (
        WALKS + "sits#sit/VERB#1.12#4.5\nand sits#sit/VERB#1.12#4.5\nwaves#x#5.0#6.0\n"
    )
    published(tmp_path, train={"000001": (array, texts)})
    clips, report = read(tmp_path)
    assert [clip.name for clip in clips] == ["000001", "000001#1.1-4.5"]
    assert clips[1].captions == ("sits", "and sits")
    np.testing.assert_array_equal(clips[1].motion, array[22:90])
    assert report.skipped == {"000001#5-6": "20 frames; expected 40 to 199"}


def test_a_clip_of_which_only_parts_are_told_is_not_in_whole(tmp_path: Path) -> None:
    published(tmp_path, train={"000001": (motion(120), "sits#sit/VERB#1.0#4.0\n")})
    clips, report = read(tmp_path)
    assert [clip.name for clip in clips] == ["000001#1-4"]
    assert not report.skipped


def test_bad_files_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    nan = motion()
    nan[7, 3] = np.nan
    bad: dict[str, tuple[np.ndarray, str]] = {
        "007975": (nan, WALKS),
        "009707": (motion(1), WALKS),
        "long": (motion(200), WALKS),
        "narrow": (motion()[:, :251], WALKS),
        "words": (np.array(["a", "b"]), WALKS),
        "silent": (motion(), " ... #x#0.0#0.0\n\n"),
    }
    published(tmp_path, train={"000001": (motion(), WALKS), **bad}, test=bad)
    with (tmp_path / "val.txt").open("a") as file:
        file.write("999999\n")
    (tmp_path / "new_joint_vecs" / "broken.npy").write_bytes(b"\x93NUMPY")
    with (tmp_path / "train.txt").open("a") as file:
        file.write("broken\nuntold\n")
    np.save(tmp_path / "new_joint_vecs" / "untold.npy", motion())
    clips, report = read(tmp_path)
    assert [clip.name for clip in clips] == ["000001"]
    assert report.skipped == {
        "007975": "its features are not finite, first in frame 7",
        "009707": "1 frames; expected 40 to 199",
        "long": "200 frames; expected 40 to 199",
        "narrow": "its shape is (60, 251); expected (frames, 263)",
        "words": "words.npy is no array of numbers; get it anew",
        "silent": "texts/silent.txt has no caption with words: add one",
        "broken": "broken.npy is no array of numbers; get it anew",
        "untold": "no file texts/untold.txt; expected its captions: add it",
        "999999": "no file new_joint_vecs/999999.npy",
    }


def test_times_that_are_none_cost_their_caption_alone(tmp_path: Path) -> None:
    texts = "runs#x#soon#later\n" + WALKS + "only words\nhops#x#-3.0#2.0\n"
    published(tmp_path, train={"000001": (motion(), texts)})
    clips, report = read(tmp_path)
    assert clips[0].captions == ("a person walks.", "only words")
    assert report.skipped == {
        "000001.txt:1": "its times ['soon', 'later'] are no seconds",
        "000001.txt:4": "its times ['-3.0', '2.0'] are no seconds",
    }


def test_a_folder_of_bad_files_is_refused(tmp_path: Path) -> None:
    published(tmp_path, train={"009707": (motion(1), WALKS)})
    with pytest.raises(ScalingError, match=r"none of the 1 clips .* 009707: 1 frames;"):
        read(tmp_path)


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ScalingError, match=r"train.txt cannot be read; expected a list"
    ):
        humanml3d.sources(tmp_path, Report())


def test_the_published_normalisation_is_used(tmp_path: Path) -> None:
    array = motion()
    clip = (array, WALKS)
    published(tmp_path, train={"000001": clip}, test={"000002": clip})
    mean, std = np.linspace(-1, 1, 263, dtype="f4"), np.linspace(1, 2, 263, dtype="f4")
    np.save(tmp_path / "Mean.npy", mean)
    np.save(tmp_path / "Std.npy", std)
    section, out = (
        HumanML3DCorpus(kind="humanml3d", path=str(tmp_path)),
        tmp_path / "out",
    )
    out.mkdir()
    summary = corpora.build(section, out, silent)
    corpus = corpora.load(out)
    np.testing.assert_array_equal(corpus.mean, mean)
    np.testing.assert_array_equal(corpus.std, std)
    np.testing.assert_array_equal(corpus.motion(corpus.clips[0]), (array - mean) / std)
    assert summary["train_clips"] == summary["test_clips"] == 1


def test_without_one_it_is_computed_and_the_left_out_are_counted(
    tmp_path: Path,
) -> None:
    clip = (motion(), WALKS)
    clips = {"000001": clip, "009707": (motion(1), WALKS)}
    published(tmp_path, train=clips, test={"000002": clip})
    section, out = (
        HumanML3DCorpus(kind="humanml3d", path=str(tmp_path)),
        tmp_path / "out",
    )
    out.mkdir()
    assert corpora.build(section, out, silent)["skipped"] == 1
    corpus = corpora.load(out)
    np.testing.assert_allclose(corpus.mean, motion().mean(0), atol=1e-5)
    skipped = read_json(out / "skipped.json")["skipped"]
    assert skipped == {"009707": "1 frames; expected 40 to 199"}


def test_half_a_normalisation_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "Mean.npy", np.zeros(263))
    with pytest.raises(ScalingError, match=r"no file .*Std.npy"):
        humanml3d.statistics(tmp_path)
    np.save(tmp_path / "Std.npy", np.zeros(263))
    with pytest.raises(ScalingError, match=r"Std.npy \(263,\) are no normalisation;"):
        humanml3d.statistics(tmp_path)


def test_all_files_that_are_read_determine_the_corpus(tmp_path: Path) -> None:
    published(tmp_path, train={"1": (motion(), WALKS)}, test={"2": (motion(), WALKS)})
    (tmp_path / "texts" / "2.txt").unlink()
    found = [path.relative_to(tmp_path) for path in humanml3d.files(tmp_path)]
    assert [os.fspath(path) for path in found] == [
        "train.txt",
        "val.txt",
        "test.txt",
        "new_joint_vecs/1.npy",
        "texts/1.txt",
        "new_joint_vecs/2.npy",
    ]
    assert humanml3d.count_frames(tmp_path) == 2 * 60
