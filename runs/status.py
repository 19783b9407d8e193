"""The state of every job of a run store, read from its files alone.

Of a store of thousands each job costs a listing of its folder and two short reads: its
result, and the end of its log.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scaling.errors import ScalingError
from scaling.files import read_json
from scaling.record import CONFIG, METRICS, RESULT, Row
from scaling.runs.lease import TTL, Look, look
from scaling.runs.store import ERROR, GRID

TAIL = 4096
"""Bytes at the end of a log that hold its last lines."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobState:
    """Where one job stands."""

    job: str
    """Folder."""
    status: str
    """`finished`, `diverged` or what else its result says; `failed`, `running`, `stale`
    (its owner is gone, and the next launcher goes on), `unfinished` or `waiting`."""
    step: int | None
    """Steps at the last evaluation."""
    normalised_loss: float | None
    """L_u at the last evaluation, nats per token; transformers only."""
    owner: str | None = None
    """Who works on it, host:pid."""
    in_grid: bool = True
    """Whether it belongs to the grid; else `scaling evaluate` made it."""

    @property
    def ended(self) -> bool:
        """Whether launching again would leave it alone."""
        return self.status not in UNENDED

    def describe(self) -> str:
        """Say it in a line.

        >>> state = JobState(job="a", status="waiting", step=7, normalised_loss=-1)
        >>> state.describe()
        'waiting  step 7  L_u -1.000'
        """
        parts = [self.status]
        if self.step is not None:
            parts.append(f"step {self.step}")
        if self.normalised_loss is not None:
            parts.append(f"L_u {self.normalised_loss:.3f}")
        if self.owner is not None:
            parts.append(f"by {self.owner}")
        return "  ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


UNENDED = ("running", "stale", "failed", "unfinished", "waiting")
"""States of jobs without a result."""


def read_status(out: Path, known: Mapping[str, JobState] = {}) -> list[JobState]:
    """Read the state of every job: a grid's in the order of its plan, then the others.

    Parameters
    ----------
    out : Path
        The store.
    known : mapping
        States that are taken as they are, by job: of an ended one nothing changes.

    Raises
    ------
    ScalingError
        If the folder is no run store.
    """
    grid = out / GRID
    if not grid.exists():
        raise ScalingError(
            f"{out} holds no {GRID}; name a folder that scaling run wrote"
        )
    jobs = dict.fromkeys(read_json(grid)["jobs"], True)
    with os.scandir(out) as entries:
        there = {entry.name for entry in entries if entry.is_dir()}
    beside = [
        name for name in sorted(there - jobs.keys()) if (out / name / CONFIG).exists()
    ]
    jobs |= dict.fromkeys(beside, False)
    return [
        known.get(job) or _state(out, job, in_grid)
        if job in there
        else JobState(job=job, status="waiting", step=None, normalised_loss=None)
        for job, in_grid in jobs.items()
    ]


def table(states: Sequence[JobState]) -> str:
    """Show a line for each job, those beside the grid apart, and how many are done."""
    grid = [state for state in states if state.in_grid]
    beside = [state for state in states if not state.in_grid]
    apart = ["", "beside the grid:", *_lines(beside), ""] if beside else []
    return "\n".join([*_lines(grid), *apart, _total(grid)])


def _lines(states: Sequence[JobState]) -> Iterable[str]:
    width = max((len(state.job) for state in states), default=0)
    return (f"{state.job:<{width}}  {state.describe()}" for state in states)


def _total(states: Sequence[JobState]) -> str:
    words = [state.status for state in states]
    counts = {word: words.count(word) for word in ("running", "stale", "failed")}
    others = "".join(f", {count} {word}" for word, count in counts.items() if count)
    ended = sum(state.ended for state in states)
    return f"{ended} of {len(states)} jobs done{others}"


def _state(out: Path, job: str, in_grid: bool) -> JobState:
    folder = f"{out}/{job}"  # no Path: making thousands takes longer than reading
    found = look(folder)
    last = _last_row(f"{folder}/{METRICS}") if METRICS in found.names else {}
    return JobState(
        job=job,
        status=_word(folder, found),
        step=last.get("step"),
        normalised_loss=last.get("normalised_loss"),
        owner=found.holder if found.held else None,
        in_grid=in_grid,
    )


def _word(folder: str, found: Look) -> str:
    if RESULT in found.names:
        return str(_result(f"{folder}/{RESULT}").get("status", "unfinished"))
    if found.held:
        return "stale" if _is_stale(found) else "running"
    return "failed" if ERROR in found.names else "unfinished"


def _is_stale(found: Look) -> bool:
    """Judge by this machine's clock, which may be off; launchers take their time."""
    if found.owner is not None and found.owner.gone:
        return True
    ttl = found.owner.ttl if found.owner else TTL
    return abs(time.time() - found.touched / 1e9) > ttl


def _result(path: str) -> Row:
    """Read a result; an empty one where it is damaged."""
    file = os.open(path, os.O_RDONLY)
    try:
        return _row(os.read(file, os.fstat(file).st_size)) or {}
    finally:
        os.close(file)


def _last_row(path: str) -> Row:
    """Read the last complete line of a log; an empty one where there is none."""
    file = os.open(path, os.O_RDONLY)
    try:
        end = os.pread(file, TAIL, max(0, os.fstat(file).st_size - TAIL))
    finally:
        os.close(file)
    lines = reversed(end.splitlines(keepends=True))
    rows = (_row(line) for line in lines if line.endswith(b"\n"))
    return next((row for row in rows if row), {})


def _row(text: bytes) -> Row | None:
    try:
        row = json.loads(text)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
