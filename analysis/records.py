"""Read the record of a study from run stores and tables, and refuse what is not sound.

Nothing is guessed and nothing is left out in silence: what the reader does to the rows
is counted in `Records.dropped` or said in `Records.notes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.analysis import reference
from scaling.analysis.reading import read_file
from scaling.analysis.table import Quantity, Records, blank
from scaling.errors import ScalingError, suggestion
from scaling.record import COLUMNS, scan

NAMES = {
    "C": "flops",
    "N_nv": "non_vocab_params",
    "N_v": "vocab_params",
    "D": "tokens",
    "V": "codebook_size",
    "L": "loss",
    "L_u": "normalised_loss",
}
"""Symbols that `columns` may use in place of the record's names."""

POSITIVE = ("flops", "non_vocab_params", "vocab_params", "tokens", "codebook_size")
LOSSES = ("normalised_loss", "loss")
UNUSED = "--columns is not used: run stores and scamo have names of their own"

Mask = NDArray[np.bool_]


def read(
    sources: str | Path | Sequence[str | Path], columns: Mapping[str, str] | None = None
) -> Records:
    """Read and check the evaluations that a study rests on.

    Parameters
    ----------
    sources : str or Path, or a sequence of them
        Run stores, single run folders, CSV, Parquet or JSONL files, read as one table;
        or the one word `scamo`, the built-in reference study.
    columns : mapping, optional
        Column of the files for a symbol or a name of the record, such as
        ``{"C": "compute", "N_nv": "params"}``. A column so named takes the place of
        one that has the record's name, and an explicit ``L`` that of the normalised
        loss. Run stores need none.

    Returns
    -------
    Records
        Compute in FLOPs, loss in nats per token, sizes in parameters, data in tokens.

    Raises
    ------
    ScalingError
        If a source is missing, empty or of no known kind, lacks a column that every
        law needs (compute and loss), or holds values that no law can use; if
        `columns` has unknown keys, or names a column or a quantity twice.
    """
    if isinstance(sources, (str, Path)):
        sources = [sources]
    if not sources:
        raise ScalingError("no records given; pass a run store, a CSV file, or scamo")
    words = [str(source) for source in sources]
    columns = columns or {}
    renamed = _renamed(columns)
    if words == ["scamo"]:
        records = reference.records()
        return replace(records, notes=(UNUSED, *records.notes)) if columns else records
    if "scamo" in words:
        raise ScalingError(
            "scamo is fitted alone: its sizes are FLOPs per token, not parameters; "
            "leave it out, or write ./scamo if you mean a folder"
        )
    notes: list[str] = []
    tables = {}
    for word in words:
        tables[word] = _read_source(Path(word), columns, renamed, notes)
    if columns and all(Path(word).is_dir() for word in words):
        notes.append(UNUSED)
    everything = pd.concat(tables, names=["source", "row"])
    loss = _common_loss(tables, notes)
    quantities = _quantities(tables, loss, notes)
    everything = _tell_sources_apart(everything, notes)
    frame, dropped = _drop_diverged(everything, loss)
    _refuse_unusable(frame, [quantity.column for quantity in quantities.values()])
    _note_status(everything, frame, notes)
    return Records(
        frame=frame.reset_index(drop=True),
        quantities=quantities,
        sources=tuple(tables),
        dropped=dropped,
        notes=tuple(notes),
    )


# --- One source ---------------------------------------------------------------------


