"""From one run's log to rows of the record: an evaluation each.

Rows of one step are joined. What grows along a run (tokens, FLOPs) and is not logged at
an evaluation's own step is taken between the logged values, by step. What is not logged
at all follows from the rest: D = batch size x sequence length x steps, C = 6 N D.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scaling.record import TRUTHS, Row
from scaling.runs.logs import Log, blank, number
from scaling.runs.logs_choices import by_step, first_of, unchanging
from scaling.runs.logs_columns import COUNTERS, SEQUENCE, Choice

WORDS = (
    *("size", "corpus", "quantizer", "schedule", "precision", "device", "status"),
    *("flops_convention", "evaluator", "code_version"),
)
"""Columns of the record that are texts."""

UNFINISHED = ("running", "crashed", "killed", "failed", "preempted")
"""How W&B calls runs that did not come to their end."""

LOGGED = "logged"
"""What the column flops_convention says of FLOPs that a trainer counted."""

Points = Sequence[tuple[float, float]]
"""Steps and what was logged at them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Derived:
    """A column that no log holds, and the formula that gave it."""

    column: str
    """Of the record."""
    formula: str
    """As a reader of the preview sees it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run in the record's terms."""

    log: Log
    """What it was read from."""
    chosen: Mapping[str, Choice]
    """Where its columns come from."""
    rows: tuple[Row, ...]
    """Its evaluations."""
    derived: tuple[Derived, ...]
    """What followed from other columns."""
    unusable: int
    """Rows left out since their loss was no finite number."""
    between: Mapping[str, int]
    """For a column, rows whose value was taken between logged ones."""


def record(log: Log, chosen: Mapping[str, Choice], derive: Sequence[str] = ()) -> Run:
    """Make the rows of the record.

    Parameters
    ----------
    log : Log
        The run.
    chosen : mapping
        Of `choices`, with a loss.
    derive : sequence of str
        Symbols to derive although they are logged: N, D, C.
    """
    rows = by_step(log, chosen.get("step"))
    loss = chosen["loss"]
    evaluated = [row for row in rows if not blank(row.get(loss.source))]
    usable = [row for row in evaluated if _value(row, loss) is not None]
    constants = _constants(log, chosen)
    found = [{**_read(row, chosen), **constants} for row in usable]
    between = {
        name: _fill_between(found, name, _track(rows, chosen, name))
        for name in COUNTERS
        if name in chosen and name != "step"
    }
    return Run(
        log=log,
        chosen=chosen,
        rows=tuple(found),
        derived=_derive(found, log, chosen, derive),
        unusable=len(evaluated) - len(found),
        between=between,
    )


# --- Values -------------------------------------------------------------------------


def _constants(log: Log, chosen: Mapping[str, Choice]) -> Row:
    """Read what holds for a whole run."""
    settled = {
        name: choice
        for name, choice in chosen.items()
        if name not in (*COUNTERS, "loss") and unchanging(log, choice.source)
    }
    return _read(
        {choice.source: first_of(log, choice) for choice in settled.values()}, settled
    )


def _read(row: Row, chosen: Mapping[str, Choice]) -> Row:
    """Read the columns of the record that a row holds."""
    values = {
        name: _cell(row, choice) for name, choice in chosen.items() if name != SEQUENCE
    }
    return {name: value for name, value in values.items() if value is not None}


def _cell(row: Row, choice: Choice) -> float | str | bool | None:
    """Read what the column of a choice holds: a text, yes or no, or a number."""
    held = row.get(choice.source)
    if choice.column in WORDS:
        return _word(choice.column, held)
    if choice.column == "cooled":
        said = TRUTHS.get(str(held).strip().lower())
        return None if said is None else bool(said)
    return _value(row, choice)


def _value(row: Row, choice: Choice) -> float | None:
    """Read a finite number in the record's unit."""
    value = number(row.get(choice.source))
    if value is None or not math.isfinite(value):
        return None
    value = choice.convert(value)
    return value if math.isfinite(value) else None


def _word(name: str, value: object) -> str | None:
    """Read a text; runs that were cut off are all called unfinished."""
    if not isinstance(value, str) or blank(value):
        return None
    word = value.strip()
    if name == "status":
        return "unfinished" if word.lower() in UNFINISHED else word.lower()
    return word


