"""Text corpora: every byte in one piece, every file in one split, for every V."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.errors import ScalingError
from scaling.files import read_json
from scaling.runs import corpora, text_corpus, tokenize
from scaling.runs.grid import load_grid
from scaling.runs.jobs import TokenizerJob
from scaling.runs.loop import Reporter
from scaling.runs.plan import expand
from scaling.runs.sections import TextCorpus
from scaling.runs.text_corpus import Texts, files, pieces

if TYPE_CHECKING:
    from tests.conftest import CommandLine

QUIET = Reporter(progress=lambda done, total: None, say=lambda text: None)


def silent(done: int, total: int) -> None:
    """Report to nobody."""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write sixty files of Python, in two folders."""
    home = tmp_path_factory.mktemp("library")
    for number in range(60):
        path = home / f"part{number % 2}" / f"module_{number}.py"
        path.parent.mkdir(exist_ok=True)
        lines = [f"value_{number}_{n} = {n} * {number}  # ±\n" for n in range(12)]
        path.write_text("".join(lines), encoding="utf-8")
    return home


def section(library: Path, **changes: Any) -> TextCorpus:
    return TextCorpus(**{"kind": "text", "path": str(library), "piece": 64, **changes})


def built(where: Path, given: TextCorpus) -> Texts:
    where.mkdir(exist_ok=True)
    corpora.build(given, where, silent)
    corpus = corpora.opened(where)
    assert isinstance(corpus, Texts)
    return corpus


@given(st.text(alphabet="aé€😀\n"), st.integers(min_value=16, max_value=30))
def test_pieces_are_the_text_cut_between_letters(text: str, longest: int) -> None:
    found = list(pieces(text.encode(), longest))
    assert b"".join(found) == text.encode()
    assert all(0 < len(piece) <= longest for piece in found)
    assert "".join(piece.decode() for piece in found) == text
    for piece in found[:-1]:  # a line that fits is not cut
        assert piece.endswith(b"\n") or b"\n" not in piece


def test_a_file_is_in_one_split_with_all_its_bytes(
    library: Path, tmp_path: Path
) -> None:
    corpus = built(tmp_path, section(library))
    of_file: dict[str, list[text_corpus.Piece]] = {}
    for piece in corpus.clips:
        of_file.setdefault(piece.name.rpartition(".")[0], []).append(piece)
    assert len(of_file) == 60
    for name, parts in of_file.items():
        assert len({part.split for part in parts}) == 1
        text = "".join(corpus.text(part) for part in parts)
        assert text == (library / name).read_text(encoding="utf-8")
    total = sum(corpus.amount(split)["byte"] for split in ("train", "val", "test"))
    assert total == sum(path.stat().st_size for path in library.rglob("*.py"))


