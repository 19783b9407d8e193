"""What is read of files and folders, of tables that nobody knows, and of bad ones."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from scaling.errors import ScalingError
from scaling.runs.imports import load

DATA = os.environ.get("SCALING_DATA", "")


def table(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write CSV with all fields quoted, as W&B does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        lines = csv.DictWriter(file, list(rows[0]), quoting=csv.QUOTE_ALL)
        lines.writeheader()
        lines.writerows(rows)
    return path


# --- Tables of one's own ------------------------------------------------------------


def test_rows_without_names(tmp_path: Path) -> None:
    one = [{"step": n, "loss": 3.0, "D": n} for n in (1, 2)]
    assert load([table(tmp_path / "mine.csv", one)]).names == ("mine",)
    several = [{"step": 5, "loss": 3.0, "N": n, "D": 9} for n in (1, 2)]
    imported = load([table(tmp_path / "sizes.csv", several)])
    assert imported.names == ("sizes row 1", "sizes row 2")


def test_columns_that_are_named(tmp_path: Path) -> None:
    rows = [
        {"arm": arm, "it": n, "score": 9 - n, "gigaflops": n, "val_loss": 1}
        for arm in "ab"
        for n in (1, 2)
    ]
    path = table(tmp_path / "mine.csv", rows)
    columns = {"run": "arm", "step": "it", "L": "score", "C": "gigaflops*1e9"}
    imported = load([path], columns)
    assert [
        (row["run"], row["step"], row["loss"], row["flops"]) for row in imported.rows
    ] == [("a", 1, 8, 1e9), ("a", 2, 7, 2e9), ("b", 1, 8, 1e9), ("b", 2, 7, 2e9)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"L": "val_los"},
            r"no log holds 'val_los'.*hold: N, run, val_loss; did you mean 'val_loss'",
        ),
        ({"Q": "run"}, r"--columns Q=run: the record knows no 'Q'"),
        ({"tokes": "N"}, r"did you mean 'tokens'"),
    ],
)
def test_unknown_columns(tmp_path: Path, columns: dict[str, str], message: str) -> None:
    path = table(tmp_path / "a.csv", [{"run": "a", "val_loss": 1, "N": 2}])
    with pytest.raises(ScalingError, match=message):
        load([path], columns)


def test_runs_without_an_evaluation_are_not_mixed_in(tmp_path: Path) -> None:
    rows = [
        {"run": "a", "val_loss": 3, "train_loss": 2},
        {"run": "b", "val_loss": "", "train_loss": 2},
    ]
    imported = load([table(tmp_path / "a.csv", rows)])
    assert imported.names == ("a",)
    assert "left out: 1 run without a loss such as val_loss, b" in imported.notes
    only_train = load([table(tmp_path / "b.csv", [{"run": "a", "train_loss": 2}])])
    assert "train_loss is of training batches" in only_train.notes[0]


# --- Files and folders --------------------------------------------------------------


def test_one_bad_file_of_a_folder_is_left_out(tmp_path: Path) -> None:
    table(tmp_path / "a.csv", [{"run": "a", "val_loss": 3}])
    (tmp_path / "b.csv").write_text("")
    imported = load([tmp_path])
    assert imported.names == ("a",)
    assert "left out" in imported.notes[0]
    (tmp_path / "a.csv").unlink()
    with pytest.raises(ScalingError, match=r"b\.csv is empty"):
        load([tmp_path])


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", [{"run": "a", "val_loss": 3}])
    assert load([path, path, tmp_path]).names == ("a",)


def test_runs_of_one_name_in_two_files(tmp_path: Path) -> None:
    paths = [
        table(tmp_path / n, [{"run": "a", "val_loss": 3}]) for n in ("x.csv", "y.csv")
    ]
    first, second = load(paths).names
    assert first != second
    assert "x.csv" in first


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty; expected a header and rows"),
        ("a.csv", b"run,loss\n", "is empty; expected a header and rows"),
        ("a.csv", b"run,loss\n\xff,1\n", r"is not UTF-8: byte 0xff at 9"),
        ("a.csv", b"run,loss\na,1,2\n", "more fields than its header"),
        ("a.csv", b"run,loss,loss\na,1,2\n", "more than one column 'loss'"),
        ("a.csv", b"alpha,beta\n1,2\n", r"no loss is found .* names are: alpha, beta"),
        ("a.csv", b"run,loss\na,nan\n", "loss is no finite number in any row"),
        ("a.jsonl", b"nonsense\n", r"a\.jsonl:1 is not a JSON object"),
        ("a.yaml", b"a: 1\n", "is of no known kind; expected one of"),
        ("events.out.tfevents.1", b"", "the logs hold no metrics"),
        ("a.parquet", b"nonsense", "is not a Parquet table"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ScalingError, match=message) as caught:
        load([tmp_path / name])
    assert "\n" not in str(caught.value)


def test_folders_without_logs(tmp_path: Path) -> None:
    with pytest.raises(ScalingError, match="holds no logs; expected"):
        load([tmp_path])
    with pytest.raises(ScalingError, match="does not exist"):
        load([tmp_path / "nowhere"])


def test_a_broken_line_keeps_those_before(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"run": "a", "val_loss": 3}\n{"run": "b", "va\n{"run": "c"}\n')
    imported = load([path])
    assert imported.names == ("a",)
    assert f"{path}:2 is not a JSON object; kept the 1 before it" in imported.notes
