"""`scaling data` as a user meets it: real processes, real files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageSequence

from scaling.models.bvh import write
from scaling.runs import kinematic, pack

if TYPE_CHECKING:
    from tests.conftest import CommandLine


@pytest.fixture(scope="module")
def mocap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six BVH files with a table of captions; `copy` is `m0` from frame 10 on."""
    folder = tmp_path_factory.mktemp("data") / "mocap"
    folder.mkdir()
    rows = ["name,caption,split"]
    for number in range(5):
        joints = kinematic.sequence(number, 7).joints[:120].astype(np.float64)
        (folder / f"m{number}.bvh").write_text(write(joints))
        rows.append(f"m{number},a person moves,{'test' if number == 4 else 'train'}")
        if number == 0:
            (folder / "copy.bvh").write_text(write(joints[10:]))
            rows.append("copy,someone goes on,test")
    (folder / "short.bvh").write_text(write(joints[:20]))
    (folder.parent / "captions.csv").write_text("\n".join([*rows, "short,too short,"]))
    return folder


@pytest.fixture(scope="module")
def packed(mocap: Path, scaling: CommandLine) -> Path:
    """The same, imported."""
    out = mocap.parent / "pack"
    arguments = (mocap, "--out", out, "--captions", mocap.parent / "captions.csv")
    done = scaling.run("data", "import", *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out}\n"
    assert "6 sequences, 6 clips" in done.stderr
    assert "- short: 20 frames at 20 fps; expected 40 or more" in done.stderr
    return out


def test_an_import_is_a_pack(packed: Path) -> None:
    found = pack.recordings(packed)
    assert [recording.name for recording in found] == [
        "copy",
        *(f"m{n}" for n in range(5)),
    ]
    assert found[0].split == "test"
    skipped = json.loads((packed / "skipped.json").read_text())["skipped"]
    assert list(skipped) == ["short"]


def test_describe_tells_of_the_leak(
    packed: Path, tmp_path: Path, scaling: CommandLine
) -> None:
    out = tmp_path / "described"
    done = scaling.run("data", "describe", packed, "--out", out, "--format", "svg")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("pack: 6 clips, ")
    assert "LEAK BETWEEN SPLITS: 1 clip of the same frames" in done.stdout
    assert "test copy.0: 0.0" in done.stdout
    assert "mm from train m0.0 over" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    tables = ("data", "captions", "sources", "splits", "shared", "duplicates")
    written = ["description.json", "data.svg", *(f"{name}.csv" for name in tables)]
    assert done.stdout.splitlines()[-8:] == [str(out / name) for name in written]
    assert sorted(path.name for path in out.iterdir()) == sorted(written)
    found = json.loads((out / "description.json").read_text())
    assert found["total"]["clips"] == 6
    splits = pd.read_csv(out / "splits.csv").set_index("name")
    assert splits["clips"].to_dict() == {"train": 4, "test": 2}
    (pair,) = pd.read_csv(out / "duplicates.csv").to_dict("records")
    assert (pair["clip"], pair["other"], pair["shift"]) == ("copy.0", "m0.0", 10)
    assert pd.read_csv(out / "data.csv")["frames"].sum() == splits["frames"].sum()


def test_describe_json_is_one_object(packed: Path, scaling: CommandLine) -> None:
    done = scaling.run("data", "describe", packed, "--json")
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert found["total"]["clips"] == 6
    assert found["captions"]["distinct"] == 2
    assert found["shared"] == [
        {
            "split": "test",
            "other": "train",
            "clips": 2,
            "same_frames": 1,
            "near_duplicates": 1,
            "same_captions": 1,
        }
    ]


def test_view_draws_a_clip_with_its_caption(
    packed: Path, tmp_path: Path, scaling: CommandLine
) -> None:
    out = tmp_path / "seen"
    done = scaling.run("data", "view", packed, "m4.0", "--out", out)
    assert done.returncode == 0, done.stderr
    written = [out / "m4.0.png", out / "m4.0.gif", out / "index.html"]
    assert done.stdout.splitlines() == [str(path) for path in written]
    with Image.open(out / "m4.0.gif") as gif:
        assert len(list(ImageSequence.Iterator(gif))) == 120
    assert "a person moves" in (out / "index.html").read_text()


def test_view_draws_the_first_of_the_tests(
    packed: Path, tmp_path: Path, scaling: CommandLine
) -> None:
    done = scaling.run("data", "view", packed, "--out", tmp_path / "seen")
    names = [Path(line).name for line in done.stdout.splitlines()]
    assert names == ["copy.0.png", "copy.0.gif", "m4.0.png", "m4.0.gif", "index.html"]


BAD = {
    "no corpus": (["describe", "nowhere"], "nowhere is no corpus; expected a grid"),
    "an empty folder": (["describe", "{tmp}"], "holds no motion; expected a pack"),
    "an unknown clip": (
        ["view", "{pack}", "m4", "--out", "{tmp}/x"],
        "did you mean 'm",
    ),
    "an unknown format": (
        ["describe", "{pack}", "--out", "{tmp}/x", "--format", "jpg"],
        "no format 'jpg'",
    ),
    "a folder in use": (
        ["import", "{pack}", "--out", "{pack}"],
        "not empty; expected a",
    ),
    "no folder": (["import", "nowhere", "--out", "{tmp}/x"], "nowhere is no folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_one_line(
    packed: Path, tmp_path: Path, scaling: CommandLine, case: str
) -> None:
    arguments, says = BAD[case]
    filled = [word.format(tmp=tmp_path, pack=packed) for word in arguments]
    done = scaling.run("data", *filled)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert says in line
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("command", "name"), [("describe", "captions.csv"), ("view", "index.html")]
)
def test_a_folder_s_own_files_are_left_as_they_are(
    packed: Path, tmp_path: Path, scaling: CommandLine, command: str, name: str
) -> None:
    (tmp_path / name).write_text("mine")
    arguments = ("data", command, packed, "--out", tmp_path)
    done = scaling.run(*arguments)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"{name} exists and was not written by this command" in line
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"
    (tmp_path / name).unlink()
    for _ in range(2):  # its own files it writes anew
        assert scaling.run(*arguments).returncode == 0


def test_options_of_another_kind_are_refused(
    mocap: Path, tmp_path: Path, scaling: CommandLine
) -> None:
    arguments = ("--out", tmp_path / "x", "--up", "y", "--h3d-texts", tmp_path)
    done = scaling.run("data", "import", mocap, *arguments)
    assert done.returncode == 2
    assert "--h3d-texts, --up would have no effect on" in done.stderr
    assert "which is of kind bvh" in done.stderr
