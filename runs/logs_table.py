"""Logs that are tables: CSV, JSONL and Parquet, of Weights & Biases, Lightning, others.

Four shapes are told apart: a row per run (the runs table of W&B, nanochat's results),
rows of many runs that a column names, the rows of one run (a history, Lightning's
metrics.csv), and a chart of W&B with a column per run, "run - metric".
"""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Iterable, Sequence
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

from scaling.errors import ScalingError
from scaling.record import Row
from scaling.runs.logs import Log, blank, flat, number

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")

METRICS = "metrics.csv"
"""Lightning's table, which bears the name of its folder."""

RUN = ("run", "run_name", "Name", "name", "display_name", "run_id", "id", "ID")
"""Columns that name a run, first choice first."""
ID = ("run_id", "id", "ID")
STEP = ("trainer/global_step", "train/global_step", "global_step", "step", "Step")
STEPS = (*STEP, "_step", "iteration", "iter")
"""Columns that make a row one of many of its run."""
PARAMETERS = ("params", "params_total", "num_params", "parameter_count", "N")

CHART = re.compile(r"(?P<run>.+) - (?P<metric>.+?)(?P<bound>__(MIN|MAX))?")
"""Name of a chart's column; those of the bounds of a smoothed line are left out."""
CHART_FORMAT = "W&B chart export"
RUNS_FORMAT = "W&B runs table"

NOT_A_NUMBER = re.compile(r"\b(nan|inf|-inf)\b")


def read(
    files: Sequence[Path],
    name: str,
    notes: list[str],
    run: str | None = None,
    step: str | None = None,
) -> list[Log]:
    """Read one table; `run` and `step` name columns in place of the usual ones.

    Raises
    ------
    ScalingError
        If it is empty, not UTF-8, or no table.
    """
    (path,) = files
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        rows = _read_csv(path, "\t" if suffix == ".tsv" else ",")
    elif suffix == ".parquet":
        rows = _read_parquet(path)
    else:
        rows = _read_jsonl(path, notes)
    if not rows:
        raise ScalingError(
            f"{path} is empty; expected a header and rows, or one JSON object per line"
        )
    rows = [_unfolded(row) for row in rows]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if any(column.endswith("__MIN") and CHART.fullmatch(column) for column in columns):
        return _chart(path, columns, rows)
    kind = _format(path, columns)
    naming = _first([run] if run else RUN, columns, rows)
    steps = _first([step] if step else STEPS, columns, rows)
    if naming is None and steps is not None and _is_one_run(rows):
        return [_log(kind, name, path, str(path), rows, _beside(path, notes))]
    if naming is None or steps is None:
        return [
            _log(kind, _name(row, naming, name, n), path, f"row {n} of {path}", [row])
            for n, row in enumerate(rows, 1)
        ]
    return _by_run(kind, path, rows, naming)


# --- Files --------------------------------------------------------------------------


def _read_csv(path: Path, delimiter: str) -> list[Row]:
    lines = csv.reader(StringIO(_text(path), newline=""), delimiter=delimiter)
    limit = csv.field_size_limit(1 << 30)  # a whole configuration may be one cell
    try:
        header = [name.strip() for name in next(lines, [])]
        cells = [line for line in lines if any(map(str.strip, line))]
    except csv.Error as error:
        raise ScalingError(
            f"{path}:{lines.line_num} is not CSV: {error}; expected a header and as "
            "many fields in every row: write the table again"
        ) from None
    finally:
        csv.field_size_limit(limit)
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise ScalingError(
            f"{path} has more than one column {', '.join(map(repr, twice))}; expected "
            "each name once: rename or remove all but one"
        )
    longer = next((line for line in cells if len(line) > len(header)), None)
    if longer is not None:
        raise ScalingError(
            f"{path} has a row with more fields than its header: {longer[0]!r}, ...; "
            "expected as many in every row: correct it, or name all columns"
        )
    return [dict(zip(header, line, strict=False)) for line in cells]


def _text(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScalingError(
            f"{path} is not UTF-8: byte {data[error.start]:#04x} at {error.start}; "
            "expected UTF-8 text: save the table again as such"
        ) from None


def _read_parquet(path: Path) -> list[Row]:
    try:
        arrow, parquet = map(import_module, ("pyarrow", "pyarrow.parquet"))
    except ImportError:
        raise ScalingError(
            f"reading {path} needs pyarrow, which is not installed; "
            "pip install 'scaling[parquet]', or save the table as CSV"
        ) from None
    try:
        rows: list[Row] = parquet.read_table(path).to_pylist()
    except (arrow.ArrowException, OSError) as error:
        raise ScalingError(
            f"{path} is not a Parquet table: {str(error).splitlines()[0]}; write it "
            "again, or save it as CSV"
        ) from None
    return rows


def _read_jsonl(path: Path, notes: list[str]) -> list[Row]:
    """Read one object per line; what follows a line that is none is left out."""
    rows: list[Row] = []
    for number_of, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict) and not rows:
            raise ScalingError(
                f"{path}:{number_of} is not a JSON object: {line[:40]!r}; expected one "
                "per line: correct that line or remove it"
            )
        if not isinstance(row, dict):
            notes.append(
                f"{path}:{number_of} is not a JSON object; kept the {len(rows)} before "
                "it"
            )
            break
        rows.append(row)
    return rows


