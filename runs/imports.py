"""Logs of other trainers as a table of the run record, which every law reads.

Their names are mapped to the record's columns, and what that gave is shown before it is
written.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from scaling.errors import ScalingError, suggestion
from scaling.files import jsonable, require_own, write_aside
from scaling.record import COLUMNS, Row
from scaling.runs.imports_read import ORIGIN, read_logs
from scaling.runs.logs import Log, blank, counted, names, number
from scaling.runs.logs_choices import choices
from scaling.runs.logs_columns import (
    OF_EVALUATION,
    OF_TRAINING,
    Choice,
    loss_of,
    symbols,
)
from scaling.runs.logs_record import Run, record


@dataclass(frozen=True, kw_only=True, slots=True)
class Import:
    """What files gave, ready to be looked at and written."""

    runs: tuple[Run, ...]
    """Runs with at least one evaluation."""
    names: tuple[str, ...]
    """Their names, all different."""
    notes: tuple[str, ...]
    """What was left out or chosen, in sentences."""

    @property
    def rows(self) -> list[Row]:
        """Rows of the record, and where each comes from."""
        return [
            {"run": name, **row, ORIGIN: str(run.log.path)}
            for name, run in zip(self.names, self.runs, strict=True)
            for row in run.rows
        ]

    @property
    def columns(self) -> list[str]:
        """Columns of the record that some row fills."""
        filled = {name for row in self.rows for name in row if row[name] is not None}
        return [name for name in COLUMNS if name in filled]


# --- Mapping ------------------------------------------------------------------------


def named(columns: Mapping[str, str]) -> dict[str, Choice]:
    """Read `--columns`: by symbol or column, a trainer's name, or NAME*FACTOR.

    Raises
    ------
    ScalingError
        If the record has no such column.
    """
    known = symbols()
    found: dict[str, Choice] = {}
    for key, source in columns.items():
        column = known.get(key, key)
        if column not in COLUMNS:
            raise ScalingError(
                f"--columns {key}={source}: the record knows no {key!r}; "
                f"{suggestion(key, [*known, *COLUMNS])}"
            )
        if column in found:
            raise ScalingError(
                f"--columns gives {column} both {found[column].source!r} and "
                f"{source!r}; expected one name for each column: leave one of them out"
            )
        name, star, times = source.rpartition("*")
        factor = number(times) if star else None
        found[column] = Choice(
            column=column,
            source=name if factor is not None else source,
            factor=1.0 if factor is None else factor,
            asked=True,
        )
    return found


def _refuse_unknown(logs: Sequence[Log], asked: Mapping[str, Choice]) -> None:
    held = {name for log in logs for row in (log.constants, *log.rows) for name in row}
    for choice in asked.values():
        if choice.source not in held:
            close = get_close_matches(choice.source, held, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else "; name one of them"
            raise ScalingError(
                f"no log holds {choice.source!r}, which --columns gives to "
                f"{choice.column}; the logs hold: {_some(sorted(held))}{meant}"
            )


def _some(listed: Sequence[str], shown: int = 30) -> str:
    more = f" and {len(listed) - shown} more" if len(listed) > shown else ""
    return ", ".join(listed[:shown]) + more


def load(
    paths: Sequence[Path],
    columns: Mapping[str, str] | None = None,
    derive: Sequence[str] = (),
) -> Import:
    """Read logs and map them to the record.

    Parameters
    ----------
    paths : sequence of Path
        Logs, or folders that are searched for them.
    columns : mapping, optional
        A trainer's name for a symbol or column of the record, such as
        ``{"L": "eval/loss", "C": "gflops*1e9"}``; it goes before what is found.
    derive : sequence of str
        Symbols to derive although they are logged: N, D, C.

    Raises
    ------
    ScalingError
        If a path is missing or of no known kind, if no log holds a loss, or none a name
        that `columns` has.
    """
    notes: list[str] = []
    asked = named(columns or {})
    logs = read_logs(paths, asked, notes)
    _refuse_unknown(logs, asked)
    chosen = [choices(log, asked) for log in logs]
    held = _with_the_loss(logs, chosen, notes)
    runs = [record(logs[n], chosen[n], derive) for n in held]
    _note_runs(runs, notes)
    kept = [run for run in runs if run.rows]
    _note_not_derived(kept, derive, notes)
    if not kept:
        raise ScalingError(
            f"{runs[0].chosen['loss'].source} is no finite number in any row; expected "
            "a loss: name another with --columns L=NAME"
        )
    files = {run.log.path for run in kept}
    if len(files) > 1:
        notes.append(
            f"rows of {len(files)} files become one table; where they are of different "
            "data, import and fit each by itself"
        )
    called = names(_renamed(run.log, asked) for run in kept)
    return Import(runs=tuple(kept), names=tuple(called), notes=tuple(notes))


def _renamed(log: Log, asked: Mapping[str, Choice]) -> Log:
    """Name a run by a column that the user named for it, if it holds one."""
    source = asked["run"].source if "run" in asked else ""
    named_so = log.constants.get(source)
    return log if blank(named_so) else replace(log, run=str(named_so))


def _with_the_loss(
    logs: Sequence[Log],
    chosen: Sequence[Mapping[str, Choice]],
    notes: list[str],
) -> list[int]:
    """Give the runs whose loss is of the best kind that is there; say what is not."""
    losses = {n: each["loss"] for n, each in enumerate(chosen) if "loss" in each}
    if not losses:
        held = sorted({name for log in logs for row in log.rows for name in row})
        raise ScalingError(
            f"no loss is found in {logs[0].path}; its names are: {_some(held)}; name "
            "the loss with --columns L=NAME"
        )
    best = min(loss_of(choice.source) for choice in losses.values())
    # a name that was passed over in one run is not the same measure in another
    passed_over = {name for choice in losses.values() for name in choice.others}
    kept = [
        n
        for n, choice in losses.items()
        if choice.asked
        or (loss_of(choice.source) == best and choice.source not in passed_over)
    ]
    left = [log.run for n, log in enumerate(logs) if n not in kept]
    if left:
        wanted = losses[kept[0]].source
        notes.append(
            f"left out: {counted(len(left), 'run')} without a loss such as {wanted}, "
            f"{_some(left, 3)}"
        )
    if best != OF_EVALUATION and not losses[kept[0]].asked:
        source = losses[kept[0]].source
        said = "is of training batches" if best == OF_TRAINING else "may be of any"
        notes.append(f"no loss is named as an evaluation's: {source} {said}")
    _note_choices([chosen[n] for n in kept], notes)
    return kept


def _note_choices(chosen: Sequence[Mapping[str, Choice]], notes: list[str]) -> None:
    """Say where a choice was not the only one, and where runs differ in it."""
    for column in ("loss", "tokens", "flops", "total_params"):
        held = [each[column] for each in chosen if column in each]
        sources = list(dict.fromkeys(choice.source for choice in held))
        if len(sources) > 1:
            notes.append(f"{column} is of different names by run: {_some(sources, 5)}")
        others = dict.fromkeys(o for c in held if not c.asked for o in c.others)
        others_only = [name for name in others if name not in sources]
        if others_only:
            symbol = COLUMNS[column].symbol
            notes.append(
                f"{column} is {sources[0]}; it could be {_some(others_only, 5)}: "
                f"--columns {symbol}=NAME"
            )


def _note_runs(runs: Sequence[Run], notes: list[str]) -> None:
    unusable = sum(run.unusable for run in runs)
    if unusable:
        notes.append(
            f"left out: {counted(unusable, 'row')} whose loss is no finite number"
        )
    empty = [run.log.run for run in runs if not run.rows]
    if empty:
        notes.append(f"left out: {_some(empty, 3)}, of which no row is left")
    for column in ("tokens", "flops", "seconds"):
        between = sum(run.between.get(column, 0) for run in runs)
        if between:
            notes.append(
                f"{column} of {counted(between, 'row')} is taken between the steps at "
                "which it was logged"
            )


FOLLOWS = {
    "N": "C and D",
    "D": "batch size, sequence length and steps, or C and N",
    "C": "N and D",
}
"""What a symbol is derived from."""


def _note_not_derived(
    runs: Sequence[Run], asked: Sequence[str], notes: list[str]
) -> None:
    """Say what was to be derived, and is not."""
    for symbol in asked:
        column = symbols()[symbol]
        lacking = [
            run for run in runs if column not in {each.column for each in run.derived}
        ]
        if lacking:
            notes.append(
                f"--derive {symbol} has no effect on {counted(len(lacking), 'run')}, "
                f"which lack {FOLLOWS[symbol]}"
            )


# --- Writing ------------------------------------------------------------------------


def require_out(out: Path, paths: Sequence[Path]) -> None:
    """Refuse to write over a log, or over a table that was not imported."""
    if out.suffix.lower() != ".csv":
        raise ScalingError(f"--out {out} is no .csv; expected a name such as runs.csv")
    require_own(out, paths, ORIGIN)


def write(imported: Import, out: Path) -> None:
    """Write the table as CSV, whole or not at all."""
    header = [*imported.columns, ORIGIN]

    def fill(aside: Path) -> None:
        with aside.open("w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(header)
            lines.writerows(
                [_cell(row.get(c)) for c in header] for row in imported.rows
            )

    write_aside(out, fill)


def _cell(value: Any) -> Any:
    value = jsonable(value)
    return "" if value is None else value
