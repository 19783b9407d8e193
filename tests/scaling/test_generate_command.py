"""`scaling generate`: motions in a folder, what is odd said, mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image, ImageSequence

from scaling.cli_generate import generate
from scaling.models.bvh import TWIST

if TYPE_CHECKING:
    from tests.conftest import CommandLine


@pytest.fixture(scope="session")
def store(
    tmp_path_factory: pytest.TempPathFactory, scaling: CommandLine, tiny: Path
) -> Path:
    """A store of one run."""
    out = tmp_path_factory.mktemp("generate") / "store"
    one = ("transformers.sizes=[1x2x32]", "tokenizers.codebooks=[64]")
    settings = [word for setting in one for word in ("--set", setting)]
    done = scaling.run("run", tiny, "--out", out, *settings)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def known(store: Path) -> str:
    """A caption of the test split."""
    (path,) = store.glob("corpus-*/clips.json")
    clips = json.loads(path.read_text())["clips"]
    return str(next(c["captions"][0] for c in clips if c["split"] == "test"))


def called(*words: object) -> Result:
    """Call the command in this process."""
    return CliRunner().invoke(generate, [str(word) for word in words])


def test_motions_of_all_kinds_lie_in_the_folder(
    scaling: CommandLine, store: Path, known: str, tmp_path: Path
) -> None:
    words = (known, "a person jumps", "--run", store, "--out", tmp_path / "out")
    done = scaling.run("generate", *words, "--compare", "--max-frames", 40)
    assert done.returncode == 0, done.stderr
    run = next(store.glob("1x2x32-*")).name
    assert done.stderr.splitlines() == [
        f"run {run}, of the lowest normalised test loss",
        "no test clip has the caption 'a person jumps'",
        f"BVH: {TWIST}",
    ]
    bodies = ["1-real.bvh", "1-reconstructed.bvh", "1.bvh", "2.bvh"]
    names = ["generate.json", "motions.npz", *bodies, "1.gif", "2.gif", "index.html"]
    written = [str(tmp_path / "out" / name) for name in names]
    lines = done.stdout.splitlines()
    assert lines[-len(names) :] == written
    assert sorted(map(str, (tmp_path / "out").iterdir())) == sorted(written)
    with np.load(tmp_path / "out" / "motions.npz") as archive:
        tokens = {line.split()[0]: int(line.split()[1]) for line in lines[:4]}
        for name, count in tokens.items():
            assert len(archive[f"{name}.tokens"]) == count
        frames = [len(archive[f"{name}.joints"]) for name in ("1-real", "1", "2")]
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("<canvas") == 4
    for number, longest in ((1, max(frames[:2])), (2, frames[2])):
        with Image.open(tmp_path / "out" / f"{number}.gif") as gif:
            assert sum(1 for _ in ImageSequence.Iterator(gif)) == longest


def test_same_seed_same_bytes(store: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        words = ("a walk", "--run", store, "--out", tmp_path / name, "--seed", 3)
        assert called(*words).exit_code == 0
    paths = sorted((tmp_path / "a").iterdir())
    assert len(paths) == 5
    for path in paths:
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path


def test_captions_from_a_file_join_the_others_and_json_says_all(
    store: Path, tmp_path: Path
) -> None:
    (tmp_path / "captions.txt").write_text("\ufeffa jump\n\n  a walk \n", "utf-8")
    options = ("--captions", tmp_path / "captions.txt", "--number", 2, "--json")
    greedy = ("--greedy", "--max-frames", 8, "--seed", 7)
    run = next(store.glob("1x2x32-*"))
    words = ("a squat", "--run", run, "--out", tmp_path / "out", *options, *greedy)
    done = called(*words)
    assert done.exit_code == 0, done.stderr
    made = json.loads(done.stdout)
    assert made == json.loads((tmp_path / "out" / "generate.json").read_text())
    captions = [motion["caption"] for motion in made["motions"]]
    assert captions == [
        c for caption in ("a squat", "a jump", "a walk") for c in [caption] * 2
    ]
    expected = {"temperature": 0.0, "top_k": None, "top_p": None, "seed": 7}
    assert made["sampling"] == expected
    assert made["run"] == run.name
    assert max(motion["tokens"] for motion in made["motions"]) <= 2


def test_0_and_5000_words_are_answered_and_said(store: Path, tmp_path: Path) -> None:
    words = ("", "walk " * 5000, "--run", store, "--out", tmp_path, "--max-frames", 8)
    done = called(*words)
    assert done.exit_code == 0, done.stderr
    assert done.stderr.splitlines()[1:3] == [
        "a caption without words: its motion follows none",
        "caption 'walk walk walk walk walk walk walk walk…' fills the 64 pieces that "
        "the run reads; what is beyond them has no effect",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "there are 0 captions; expected at least one: write it in quotes, or "),
        (("a", "--temperature", "-1"), "temperature -1.0 must be a number of at least"),
        (("a", "--temperature", "nan"), "temperature nan must be a number of at least"),
        (("a", "--top-k", "0"), "top_k 0 must be at least 1; choose another"),
        (("a", "--top-p", "2"), "top_p 2.0 must be above 0, at most 1; choose another"),
        (("a", "--seed", "-4"), "seed -4 must be at least 0; choose another"),
        (("a", "--greedy", "--top-k", "3"), "--greedy takes the likeliest token and "),
        (("--captions", "no.txt"), "no.txt: No such file or directory"),
        (("a", "--device", "abacus"), "--device 'abacus' is not there; this machine "),
        (
            ("a", "--run", "not-there"),
            "not-there is no run's folder; expected that ",
        ),
        (("a", "--out", "file"), "file is a file; expected a folder: choose another"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    message: str,
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    done = called("--run", store, "--out", "out", *words)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: {message}")
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_captions_that_are_no_text_are_refused(store: Path, tmp_path: Path) -> None:
    (tmp_path / "captions").write_bytes(b"\xff\xfe\x00")
    words = ("--captions", tmp_path / "captions", "--run", store)
    done = called(*words, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "is not UTF-8 text; expected one caption per line" in done.stderr
