"""One file or DataFrame as a table, refused where a reader would guess."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pandas as pd
from pydantic_core import from_json

from scaling.analysis.columns import BLOCK, columns_of
from scaling.errors import ScalingError
from scaling.record import Row, parse_lines


def read_file(path: Path, notes: list[str]) -> pd.DataFrame:
    """Read a table as its file spells it.

    Parameters
    ----------
    path : Path
        A file that ends in .csv, .parquet, .jsonl or .ndjson, in either case.
    notes : list of str
        Receives a sentence if the last line of a JSONL file is cut short.

    Raises
    ------
    ScalingError
        If the file is of another kind, empty, or no sound table.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        table = _read_csv(path)
    elif suffix == ".parquet":
        table = _read_parquet(path)
    elif suffix in (".jsonl", ".ndjson"):
        table = _read_jsonl(path, notes)
    else:
        raise ScalingError(
            f"{path} is of no known kind; expected a run store, or a file that ends in "
            ".csv, .parquet or .jsonl"
        )
    _refuse_empty(table, path)
    return table


def read_frame(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Take a table that is in memory already; it stays as it is.

    Raises
    ------
    ScalingError
        If it is empty, or has two columns of one name.
    """
    table = frame.set_axis(frame.columns.map(str), axis="columns")
    _refuse_twice(table.columns, name)
    _refuse_empty(table, name)
    return table


def _refuse_empty(table: pd.DataFrame, source: Path | str) -> None:
    if table.empty:
        raise ScalingError(
            f"{source} is empty; expected a header and one row per evaluation"
        )


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            # Fields beyond the header are dropped with no more than this warning.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            header = pd.read_csv(
                path, header=None, nrows=1, dtype=str, keep_default_na=False
            )
            _refuse_twice(header.iloc[0], path)
            # By default a row longer than the header shifts all columns by one.
            return pd.read_csv(path, index_col=False)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except pd.errors.ParserWarning as warning:
        raise ScalingError(
            f"{path} has rows with more fields than its header; expected as many in "
            "every row: name all columns in the header, or remove the fields beyond it"
        ) from warning
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ScalingError(
            f"{path} is not a CSV table: {str(error).strip()}; "
            "expected UTF-8 text, a header, and as many fields in every row"
        ) from error


def _refuse_twice(names: Iterable[object], source: Path | str) -> None:
    """Refuse two columns of one name; columns without a name are nobody's."""
    listed = [str(name) for name in names if name != ""]
    twice = sorted({name for name in listed if listed.count(name) > 1})
    if twice:
        raise ScalingError(
            f"{source} has more than one column {', '.join(map(repr, twice))}; "
            "expected each name once: rename or remove all but one"
        )


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except ImportError as error:
        raise ScalingError(
            f"reading {path} needs pyarrow, which is not installed; "
            "pip install pyarrow, or save the table as CSV"
        ) from error
    except (OSError, ValueError) as error:
        raise ScalingError(
            f"{path} is not a Parquet table: {error}; write it again, or save it as CSV"
        ) from error
    _refuse_twice(table.columns, path)
    return table


def _read_jsonl(path: Path, notes: list[str]) -> pd.DataFrame:
    """Read one object per line; blank lines are none, and the last may be cut short."""
    return pd.DataFrame(columns_of(_blocks(path, notes)), copy=False)


def _blocks(path: Path, notes: list[str]) -> Iterator[list[Row]]:
    """Parse some lines at a time; from where they are not all sound, one by one."""
    before = 0
    with path.open("rb") as file:
        while lines := list(islice(file, BLOCK)):
            text = b"".join(lines)
            rows = parse_lines(text, from_json)
            if rows is None:
                rows = _line_by_line(path, text + file.read(), before, notes)
            if rows:
                yield rows
            before += len(lines)


def _line_by_line(path: Path, text: bytes, before: int, notes: list[str]) -> list[Row]:
    rows: list[Row] = []
    lines = text.rstrip().splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
            if number == len(lines):
                notes.append(
                    f"{path}: line {before + number} is cut short; kept the "
                    f"{before + len(rows)} before it"
                )
                break
        if not isinstance(row, dict):
            raise ScalingError(
                f"{path}:{before + number} is not a JSON object: {line[:40]!r}; "
                "expected one per line: correct that line or remove it"
            )
        rows.append(row)
    return rows
