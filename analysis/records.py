"""Read the record of a study from run stores and tables, and refuse what is not sound.

Nothing is guessed and nothing is left out in silence: what the reader does to the rows
is counted in `Records.dropped` or said in `Records.notes`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.analysis import reference
from scaling.analysis.table import Quantity, Records
from scaling.errors import ScalingError, suggestion
from scaling.record import COLUMNS, read_metrics, scan

NAMES = {
    "C": "flops",
    "N_nv": "non_vocab_params",
    "N_v": "vocab_params",
    "N": "total_params",
    "D": "tokens",
    "V": "codebook_size",
    "L": "loss",
    "L_u": "normalised_loss",
}
"""Symbols that `columns` may use in place of the record's names."""

POSITIVE = ("flops", "non_vocab_params", "vocab_params", "tokens", "codebook_size")
LOSSES = ("normalised_loss", "loss")

Mask = NDArray[np.bool_]


def read(
    sources: Sequence[str | Path], columns: Mapping[str, str] | None = None
) -> Records:
    """Read and check the evaluations that a study rests on.

    Parameters
    ----------
    sources : sequence of str or Path
        Run stores, single run folders, CSV, Parquet or JSONL files, read as one table;
        or the one word `scamo`, the built-in reference study.
    columns : mapping, optional
        Column of the files for a symbol or a name of the record, such as
        ``{"C": "compute", "N_nv": "params"}``. Run stores need none.

    Returns
    -------
    Records
        Compute in FLOPs, loss in nats per token, sizes in parameters, data in tokens.

    Raises
    ------
    ScalingError
        If a source is missing, empty or of no known kind, lacks a column that every
        law needs (compute and loss), or holds values that no law can use.
    """
    if not sources:
        raise ScalingError("no records given; pass a run store, a CSV file, or scamo")
    words = [str(source) for source in sources]
    if words == ["scamo"]:
        return reference.records()
    if "scamo" in words:
        raise ScalingError(
            "scamo is fitted alone: its sizes are FLOPs per token, not parameters; "
            "leave it out, or write ./scamo if you mean a folder"
        )
    notes: list[str] = []
    tables = {word: _read_source(Path(word), columns or {}, notes) for word in words}
    frame = pd.concat(tables, names=["source", "row"])
    loss = _common_loss(tables, notes)
    quantities = _quantities(tables, loss, notes)
    frame, dropped = _drop_diverged(frame, loss)
    _refuse_unusable(frame, [quantity.column for quantity in quantities.values()])
    _note_unfinished(frame, notes)
    return Records(
        frame=_tell_sources_apart(frame, notes).reset_index(drop=True),
        quantities=quantities,
        sources=tuple(tables),
        dropped=dropped,
        notes=tuple(notes),
    )


# --- One source ---------------------------------------------------------------------


def _read_source(
    path: Path, columns: Mapping[str, str], notes: list[str]
) -> pd.DataFrame:
    """Read one source as a table in the record's spelling, indexed by place."""
    if not path.exists():
        raise ScalingError(
            f"{path} does not exist; expected a run store, a CSV, Parquet or JSONL "
            "file, or the word scamo"
        )
    if path.is_dir():
        table = _read_store(path, notes)
        lines = table.groupby("run").cumcount() + 1
        table.index = pd.Index(table["run"] + " line " + lines.astype(str))
    else:
        table = _rename(_read_file(path, notes), path, columns)
        table.index = pd.RangeIndex(1, len(table) + 1)
    _require(table, path)
    return _name_runs(_to_numbers(table, path), path, notes)


def _read_store(folder: Path, notes: list[str]) -> pd.DataFrame:
    """Read a run store, or the one run whose folder it is."""
    is_run = (folder / "config.json").exists()
    found: list[str] = []
    rows = scan(folder.parent if is_run else folder, found)
    if is_run:
        rows = [row for row in rows if row["run"] == folder.name]
        found = [note for note in found if note.startswith(f"{folder.name}/")]
    if not rows:
        raise ScalingError(
            f"{folder} holds no evaluated transformer run; expected "
            "RUN/config.json and RUN/metrics.jsonl as `scaling run --out` writes them"
        )
    notes += found
    return pd.DataFrame(rows).dropna(axis="columns", how="all")


