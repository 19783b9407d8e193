"""Which names of one run's log become which columns of the record."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from scaling.record import COLUMNS, Row
from scaling.runs.logs import Log, blank, number
from scaling.runs.logs_columns import (
    COUNTERS,
    PATTERNS,
    SEQUENCE,
    Choice,
    choose,
    meanings,
)


def choices(log: Log, asked: Mapping[str, Choice]) -> dict[str, Choice]:
    """Choose the source of each column that a log holds.

    Parameters
    ----------
    log : Log
        The run.
    asked : mapping
        By column, what the user named; it goes before what is found.
    """
    logged = _meant(_rows(log))
    constant = _meant([log.constants])
    everything = list(dict.fromkeys((*constant, *logged)))
    settled = [name for name in everything if unchanging(log, name)]
    found: dict[str, Choice] = {}
    for column in ("loss", *COLUMNS, SEQUENCE):
        if column in asked:
            choice = asked[column] if _holds(log, asked[column].source) else None
        elif column in ("loss", "train_loss", *COUNTERS):
            choice = choose(column, logged)
            if column == "step" and "loss" in found:
                choice = choose(column, _at_each(found["loss"], logged, log))
        else:
            choice = choose(column, settled if column in PATTERNS else everything)
        if choice is not None and column != "run":
            found[column] = choice
    return {
        column: choice
        for column, choice in found.items()
        if column not in ("tokens", "flops") or _grows(log, choice, found.get("step"))
    }


def _holds(log: Log, name: str) -> bool:
    return any(not blank(row.get(name)) for row in (log.constants, *log.rows))


def _rows(log: Log) -> tuple[Row, ...]:
    """Give the rows; one row alone holds the run's configuration as well."""
    return log.rows if len(log.rows) != 1 else ({**log.constants, **log.rows[0]},)


def _meant(rows: Sequence[Row]) -> list[str]:
    """Give the names that hold anything and may be of use, in order of appearance."""
    names = dict.fromkeys(name for row in rows for name in row)
    useful = (name for name in names if meanings(name))
    return [n for n in useful if any(not blank(row.get(n)) for row in rows)]


def _at_each(loss: Choice, names: Sequence[str], log: Log) -> list[str]:
    """Keep the names that every row with the loss holds, if there are any.

    Of several steps, evaluations are counted by such a one.
    """
    rows = [row for row in _rows(log) if not blank(row.get(loss.source))]
    return [n for n in names if all(not blank(row.get(n)) for row in rows)] or [*names]


def _grows(log: Log, choice: Choice, step: Choice | None) -> bool:
    """Whether tokens or FLOPs grow along a run; those of a batch, or a rate, do not."""
    held = (number(row.get(choice.source)) for row in by_step(log, step))
    values = [value for value in held if value is not None]
    return (
        choice.asked
        or len(values) < 2
        or (values[0] < values[-1] and all(a <= b for a, b in pairwise(values)))
    )


# --- Values of a log ----------------------------------------------------------------


def by_step(log: Log, step: Choice | None) -> list[Row]:
    """Join the rows of one step, in order of steps; what was logged later counts.

    Trainers log the loss of a batch and that of an evaluation in rows of their own.
    """
    if step is None or len(log.rows) == 1:
        return [*_rows(log)]
    joined: dict[float, Row] = {}
    for row in log.rows:
        at = number(row.get(step.source))
        if at is not None and math.isfinite(at):
            filled = {name: row[name] for name in row if not blank(row[name])}
            joined.setdefault(at, {}).update(filled)
    return [joined[at] for at in sorted(joined)]


def unchanging(log: Log, name: str) -> bool:
    """Whether a name holds one value in all of a run."""
    if not blank(log.constants.get(name)):
        return True
    return len({str(row[name]) for row in log.rows if not blank(row.get(name))}) == 1


def first_of(log: Log, choice: Choice) -> Any:
    """Give the first value of a column as it was logged; None where there is none."""
    places = [log.constants, *log.rows]
    if choice.column in COUNTERS:
        places = [*log.rows, log.constants]
    held = (row.get(choice.source) for row in places)
    return next((value for value in held if not blank(value)), None)
