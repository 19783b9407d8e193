"""Folders of motion files: read, cut, split and captioned, and bad ones named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scaling.errors import ScalingError
from scaling.files import read_json
from scaling.models.bvh import write
from scaling.models.retarget import y_up
from scaling.models.skeleton import Array, canonical
from scaling.runs import corpora, kinematic, mocap, pack
from scaling.runs.mocap import windows
from scaling.runs.sections import BvhCorpus, JointsCorpus
from scaling.runs.sources import Report, Source


def silent(done: int, total: int) -> None:
    """Report to nobody."""


def motion(index: int = 0, frames: int = 50) -> Array:
    joints = kinematic.sequence(index, 0).joints.astype(np.float64)
    return np.concatenate([joints] * (frames // len(joints) + 1))[:frames]


def at_120(text: str) -> str:
    """Say of a BVH that it has 120 frames per second."""
    return text.replace("Frame Time: 0.050000", "Frame Time: 0.0083333")


def folder_of(folder: Path, **texts: str) -> BvhCorpus:
    """Write BVH files, by their names."""
    for name, text in texts.items():
        (folder / f"{name}.bvh").write_text(text)
    return BvhCorpus(kind="bvh", path=str(folder))


def table(folder: Path, *lines: str, name: str = "captions.csv") -> str:
    (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return str(folder / name)


def read(section: mocap.Section) -> tuple[list[Source], Report]:
    report = Report()
    groups = mocap.sources(section, report).groups
    return [source for group in groups for source in group], report


# --- what is read ---


def test_a_file_is_a_clip_called_by_its_words(tmp_path: Path) -> None:
    (clip,), report = read(
        folder_of(tmp_path, **{"walk_like-a mummy": write(motion())})
    )
    assert (clip.name, clip.captions) == ("walk_like-a mummy.0", ("walk like a mummy",))
    np.testing.assert_allclose(clip.motion, canonical(motion()), atol=1e-5)
    assert report.notes == ["captions are the files' names, for there is no table"]


def test_files_of_one_stem_are_called_by_their_paths(tmp_path: Path) -> None:
    for subject in ("s1", "s2"):
        (tmp_path / subject).mkdir()
        folder_of(tmp_path / subject, walk=write(motion()))
    clips, _ = read(BvhCorpus(kind="bvh", path=str(tmp_path)))
    assert [clip.name for clip in clips] == ["s1/walk.0", "s2/walk.0"]


def test_a_table_gives_captions_and_splits(tmp_path: Path) -> None:
    section = folder_of(tmp_path, a=write(motion()), b=write(motion(1)))
    rows = ["name,caption,split", "a.bvh,walks,test", "b,sits,", "a,goes,"]
    captions = table(tmp_path, *rows)
    clips, report = read(section.model_copy(update={"captions": captions}))
    assert [(clip.captions, clip.split) for clip in clips] == [
        (("walks", "goes"), "test"),
        (("sits",), mocap.split_of("b")),
    ]
    assert not report.notes


def test_a_table_may_be_jsonl(tmp_path: Path) -> None:
    section = folder_of(tmp_path, a=write(motion()))
    row = json.dumps({"name": "a", "captions": ["walks", "-"], "split": "val"})
    captions = table(tmp_path, row, name="captions.jsonl")
    (clip,), _ = read(section.model_copy(update={"captions": captions}))
    assert (clip.captions, clip.split) == (("walks",), "val")


def test_clips_and_captions_without_each_other_are_counted(tmp_path: Path) -> None:
    section = folder_of(tmp_path, a=write(motion()), b=write(motion()))
    captions = table(tmp_path, "name,caption", "a,walks", "b, - ", "c,runs")
    clips, report = read(section.model_copy(update={"captions": captions}))
    assert [clip.name for clip in clips] == ["a.0"]
    assert report.skipped == {
        "b": "no caption with words in the table; add a row of its name",
        "c": "it has captions and no file",
    }


def test_long_motion_is_cut_into_equal_clips_of_one_split(tmp_path: Path) -> None:
    clips, _ = read(folder_of(tmp_path, long=write(motion(frames=400))))
    assert [len(clip.motion) for clip in clips] == [133, 134, 133]
    assert len({clip.split for clip in clips}) == 1
    for clip in clips:  # each in its place
        np.testing.assert_allclose(clip.motion[0, 0, [0, 2]], 0, atol=1e-12)


def test_clips_cover_a_sequence_in_allowed_lengths() -> None:
    for frames in range(40, 2000):
        cut = windows(frames)
        assert [0, *(last for _, last in cut)] == [*(first for first, _ in cut), frames]
        lengths = [last - first for first, last in cut]
        assert 40 <= min(lengths) <= max(lengths) <= 196
        assert max(lengths) - min(lengths) <= 1


def test_splits_have_their_shares() -> None:
    drawn = [mocap.split_of(f"take {n}") for n in range(20_000)]
    shares = [drawn.count(split) / len(drawn) for split in ("train", "val", "test")]
    np.testing.assert_allclose(shares, [0.8, 0.05, 0.15], atol=0.01)


def test_images_are_those_of_the_training_clips(tmp_path: Path) -> None:
    section = folder_of(tmp_path, a=write(motion()), b=write(motion()))
    rows = ["name,caption,split", "a,turns left,train", "b,turns left,test"]
    captions = table(tmp_path, *rows)
    update = {"captions": captions, "mirror": True}
    clips, _ = read(section.model_copy(update=update))
    assert [clip.name for clip in clips] == ["a.0", "Ma.0", "b.0"]
    assert clips[1].captions == ("turns right",)


# --- rates and lead-ins ---


def test_the_file_s_rate_is_brought_to_20(tmp_path: Path) -> None:
    text = at_120(write(np.repeat(motion(), 6, axis=0)))
    (clip,), _ = read(folder_of(tmp_path, walk=text))
    np.testing.assert_allclose(clip.motion, canonical(motion()), atol=1e-5)


def test_a_rate_that_is_given_overrides_the_file_and_a_table_both(
    tmp_path: Path,
) -> None:
    text = at_120(write(np.repeat(motion(), 3, axis=0)))
    section = folder_of(tmp_path, a=text, b=text)
    captions = table(tmp_path, "name,caption,fps", "a,walks,", "b,walks,120")
    update = {"captions": captions, "fps": 60.0}
    (clip,), report = read(section.model_copy(update=update))
    np.testing.assert_allclose(clip.motion, canonical(motion()), atol=1e-5)
    assert report.skipped == {"b": "25 frames at 20 fps; expected 40 or more"}


def test_cmu_trials_captured_at_60_fps_are_read_as_such(tmp_path: Path) -> None:
    text = at_120(write(np.repeat(motion(), 3, axis=0)))
    clips, report = read(folder_of(tmp_path, **{"60_08": text, "07_08": text}))
    assert [(clip.name, len(clip.motion)) for clip in clips] == [("60_08.0", 50)]
    assert list(report.skipped) == ["07_08"]
    assert report.notes[1].startswith("1 files of CMU subjects captured at 60 fps are")


def test_frames_of_the_lead_in_are_dropped(tmp_path: Path) -> None:
    joints = motion(frames=60)
    section = folder_of(tmp_path, a=write(joints), b=write(joints))
    captions = table(tmp_path, "name,caption,lead", "a,walks,", "b,walks,20")
    clips, _ = read(section.model_copy(update={"captions": captions, "lead_in": 5}))
    for clip, lead in zip(clips, (5, 20), strict=True):
        np.testing.assert_allclose(clip.motion, canonical(joints[lead:]), atol=1e-5)


# --- joint positions ---


def npz(path: Path, **arrays: object) -> None:
    np.savez(path, **{"fps": 20.0, **arrays})  # type: ignore[arg-type]


def test_joints_of_amass_are_read(tmp_path: Path) -> None:
    """Z up, 52 joints of which ours are the first 22, AMASS' name of the rate."""
    joints = np.pad(y_up(motion()), ((0, 0), (0, 30), (0, 0)))
    np.savez(tmp_path / "walk.npz", joints=joints, mocap_framerate=20.0)
    (clip,), _ = read(JointsCorpus(kind="joints", path=str(tmp_path)))
    np.testing.assert_allclose(clip.motion, canonical(motion()), atol=1e-5)