def test_a_copy_of_a_file_is_in_its_split(library: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    for number, path in enumerate(sorted(library.rglob("*.py"))):
        for name in ("a", "b"):
            copy = home / name / f"{number}.py"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    corpus = built(tmp_path / "corpus", section(home))
    splits = {piece.name: piece.split for piece in corpus.clips}
    assert all(splits[name] == splits["b" + name[1:]] for name in splits)


def test_what_is_no_text_is_left_out_and_named(library: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for path in library.rglob("*.py"):
        (home / path.name).write_bytes(path.read_bytes())
    (home / "bad.py").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "corpus").mkdir()
    summary = corpora.build(section(home), tmp_path / "corpus", silent)
    assert summary["skipped"] == 1
    skipped = read_json(tmp_path / "corpus" / "skipped.json")["skipped"]
    assert skipped == {"bad.py": "not UTF-8 text"}


def test_files_are_chosen_by_suffix_and_left_out_by_name(library: Path) -> None:
    assert len(files(section(library))) == 60
    assert len(files(section(library, exclude=["part0"]))) == 30
    assert len(files(section(library, exclude=["module_1*.py"]))) == 60 - 11
    with pytest.raises(ScalingError, match=r"holds no file whose name ends in \.c;"):
        files(section(library, suffixes=[".c"]))


def test_the_standard_library_is_on_every_machine() -> None:
    found = files(TextCorpus(kind="text"))
    names = {path.name for path in found}
    assert {"argparse.py", "json", "heapq.py"} & names == {"argparse.py", "heapq.py"}
    assert not any("site-packages" in path.parts for path in found)
    assert not any({"test", "tests"} & set(path.parts[-2:]) for path in found)


def test_fewer_test_pieces_are_some_of_all(library: Path, tmp_path: Path) -> None:
    whole = built(tmp_path / "whole", section(library, test_pieces=None))
    few = built(tmp_path / "few", section(library, test_pieces=7))
    assert len(few.split("test")) == 7
    texts = [whole.text(piece) for piece in whole.split("test")]
    assert {few.text(piece) for piece in few.split("test")} < set(texts)
    assert few.amount("train") == whole.amount("train")


@pytest.mark.parametrize(
    ("prefix", "caption"), [("none", ""), ("path", "part1 module 1")]
)
def test_the_caption_is_a_file_s_path_or_nothing(
    library: Path, tmp_path: Path, prefix: str, caption: str
) -> None:
    corpus = built(tmp_path, section(library, prefix=prefix))
    (found,) = (c for c in corpus.clips if c.name == "part1/module_1.py.0")
    assert found.captions == (caption,)


def test_too_few_files_are_refused(library: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ScalingError, match=r"no file is drawn for the test split.*use more"
    ):
        built(tmp_path, section(library, suffixes=["module_1.py"]))


def test_every_codebook_is_of_the_same_bytes(library: Path, tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(
        f"study: x\ncorpus: {{kind: text, path: {library}, piece: 64}}\n"
        "tokenizers: {codebooks: [256, 300]}\ntransformers: none\n"
    )
    jobs = expand(load_grid(tmp_path / "grid.yaml")).jobs
    corpus = built(tmp_path / jobs[0].folder, section(library))
    for job in jobs[1:]:
        assert isinstance(job, TokenizerJob)
        folder = tmp_path / job.folder
        metrics = tokenize.run(job, corpus, folder, "cpu", QUIET)["metrics"]
        rows = dict(zip(corpus.clips, tokenize.read_tokens(folder), strict=True))
        tested = np.concatenate([rows[piece] for piece in corpus.split("test")])
        amount = corpus.amount("test")["byte"]
        assert metrics["bytes_per_token"] == pytest.approx(amount / len(tested))
        assert metrics["test_tokens"] == len(tested)
        p = np.unique(tested, return_counts=True)[1] / len(tested)
        assert metrics["exponential_entropy"] == pytest.approx(np.prod(p**-p))
    assert metrics["bytes_per_token"] > 1.5


def test_a_study_of_text_ends_in_bits_per_byte(
    library: Path, tmp_path: Path, scaling: CommandLine
) -> None:
    grid, out = tmp_path / "grid.yaml", tmp_path / "out"
    grid.write_text(
        f"study: x\ncorpus: {{kind: text, path: {library}, piece: 64}}\n"
        "tokenizers: {codebooks: [256, 300]}\n"
        "transformers: {sizes: [1x1x16], tokens: [2000], batch_size: 4}\n"
    )
    done = scaling.run("run", grid, "--out", out, "--jobs", 1)
    assert done.returncode == 0, done.stderr
    runs, tokenizers = (
        pd.read_csv(out / name, index_col="codebook_size")
        for name in ("runs.csv", "tokenizers.csv")
    )
    corpus = text_corpus.load(next(out.glob("corpus-*")))
    for V, run in runs.groupby(level=0).last().iterrows():
        targets = tokenizers.loc[V, "test_tokens"] + len(corpus.split("test"))
        bits = run["loss"] / math.log(2) * targets / corpus.amount("test")["byte"]
        assert run["bits_per_byte"] == pytest.approx(bits)
    assert runs["bits_per_second"].isna().all()
    for command in (["generate", "x", "--run", out], ["evaluate", out]):
        refused = scaling.run(*command)
        assert refused.returncode == 1
        assert "expected one" in refused.stderr
