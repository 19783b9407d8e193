"""A pack is read as it was written, and its images as a mirror shows them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scaling.errors import ScalingError
from scaling.models.skeleton import canonical, mirror
from scaling.runs import kinematic, pack
from scaling.runs.pack import Entry, Recording, read_joints, recordings, swap_sides
from scaling.runs.sections import PackedCorpus
from scaling.runs.sources import Report, Source

ROW = {
    "id": "a",
    "captions": ["waves the left hand"],
    "split": "train",
    "start": 5,
    "clips": [[0, 40], [40, 90]],
}


def listed(folder: Path, *rows: dict[str, object]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "sequences.jsonl").write_text(text)
    return folder


def entries(folder: Path, *, mirrored: bool) -> list[Entry]:
    found = recordings(folder)
    return [clip for r in found for clip in pack.entries(r, mirrored=mirrored)]


def recording(name: str, frames: int) -> Recording:
    return Recording(
        name=name,
        split="train",
        captions=("walks", "goes"),
        clips=((0, 40), (40, frames)),
        about={"file": f"{name}.bvh", "fps": 30.0},
    )


def test_deltas_wrap_around(tmp_path: Path) -> None:
    """2 m and -2 m from the pelvis in turn: 4 m apart, beyond int16 in 0.1 mm."""
    offsets = np.tile(np.array([20_000, -20_000, 20_000], np.int16), (63, 1))
    deltas = np.diff(offsets, axis=1, prepend=np.zeros((63, 1), np.int16))
    assert deltas.dtype == np.int16
    np.savez(tmp_path / "joints.npz", root=np.zeros((3, 3), "f4"), local_delta=deltas)
    joints = read_joints(tmp_path)
    np.testing.assert_allclose(joints[:, 1:, 0].T, np.tile([2, -2, 2], (21, 1)))


def test_clips_are_frames_of_the_pack(tmp_path: Path) -> None:
    first, second = entries(listed(tmp_path, ROW), mirrored=False)
    assert (first.name, first.first, first.last) == ("a.0", 5, 45)
    assert (second.name, second.first, second.last) == ("a.1", 45, 95)


def test_training_clips_alone_have_images(tmp_path: Path) -> None:
    listed(tmp_path, ROW, {**ROW, "id": "b", "split": "test"})
    found = entries(tmp_path, mirrored=True)
    assert [clip.name for clip in found] == ["a.0", "Ma.0", "a.1", "Ma.1", "b.0", "b.1"]
    assert found[1].captions == ("waves the right hand",)


def test_an_image_is_the_mirrored_clip(tmp_path: Path) -> None:
    joints = kinematic.sequence(0, 0).joints
    row = {**ROW, "start": 0, "clips": [[0, 40]]}
    clip, image = entries(listed(tmp_path, row), mirrored=True)
    expected = canonical(joints[:40])
    np.testing.assert_array_equal(clip.source(joints).motion, expected)
    expected = canonical(mirror(expected))
    np.testing.assert_allclose(image.source(joints).motion, expected)


@pytest.mark.parametrize(
    "line",
    [
        *("{", "[1]", '{"id": 3}'),
        json.dumps({**ROW, "captions": "waves"}),
        json.dumps({**ROW, "captions": [3]}),
        json.dumps({**ROW, "captions": ["\ud800"]}),
        json.dumps({**ROW, "captions": ["caf\u00e9"]}, ensure_ascii=False),
        json.dumps({**ROW, "split": "training"}),
        json.dumps({**ROW, "clips": [[40, 40]]}),
        json.dumps({**ROW, "clips": [[0, 40.5]]}),
        json.dumps({**ROW, "start": -1}),
    ],
)
def test_a_line_that_is_no_sequence_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "sequences.jsonl").write_text(f"{line}\n", encoding="latin-1")
    with pytest.raises(
        ScalingError, match=r"sequences.jsonl:1 is no sequence; expected"
    ):
        recordings(tmp_path)


def test_captions_may_hold_any_line_break(tmp_path: Path) -> None:
    row = {**ROW, "captions": ["walks\u2028and sits"]}
    text = json.dumps(row, ensure_ascii=False)
    (tmp_path / "sequences.jsonl").write_text(text + "\n", encoding="utf-8")
    assert recordings(tmp_path)[0].captions == ("walks\u2028and sits",)


def test_clips_without_a_caption_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    pack.write(tmp_path, [(recording("a", 90), kinematic.sequence(0, 0).joints[:90])])
    listed(tmp_path, {**ROW, "start": 0}, {**ROW, "id": "b", "captions": ["...", " "]})
    report = Report()
    groups = pack.sources(
        PackedCorpus(kind="packed", path=str(tmp_path)), report
    ).groups
    assert [clip.name for group in groups for clip in group] == ["a.0", "a.1"]
    assert report.skipped == dict.fromkeys(["b.0", "b.1"], "no caption with words")


def test_clips_beyond_the_joints_are_refused(tmp_path: Path) -> None:
    clip = entries(listed(tmp_path, ROW), mirrored=False)[1]
    with pytest.raises(
        ScalingError, match=r"^clip a\.1 ends at frame 95 of 94; expected"
    ):
        clip.source(np.zeros((94, 22, 3)))


@pytest.mark.parametrize("damage", ["text", "other", "torn", "objects"])
def test_joints_that_cannot_be_read_are_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "joints.npz"
    arrays = {"root": np.zeros((3, 3), "f4"), "local_delta": np.zeros((63, 3), "i2")}
    if damage == "other":
        del arrays["root"]
    elif damage == "objects":
        arrays["root"] = arrays["root"].astype(object)
    np.savez(path, **arrays)
    if damage == "text":
        path.write_text("joints")
    elif damage == "torn":
        path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(
        ScalingError, match=r"joints.npz holds no joints; expected root"
    ):
        read_joints(tmp_path)


def test_swapping_sides_twice_changes_nothing() -> None:
    caption = "turns left, then counterclockwise, on the right leg"
    assert swap_sides(swap_sides(caption)) == caption


# --- writing ---


def test_a_pack_reads_back_as_it_was_written(tmp_path: Path) -> None:
    motions = [kinematic.sequence(n, 0).joints.astype(np.float64) for n in (0, 2)]
    given = [recording(f"take{n}", len(m)) for n, m in enumerate(motions)]
    written = pack.write(tmp_path / "new", zip(given, motions, strict=True))
    assert written == recordings(tmp_path / "new")
    assert [r.start for r in written] == [0, len(motions[0])]
    assert written[1].about == {**given[1].about, "frames": len(motions[1])}
    assert (written[1].captions, written[1].clips) == (
        given[1].captions,
        given[1].clips,
    )
    joints = read_joints(tmp_path / "new")
    assert np.abs(joints - np.concatenate(motions)).max() < 0.51e-4  # metres


def test_a_pack_is_not_written_over(tmp_path: Path) -> None:
    motion = kinematic.sequence(0, 0).joints.astype(np.float64)
    pack.write(tmp_path, [(recording("take", len(motion)), motion)])
    before = (tmp_path / "joints.npz").read_bytes()
    with pytest.raises(ScalingError, match=r"holds joints.npz already; expected a new"):
        pack.write(tmp_path, [(recording("other", len(motion)), motion)])
    assert (tmp_path / "joints.npz").read_bytes() == before


def test_what_a_pack_cannot_hold_is_refused(tmp_path: Path) -> None:
    motion = kinematic.sequence(0, 0).joints.astype(np.float64)
    motion[3, 20] += 4.0
    with pytest.raises(ScalingError, match=r"^take: a joint is 4.* m from the pelvis"):
        pack.write(tmp_path, [(recording("take", len(motion)), motion)])
    with pytest.raises(ScalingError, match="no sequence is left to be packed"):
        pack.write(tmp_path, [])
    assert not list(tmp_path.iterdir())


# --- HumanML3D's captions on the windows of its trials ---


def told(
    folder: Path, h3d: list[list[object]], **texts: str
) -> tuple[list[Source], Report]:
    """Read a pack of one trial's frames 2 to 92 in two clips, with texts beside it."""
    (folder / "texts").mkdir(parents=True)
    for name, text in texts.items():
        (folder / "texts" / f"{name}.txt").write_text(text)
    motion = np.tile(kinematic.sequence(0, 0).joints[:1].astype(np.float64), (90, 1, 1))
    trial = Recording(
        name="a",
        split="train",
        captions=("walk",),
        clips=((0, 45), (45, 90)),
        about={"lead": 2, "h3d": h3d},
    )
    pack.write(folder / "pack", [(trial, motion)])
    section = PackedCorpus(
        kind="packed", path=str(folder / "pack"), humanml3d_texts=str(folder / "texts")
    )
    report = Report()
    groups = pack.sources(section, report).groups
    return [source for group in groups for source in group], report


