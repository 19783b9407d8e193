"""A trainer's log, whatever its format: one run, its rows, its constants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.record import Row


@dataclass(frozen=True, kw_only=True, slots=True)
class Log:
    """One run, as its trainer wrote it down."""

    format: str
    """Name of the format, for people."""
    run: str
    """Name of the run."""
    origin: str
    """What tells it from another run of that name: an id, or a file."""
    path: Path
    """The file or folder that was read."""
    rows: tuple[Row, ...]
    """What was logged, in order, under the trainer's own names."""
    constants: Row
    """What holds for the whole run: its configuration; or the row, if it is but one."""


def number(value: Any) -> float | None:
    """Read a number, of quoted ones too; None where there is none.

    >>> number("3.5"), number("NaN"), number(""), number(True), number("n/a")
    (3.5, nan, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def counted(number: int, what: str) -> str:
    """Say how many.

    >>> counted(1, "row"), counted(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def blank(value: Any) -> bool:
    """Whether a cell is empty, so that it is no value that could be wrong.

    >>> blank(" "), blank(None), blank("NaN")
    (True, True, False)
    """
    return value is None or (isinstance(value, str) and not value.strip())


def flat(content: Mapping[str, Any], before: str = "") -> Row:
    """Give the leaves of nested objects, their names joined by points.

    >>> flat({"model": {"width": 512}, "seed": 0})
    {'model.width': 512, 'seed': 0}
    """
    found: Row = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = value
    return found


def names(logs: Iterable[Log]) -> list[str]:
    """Name runs, those of one name by their origin as well, all different."""
    logs = list(logs)
    given = [log.run for log in logs]
    told_apart = [
        log.run if given.count(log.run) == 1 else f"{log.run} ({log.origin})"
        for log in logs
    ]
    found: list[str] = []
    for name in told_apart:
        unique, again = name, 1
        while unique in found:
            again += 1
            unique = f"{name} #{again}"
        found.append(unique)
    return found
