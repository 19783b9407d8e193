"""What a user may call a corpus, and what is in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scaling.errors import ScalingError
from scaling.models.bvh import write
from scaling.models.skeleton import Array, canonical
from scaling.runs import kinematic, pack
from scaling.runs.named_corpus import Kind, find_clips, joints_of, opened, section_of
from scaling.runs.pack import Recording
from scaling.runs.sections import KinematicCorpus


def motion(index: int = 0) -> Array:
    return kinematic.sequence(index, 0).joints[:60].astype(np.float64)


def write_pack(folder: Path, **about: tuple[str, ...]) -> Path:
    """Write a pack of four sequences, with one value of each field for each."""
    found = [
        (
            Recording(
                name=f"s{number}",
                split="test" if number == 3 else "train",
                captions=("moves",),
                clips=((0, 60),),
                about={field: values[number] for field, values in about.items()},
            ),
            motion(number),
        )
        for number in range(4)
    ]
    pack.write(folder, found)
    return folder


def silent(done: int, total: int) -> None:
    """Report to nobody."""


# --- what is meant ---


def test_a_grid_means_its_corpus(tiny: Path) -> None:
    assert section_of(str(tiny)) == KinematicCorpus(sequences=40, seed=3)
    assert section_of("kinematic") == KinematicCorpus()


def test_folders_are_known_by_their_files(tmp_path: Path) -> None:
    (tmp_path / "h3d" / "new_joint_vecs").mkdir(parents=True)
    (tmp_path / "bvh" / "subject").mkdir(parents=True)
    (tmp_path / "bvh" / "subject" / "Walk.BVH").touch()
    (tmp_path / "npz").mkdir()
    (tmp_path / "npz" / "walk.npz").touch()
    (tmp_path / "pack").mkdir()
    write_pack(tmp_path / "pack")
    kinds = [section_of(str(tmp_path / n)).kind for n in ("h3d", "bvh", "npz", "pack")]
    assert kinds == ["humanml3d", "bvh", "joints", "packed"]
    assert section_of(str(tmp_path / "pack"), "joints").kind == "joints"


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        (
            "nowhere",
            None,
            "nowhere is no corpus; expected a grid file .* or the word kin",
        ),
        (
            "nowhere",
            "bvh",
            r"nowhere is no corpus; expected .* a folder: name one that",
        ),
        ("", None, "holds no motion; expected a pack"),
    ],
)
def test_what_is_no_corpus_is_refused(
    tmp_path: Path, name: str, kind: Kind | None, message: str
) -> None:
    with pytest.raises(ScalingError, match=message):
        section_of(str(tmp_path / name), kind)


# --- what is in it ---


def test_a_store_s_corpus_is_not_built_again(straight: Path) -> None:
    def refuse(done: int, total: int) -> None:
        raise AssertionError("it is built again")

    with opened(str(straight), None, refuse) as found:
        assert (found.name, len(found.corpus.clips)) == ("out", 40)
    (folder,) = straight.glob("corpus-*")
    with opened(str(folder), None, refuse) as found:
        assert len(found.corpus.clips) == 40


def test_the_first_field_that_sequences_share_is_their_source(tmp_path: Path) -> None:
    fields = {"source": tuple("abcd"), "content": ("walk", "walk", "run", "run")}
    folder = write_pack(tmp_path / "mine", **fields)
    with opened(str(folder), None, silent) as found:
        assert found.source_of == {
            "s0.0": "walk",
            "s1.0": "walk",
            "s2.0": "run",
            "s3.0": "run",
        }


def test_images_come_from_where_their_clips_do(tmp_path: Path) -> None:
    folder = write_pack(tmp_path, source=("x", "x", "y", "y"))
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        f"study: s\ncorpus: {{kind: packed, path: {folder}, mirror: true}}\n"
        "tokenizers: {codebooks: [16], steps: 1}\ntransformers: none\n"
    )
    with opened(str(grid), None, silent) as found:
        assert len(found.source_of) == len(found.corpus.clips) == 7
        assert found.source_of["Ms2.0"] == "y"


def test_a_pack_that_says_nothing_has_no_sources(tmp_path: Path) -> None:
    with opened(str(write_pack(tmp_path)), None, silent) as found:
        assert found.source_of == {}


def test_folders_of_files_are_their_sources(tmp_path: Path) -> None:
    for name in ("one/walk", "one/run", "two/walk"):
        path = tmp_path / f"{name}.bvh"
        path.parent.mkdir(exist_ok=True)
        path.write_text(write(motion()))
    table = tmp_path / "captions.csv"
    rows = ["name,caption,split", "one/walk,walks,train", "one/run,runs,test"]
    table.write_text("\n".join([*rows, "two/walk,walks,test"]))
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        f"study: s\ncorpus: {{kind: bvh, path: {tmp_path}, captions: {table}}}\n"
        "tokenizers: {codebooks: [16], steps: 1}\ntransformers: none\n"
    )
    with opened(str(grid), None, silent) as found:
        assert found.source_of == {
            "one/run.0": "one",
            "one/walk.0": "one",
            "two/walk.0": "two",
        }


# --- one clip ---


def test_a_clip_is_found_by_its_name(tmp_path: Path) -> None:
    (found,) = find_clips(str(write_pack(tmp_path)), None, "s2.0")
    assert (found.name, found.split) == ("s2.0", "train")
    assert joints_of(found).shape == (60, 22, 3)


def test_without_a_name_the_first_tests_are_found(straight: Path) -> None:
    found = find_clips(str(straight), None, None)
    assert [clip.split for clip in found] == ["test"] * 3
    generated = find_clips("kinematic", None, None)
    assert [clip.name[-2:] for clip in generated] == ["17", "18", "19"]


def test_a_name_that_is_not_there_is_answered_with_near_ones(tmp_path: Path) -> None:
    folder = str(write_pack(tmp_path))
    with pytest.raises(ScalingError, match=r"no clip 's2'; did you mean 's2.0'"):
        find_clips(folder, None, "s2")
    with pytest.raises(ScalingError, match=r"no clip 'Q'; .* of 4, such as 's0.0', 's"):
        find_clips(folder, None, "Q")


def test_features_alone_become_joints(straight: Path) -> None:
    """A built corpus holds features; the body is put together again."""
    (folder,) = straight.glob("corpus-*")
    (found,) = find_clips(str(folder), None, "kinematic-3-00000000")
    assert found.motion.shape[1] == 263
    made = canonical(kinematic.sequence(0, 3).joints.astype(np.float64))
    apart = np.linalg.norm(joints_of(found) - made[:-1], axis=-1)
    assert apart.mean() < 0.02  # metres
