"""Finding and reading logs: of files and folders, in any format that we know."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from scaling.errors import ScalingError
from scaling.runs import logs_huggingface, logs_table, logs_tensorboard, logs_wandb
from scaling.runs.logs import Log, blank
from scaling.runs.logs_columns import Choice, choose

ORIGIN = "imported_from"
"""Column of what an import writes that says where a row comes from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of file."""

    pattern: str
    """What its names look like, for people."""
    is_one: Callable[[Path], bool]
    """Whether a file is one, by its name."""
    read: Callable[..., list[Log]]
    """Reads the files of one run or table, given a name for it and a list of notes."""


KINDS = (
    Kind(
        pattern="*.wandb",
        is_one=lambda path: path.suffix == ".wandb",
        read=logs_wandb.read,
    ),
    Kind(
        pattern="trainer_state.json",
        is_one=lambda path: path.name == logs_huggingface.NAME,
        read=logs_huggingface.read,
    ),
    Kind(
        pattern="events.out.tfevents.*",
        is_one=lambda path: "tfevents" in path.name,
        read=logs_tensorboard.read,
    ),
    Kind(
        pattern="*.csv, *.jsonl, *.parquet",
        is_one=lambda path: path.suffix.lower() in logs_table.SUFFIXES,
        read=logs_table.read,
    ),
)
"""Kinds of file; of a folder that holds several, the first is read."""

WANDB, STATE, EVENTS, TABLE = KINDS
KNOWN = ", ".join(kind.pattern for kind in KINDS)


def read_logs(
    paths: Sequence[Path], asked: Mapping[str, Choice], notes: list[str]
) -> list[Log]:
    """Read files, and folders that are searched for them.

    A file that cannot be read is left out of a folder with a note.

    Raises
    ------
    ScalingError
        If a path is missing or of no known kind, a file that is named cannot be read,
        or nothing is left.
    """
    logs: list[Log] = []
    seen: set[Path] = set()
    refused: ScalingError | None = None
    for path in paths:
        kind, found = _files(path, notes)
        read = _reader(kind, asked)
        for unit, files in _units(kind, found).items():
            fresh = [file for file in files if file.resolve() not in seen]
            seen |= {file.resolve() for file in fresh}
            try:
                logs += read(fresh, _name(path, unit), notes) if fresh else []
            except ScalingError as error:
                if path.is_file():
                    raise
                refused = refused or error
                notes.append(f"left out: {error}")
    if not logs:
        raise refused or ScalingError(
            f"{', '.join(map(str, paths))}: the logs hold no metrics; expected a loss: "
            "name other files"
        )
    return _charts_joined(_sessions_joined(logs))


def _reader(kind: Kind, asked: Mapping[str, Choice]) -> Callable[..., list[Log]]:
    """Tell the reader of tables which columns part its rows, if the user said so."""
    if kind is not TABLE:
        return kind.read
    columns = {c: asked[c].source for c in ("run", "step") if c in asked}
    return partial(kind.read, **columns)


# --- Finding ------------------------------------------------------------------------


def _files(path: Path, notes: list[str]) -> tuple[Kind, list[Path]]:
    """Give a file, or the logs below a folder, all of one kind."""
    if not path.exists():
        raise ScalingError(
            f"{path} does not exist; expected a log, or a folder of logs"
        )
    if path.is_file():
        return _kind(path), [path]
    below = [Path(top, n) for top, _, files in os.walk(path) for n in sorted(files)]
    found = {
        kind: sorted(file for file in below if kind.is_one(file) and not _own(file))
        for kind in KINDS
    }
    held = [kind for kind in KINDS if found[kind]]
    if not held:
        raise ScalingError(
            f"{path} holds no logs; expected {KNOWN} in it or below: name another "
            "folder"
        )
    others = [file for kind in held[1:] for file in found[kind]]
    if others:
        notes.append(
            f"{path} holds {len(others)} more of other kinds, such as "
            f"{others[0].name}: name them to import them as well"
        )
    return held[0], found[held[0]]


def _kind(file: Path) -> Kind:
    for kind in KINDS:
        if kind.is_one(file):
            return kind
    raise ScalingError(
        f"{file} is of no known kind; expected one of {KNOWN}: rename it, or "
        "convert it to CSV"
    )


def _own(file: Path) -> bool:
    """Whether a file was written by an import, which then does not read it again."""
    if file.suffix != ".csv":
        return False
    with file.open("rb") as head:
        return ORIGIN.encode() in head.read(2000)


def _units(kind: Kind, files: Sequence[Path]) -> dict[Path, list[Path]]:
    """Part files into those of one run or table, by what these have in common."""
    units: dict[Path, list[Path]] = {}
    for file in files:
        units.setdefault(_unit(kind, file), []).append(file)
    return units


def _unit(kind: Kind, file: Path) -> Path:
    folder = file.parent
    if kind is STATE and folder.name.startswith("checkpoint-"):
        return folder.parent
    if kind in (STATE, EVENTS) or file.name == logs_table.METRICS:
        return folder
    return file


def _name(path: Path, unit: Path) -> str:
    """Name a run by its place below the folder that was named."""
    whole = unit.resolve()
    below = unit.relative_to(path) if path.is_dir() else Path()
    if below == Path():
        version = whole.name.startswith("version_")
        below = Path(whole.parent.name, whole.name) if version else Path(whole.name)
    return str(below if unit.is_dir() else below.with_suffix(""))


# --- Joining ------------------------------------------------------------------------


def _sessions_joined(logs: list[Log]) -> list[Log]:
    """Give the hyperparameters of a folder's event files to those of the folder above.

    `SummaryWriter.add_hparams` writes them to a folder of their own below the run's.
    """
    events = {log.path: log for log in logs if log.format == logs_tensorboard.FORMAT}
    below = [log for log in events.values() if log.constants]
    given = {
        log.path.parent: log
        for log in below
        if log.path.parent in events and not events[log.path.parent].constants
    }
    spent = {log.path for log in given.values()}
    return [
        replace(log, constants=given[log.path].constants) if log.path in given else log
        for log in logs
        if log.path not in spent
    ]


def _charts_joined(logs: list[Log]) -> list[Log]:
    """Join the charts of one run, each a metric, to each other and to its row."""
    tables = (logs_table.CHART_FORMAT, logs_table.RUNS_FORMAT)
    charted = {log.run for log in logs if log.format == logs_table.CHART_FORMAT}
    kept = [log for log in logs if log.format not in tables or log.run not in charted]
    for run in sorted(charted):
        its = [log for log in logs if log.run == run and log.format in tables]
        charts = [log for log in its if log.format == logs_table.CHART_FORMAT]
        row_of = [log for log in its if log.format != logs_table.CHART_FORMAT]
        if len(row_of) > 1:  # runs of one name: whose chart it is cannot be told
            kept += row_of
            row_of = []
        kept.append(_joined(charts, row_of[0].constants if row_of else {}))
    return kept


def _joined(charts: Sequence[Log], row: Mapping[str, object]) -> Log:
    """Join charts and a row, whose tokens and FLOPs hold at the step that it names."""
    rows = [each for log in charts for each in log.rows]
    held = [name for name in row if not blank(row[name])]
    step = choose("step", held)
    counters = [c for column in ("tokens", "flops") if (c := choose(column, held))]
    if step and rows and counters:
        axis = next(iter(rows[0]))
        end = {counter.source: row[counter.source] for counter in counters}
        rows.append({axis: row[step.source], **end})
    return replace(charts[0], rows=tuple(rows), constants=dict(row))