def _read_file(path: Path, notes: list[str]) -> pd.DataFrame:
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    if path.suffix in readers:
        table = readers[path.suffix](path)
    elif path.suffix in (".jsonl", ".ndjson"):
        table = _read_jsonl(path, notes)
    else:
        raise ScalingError(
            f"{path} is of no known kind; expected a run store, or a file that ends in "
            ".csv, .parquet or .jsonl"
        )
    if table.empty:
        raise ScalingError(
            f"{path} is empty; expected a header and one row per evaluation"
        )
    return table


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ScalingError(
            f"{path} is not a CSV table: {str(error).strip()}; "
            "expected UTF-8 text, a header, and as many fields in every row"
        ) from error


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except ImportError as error:
        raise ScalingError(
            f"reading {path} needs pyarrow, which is not installed; "
            "pip install pyarrow, or save the table as CSV"
        ) from error
    except (OSError, ValueError) as error:
        raise ScalingError(
            f"{path} is not a Parquet table: {error}; write it again, or save it as CSV"
        ) from error


def _read_jsonl(path: Path, notes: list[str]) -> pd.DataFrame:
    metrics = read_metrics(path)
    rows: list[dict[str, Any]] = list(metrics.rows)
    if metrics.torn_line is not None:
        # Other programs leave out the last newline, which is no sign of a torn line.
        try:
            rows.append(dict(json.loads(path.read_bytes()[metrics.valid_bytes :])))
        except (TypeError, ValueError):
            notes.append(
                f"{path}: line {metrics.torn_line} is cut short; kept the {len(rows)} "
                "before it"
            )
    return pd.DataFrame(rows)


# --- Columns ------------------------------------------------------------------------


def _rename(
    table: pd.DataFrame, path: Path, columns: Mapping[str, str]
) -> pd.DataFrame:
    """Give the mapped columns the record's names."""
    renamed = {}
    for key, column in columns.items():
        name = NAMES.get(key, key)
        if name not in COLUMNS:
            raise ScalingError(
                f"--columns {key}={column}: the record knows no {key!r}; "
                f"{suggestion(key, [*NAMES, *COLUMNS])}"
            )
        if column not in table:
            raise ScalingError(_missing(table, path, column, key))
        renamed[column] = name
    clashing = [name for name in renamed.values() if name not in renamed]
    return table.drop(columns=clashing, errors="ignore").rename(columns=renamed)


def _require(table: pd.DataFrame, path: Path) -> None:
    if "flops" not in table:
        raise ScalingError(_missing(table, path, "flops", "C"))
    if not any(name in table for name in LOSSES):
        raise ScalingError(_missing(table, path, "normalised_loss", "L_u"))


def _missing(table: pd.DataFrame, path: Path, column: str, key: str) -> str:
    present = ", ".join(map(str, table.columns))
    return (
        f"{path} has no column {column!r}; it has: {present}; "
        f"name it with --columns {key}=COLUMN"
    )


