"""The run store: logs that survive a kill, and derived tables."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

from scaling.files import read_json, write_text
from scaling.record import (
    RESULT,
    Row,
    ended,
    read_metrics,
    run_folders,
    scan,
    scores,
)
from scaling.runs.lease import guard

GRID, ERROR = "grid.json", "error.txt"
"""Files of a store and its folders: what it is the store of, and why a job failed."""

RUNS, TOKENIZERS = "runs.csv", "tokenizers.csv"
"""Tables of a store."""


class MetricsLog:
    """The append-only log of a run's evaluations.

    Opening it drops a last line that a kill cut short. An evaluation that is already
    logged is not logged again: a resumed run repeats it bit for bit.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Row] = []
        self.torn_line: int | None = None
        if path.exists():
            metrics = read_metrics(path)
            self.rows = list(metrics.rows)
            self.torn_line = metrics.torn_line
            if metrics.torn_line is not None:
                os.truncate(path, metrics.valid_bytes)

    def has(self, step: int) -> bool:
        """Whether the evaluation at a step is logged."""
        return any(row["step"] == step for row in self.rows)

    def append(self, row: Row) -> None:
        """Add one evaluation and flush it to the disk."""
        guard()
        with self.path.open("a") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.rows.append(row)


def reason(folder: Path) -> str:
    """Say why a job failed: the last line of its report."""
    try:
        return (folder / ERROR).read_text().strip().splitlines()[-1]
    except (OSError, IndexError):  # it is being tried again
        return f"see {folder / ERROR}"


def derive_tables(out: Path) -> None:
    """Write `runs.csv` and `tokenizers.csv` from the run folders.

    They are derived, never the source. `seconds` differs from launch to launch and
    stays in the run folders, so that the same grid under the same version of the
    program gives the same bytes.
    """
    runs = [
        {key: value for key, value in row.items() if key != "seconds"}
        for row in scan(out)
    ]
    scored = scores(out)
    tokenizers = [
        {
            "tokenizer": folder.name,
            "corpus": config["corpus"],
            **config["record"],
            **read_json(folder / RESULT)["metrics"],
            **scored.get(folder.name, {}),
        }
        for folder, config in run_folders(out, "tokenizer")
        if ended(folder)
    ]
    write_csv(out / RUNS, runs)
    write_csv(out / TOKENIZERS, tokenizers)


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as a table; a row may lack columns that others have."""
    buffer = io.StringIO()
    names = dict.fromkeys(name for row in rows for name in row)
    if rows:
        writer = csv.DictWriter(buffer, list(names), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_text(path, buffer.getvalue())