def test_joints_may_be_y_up(tmp_path: Path) -> None:
    npz(tmp_path / "walk.npz", joints=motion())
    (clip,), report = read(JointsCorpus(kind="joints", path=str(tmp_path), up="y"))
    np.testing.assert_allclose(clip.motion, canonical(motion()), atol=1e-5)
    assert not any("LIES DOWN" in note for note in report.notes)
    _, report = read(JointsCorpus(kind="joints", path=str(tmp_path)))
    assert any("LIES DOWN" in note for note in report.notes)


@pytest.mark.parametrize(
    "write_otherwise",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text.replace(" ", "\t"),
        lambda text: text.replace("Xposition", "XPOSITION").replace("Zrot", "zrot"),
        lambda text: text + "\n\n",
    ],
)
def test_a_file_may_be_written_otherwise(
    tmp_path: Path, write_otherwise: Callable[[str], str]
) -> None:
    text = write(motion())
    folder_of(tmp_path, **{"tâke 1": write_otherwise(text)})
    clips, report = read(folder_of(tmp_path, a=text))
    np.testing.assert_array_equal(clips[0].motion, clips[1].motion)
    assert [clip.name for clip in clips] == ["a.0", "tâke 1.0"]
    assert not report.skipped


# --- what cannot be read ---


def test_bad_bvh_files_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    good = write(motion())
    still = motion()
    still[:, 7] = still[:, 4]  # no left shin
    section = folder_of(
        tmp_path,
        good=good,
        none=good.replace("Frames: 50", "Frames: 0"),
        one=write(motion(frames=1)),
        few=write(motion(frames=39)),
        nan=good.replace("\n0.000000 ", "\nnan ", 1),
        order=good.replace("Zrotation Xrotation", "Zrotation Zrotation", 1),
        unknown=good.replace("left_wrist", "left_paw"),
        zero=good.replace("OFFSET 0.000000 -0.432433", "OFFSET 0.000000 0.000000"),
        prose="Once upon a time",
        hip=good.replace("OFFSET 0.103074", "OFFSET nan"),
        still=good.replace("Frame Time: 0.050000", "Frame Time: 0"),
        seconds=good.replace("Frame Time: 0.050000", "Frame Time: ."),
    )
    (tmp_path / "folder.bvh").mkdir()
    assert mocap.count_frames(section) > 0  # what files say of themselves may be odd
    clips, report = read(section)
    assert [clip.name for clip in clips] == ["good.0"]
    reasons = {
        "none": "the motion begins with 'Frames: 0 Frame Time: 0.050000'",
        "one": "1 frames, of which 0 are dropped; expected 2 left",
        "few": "39 frames at 20 fps; expected 40 or more",
        "nan": "frame 0 is not finite",
        "order": "pelvis turns about Z Z Y",
        "unknown": "joints left_wrist of the HumanML3D skeleton",
        "zero": "the bone from left_knee to left_ankle has no length in frame 0",
        "prose": "no MOTION follows the hierarchy",
        "hip": "an offset is three finite lengths",
        "still": "the motion begins with 'Frames: 50 Frame Time: 0'",
        "seconds": "the motion begins with 'Frames: 50 Frame Time: .'",
    }
    assert report.skipped.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert reason in report.skipped[name]