def _read_source(
    path: Path,
    columns: Mapping[str, str],
    renamed: Mapping[str, str],
    notes: list[str],
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
        table = read_file(path, notes)
        for key, column in columns.items():
            if column not in table:
                raise ScalingError(_missing(table, path, column, key))
        table = _rename(table, path, renamed, notes)
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


# --- Columns ------------------------------------------------------------------------


def _renamed(columns: Mapping[str, str]) -> dict[str, str]:
    """Give the record's name for each column that is mapped, refusing what clashes."""
    renamed: dict[str, str] = {}
    for key, column in columns.items():
        name = NAMES.get(key, key)
        if name not in COLUMNS:
            raise ScalingError(
                f"--columns {key}={column}: the record knows no {key!r}; "
                f"{suggestion(key, [*NAMES, *COLUMNS])}"
            )
        if column in renamed:
            raise ScalingError(
                f"--columns gives the column {column!r} to both {renamed[column]} and "
                f"{name}; expected one name for each column: leave one of them out"
            )
        if name in renamed.values():
            other = next(c for c, taken in renamed.items() if taken == name)
            raise ScalingError(
                f"--columns gives {name} both {other!r} and {column!r}; expected one "
                "column for each name: leave one of them out"
            )
        renamed[column] = name
    return renamed


def _rename(
    table: pd.DataFrame, path: Path, renamed: Mapping[str, str], notes: list[str]
) -> pd.DataFrame:
    """Give the mapped columns the record's names; they win over what has them."""
    for column, name in renamed.items():
        # The normalised loss would be preferred to the loss that was asked for.
        normalised = name == "loss" and "normalised_loss" not in renamed.values()
        for old in (name, "normalised_loss") if normalised else (name,):
            if old in table and old not in renamed:
                table = table.drop(columns=old)
                notes.append(
                    f"{path}: its column {old!r} is left out, since --columns gives "
                    f"{name} the column {column!r}"
                )
    return table.rename(columns=dict(renamed))


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
        nameless = table.index[blank(table["run"])]
        if len(nameless):
            raise ScalingError(
                f"run is empty in {_place(nameless[0])} of {path}; expected the name "
                "of the row's run: fill it in, or remove the column"
            )
        return table.assign(run=table["run"].astype(str))
    # rows of one size may be checkpoints of one run or runs of their own; taken for
    # one run, all but the best of them would be lost to the envelope without a word
    notes.append(
        f"{path} has no column 'run': each row counts as a run of its own; where rows "
        "are checkpoints, name the column that tells runs apart: --columns run=COLUMN"
    )
    return table.assign(run=[f"row {n}" for n in range(1, len(table) + 1)])


def _common_loss(tables: Mapping[str, pd.DataFrame], notes: list[str]) -> str:
    """Choose the loss column that every source has, normalised if possible."""
    for name in LOSSES:
        if all(name in table for table in tables.values()):
            if name == "loss":
                notes.append(
                    "L_u stands for loss, not for normalised_loss: it is not "
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
    lost = _diverged(frame) & ~np.isfinite(frame[loss])
    if not lost.any():
        return frame, {}
    reason = f"{loss} not finite in a diverged run"
    if lost.all():
        raise ScalingError(
            f"no evaluation is left: {reason} in all {len(frame)} rows; expected at "
            "least one before a run diverged: add runs"
        )
    return frame[~lost], {reason: int(lost.sum())}


def _diverged(frame: pd.DataFrame) -> pd.Series[bool]:
    return frame["status"].astype(str).str.contains("diverged", case=False)


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


def _note_status(
    everything: pd.DataFrame, kept: pd.DataFrame, notes: list[str]
) -> None:
    """Count the runs that did not finish but of which evaluations are kept."""
    if "status" not in kept:
        return
    # Where rows differ in status, those that diverged may all have been dropped.
    diverged = set(everything.loc[_diverged(everything), "run"]) & set(kept["run"])
    others = kept.loc[~kept["run"].isin(diverged) & ~blank(kept["status"])]
    runs_of = (
        others.groupby("status")["run"].nunique().drop("finished", errors="ignore")
    )
    if "unfinished" in runs_of:
        notes.append(
            "runs not finished, whose best evaluation so far counts: "
            f"{runs_of.pop('unfinished')}"
        )
    if diverged:
        notes.append(
            "runs that diverged, whose best evaluation before that counts: "
            f"{len(diverged)}"
        )
    for status, runs in runs_of.items():
        notes.append(f"runs of status {status!r}, whose best evaluation counts: {runs}")


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
