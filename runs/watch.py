"""A study from outside: how far it is, how fast it goes, what went wrong.

Everything comes from the files of the run store, which are only read, so that a study
can be watched from any machine, left, and looked at again. What has ended is read once:
of a store of thousands of jobs, a look costs the listing of its folder and the few jobs
that are at work.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from scaling.errors import ScalingError
from scaling.files import read_json
from scaling.record import RESULT
from scaling.runs.jobs import Job, TransformerJob
from scaling.runs.plan import expand
from scaling.runs.sections import Grid
from scaling.runs.status import JobState, read_status
from scaling.runs.store import GRID, reason
from scaling.runs.watch_pace import (
    SAMPLES,
    Kind,
    extent_of,
    kind_of,
    paces,
    share_done,
    throughput,
    time_left,
)
from scaling.runs.watch_snapshot import WORDS, Curve, Progress, Snapshot, Trouble
from scaling.runs.watch_track import Logs, Track

WINDOW = 120.0
"""Seconds over which tokens per second are summed."""

BEST = 4
"""Ended runs whose curves are shown, of the lowest loss."""

LULL = 30.0
"""Seconds for which a slot counts that is empty between two jobs."""

COUNTED_AS = {"stale": "stopped", "unfinished": "stopped"}
"""States that are counted by another word."""


class Watcher:
    """Looks at a run store again and again.

    Parameters
    ----------
    out : Path
        The store.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.plan = _Plan(out)
        self.logs = Logs(out, self.plan.jobs)
        self.ended: dict[str, JobState] = {}
        self.recent: list[Track] = []  # of runs that ended within the window
        self.busy: list[tuple[float, int]] = []  # jobs at a time, lately
        self.looks = 0

    def look(self) -> Snapshot:
        """Look once.

        Raises
        ------
        ScalingError
            If the folder is no run store.
        """
        now = time.time()
        states = [state for state in read_status(self.out, self.ended) if state.in_grid]
        self.plan.follow([state.job for state in states])
        new = self._note_ends(states, now)
        running = [state for state in states if state.status == "running"]
        to_do = self._startable(states)
        left, basis = self._left(states, to_do, len(running), now)
        words = Counter(_counted(state) for state in states)
        self.looks += 1
        return Snapshot(
            study=self.plan.study,
            out=str(self.out),
            counts={word: words[word] for word in WORDS},
            share=self._share(states),
            share_of="compute" if self.plan.flops else "jobs",
            running=tuple(map(self._progress, running)),
            curves=tuple(map(self._curve, _worth_a_curve(states))),
            tokens_per_second=throughput(self._lately(running), now, WINDOW),
            seconds_left=left,
            basis=basis,
            troubles=tuple(_troubles(self.out, states)),
            ended=tuple(new) if self.looks > 1 else (),
            stuck=not to_do and words["failed"] > 0,
        )

    def _note_ends(self, states: Sequence[JobState], now: float) -> list[JobState]:
        """Keep the states that change no more, and remember when runs ended."""
        new = [s for s in states if s.ended and s.job not in self.ended]
        self.ended |= {state.job: state for state in new}
        trained = (state.job for state in new if self.plan.trains(state.job))
        lately = (job for job in trained if now - self._changed(job) < WINDOW)
        self.recent += [self.logs.of(job).track.stopped for job in lately]
        self.recent = [each for each in self.recent if now - each.touched < WINDOW]
        return new

    def _changed(self, job: str) -> float:
        """When a folder last gained a file, which a run's end brings."""
        try:
            return os.stat(f"{self.out}/{job}").st_mtime
        except OSError:
            return 0.0

    def _lately(self, running: Iterable[JobState]) -> list[Track]:
        """Find the tracks of runs that trained within the window."""
        runs = (state.job for state in running if self.plan.trains(state.job))
        return [*(self.logs.of(job).track for job in runs), *self.recent]

    def _progress(self, state: JobState) -> Progress:
        job, log = self.plan.jobs.get(state.job), self.logs.of(state.job)
        end = extent_of(job)[1] if job else 0.0
        done = log.track.done
        return Progress(
            job=state.job,
            owner=state.owner,
            step=log.step,
            steps=self.logs.steps(state.job, end),
            share=None if job is None or done is None else share_done(job, done),
            tokens_per_second=log.track.rate if self.plan.trains(state.job) else None,
            normalised_loss=state.normalised_loss,
        )

    def _curve(self, state: JobState) -> Curve:
        losses = (row.get("normalised_loss") for row in self.logs.of(state.job).rows)
        known = tuple(loss for loss in losses if loss is not None)
        return Curve(job=state.job, status=state.status, normalised_loss=known)

    # --- How much is done, and left ---

    def _share(self, states: Sequence[JobState]) -> float:
        """Part of the FLOPs that are spent; of the jobs where none are planned."""
        flops = self.plan.flops or dict.fromkeys((state.job for state in states), 1)
        spent = sum(flops.get(state.job, 0) * self._done(state) for state in states)
        return spent / max(1, sum(flops.values()))

    def _done(self, state: JobState) -> float:
        if state.ended or state.status == "waiting":
            return float(state.ended)
        job, done = self.plan.jobs.get(state.job), self.logs.of(state.job).track.done
        return 0.0 if job is None or done is None else share_done(job, done) or 0.0

    def _startable(self, states: Iterable[JobState]) -> list[JobState]:
        """Jobs to do, without those that failed and those that need one of them."""
        out: set[str] = set()
        found = []
        for state in states:
            job = self.plan.jobs.get(state.job)
            needs = job.needs if job else ()
            if state.status == "failed" or not out.isdisjoint(needs):
                out.add(state.job)
            elif not state.ended:
                found.append(state)
        return found

    def _left(
        self,
        states: Iterable[JobState],
        to_do: Sequence[JobState],
        running: int,
        now: float,
    ) -> tuple[float | None, str]:
        self.busy = [each for each in self.busy if now - each[0] < LULL]
        self.busy.append((now, running))
        at_once = max(count for _, count in self.busy)
        if not to_do:
            over = all(state.ended for state in states)
            return (
                (0.0, "all is done") if over else (None, "the rest needs what failed")
            )
        if not at_once:
            return None, f"nothing is running; scaling work {self.out} goes on"
        if not self.plan.jobs:
            return None, "this machine cannot expand its grid"
        jobs = [(self.plan.jobs[s.job], self._track(s)) for s in to_do]
        return time_left(jobs, paces(self._samples(states)), at_once)

    def _track(self, state: JobState) -> Track:
        waits = state.status == "waiting"
        return Track() if waits else self.logs.of(state.job).track

    def _samples(self, states: Iterable[JobState]) -> Iterator[tuple[Job, Track]]:
        """Take a few jobs of each kind that have run."""
        taken: Counter[Kind] = Counter()
        for state in states:
            kind = self.plan.kinds.get(state.job)
            if kind and state.status != "waiting" and taken[kind] < SAMPLES:
                taken[kind] += 1
                yield self.plan.jobs[state.job], self.logs.of(state.job).track


