"""A pack is read as it was written, and its images as a mirror shows them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scaling.errors import ScalingError
from scaling.models.skeleton import canonical, mirror
from scaling.runs import kinematic
from scaling.runs.pack import entries, read_joints, swap_sides

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
    np.testing.assert_array_equal(clip.joints(joints), canonical(joints[:40]))
    np.testing.assert_allclose(
        image.joints(joints), canonical(mirror(canonical(joints[:40])))
    )


@pytest.mark.parametrize("line", ["{", "[1]", '{"id": 3}'])
def test_a_line_that_is_no_sequence_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "sequences.jsonl").write_text(f"{line}\n")
    with pytest.raises(
        ScalingError, match=r"sequences.jsonl:1 is no sequence; expected"
    ):
        entries(tmp_path, mirrored=False)


def test_swapping_sides_twice_changes_nothing() -> None:
    caption = "turns left, then counterclockwise, on the right leg"
    assert swap_sides(swap_sides(caption)) == caption