def test_bad_files_of_joints_are_named(tmp_path: Path) -> None:
    joints = motion()
    nan = joints.copy()
    nan[3, 2] = np.nan
    npz(tmp_path / "good.npz", joints=joints)
    npz(tmp_path / "nan.npz", joints=nan)
    npz(tmp_path / "flat.npz", joints=joints.reshape(50, 66))
    npz(tmp_path / "other.npz", poses=joints)
    np.savez(tmp_path / "timeless.npz", joints=joints)
    (tmp_path / "torn.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:900])
    (tmp_path / "array.npz").write_bytes((tmp_path / "good.npz").read_bytes()[30:])
    npz(tmp_path / "words.npz", joints=np.full(joints.shape, "x"))
    np.savez(tmp_path / "rates.npz", joints=joints, fps=[20, 30])
    np.savez(tmp_path / "objects.npz", joints=joints.astype(object), fps=20)
    np.savez_compressed(tmp_path / "bits.npz", joints=joints, fps=20)
    damaged = bytearray((tmp_path / "bits.npz").read_bytes())
    damaged[2000:2100] = bytes(100)
    (tmp_path / "bits.npz").write_bytes(damaged)
    clips, report = read(JointsCorpus(kind="joints", path=str(tmp_path)))
    assert [clip.name for clip in clips] == ["good.0"]
    reasons = {
        "nan": "joints are not finite, first in frame 3",
        "flat": "its joints have shape (50, 66); expected an array 'joints' of",
        "other": "its joints have shape (0,)",
        "timeless": "it holds none of fps, mocap_framerate",
        **dict.fromkeys(
            ["torn", "array", "words", "rates", "objects", "bits"],
            "it is no npz file of numbers",
        ),
    }
    assert report.skipped.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert reason in report.skipped[name]


def test_a_folder_without_motion_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScalingError, match=r"holds no \*.bvh files; expected some"):
        read(BvhCorpus(kind="bvh", path=str(tmp_path)))


