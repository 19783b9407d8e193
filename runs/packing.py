"""Packing: how many jobs at a time, with how many threads each, and why.

On processors a job has one thread by default: threads change how sums round, and the
same seed shall give the same bits whatever the machine has. `auto` takes the number
with which the grid ends soonest, by timed steps; so does a GPU with its jobs at a time.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from scaling.runs.calibrate import estimate
from scaling.runs.extent import Extent
from scaling.runs.group import ONE, Parallel
from scaling.runs.jobs import Job, TransformerJob
from scaling.runs.makespan import makespan
from scaling.runs.memory import SHARED, device_bytes, job_bytes
from scaling.runs.slots import Slot, processors, slots_of

USABLE = 0.9
"""Share of the memory that jobs may take by the estimate."""

PER_GPU = (1, 2, 4, 8)
"""Jobs at a time that are tried on a GPU."""

CGROUP = Path("/sys/fs/cgroup/memory.max")
"""Where a container's memory stands, or `max`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What the user asked for."""

    devices: tuple[str, ...]
    """As `find_devices` gives them."""
    jobs: int | None = None
    """Jobs at a time; None: as many as are of use."""
    threads: int | None = 1
    """Processor threads of each; None: as many as end the grid soonest."""
    parallel: Parallel = ONE
    """Processes of each run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Packing:
    """The slots of a plan."""

    slots: tuple[Slot, ...]
    """Where jobs run."""
    seconds: Mapping[str, float]
    """Estimated seconds of each job that is still to be done, by folder."""
    makespan: float
    """Seconds until the last of them ends."""
    why: str
    """Why these slots."""

    def describe(self) -> str:
        """Say how many jobs run at a time, and why."""
        threads = self.slots[0].threads
        each = f"{threads} thread{'s' * (threads != 1)} each"
        return f"{len(self.slots)} at a time, {each}: {self.why}"


def pack(jobs: Sequence[Job], extent: Extent, wish: Wish) -> Packing:
    """Choose the slots on which jobs end soonest, of those that fit.

    Parameters
    ----------
    jobs : sequence of Job
        Those that are still to be done.
    extent : Extent
        Of their corpus.
    wish : Wish
        What was asked for; as many jobs at a time as the memory has room for are.
    """
    candidates, why = _candidates(wish)
    fitting, limit = _fitting(candidates, jobs, extent)
    tried = []
    for slots in fitting:
        seconds = estimate(jobs, extent, slots)
        tried.append((makespan(jobs, seconds, len(slots)), slots, seconds))
    end, slots, seconds = min(tried, key=lambda each: each[0])
    if len(tried) > 1:
        kinds = [f"{len(s)} x {s[0].threads} in {e:.0f} s" for e, s, _ in tried]
        why = f"the soonest of {', '.join(kinds)}"
    return Packing(slots=slots, seconds=seconds, makespan=end, why=limit or why)


def _candidates(wish: Wish) -> tuple[list[tuple[Slot, ...]], str]:
    room = processors()
    on_gpus = wish.devices != ("cpu",)
    several = wish.parallel.processes > 1
    if on_gpus and wish.jobs is None and not several:
        counts = [k * len(wish.devices) for k in PER_GPU]
        return [slots_of(wish.devices, k, wish.threads or 1) for k in counts], ""
    if wish.threads is not None or on_gpus or several:
        said = "one per processor" if wish.threads == 1 else "all processors"
        why = said if wish.jobs is None else "as asked for"
        if several:
            why += f", {wish.parallel.processes} processes a run"
        threads = wish.threads or 1
        return [slots_of(wish.devices, wish.jobs, threads, wish.parallel)], why
    powers = [2**k for k in range(room.bit_length())]
    most = wish.jobs or room
    return [
        slots_of(wish.devices, min(most, room // threads), threads)
        for threads in powers
    ], "one per processor"


def _fitting(
    candidates: list[tuple[Slot, ...]], jobs: Sequence[Job], extent: Extent
) -> tuple[list[tuple[Slot, ...]], str]:
    """Shorten what does not fit into the memory; say so where it is all there is."""
    if not jobs:
        return candidates[:1], ""
    first = candidates[0][0]
    most = _room(first, jobs, extent)
    per_device = len({slot.device for slot in candidates[0]})
    fitting = [slots for slots in candidates if len(slots) <= most * per_device]
    if fitting:
        return fitting, ""
    cut = candidates[0][: max(1, most) * per_device]
    size = _largest(first, jobs, extent)
    room = memory_of(first.device)
    said = f"more would not fit into memory, {_giga(size)} a job of {_giga(room)}"
    if not most:
        said = f"A JOB TAKES {_giga(size)} AND THERE ARE {_giga(room)} OF MEMORY"
    return [cut], said


def _room(slot: Slot, jobs: Sequence[Job], extent: Extent) -> int:
    """How many of the largest jobs a device has memory for."""
    largest, usable = _largest(slot, jobs, extent), USABLE * memory_of(slot.device)
    shared = SHARED if slot.device == "cpu" else 0
    return int((usable - shared) / (largest - shared))


def _largest(slot: Slot, jobs: Sequence[Job], extent: Extent) -> int:
    """Memory of the largest job; its processes share a machine's, not a GPU's."""
    if slot.device != "cpu":
        return max(device_bytes(job, extent) for job in jobs)
    processes = slot.parallel.processes
    return max(
        job_bytes(job, extent) * (processes if isinstance(job, TransformerJob) else 1)
        for job in jobs
    )


def memory_of(device: str) -> int:
    """Bytes of memory of a device, as far as this process may take them."""
    if device != "cpu":
        return int(torch.cuda.get_device_properties(device).total_memory)
    pages: int = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = CGROUP.read_text().strip() if CGROUP.exists() else "max"
    return min(pages, int(limit)) if limit.isdigit() else pages


def _giga(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
