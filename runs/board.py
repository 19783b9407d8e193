"""The board: what a person sees of a grid, before it runs and while it does.

On a terminal one bar; elsewhere plain lines, when a job ends and from time to time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TextIO

from scaling.models.flops import non_vocab_params, vocab_params
from scaling.runs.calibrate import makespan
from scaling.runs.jobs import Job, TokenizerJob, TransformerJob
from scaling.runs.plan import Plan

CLEAR = "\r\x1b[K"
"""Moves a terminal to the start of the line and clears it."""

BAR = 24
"""Characters of the bar."""

REDRAW, PLAIN_EVERY = 0.2, 20.0
"""Seconds between two drawings of the bar, and between two plain lines."""


class Board:
    """Progress of a launch over all its jobs.

    Parameters
    ----------
    seconds : mapping
        Estimated seconds of each job that is still to be done, by folder.
    done : int
        Jobs that were done before.
    slots : int
        Jobs at a time.
    stream : TextIO
        Where to write; a terminal gets the bar.
    """

    def __init__(
        self, seconds: Mapping[str, float], done: int, slots: int, stream: TextIO
    ) -> None:
        self.seconds = seconds
        self.share = dict.fromkeys(seconds, 0.0)
        self.jobs = done + len(seconds)
        self.done = done
        self.slots = slots
        self.stream = stream
        self.start = self.drawn = time.monotonic()
        self.inherited: dict[str, float] = {}
        self.terminal = stream.isatty()

    def progress(self, folder: str, done: int, total: int) -> None:
        """Take note of a job's steps; an earlier launch's are no speed of ours."""
        share = done / total
        self.inherited.setdefault(folder, share - 1 / total)
        self.share[folder] = share

    def finished(self, folder: str, status: str) -> None:
        """Say that a job ended."""
        self.share[folder] = 1.0
        self.done += 1
        self.say(f"[{self.done}/{self.jobs}] {folder} {status}")

    def say(self, text: str) -> None:
        """Write a line, over the bar where there is one."""
        self.stream.write(f"{CLEAR if self.terminal else ''}{text}\n")
        self.stream.flush()

    def tick(self, running: int) -> None:
        """Redraw the bar, or write a plain line, when it is time."""
        now = time.monotonic()
        if now - self.drawn < (REDRAW if self.terminal else PLAIN_EVERY):
            return
        self.drawn = now
        if self.terminal:
            self.stream.write(f"{CLEAR}{self._status(running)}")
            self.stream.flush()
        else:
            self.say(self._status(running))

    def close(self) -> None:
        """Clear the bar."""
        if self.terminal:
            self.stream.write(CLEAR)
            self.stream.flush()

    def fraction(self) -> float:
        """Share of the estimated work that is done."""
        total = sum(self.seconds.values())
        return self._work(self.share) / total if total else 1.0

    def remaining(self) -> float:
        """Seconds to go, at the speed of this launch once it has one."""
        total = sum(self.seconds.values())
        elapsed = time.monotonic() - self.start
        ours = self._work(self.share) - self._work(self.inherited)
        left = total - self._work(self.share)
        speed = ours / elapsed if ours > 0.05 * total else self.slots
        return left / speed

    def _work(self, share: Mapping[str, float]) -> float:
        return sum(self.seconds.get(job, 0.0) * part for job, part in share.items())

    def _status(self, running: int) -> str:
        fraction = min(1.0, self.fraction())
        filled = round(BAR * fraction)
        bar = f"{'#' * filled}{'.' * (BAR - filled)} " if self.terminal else ""
        left = duration(self.remaining())
        return (
            f"{bar}{fraction:4.0%}  {self.done} of {self.jobs} jobs done, "
            f"{running} running, about {left} left"
        )


def plan_table(plan: Plan, seconds: Mapping[str, float], slots: int) -> str:
    """Show what a plan trains before it starts, and what the whole will cost.

    Parameters
    ----------
    plan : Plan
        The study.
    seconds : mapping
        Estimated seconds of each job that is still to be done, by folder.
    slots : int
        Jobs at a time.
    """
    runs = plan.transformers
    lines = _runs(runs, seconds) if runs else _tokenizers(plan, seconds)
    several = "s" * (len(runs) != 1)
    before = f"{len(runs)} run{several} and {len(plan.jobs) - len(runs)} other jobs"
    compute = f", {sum(job.flops for job in runs):.2e} FLOPs" if runs else ""
    done = len(plan.jobs) - len(seconds)
    left = duration(makespan(plan.jobs, seconds, slots))
    lines.append(
        f"{before if runs else f'{len(plan.jobs)} jobs'} ({_kinds(plan)}){compute}; "
        f"{done} of {len(plan.jobs)} jobs done; about {left} to go, {slots} at a time"
    )
    return "\n".join(lines)


def _runs(runs: Sequence[TransformerJob], seconds: Mapping[str, float]) -> list[str]:
    width = max(len(job.folder) for job in runs)
    head = ("N_nv", "N_v", "tokens", "FLOPs")
    lines = [f"{'run':<{width}}  {'  '.join(f'{name:>9}' for name in head)}  state"]
    for job in runs:
        parameters = non_vocab_params(job.architecture), vocab_params(job.architecture)
        counts = (*parameters, job.tokens, job.flops)
        numbers = "  ".join(f"{count:>9.3g}" for count in counts)
        lines.append(f"{job.folder:<{width}}  {numbers}  {_state(job, seconds)}")
    return lines


def _tokenizers(plan: Plan, seconds: Mapping[str, float]) -> list[str]:
    jobs = [job for job in plan.jobs if isinstance(job, TokenizerJob)]
    width = max(len(job.folder) for job in jobs)
    return [f"{'tokenizer':<{width}}  {'codes':>9}  state"] + [
        f"{job.folder:<{width}}  {job.quantization.codebook_size:>9,}  "
        f"{_state(job, seconds)}"
        for job in jobs
    ]


def _state(job: Job, seconds: Mapping[str, float]) -> str:
    return "to do" if job.folder in seconds else "done"


def _kinds(plan: Plan) -> str:
    """Name the kinds of jobs that come before the runs, in order."""
    names = {"tokenizer": "tokenizers"}
    kinds = dict.fromkeys(job.kind for job in plan.jobs if job.kind != "transformer")
    return ", ".join(names.get(kind, kind) for kind in kinds)


def duration(seconds: float) -> str:
    """Say a time as a person would.

    >>> duration(42), duration(200), duration(9000), duration(1e6)
    ('42 s', '3 min', '2.5 h', '12 days')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:,.0f} days"
