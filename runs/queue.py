"""The queue: which job comes next, of thousands, in no time.

A job can start when all that it needs has ended. Of those that can, the one comes first
that holds up most: its own work and the longest chain of work that waits for it (the
upward rank of list scheduling: Topcuoglu, Hariri and Wu 2002, eq. 10). Where nothing
waits for a job, that is longest first.
"""

from __future__ import annotations

import heapq
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

from scaling.runs.jobs import Job, TransformerJob


class Queue:
    """The jobs that have not ended and are not running; every change takes O(log n).

    Parameters
    ----------
    jobs : sequence of Job
        Each after those that it needs; one that is not among them counts as ended.
    seconds : mapping
        Estimated seconds of jobs, by folder; where there are none FLOPs will do.
    """

    def __init__(self, jobs: Sequence[Job], seconds: Mapping[str, float]) -> None:
        self._missing: dict[str, int] = {}
        self._waiting: dict[str, list[Job]] = defaultdict(list)
        self._ready: list[tuple[float, int, Job]] = []
        self._resting: list[tuple[float, int, Job]] = []
        self._order = {job.folder: place for place, job in enumerate(jobs)}
        self._rank = _ranks(jobs, seconds)
        for job in jobs:
            needs = [folder for folder in job.needs if folder in self._order]
            self._missing[job.folder] = len(needs)
            for folder in needs:
                self._waiting[folder].append(job)
            if not needs:
                self.push(job)

    def __bool__(self) -> bool:
        """Whether a job can start, now or after a rest."""
        return bool(self._ready or self._resting)

    def push(self, job: Job) -> None:
        """Let a job start when its turn comes."""
        key = (-self._rank[job.folder], self._order[job.folder], job)
        heapq.heappush(self._ready, key)

    def rest(self, job: Job, seconds: float) -> None:
        """Let a job wait before its turn comes again."""
        key = (time.monotonic() + seconds, self._order[job.folder], job)
        heapq.heappush(self._resting, key)

    def pop(self) -> Job | None:
        """Take the next job, if one can start."""
        while self._resting and self._resting[0][0] <= time.monotonic():
            self.push(heapq.heappop(self._resting)[-1])
        return heapq.heappop(self._ready)[-1] if self._ready else None

    def ended(self, folder: str) -> None:
        """Let those jobs come that waited for this one alone."""
        for job in self._waiting.pop(folder, ()):
            self._missing[job.folder] -= 1
            if not self._missing[job.folder]:
                self.push(job)

    def pause(self) -> float:
        """Seconds until the next rest is over."""
        if not self._resting:
            return float("inf")
        return max(0.0, self._resting[0][0] - time.monotonic())


def _ranks(jobs: Sequence[Job], seconds: Mapping[str, float]) -> dict[str, float]:
    """Work of each job and of the longest chain after it."""
    behind: dict[str, float] = defaultdict(float)
    ranks = {}
    for job in reversed(jobs):
        ranks[job.folder] = rank = _work(job, seconds) + behind[job.folder]
        for folder in job.needs:
            behind[folder] = max(behind[folder], rank)
    return ranks


def _work(job: Job, seconds: Mapping[str, float]) -> float:
    if seconds:
        return seconds.get(job.folder, 0.0)
    return float(job.flops_to_spend) if isinstance(job, TransformerJob) else 0.0