def test_a_clip_has_the_captions_of_what_it_shares(tmp_path: Path) -> None:
    """Frames 2 to 62 of the trial: all of the first window, a third of the second."""
    clips, report = told(
        tmp_path, [["000001", 2, 62]], **{"000001": "a man walks#x#0#0"}
    )
    assert [clip.captions for clip in clips] == [("a man walks", "walk"), ("walk",)]
    assert report.notes == ["1 clips have captions of HumanML3D"]


def test_the_lead_is_counted(tmp_path: Path) -> None:
    """The first window begins 2 frames into the trial: 22 of 45 is less than half."""
    for begin, shared in ((23, True), (24, True), (25, False)):
        h3d: list[list[object]] = [["1", begin, begin + 60]]
        clips, _ = told(tmp_path / str(begin), h3d, **{"1": "walks#x#0.0#0.0"})
        assert (len(clips[0].captions) == 2) is shared
        assert len(clips[1].captions) == 2


def test_a_caption_of_a_part_goes_where_the_part_is(tmp_path: Path) -> None:
    """Seconds 2.5 to 4 of a clip that begins at frame 2: frames 52 to 82."""
    text = "walks#x#0.0#0.0\nsits down#x#2.5#4.0\n"
    clips, _ = told(tmp_path, [["1", 2, 92]], **{"1": text})
    assert clips[0].captions == ("walks", "walk")
    assert clips[1].captions == ("walks", "sits down", "walk")


def test_texts_that_are_missing_are_counted(tmp_path: Path) -> None:
    clips, report = told(tmp_path, [["1", 0, 92], ["2", 0, 92]], **{"1": "walks#x#0#0"})
    assert clips[0].captions == ("walks", "walk")
    assert list(report.skipped) == ["h3d 2"]
    assert report.skipped["h3d 2"].startswith("no file texts/2.txt; expected")


def test_a_pack_that_names_no_clips_of_humanml3d_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScalingError, match="no sequence of the pack has an h3d field"):
        told(tmp_path, [])


def test_texts_are_part_of_what_determines_a_corpus(tmp_path: Path) -> None:
    told(tmp_path, [["1", 0, 92], ["2", 0, 92]], **{"1": "walks#x#0#0", "3": "sits"})
    section = PackedCorpus(kind="packed", path=str(tmp_path / "pack"))
    assert [path.name for path in pack.files(section)] == list(pack.FILES)
    texts = {"humanml3d_texts": str(tmp_path / "texts")}
    found = pack.files(section.model_copy(update=texts))
    assert [path.name for path in found] == [*pack.FILES, "1.txt"]