def _to_numbers(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Make the quantities float64; refuse words among the numbers."""
    numbers = {}
    for name in (*POSITIVE, *LOSSES):
        if name not in table:
            continue
        numbers[name] = pd.to_numeric(table[name], errors="coerce").astype("float64")
        words = table.loc[numbers[name].isna() & table[name].notna(), name]
        if not words.empty:
            raise ScalingError(
                f"{path}: {name} is {words.iloc[0]!r} in {_place(words.index[0])}; "
                "expected a number; correct the row or remove it"
            )
    return table.assign(**numbers)


def _name_runs(table: pd.DataFrame, path: Path, notes: list[str]) -> pd.DataFrame:
    """Tell runs apart where the table has no column `run`."""
    if "run" in table:
        return table.assign(run=table["run"].astype(str))
    size = [name for name in ("size", "non_vocab_params") if name in table][:1]
    marks = [*size, *(name for name in ("codebook_size", "seed") if name in table)]
    if not set(marks) - {"seed"}:
        notes.append(f"{path} has no column 'run': each row counts as a run of its own")
        return table.assign(run=[f"row {n}" for n in range(1, len(table) + 1)])
    notes.append(
        f"{path} has no column 'run': runs are told apart by {', '.join(marks)}"
    )
    number = table.groupby(marks, sort=False, dropna=False).ngroup()
    kinds = table[marks].drop_duplicates()
    names = ["/".join(map(_mark, kind)) for kind in kinds.itertuples(index=False)]
    return table.assign(
        run=number.map(dict(zip(number[kinds.index], names, strict=True)))
    )


def _mark(value: object) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _common_loss(tables: Mapping[str, pd.DataFrame], notes: list[str]) -> str:
    """Choose the loss column that every source has, normalised if possible."""
    for name in LOSSES:
        if all(name in table for table in tables.values()):
            if name == "loss":
                notes.append(
                    "normalised_loss is absent: L_u stands for loss, which is not "
                    "comparable between codebooks"
                )
            return name
    raise ScalingError(
        "some sources hold only normalised_loss and others only loss; "
        "expected one of them in all: fit the sources one by one"
    )


def _quantities(
    tables: Mapping[str, pd.DataFrame], loss: str, notes: list[str]
) -> dict[str, Quantity]:
    """Find the quantities that every source holds."""
    found = {}
    for symbol in ("C", "N_nv", "N_v", "D", "V", "L_u"):
        column = loss if symbol == "L_u" else NAMES[symbol]
        lacking = [source for source, table in tables.items() if column not in table]
        if not lacking:
            found[symbol] = Quantity.of(symbol, column)
        elif len(lacking) < len(tables):
            notes.append(
                f"{symbol} is left out: {', '.join(lacking)} has no column {column!r}"
            )
    return found


# --- Values -------------------------------------------------------------------------


def _drop_diverged(
    frame: pd.DataFrame, loss: str
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Leave out the evaluations in which a run had diverged, and count them."""
    if "status" not in frame:
        return frame, {}
    diverged = frame["status"].astype(str).str.contains("diverged", case=False)
    lost = diverged & ~np.isfinite(frame[loss])
    if not lost.any():
        return frame, {}
    return frame[~lost], {f"{loss} not finite in a diverged run": int(lost.sum())}


def _refuse_unusable(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    """Refuse values that no law can use; say which rows hold them."""
    for name in columns:
        values = frame[name].to_numpy()
        infinite = ~np.isfinite(values)
        if infinite.any():
            raise ScalingError(
                f"{name} is not finite in {_rows(frame, infinite, values)}; expected "
                "numbers: remove those rows, or mark them with status = diverged"
            )
        if name in POSITIVE and (values <= 0).any():
            raise ScalingError(
                f"{name} is not positive in {_rows(frame, values <= 0, values)}; "
                "laws are fitted in log10: correct those rows or remove them"
            )


def _rows(frame: pd.DataFrame, bad: Mask, values: NDArray[np.float64]) -> str:
    """Name the first rows that are bad, with their values."""
    places = [
        f"{_place(row)} of {source} ({value:g})"
        for (source, row), value in zip(frame.index[bad], values[bad], strict=True)
    ]
    more = f" and {len(places) - 5} more" if len(places) > 5 else ""
    return ", ".join(places[:5]) + more


def _place(row: object) -> str:
    """Name a row: by its number in a file, by its run and line in a store."""
    return row if isinstance(row, str) else f"row {row}"


def _note_unfinished(frame: pd.DataFrame, notes: list[str]) -> None:
    if "status" not in frame:
        return
    runs = frame.loc[frame["status"] == "unfinished", "run"].nunique()
    if runs:
        notes.append(f"runs not finished, whose best evaluation so far counts: {runs}")


def _tell_sources_apart(frame: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Keep runs apart that bear the same name in different sources."""
    source = frame.index.get_level_values("source")
    sources_of_run = source.to_series(index=frame.index).groupby(frame["run"]).nunique()
    shared = sources_of_run[sources_of_run > 1]
    if shared.empty:
        return frame
    notes.append(
        f"{len(shared)} run names occur in several sources and count as different runs"
    )
    return frame.assign(run=source.astype(str) + ":" + frame["run"])
