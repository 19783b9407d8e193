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

from scaling.analysis import cooled, measures, reference
from scaling.analysis.accounting import (
    add_compute_or_data,
    add_unique_tokens,
    suspect_units,
)
from scaling.analysis.checks import (
    LOSSES,
    NUMBERS,
    drop_diverged,
    leave_out_broken,
    note_repeated,
    note_status,
    place,
    places,
    refuse_unusable,
)
from scaling.analysis.reading import read_file, read_frame
from scaling.analysis.stores import read_store
from scaling.analysis.table import OWN_RUN, SYMBOLS, Quantity, Records, blank
from scaling.errors import ScalingError, suggestion
from scaling.record import COLUMNS

NAMES = {
    "C": "flops",
    "N": "total_params",
    "N_nv": "non_vocab_params",
    "N_v": "vocab_params",
    "D": "tokens",
    "U": "unique_tokens",
    "V": "codebook_size",
    "L": "loss",
    "L_u": "normalised_loss",
    "weight": "weight",
}
"""Symbols that `columns` may use in place of the record's names."""

UNUSED = "--columns is not used: run stores and scamo have names of their own"

Source = str | Path | pd.DataFrame


def read(
    sources: Source | Sequence[Source],
    columns: Mapping[str, str] | None = None,
    *,
    uncooled: bool = False,
) -> Records:
    """Read and check the evaluations that a study rests on.

    Parameters
    ----------
    sources : str, Path or DataFrame, or a sequence of them
        Run stores, single run folders, CSV, Parquet or JSONL files, DataFrames, read
        as one table; or the one word `scamo`, the built-in reference study.
    columns : mapping, optional
        Column of the tables for a symbol or a name of the record, such as
        ``{"C": "compute", "N_nv": "params"}``. A column so named takes the place of
        one that has the record's name, and an explicit ``L`` that of the normalised
        loss. Run stores need none; there, as in tables, ``{"L": "fid"}`` sets a score
        of generated motion in the loss' place.
    uncooled : bool
        Where runs cool down at their end: take, in place of those evaluations, the ones
        at a constant learning rate. They are never taken together.

    Returns
    -------
    Records
        Compute in FLOPs, loss in nats per token, sizes in parameters, data in tokens.

    Raises
    ------
    ScalingError
        If a source is missing, empty or of no known kind, lacks a column that every
        law needs (loss, and compute or what gives it), or holds values that no law
        can use; if `columns` has unknown keys, or names a column or a quantity twice.
    """
    if isinstance(sources, Source):
        sources = [sources]
    if not len(sources):
        raise ScalingError("no records given; pass a run store, a CSV file, or scamo")
    notes: list[str] = []
    named = _named(sources, notes)
    score, columns = measures.asked(columns or {})
    renamed = _renamed(columns)
    if list(named) == ["scamo"]:
        return _scamo(score, columns, uncooled=uncooled)
    if "scamo" in named:
        raise ScalingError(
            "scamo is fitted alone: its sizes are FLOPs per token, not parameters; "
            "leave it out, or write ./scamo if you mean a folder"
        )
    suspicions: list[str] = []
    derived: list[str] = []
    tables = {}
    for name, source in named.items():
        table = _read_source(name, source, columns, renamed, notes, suspicions)
        whole = add_compute_or_data(table, name, notes)
        derived += [
            s for s in ("C", "D") if NAMES[s] in whole and NAMES[s] not in table
        ]
        _require(whole, name, score)
        tables[name] = _name_runs(add_unique_tokens(whole, name, notes), name, notes)
    if columns and all(map(_is_store, named.values())):
        measures.refuse_other_losses(columns)
        notes.append(UNUSED)
    loss = None
    if score:
        tables, loss = measures.as_loss(tables, score, notes)
    records = _joined(tables, loss, uncooled, notes, suspicions)
    return replace(records, suspicions=tuple(suspicions), derived=tuple(derived))


def _scamo(score: str | None, columns: Mapping[str, str], *, uncooled: bool) -> Records:
    """Give the built-in reference study, which has no scores and no other rows."""
    if score:
        raise ScalingError(measures.unscored("scamo", score))
    measures.refuse_other_losses(columns)
    if uncooled:
        raise ScalingError(
            "--rows uncooled: all runs of scamo are cooled; leave it out"
        )
    records = reference.records()
    return replace(records, notes=(UNUSED, *records.notes)) if columns else records


