"""`scaling plot` of tokenizers: alone, and beside a study."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

if TYPE_CHECKING:
    from tests.conftest import CommandLine

TOKENIZERS = """\
tokenizer,corpus,quantizer,codebook_size,l1,mpjpe,codebook_utilisation,exponential_entropy,test_tokens
a,corpus-kinematic-13ee35ab,fsq,64,0.4,120,1.0,50,1464
b,corpus-kinematic-13ee35ab,vq,256,0.3,110,0.9,150,1464
"""
LOSSES = """\
flops,normalised_loss,non_vocab_params,vocab_params,tokens,codebook_size
1e10,-1.0,1000,100,20000,64
1e11,-1.5,3000,400,60000,64
1e12,-2.0,9000,1600,200000,128
1e13,-2.6,30000,6400,600000,256
"""
STUDY = [
    "figure2",
    "figure3a",
    "figure3b",
    "figure7a",
    "figure7b",
    "figure7c",
    "figure8",
]
TABLES = ["table3", "table4", "table5", "table6"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A run store of tokenizers alone."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "tokenizers.csv").write_text(TOKENIZERS)
    return tmp_path / "store"


@pytest.fixture
def losses(tmp_path: Path) -> Path:
    """A table of losses, which has no tokenizers."""
    (tmp_path / "losses.csv").write_text(LOSSES)
    return tmp_path / "losses.csv"


def stems(text: str) -> list[str]:
    return list(dict.fromkeys(Path(line).stem for line in text.splitlines()))


def test_a_store_of_tokenizers_alone_needs_no_option(
    store: Path, scaling: CommandLine
) -> None:
    out = store / "figures"
    done = scaling.run("plot", store, "--out", out, "--format", "svg")
    assert done.returncode == 0, done.stderr
    files = ("tokenizers.svg", "tokenizers.csv", "table3.csv", "table3.md")
    assert done.stdout.splitlines() == [str(out / name) for name in files]
    assert pd.read_csv(out / "tokenizers.csv")["corpus"].tolist() == ["kinematic"] * 2


def test_the_paper_is_drawn_whole(tmp_path: Path, scaling: CommandLine) -> None:
    """All its figures of data, and its tables 3 to 6."""
    arguments = ("--out", tmp_path, "--format", "svg")
    done = scaling.run("plot", "scamo", *arguments)
    paper = {*STUDY, "data", "tokenizers", *TABLES}
    assert paper <= set(stems(done.stdout))
    done = scaling.run("plot", "scamo", "--figure", "tokenizers", *arguments)
    assert stems(done.stdout) == ["tokenizers"]


def test_tokenizers_stand_beside_a_study(
    store: Path, losses: Path, scaling: CommandLine
) -> None:
    arguments = ("--out", store / "figures", "--format", "svg")
    everything = stems(scaling.run("plot", losses, store, *arguments).stdout)
    assert {*STUDY, "tokenizers"} <= set(everything)
    laws = stems(scaling.run("plot", losses, *arguments).stdout)
    assert set(STUDY) == set(laws) & {*STUDY, "tokenizers"}
    some = scaling.run("plot", losses, store, *arguments, "--figure", "3b")
    assert stems(some.stdout) == ["figure3b"]


def test_one_codebook_is_no_comparison(
    store: Path, losses: Path, scaling: CommandLine
) -> None:
    (store / "tokenizers.csv").write_text("\n".join(TOKENIZERS.splitlines()[:2]))
    arguments = ("--out", store / "figures", "--format", "svg")
    beside = scaling.run("plot", losses, store, *arguments)
    assert "tokenizers" not in stems(beside.stdout)
    assert "not made: tokenizers: there is one codebook" in beside.stderr
    assert "tokenizers" in stems(scaling.run("plot", store, *arguments).stdout)


def test_one_json_object_says_what_was_made_and_what_not(
    losses: Path, tmp_path: Path, scaling: CommandLine
) -> None:
    out = ("--out", tmp_path / "figures", "--format", "svg", "--json")
    found = json.loads(scaling.run("plot", losses, *out).stdout)
    assert set(found) == {"paths", "captions", "missing"}
    assert all(Path(path).exists() for path in found["paths"])
    assert "n = 4 points" in found["captions"]["figure3b"]
    assert "no source is a run store" in found["missing"]["table5"]


def test_mistakes_are_one_line(store: Path, scaling: CommandLine) -> None:
    out = ("--out", store / "figures")
    misspelled = scaling.run("plot", store, *out, "--figure", "tokenizer")
    assert misspelled.returncode == 1
    assert "no figure or table 'tokenizer'; did you mean 'tokeniz" in misspelled.stderr
    (store / "tokenizers.csv").write_text("quantizer\nfsq\n")
    broken = scaling.run("plot", store, *out, "--figure", "tokenizers")
    assert len(broken.stderr.splitlines()) == 1
    assert "has no column 'codebook_size'" in broken.stderr
    assert not (store / "figures").exists()


@pytest.mark.parametrize("of_grid", [True, False])
def test_a_figure_s_table_replaces_no_source(
    store: Path, tmp_path: Path, scaling: CommandLine, of_grid: bool
) -> None:
    if of_grid:
        (store / "grid.json").write_text("{}")
    source = "scamo" if of_grid else store / "tokenizers.csv"
    done = scaling.run("plot", source, "--figure", "tokenizers", "--out", store)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "tokenizers.csv is a source or a run store's table" in line
    assert (store / "tokenizers.csv").read_text() == TOKENIZERS
    assert not (store / "tokenizers.png").exists()
