"""How far jobs came and when, from their logs and the heads of their checkpoints."""

from __future__ import annotations

import json
import os
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from scaling.errors import ScalingError
from scaling.record import METRICS, Row, read_metrics
from scaling.runs.jobs import Job, TransformerJob

RECENT = 60.0
"""Seconds of training over which the speed of a job is measured, if it has had them."""

PATIENCE = 3.0
"""A job is taken to go on at its speed for so many times the pause between its last two
signs; then nothing is known of it."""

HEAD = re.compile(r"step-(\d+)\.json")
"""Heads of checkpoints, which tell how far a job is between its evaluations."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Track:
    """How far a job was, and when."""

    points: tuple[tuple[float, float], ...] = ()
    """Seconds of training and what was done by then, in tokens or steps; increasing."""
    touched: float = 0.0
    """When the last of them was written, in seconds of the store's clock."""
    going: bool = True
    """Whether the job goes on."""

    @classmethod
    def of(cls, points: Iterable[tuple[float, float]], touched: float) -> Self:
        """Keep the points that increase: what a kill undid is done again."""
        kept: list[tuple[float, float]] = []
        for point in points:
            if not kept or (point[0] > kept[-1][0] and point[1] > kept[-1][1]):
                kept.append(point)
        return cls(points=tuple(kept), touched=touched)

    @property
    def done(self) -> float | None:
        """Units that are done; None where nothing tells."""
        return self.points[-1][1] if self.points else None

    @property
    def pace(self) -> float | None:
        """Seconds for each unit since it began; None before there are two points."""
        if len(self.points) < 2:
            return None
        (first, before), (last, done) = self.points[0], self.points[-1]
        return (last - first) / (done - before)

    @property
    def rate(self) -> float | None:
        """Units per second lately; None before there are two points."""
        if len(self.points) < 2:
            return None
        last, done = self.points[-1]
        enough = bisect_right(self.points, last - RECENT, key=lambda p: p[0]) - 1
        first, before = self.points[max(0, enough)]
        return (done - before) / (last - first)

    @property
    def stopped(self) -> Self:
        """The same, of a job that goes on no more."""
        return replace(self, going=False)

    @property
    def began(self) -> float:
        """When its first point was, had it never paused."""
        return self.touched - (self.points[-1][0] - self.points[0][0])

    def at(self, time: float) -> float:
        """Say how much was done at a time of that clock."""
        last, done = self.points[-1]
        second = last + time - self.touched
        if second >= last:
            if self.rate is None or not self.going:
                return done
            pause = last - self.points[-2][0]
            return done + min(second - last, PATIENCE * pause) * self.rate
        after = bisect_left(self.points, second, key=lambda p: p[0])
        if after == 0:
            return self.points[0][1]
        (a, x), (b, y) = self.points[after - 1 : after + 1]
        return x + (y - x) * (second - a) / (b - a)


@dataclass(frozen=True, kw_only=True, slots=True)
class Log:
    """What a job's files tell of it."""

    rows: tuple[Row, ...] = ()
    """Its evaluations."""
    step: int | None = None
    """Its last step that they tell of."""
    track: Track = field(default_factory=Track)
    """How far it came; of transformers in tokens, of others in steps."""
    signs: tuple[object, ...] = ()
    """By which a change is seen."""


class Logs:
    """The logs of jobs, each read again only when its files have changed.

    Parameters
    ----------
    out : Path
        The run store.
    jobs : mapping
        Its jobs, by folder; the owner may add to them.
    """

    def __init__(self, out: Path, jobs: Mapping[str, Job]) -> None:
        self.out = out
        self.jobs = jobs
        self.read: dict[str, Log] = {}
        self.tokens_per_step: dict[str, float] = {}

    def of(self, name: str) -> Log:
        """Read what a job has written so far."""
        folder = self.out / name
        head = _newest(folder / "checkpoint")
        signs = (_touched(folder / METRICS), head)
        if name not in self.read or self.read[name].signs != signs:
            self.read[name] = self._anew(name, folder, head, signs)
        return self.read[name]

    def steps(self, name: str, end: float) -> int | None:
        """Say how many steps a job has; None before a run on the same tokens tells."""
        job = self.jobs.get(name)
        if not isinstance(job, TransformerJob):
            return round(end) or None
        ratio = self.tokens_per_step.get(job.tokenizer)
        return round(end / ratio) if ratio else None

    def _anew(
        self, name: str, folder: Path, head: Path | None, signs: tuple[object, ...]
    ) -> Log:
        job = self.jobs.get(name)
        rows: tuple[Row, ...] = ()
        with suppress(OSError, ScalingError):  # none yet, or damaged: no news
            rows = read_metrics(folder / METRICS).rows
        step, touched = rows[-1]["step"] if rows else None, _touched(folder / METRICS)
        unit = "tokens" if isinstance(job, TransformerJob) else "step"
        points = [(row["seconds"], float(row[unit])) for row in rows]
        if isinstance(job, TransformerJob) and rows:
            self.tokens_per_step[job.tokenizer] = rows[-1]["tokens"] / step
        saved = _saved(head)
        if saved is not None and saved[0] > (step or 0):
            step, seconds, touched = saved
            points.append((seconds, step * self._per_step(job)))
        track = Track.of([self._start(job), *points], touched)
        return Log(rows=rows, step=step, track=track, signs=signs)

    def _per_step(self, job: Job | None) -> float:
        if isinstance(job, TransformerJob):
            return self.tokens_per_step.get(job.tokenizer, 0.0)  # 0 is no progress
        return 1.0

    def _start(self, job: Job | None) -> tuple[float, float]:
        """Where a job began: with nothing, or at the end of its trunk."""
        if not isinstance(job, TransformerJob) or job.trunk is None:
            return 0.0, 0.0
        saved = _saved(_newest(self.out / job.trunk / "checkpoint"))
        return saved[1] if saved else 0.0, float(job.trunk_tokens)


def _touched(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _newest(checkpoints: Path) -> Path | None:
    """Find the head of the newest checkpoint."""
    names: list[str] = []
    with suppress(OSError):
        names = [name for name in os.listdir(checkpoints) if HEAD.fullmatch(name)]
    return checkpoints / max(names) if names else None


def _saved(head: Path | None) -> tuple[int, float, float] | None:
    """Read step, seconds of training, and when that was; None where it is gone."""
    if head is None:
        return None
    try:
        content = json.loads(head.read_text())
        return int(content["step"]), float(content["seconds"]), _touched(head)
    except (OSError, ValueError, KeyError, TypeError):
        return None