def _named(
    sources: Sequence[Source], notes: list[str]
) -> dict[str, Path | pd.DataFrame]:
    """Name the sources; a word that stands twice is one source."""
    frames = sum(isinstance(source, pd.DataFrame) for source in sources)
    named: dict[str, Path | pd.DataFrame] = {}
    for number, source in enumerate(sources, 1):
        if isinstance(source, pd.DataFrame):
            named["table" if frames == 1 else f"table {number}"] = source
        elif str(source) in named:
            notes.append(f"{source} is given more than once, and read once")
        else:
            named[str(source)] = Path(source)
    return named


# --- One source ---------------------------------------------------------------------


def _is_store(source: Path | pd.DataFrame) -> bool:
    return isinstance(source, Path) and source.is_dir()


def _read_source(
    name: str,
    source: Path | pd.DataFrame,
    columns: Mapping[str, str],
    renamed: Mapping[str, str],
    notes: list[str],
    suspicions: list[str],
) -> pd.DataFrame:
    """Read one source as a table in the record's spelling, indexed by place."""
    if isinstance(source, Path) and source.is_dir():
        table = _to_numbers(read_store(source, name, notes))
    else:
        table = _read_table(source, name, notes)
        for key, column in columns.items():
            if column not in table:
                raise ScalingError(_missing(table, name, column, key))
        both = {**_symbols(table, renamed), **renamed}
        table = _to_numbers(_rename(table, name, both, notes))
        suspicions += suspect_units(table, name)
    return table


def _symbols(table: pd.DataFrame, renamed: Mapping[str, str]) -> dict[str, str]:
    """Take columns that are called as the formulas call them: N, D, L, ..."""
    taken = {*table.columns, *renamed.values()}
    return {s: n for s, n in NAMES.items() if s in table and s != n and n not in taken}


def _read_table(
    source: Path | pd.DataFrame, name: str, notes: list[str]
) -> pd.DataFrame:
    if isinstance(source, pd.DataFrame):
        table = read_frame(source, name)
    elif source.exists():
        table = read_file(source, notes)
    else:
        raise ScalingError(
            f"{source} does not exist; expected a run store, a CSV, Parquet or JSONL "
            "file, or the word scamo"
        )
    return table.set_axis(places(name, np.arange(1, len(table) + 1)))


# --- Columns ------------------------------------------------------------------------


def _renamed(columns: Mapping[str, str]) -> dict[str, str]:
    """Give the record's name for each column that is mapped, refusing what clashes."""
    renamed: dict[str, str] = {}
    for key, column in columns.items():
        name = NAMES.get(key, key)
        if name not in (*COLUMNS, *NAMES.values()):
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
    table: pd.DataFrame, source: str, renamed: Mapping[str, str], notes: list[str]
) -> pd.DataFrame:
    """Give the mapped columns the record's names; they win over what has them."""
    for column, name in renamed.items():
        # The normalised loss would be preferred to the loss that was asked for.
        normalised = name == "loss" and "normalised_loss" not in renamed.values()
        for old in (name, "normalised_loss") if normalised else (name,):
            if old in table and old not in renamed:
                table = table.drop(columns=old)
                notes.append(
                    f"{source}: its column {old!r} is left out, since --columns gives "
                    f"{name} the column {column!r}"
                )
    return table.rename(columns=dict(renamed))


def _require(table: pd.DataFrame, source: str, score: str | None) -> None:
    if "flops" not in table:
        missing = _missing(table, source, "flops", "C")
        raise ScalingError(f"{missing}, or N and D, which give C = 6 N D")
    if score and score not in table:
        raise ScalingError(measures.unscored(source, score))
    if not score and not any(name in table for name in LOSSES):
        raise ScalingError(_missing(table, source, "normalised_loss", "L_u"))


def _missing(table: pd.DataFrame, source: str, column: str, key: str) -> str:
    present = ", ".join(map(str, table.columns))
    return (
        f"{source} has no column {column!r}; it has: {present}; "
        f"name it with --columns {key}=COLUMN"
    )