def test_a_folder_of_bad_files_is_refused(tmp_path: Path) -> None:
    section = folder_of(tmp_path, a="?", b="?")
    with pytest.raises(
        ScalingError, match=r"none of the 2 files .* first, a: no MOTION"
    ):
        read(section)


# --- to a corpus, and to a pack ---


def test_a_folder_becomes_a_corpus(tmp_path: Path) -> None:
    takes = {f"take {n}": write(motion(n)) for n in range(4)}
    section = folder_of(tmp_path, **takes, torn="HIERARCHY")
    rows = [f"take {n},walks,{'test' if n else 'train'}" for n in range(4)]
    captions = table(tmp_path, "name,caption,split", *rows, "torn,walks,test")
    out = tmp_path / "out"
    out.mkdir()
    section = section.model_copy(update={"captions": captions})
    summary = corpora.build(section, out, silent)
    clips = corpora.load(out).clips
    assert [clip.name for clip in clips] == [f"take {n}.0" for n in range(4)]
    assert (summary["test_clips"], summary["skipped"]) == (3, 1)
    assert list(read_json(out / "skipped.json")["skipped"]) == ["torn"]


def test_a_folder_becomes_a_pack(tmp_path: Path) -> None:
    section = folder_of(tmp_path, long=write(motion(frames=400)), torn="HIERARCHY")
    report = Report()
    (written,) = pack.write(tmp_path / "pack", mocap.recordings(section, report))
    assert written.clips == windows(400)
    assert written.about == {
        "file": "long.bvh",
        "lead_in": 0,
        "fps": 20.0,
        "frames": 400,
    }
    np.testing.assert_allclose(
        pack.read_joints(tmp_path / "pack"), motion(frames=400), atol=0.6e-4
    )
    assert list(report.skipped) == ["torn"]


def test_files_and_table_determine_the_corpus(tmp_path: Path) -> None:
    section = folder_of(tmp_path, b=write(motion()), a=at_120(write(motion())))
    names = [path.name for path in mocap.files(section)]
    assert names == ["a.bvh", "b.bvh"]
    captions = table(tmp_path, "name,caption")
    captioned = section.model_copy(update={"captions": captions})
    assert [path.name for path in mocap.files(captioned)] == [*names, "captions.csv"]
    assert mocap.count_frames(section) == 50 + 8