class _Plan:
    """The jobs of a store's grid, expanded again when it has grown."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.names: list[str] = []
        self.study = ""
        self.jobs: dict[str, Job] = {}
        self.kinds: dict[str, Kind] = {}
        self.flops: dict[str, int] = {}

    def follow(self, names: list[str]) -> None:
        """Take over what the store says; a grid of another machine may mean nothing."""
        if names == self.names:
            return
        self.names = names
        store = read_json(self.out / GRID)
        self.study = str(store.get("study", ""))
        self.jobs.clear()
        with suppress(KeyError, ValueError, OSError):
            jobs = expand(Grid.model_validate(store["grid"])).jobs
            if {job.folder for job in jobs} == set(names):
                self.jobs |= {job.folder: job for job in jobs}
        self.kinds = {folder: kind_of(job) for folder, job in self.jobs.items()}
        self.flops = {
            folder: job.flops_to_spend
            for folder, job in self.jobs.items()
            if isinstance(job, TransformerJob)
        }

    def trains(self, job: str) -> bool:
        """Whether a job trains a transformer."""
        return job in self.flops


def _counted(state: JobState) -> str:
    return "done" if state.ended else COUNTED_AS.get(state.status, state.status)


def _worth_a_curve(states: Iterable[JobState]) -> list[JobState]:
    """Choose the best that ended, and the runs at work; a trunk is no run."""
    trained = [state for state in states if state.normalised_loss is not None]
    running = [state for state in trained if state.status == "running"]
    ended = [s for s in trained if s.ended and not s.job.startswith("trunk-")]
    best = sorted(ended, key=lambda state: state.normalised_loss or 0.0)
    return best[:BEST] + running


def _troubles(out: Path, states: Iterable[JobState]) -> Iterator[Trouble]:
    again = f"scaling work {out}, or the same scaling run"
    for state in sorted(states, key=lambda state: state.status):
        match state.status:
            case "failed":
                said = reason(out / state.job)
                advice = f"mend that; {again}, tries it again"
            case "diverged":
                said = _end(out / state.job)
                advice = "its evaluations before that count; lower its learning_rate"
            case "stale":
                said = f"{state.owner} is gone"
                advice = f"{again}, goes on with it"
            case _:
                continue
        yield Trouble(job=state.job, status=state.status, said=said, advice=advice)


def _end(folder: Path) -> str:
    try:
        return str(read_json(folder / RESULT).get("reason", "diverged"))
    except (OSError, ScalingError):
        return "diverged"
