"""The makespan: when a plan's last job ends, found by doing the plan on a clock."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping

from scaling.runs.jobs import Job
from scaling.runs.queue import Queue


def makespan(jobs: Iterable[Job], seconds: Mapping[str, float], slots: int) -> float:
    """Seconds until the last job ends, taken in the order in which a launcher does.

    Parameters
    ----------
    jobs : iterable of Job
        Each after those that it needs; those without an estimate are done already.
    seconds : mapping
        Estimated seconds of each job that is still to be done, by folder.
    slots : int
        Jobs at a time.
    """
    queue = Queue([job for job in jobs if job.folder in seconds], seconds)
    running: list[tuple[float, str]] = []
    now = 0.0
    while queue or running:
        while len(running) < slots and (job := queue.pop()):
            heapq.heappush(running, (now + seconds[job.folder], job.folder))
        now, folder = heapq.heappop(running)
        queue.ended(folder)
    return now
