"""Token corpora: the same rows from every layout, and nothing that is no code."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from scaling.errors import ScalingError
from scaling.files import read_json
from scaling.runs import corpora, tokenize, tokens_corpus
from scaling.runs.grid import load_grid
from scaling.runs.jobs import CorpusJob, TokenizerJob
from scaling.runs.loop import Reporter
from scaling.runs.plan import expand
from scaling.runs.sections import TokensCorpus
from scaling.runs.tokens_corpus import TokenRows

QUIET = Reporter(progress=lambda done, total: None, say=lambda text: None)

V = 20
RNG = np.random.default_rng(0)
ROWS = [RNG.integers(0, V, RNG.integers(1, 9)) for _ in range(40)]
LENGTHS = np.array([len(row) for row in ROWS])
FLAT = np.concatenate(ROWS)
PADDED = np.full((40, 9), -1)
for _number, _row in enumerate(ROWS):
    PADDED[_number, : len(_row)] = _row
SPLITS = np.array(["train", "test", "val", "train"] * 10)


def silent(done: int, total: int) -> None:
    """Report to nobody."""


def section(path: Path, **changes: Any) -> TokensCorpus:
    given = {"kind": "tokens", "path": str(path), "codebook_size": V, **changes}
    return TokensCorpus(**given)


def built(path: Path, **changes: Any) -> TokenRows:
    folder = path.parent / "corpus"
    folder.mkdir(exist_ok=True)
    corpora.build(section(path, **changes), folder, silent)
    corpus = corpora.opened(folder)
    assert isinstance(corpus, TokenRows)
    return corpus


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def parquet(path: Path) -> Path:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    pd.DataFrame({"codes": [row.tolist() for row in ROWS]}).to_parquet(path)
    return path


def tensors(path: Path, arrays: dict[str, NDArray[np.int64]]) -> Path:
    save_file(arrays, path)
    return path


def npy(path: Path) -> Path:
    np.save(path, PADDED)
    return path


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "flat": lambda to: npz(to / "t.npz", codes=FLAT, lengths=LENGTHS),
    "ragged": lambda to: npz(
        to / "t.npz", **{str(number): row for number, row in enumerate(ROWS)}
    ),
    "padded": lambda to: npz(to / "t.npz", codes=PADDED),
    "npy": lambda to: npy(to / "t.npy"),
    "safetensors": lambda to: tensors(
        to / "t.safetensors", {"codes": FLAT, "lengths": LENGTHS}
    ),
    "parquet": lambda to: parquet(to / "t.parquet"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_rows(layout: str, tmp_path: Path) -> None:
    path = LAYOUTS[layout](tmp_path)
    corpus = built(path, padding=-1)
    found = tokens_corpus.codes_of(section(path, padding=-1), corpus, V)
    assert sorted(row.name for row in corpus.clips) == sorted(map(str, range(40)))
    for row, codes in zip(corpus.clips, found, strict=True):
        np.testing.assert_array_equal(codes, ROWS[int(row.name)])
        assert (codes.dtype, row.tokens) == (np.int32, len(codes))
        assert row.captions == ("",)


def test_what_stands_beside_the_rows_is_read(tmp_path: Path) -> None:
    names = [f"clip{number}" for number in range(40)]
    path = npz(
        tmp_path / "t.npz",
        **{"codes": FLAT, "lengths": LENGTHS, "name": names},
        **{"label": np.arange(40) % 3, "split": SPLITS},
    )
    corpus = built(path, tokens_per_second=25)
    assert [row.name for row in corpus.clips] == names
    assert [row.split for row in corpus.clips] == SPLITS.tolist()
    assert [row.captions for row in corpus.clips[:4]] == [(x,) for x in "0120"]
    tested = int(LENGTHS[SPLITS == "test"].sum())
    assert corpus.amount("test") == {"second": tested / 25}
    assert built(path).amount("test") == {}


def test_a_table_of_captions_wins(tmp_path: Path) -> None:
    path = npz(tmp_path / "t.npz", codes=FLAT, lengths=LENGTHS, split=SPLITS)
    table = tmp_path / "captions.csv"
    table.write_text("name,caption,split\n0,a dog barks,test\n0,woof,\n99,moo,\n")
    corpus = built(path, captions=str(table))
    skipped = read_json(tmp_path / "corpus" / "skipped.json")["skipped"]
    assert skipped == {"99": "captions without tokens"}
    assert (corpus.clips[0].captions, corpus.clips[0].split) == (
        ("a dog barks", "woof"),
        "test",
    )
    assert (corpus.clips[3].captions, corpus.clips[3].split) == (("",), "train")


def test_splits_are_drawn_by_name(tmp_path: Path) -> None:
    """80, 5 and 15 % of rows, each the same in every file."""
    path = npz(tmp_path / "t.npz", codes=np.zeros((2000, 1), np.int64))
    rows = built(path).clips
    shares = [
        sum(row.split == split for row in rows) / 2000 for split in ("train", "test")
    ]
    assert shares == pytest.approx([0.8, 0.15], abs=0.03)
    fewer = built(npz(path, codes=np.zeros((100, 1), np.int64))).clips
    assert fewer == rows[:100]


def test_rows_without_a_token_are_left_out_and_counted(tmp_path: Path) -> None:
    padded = PADDED.copy()
    padded[[3, 5]] = -1
    path = npz(tmp_path / "t.npz", codes=padded, split=SPLITS)
    assert len(built(path, padding=-1).clips) == 38
    skipped = read_json(tmp_path / "corpus" / "skipped.json")["skipped"]
    assert skipped == {"3": "no token", "5": "no token"}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"codes": np.array([[0, 1], [2, 20]]), "split": ["train", "test"]},
            r"row '1', position 1: token 20 is no code of a codebook of 20; expected 0 "
            r"to 19: give the true size",
        ),
        ({"codes": PADDED}, r"position \d: token -1 is no code.*set corpus.padding"),
        ({"codes": PADDED / 2}, "shape .* of float64; expected .* whole numbers"),
        ({"a": np.zeros((2, 3), int)}, r"row 'a' has shape \(2, 3\) .* flatten it"),
        ({"a": np.array(3)}, r"row 'a' has shape \(\)"),
        ({"codes": FLAT}, r"shape \(\d+,\), without lengths"),
        ({"codes": FLAT, "lengths": LENGTHS / 1}, "lengths are float64 of shape"),
        ({"codes": FLAT, "lengths": LENGTHS[1:]}, "lengths sum up to .* expected as"),
        (
            {"codes": PADDED, "split": SPLITS[1:]},
            r"split has shape \(39,\) beside 40 rows",
        ),
        ({"codes": PADDED, "name": ["a"] * 40}, "several rows are called 'a'"),
        ({"tokens": FLAT, "lengths": LENGTHS}, "no 'codes'; it has: tokens, lengths"),
        ({"codes": PADDED, "split": ["dev"] * 40}, "row '0': split 'dev' is unknown"),
        ({"codes": PADDED, "split": ["train"] * 40}, "none of its 40 rows is in the t"),
    ],
)
def test_what_is_no_token_is_named(
    arrays: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = npz(tmp_path / "t.npz", **arrays)
    with pytest.raises(ScalingError, match=message):
        tokens_corpus.codes_of(section(path), built(path), V)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.npz", b"no zip", "t.npz cannot be read"),
        ("t.safetensors", b"x", "t.safetensors cannot be read"),
        ("t.wav", b"x", r"t.wav is of no known format; expected \.npz, \.npy"),
        ("t.npz", None, "t.npz: No such file or directory; name a file"),
    ],
)
def test_a_file_that_is_none_is_named(
    name: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ScalingError, match=message):
        built(tmp_path / name)


GRID = """\
study: x
corpus: {{kind: tokens, path: "{folder}/v{{codebook}}.npz", tokens_per_second: 10}}
tokenizers: {{codebooks: [20, 10]}}
transformers: none
"""


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A grid of two tokenizations of the same rows; the second has half the rate."""
    npz(tmp_path / "v20.npz", codes=FLAT, lengths=LENGTHS)
    halves = [row[::2] // 2 for row in ROWS]
    lengths = np.array([len(row) for row in halves])
    npz(tmp_path / "v10.npz", codes=np.concatenate(halves), lengths=lengths)
    (tmp_path / "grid.yaml").write_text(GRID.format(folder=tmp_path))
    return tmp_path / "grid.yaml"


def test_each_codebook_has_its_own_file_and_all_the_same_data(two: Path) -> None:
    corpus_job, *jobs = expand(load_grid(two)).jobs
    assert isinstance(corpus_job, CorpusJob)
    (two.parent / corpus_job.folder).mkdir()
    corpora.build(corpus_job.section, two.parent / corpus_job.folder, silent)
    corpus = corpora.opened(two.parent / corpus_job.folder)
    for job, share in zip(jobs, (1, 2), strict=True):
        assert isinstance(job, TokenizerJob)
        folder = two.parent / job.folder
        metrics = tokenize.run(job, corpus, folder, "cpu", QUIET)["metrics"]
        found = tokenize.read_tokens(folder)
        expected = [math.ceil(row.tokens / share) for row in corpus.clips]
        assert [len(row) for row in found] == expected
        tested = sum(
            len(r)
            for r, c in zip(found, corpus.clips, strict=True)
            if c.split == "test"
        )
        seconds = corpus.amount("test")["second"]
        assert metrics["seconds_per_token"] == pytest.approx(seconds / tested)


def test_a_codebook_that_is_added_leaves_the_others_alone(two: Path) -> None:
    npz(two.parent / "v40.npz", codes=FLAT, lengths=LENGTHS)
    before = {job.folder for job in expand(load_grid(two)).jobs}
    more = expand(load_grid(two, ["tokenizers.codebooks=[20, 10, 40]"])).jobs
    assert before < {job.folder for job in more}
    npz(two.parent / "v10.npz", codes=FLAT // 2, lengths=LENGTHS)
    changed = {job.folder for job in expand(load_grid(two)).jobs}
    assert len(before - changed) == 1


def test_a_row_that_one_codebook_lacks_is_named(two: Path) -> None:
    corpus_job, *_ = expand(load_grid(two)).jobs
    npz(two.parent / "v10.npz", codes=FLAT[: LENGTHS[0]], lengths=LENGTHS[:1])
    (two.parent / "corpus").mkdir()
    assert isinstance(corpus_job.section, TokensCorpus)
    corpora.build(corpus_job.section, two.parent / "corpus", silent)
    corpus = corpora.opened(two.parent / "corpus")
    assert isinstance(corpus, TokenRows)
    with pytest.raises(ScalingError, match=r"v10.npz: row '1' is missing or empty"):
        tokens_corpus.codes_of(corpus_job.section, corpus, 10)


def test_the_page_s_example_makes_what_the_grid_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(__file__).resolve().parents[2]
    page = (root / "docs" / "modalities.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (example,) = (each for each in examples if "patches-" in each)
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    grid = load_grid(root / "examples" / "tokens.yaml")
    assert isinstance(grid.corpus, TokensCorpus)
    corpora.build(grid.corpus, tmp_path, silent)
    corpus = corpora.opened(tmp_path)
    assert isinstance(corpus, TokenRows)
    for V in grid.tokenizers.codebooks:
        rows = tokens_corpus.codes_of(grid.corpus, corpus, V)
        assert [len(row) for row in rows] == [64] * 288
