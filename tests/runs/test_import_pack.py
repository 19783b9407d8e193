"""What other people's files become as a pack, and what is said of the rest."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scaling.errors import ScalingError
from scaling.files import read_json
from scaling.models.bvh import write
from scaling.models.motion import features
from scaling.models.skeleton import Array, canonical
from scaling.runs import kinematic, pack
from scaling.runs.import_pack import import_pack
from scaling.runs.pack import Recording
from scaling.runs.sections import BvhCorpus, HumanML3DCorpus, PackedCorpus


def motion(index: int = 0) -> Array:
    return canonical(kinematic.sequence(index, 0).joints[:60].astype(np.float64))


def silent(done: int, total: int) -> None:
    """Report to nobody."""


def test_bvh_files_become_sequences(tmp_path: Path) -> None:
    source = tmp_path / "mocap"
    source.mkdir()
    for number, name in enumerate(("walk", "run")):
        (source / f"{name}.bvh").write_text(write(motion(number)))
    (source / "broken.bvh").write_text("HIERARCHY")
    told: list[tuple[int, int]] = []
    section = BvhCorpus(kind="bvh", path=str(source))
    written, report = import_pack(
        section, tmp_path / "out", lambda *count: told.append(count)
    )
    assert [recording.name for recording in written] == ["run", "walk"]
    assert told == [(1, 3), (2, 3)]
    assert list(report.skipped) == ["broken"]
    assert read_json(tmp_path / "out" / "skipped.json")["skipped"] == report.skipped
    joints = pack.read_joints(tmp_path / "out")
    expected = np.concatenate([motion(1), motion(0)])
    np.testing.assert_allclose(joints, expected, atol=1e-4)


def test_humanml3d_becomes_bodies_again(tmp_path: Path) -> None:
    source = tmp_path / "h3d"
    for folder in ("new_joint_vecs", "texts"):
        (source / folder).mkdir(parents=True)
    vectors = features(motion(), "fixed").astype(np.float32)
    for name, split in (("000001", "train"), ("000002", "test")):
        np.save(source / "new_joint_vecs" / f"{name}.npy", vectors)
        (source / "texts" / f"{name}.txt").write_text("walks#walk/VERB#0.0#0.0\n")
        (source / f"{split}.txt").write_text(f"{name}\n")
    (source / "val.txt").touch()
    section = HumanML3DCorpus(kind="humanml3d", path=str(source))
    written, report = import_pack(section, tmp_path / "out", silent)
    assert [recording.captions for recording in written] == [("walks",)] * 2
    assert "rebuilt from the published features" in report.notes[0]
    joints = pack.read_joints(tmp_path / "out")
    apart = np.linalg.norm(joints[:59] - canonical(motion()[:-1]), axis=-1)
    assert apart.mean() < 0.02  # metres; the first step's heading is not kept


def test_a_pack_takes_captions_of_humanml3d(tmp_path: Path) -> None:
    recording = Recording(
        name="s",
        split="train",
        captions=("moves",),
        clips=((0, 60),),
        about={"h3d": [["000001", 0, 60]], "lead": 0},
    )
    pack.write(tmp_path / "in", [(recording, motion())])
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "000001.txt").write_text("a person walks#a/DET#0.0#0.0\n")
    section = PackedCorpus(
        kind="packed", path=str(tmp_path / "in"), humanml3d_texts=str(texts)
    )
    (written,), report = import_pack(section, tmp_path / "out", silent)
    assert written.captions == ("a person walks", "moves")
    assert report.notes == ["1 clips have captions of HumanML3D"]


@pytest.mark.parametrize("name", ["joints.npz", "notes.txt"])
def test_a_folder_with_anything_in_it_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    section = BvhCorpus(kind="bvh", path=str(tmp_path))
    with pytest.raises(
        ScalingError, match="is there already and not empty; expected a"
    ):
        import_pack(section, tmp_path, silent)
    assert (tmp_path / name).read_text() == "mine"
    with pytest.raises(ScalingError, match="is there already"):
        import_pack(section, tmp_path / name, silent)


def test_nothing_is_written_where_nothing_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.bvh").write_text("HIERARCHY")
    section = BvhCorpus(kind="bvh", path=str(tmp_path))
    with pytest.raises(ScalingError, match=r"none of the 1 files in .* the first, a:"):
        import_pack(section, tmp_path / "out", silent)
    assert not (tmp_path / "out").exists()


def test_lines_are_those_of_any_pack(tmp_path: Path) -> None:
    (tmp_path / "mocap").mkdir()
    (tmp_path / "mocap" / "walk_on.bvh").write_text(write(motion()))
    section = BvhCorpus(kind="bvh", path=str(tmp_path / "mocap"))
    import_pack(section, tmp_path / "out", silent)
    (line,) = (tmp_path / "out" / "sequences.jsonl").read_text().splitlines()
    row = json.loads(line)
    assert (row["id"], row["captions"], row["clips"]) == (
        "walk_on",
        ["walk on"],
        [[0, 60]],
    )