def _to_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Make the quantities float64; refuse words among the numbers."""
    numbers = {}
    for name in (*NUMBERS, *measures.PER_UNIT):
        if name not in table:
            continue
        cells = table[name]
        numbers[name] = pd.to_numeric(cells, errors="coerce").astype("float64")
        if pd.api.types.is_numeric_dtype(cells):
            continue  # and no words are among them
        words = cells[numbers[name].isna() & cells.notna()]
        if not words.empty:
            raise ScalingError(
                f"{name} is {words.iloc[0]!r} in {place(words.index[0])}; "
                "expected a number; correct the row or remove it"
            )
    return table.assign(**numbers)


def _name_runs(table: pd.DataFrame, source: str, notes: list[str]) -> pd.DataFrame:
    """Tell runs apart where the table has no column `run`."""
    if "run" in table:
        nameless = table.index[blank(table["run"])]
        if len(nameless):
            raise ScalingError(
                f"run is empty in {place(nameless[0])}; expected the name "
                "of the row's run: fill it in, or remove the column"
            )
        return table.assign(run=table["run"].astype(str), **{OWN_RUN: False})
    # rows of one size may be checkpoints of one run or runs of their own; taken for
    # one run, all but the best of them would be lost to the envelope without a word
    notes.append(
        f"{source} has no column 'run': each row counts as a run of its own; where rows"
        " are checkpoints, name the column that tells runs apart: --columns run=COLUMN"
    )
    rows = [f"row {n}" for n in range(1, len(table) + 1)]
    return table.assign(run=rows, **{OWN_RUN: True})


# --- All sources --------------------------------------------------------------------


def _joined(
    tables: Mapping[str, pd.DataFrame],
    loss: Quantity | None,
    uncooled: bool,
    notes: list[str],
    suspicions: list[str],
) -> Records:
    """Make one table of the sources, refusing values that no law can use."""
    loss = loss or Quantity.of("L_u", _common_loss(tables, notes))
    quantities = _quantities(tables, loss, notes)
    everything, *others = tables.values()
    if others:
        everything = _tell_sources_apart(pd.concat([everything, *others]), notes)
    everything, left = cooled.choose(everything, uncooled, notes)
    frame, dropped = drop_diverged(everything, loss.column)
    quantities = leave_out_broken(frame, quantities, notes)
    refuse_unusable(frame, [quantity.column for quantity in quantities.values()])
    note_repeated(frame, quantities, notes, suspicions)
    note_status(everything, frame, notes)
    return Records(
        frame=frame.reset_index(drop=True),
        quantities=quantities,
        sources=tuple(tables),
        dropped=left | dropped,
        notes=tuple(notes),
    )


def _common_loss(tables: Mapping[str, pd.DataFrame], notes: list[str]) -> str:
    """Choose the loss column that every source has, normalised if possible."""
    for name in LOSSES:
        if all(name in table for table in tables.values()):
            if name == "loss" and any("codebook_size" in t for t in tables.values()):
                notes.append(
                    "the loss is not normalised: it is not comparable between codebooks"
                )
            return name
    raise ScalingError(
        "some sources hold only normalised_loss and others only loss; "
        "expected one of them in all: fit the sources one by one"
    )


def _quantities(
    tables: Mapping[str, pd.DataFrame], loss: Quantity, notes: list[str]
) -> dict[str, Quantity]:
    """Find the quantities that every source holds."""
    found = {}
    for symbol in SYMBOLS:
        quantity = loss if symbol == "L_u" else Quantity.of(symbol, NAMES[symbol])
        column = quantity.column
        lacking = [source for source, table in tables.items() if column not in table]
        if not lacking:
            found[symbol] = quantity
        elif len(lacking) < len(tables):
            notes.append(
                f"{symbol} is left out: {', '.join(lacking)} has no column {column!r}"
            )
    return found


def _tell_sources_apart(frame: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Keep runs apart that bear the same name in different sources."""
    source = frame.index.get_level_values("source")
    pairs = pd.DataFrame({"source": source, "run": frame["run"].to_numpy()})
    runs = pairs.drop_duplicates()["run"]
    shared = runs[runs.duplicated()]
    if shared.empty:
        return frame
    named = shared[shared.isin(frame.loc[~frame[OWN_RUN], "run"])].nunique()
    if named:
        notes.append(
            f"{named} run names occur in several sources and count as different runs"
        )
    return frame.assign(run=source + ":" + frame["run"])