def _track(rows: Sequence[Row], chosen: Mapping[str, Choice], name: str) -> Points:
    """Give the steps at which a counter was logged, with its values."""
    if "step" not in chosen:
        return []
    pairs = [(_value(row, chosen["step"]), _value(row, chosen[name])) for row in rows]
    return [(at, value) for at, value in pairs if at is not None and value is not None]


def _fill_between(found: list[Row], name: str, track: Points) -> int:
    """Fill in a counter where it was not logged; give the number of such rows."""
    lacking = (
        [row for row in found if name not in row and "step" in row] if track else []
    )
    for row in lacking:
        row[name] = _between(track, row["step"])
    return len(lacking)


def _between(track: Points, at: float) -> float:
    """Interpolate a counter by step; beyond the ends it grows as from step 0.

    >>> _between([(10, 100.0), (20, 300.0)], 15), _between([(10, 100.0)], 20)
    (200.0, 200.0)
    """
    after = bisect_left(track, (at, -math.inf))
    if after in (0, len(track)):
        step, value = track[0 if after == 0 else -1]
        return value * at / step if step else value
    (step, value), (next_step, next_value) = track[after - 1], track[after]
    return value + (next_value - value) * (at - step) / (next_step - step)


# --- Deriving -----------------------------------------------------------------------


def _derive(
    rows: list[Row], log: Log, chosen: Mapping[str, Choice], asked: Sequence[str]
) -> tuple[Derived, ...]:
    """Fill in tokens, parameters and FLOPs from the others, where that is possible."""
    if not rows:
        return ()
    found = [
        _derive_tokens(rows, log, chosen, "D" in asked),
        _derive_parameters(rows) if "N" in asked else None,
        _derive_flops(rows, "C" in asked),
    ]
    if found[-1] is None and "flops" in chosen:
        for row in rows:
            row.setdefault("flops_convention", LOGGED)
    return tuple(each for each in found if each is not None)


def _derive_tokens(
    rows: list[Row], log: Log, chosen: Mapping[str, Choice], asked: bool
) -> Derived | None:
    """Take D = batch size x sequence length x step, or if asked for C / (6 N)."""
    if "tokens" in chosen and not asked:
        return None
    batch, length = (
        _of_constants(log, chosen, name) for name in ("batch_size", SEQUENCE)
    )
    if batch and length and all(row.get("step") is not None for row in rows):
        for row in rows:
            row["tokens"] = batch * length * row["step"]
        return Derived(
            column="tokens",
            formula=f"{chosen['batch_size'].source} x {chosen[SEQUENCE].source} x step",
        )
    if asked and all(row.get("flops") and parameters(row)[1] for row in rows):
        for row in rows:
            row["tokens"] = row["flops"] / (6 * parameters(row)[1])
        return Derived(column="tokens", formula=f"C / (6 {parameters(rows[0])[0]})")
    return None


def _of_constants(log: Log, chosen: Mapping[str, Choice], name: str) -> float | None:
    if name not in chosen:
        return None
    choice = chosen[name]
    return _value({choice.source: first_of(log, choice)}, choice)


def _derive_parameters(rows: list[Row]) -> Derived | None:
    """Take N = C / (6 D), which the rows of a run must agree on."""
    if not all(row.get("flops") and row.get("tokens") for row in rows):
        return None
    last = rows[-1]
    for row in rows:
        row["total_params"] = last["flops"] / (6 * last["tokens"])
    return Derived(column="total_params", formula="C / (6 D)")


def _derive_flops(rows: list[Row], asked: bool) -> Derived | None:
    """Take C = 6 N D, which the column flops_convention then says."""
    if not asked and any(row.get("flops") is not None for row in rows):
        return None
    if not all(parameters(row)[1] and row.get("tokens") is not None for row in rows):
        return None
    for row in rows:
        row["flops"] = 6 * parameters(row)[1] * row["tokens"]
        row["flops_convention"] = "6nd"
    return Derived(column="flops", formula=f"6 {parameters(rows[0])[0]} D")


def parameters(row: Row) -> tuple[str, float]:
    """Give N as a formula writes it, and its value; 0 where there is none.

    >>> parameters({"non_vocab_params": 3, "vocab_params": 1})
    ('(N_nv + N_v)', 4)
    """
    parts = [row.get("non_vocab_params"), row.get("vocab_params")]
    if parts[0] and parts[1]:
        return "(N_nv + N_v)", parts[0] + parts[1]
    if row.get("total_params"):
        return "N", row["total_params"]
    return "N_nv", parts[0] or 0