def _unfolded(row: Row) -> Row:
    """Make columns of objects in cells, such as `config` and `summary` of W&B's API.

    The API's own script writes them as texts of Python.
    """
    found: Row = {}
    for key, value in row.items():
        content = _object(value)
        if content is None:
            found[key] = value
        else:
            before = "" if key in ("config", "summary", "_summary") else f"{key}."
            found |= flat(content, before)
    return found


def _object(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str) and value.startswith("{"):
        for parse in (json.loads, _python):
            try:
                value = parse(value)
                break
            except (ValueError, SyntaxError):
                continue
    return value if isinstance(value, dict) else None


def _python(source: str) -> Any:
    return ast.literal_eval(NOT_A_NUMBER.sub("None", source))


# --- Runs ---------------------------------------------------------------------------


def _by_run(kind: str, path: Path, rows: list[Row], naming: str) -> list[Log]:
    """Part rows by the run that they name, and by its id where there is one."""
    parts: dict[tuple[str, ...], list[Row]] = {}
    ids = [column for column in ID if column != naming and column in rows[0]][:1]
    for row in rows:
        key = tuple(str(row.get(column, "")) for column in (naming, *ids))
        parts.setdefault(key, []).append(row)
    return [
        _log(kind, key[0], path, key[1] if ids else str(path), its)
        for key, its in parts.items()
    ]


def _log(
    kind: str,
    run: str,
    path: Path,
    origin: str,
    rows: list[Row],
    constants: Row | None = None,
) -> Log:
    """Make a run of rows; one row alone holds the run's configuration as well."""
    if len(rows) == 1:
        id_of = next((rows[0][c] for c in ID if not blank(rows[0].get(c))), origin)
        constants, origin = {**rows[0], **(constants or {})}, str(id_of)
    return Log(
        format=kind,
        run=run,
        origin=origin,
        path=path,
        rows=tuple(rows),
        constants=constants or {},
    )


def _first(
    wanted: Iterable[str], columns: Sequence[str], rows: list[Row]
) -> str | None:
    """Find the first column that is there and not empty."""
    held = (name for name in wanted if name in columns)
    return next((n for n in held if any(not blank(row.get(n)) for row in rows)), None)


def _is_one_run(rows: list[Row]) -> bool:
    """Whether rows without names are of one run: its size does not change."""
    sizes = {row[n] for row in rows for n in PARAMETERS if not blank(row.get(n))}
    return len(sizes) <= 1


def _name(row: Row, naming: str | None, name: str, n: int) -> str:
    if naming is not None and not blank(row.get(naming)):
        return str(row[naming])
    if not blank(row.get("flops_budget")) and not blank(row.get("depth")):
        return f"flops{row['flops_budget']}_d{row['depth']}"  # as nanochat calls them
    return f"{name} row {n}"


def _format(path: Path, columns: Sequence[str]) -> str:
    """Say which tool wrote a table, by columns that are its own."""
    held = set(columns)
    if path.name == METRICS and {"epoch", "step"} <= held:
        return "Lightning CSVLogger"
    if {"depth", "tokens_trained"} <= held:
        return "nanochat results"
    if held & {"train/CE loss", "throughput/total petaflops"}:
        return "OLMo-core metrics"
    if held & {"_step", "_timestamp", "_runtime"} and not held & {"Name", "name"}:
        return "W&B history"
    if held & {"Name", "name"} and any(c for c in columns if "/" in c or "." in c):
        return RUNS_FORMAT
    return f"{path.suffix[1:].upper()} table"


def _beside(path: Path, notes: list[str]) -> Row:
    """Read the hyperparameters that Lightning writes beside its metrics."""
    file = path.with_name("hparams.yaml")
    if path.name != METRICS or not file.exists():
        return {}
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        notes.append(f"{file} is left out: it holds more than plain values")
        return {}
    return flat(content) if isinstance(content, dict) else {}


def _chart(path: Path, columns: Sequence[str], rows: list[Row]) -> list[Log]:
    """Part a chart by run; its first column is the axis, most often the step."""
    axis = columns[0]
    runs: dict[str, list[Row]] = {}
    for column in columns:
        held = CHART.fullmatch(column)
        if held is None or held["bound"]:
            continue
        runs.setdefault(held["run"], []).extend(
            {axis: row[axis], held["metric"]: row[column]}
            for row in rows
            if number(row.get(axis)) is not None and not blank(row.get(column))
        )
    return [
        Log(
            format=CHART_FORMAT,
            run=run,
            origin=str(path),
            path=path,
            rows=tuple(its),
            constants={},
        )
        for run, its in runs.items()
    ]
