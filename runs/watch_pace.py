"""How fast a study goes, and when it will be done: measured, never timed again.

A watcher has no processor to spare for a calibration, and knows of another machine's
speed only what the store says: seconds and tokens of what was trained so far.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from scaling.runs.jobs import Job, TransformerJob
from scaling.runs.makespan import makespan
from scaling.runs.watch_track import Track

SAMPLES = 3
"""Jobs of each kind and size whose speed counts."""

Kind = tuple[str, float]
"""What a job is, and its forward FLOPs per token; 0 where it has none."""


def kind_of(job: Job) -> Kind:
    """Sort a job to those that are as fast for each unit; trunks go as runs do."""
    if isinstance(job, TransformerJob):
        return "transformer", float(job.forward_flops)
    return job.kind, 0.0


def extent_of(job: Job) -> tuple[float, float]:
    """From where to where a job goes: in tokens, or steps; 0 where nothing is trained.

    A corpus, captions' states and scores are of this last kind.
    """
    if isinstance(job, TransformerJob):
        return float(job.trunk_tokens), float(job.tokens)
    return 0.0, float(getattr(job.section, "steps", 0))


def share_done(job: Job, done: float) -> float | None:
    """Part of a job's own work that is done, 0 to 1; None where that is unknown."""
    begin, end = extent_of(job)
    return min(1.0, max(0.0, (done - begin) / (end - begin))) if end else None


def throughput(tracks: Iterable[Track], now: float, window: float) -> float | None:
    """Units per second of several jobs together over the last seconds.

    A study that began within the window is measured from its beginning.

    >>> track = Track(points=((0.0, 0.0), (30.0, 600.0)), touched=100.0)
    >>> throughput([track], now=100.0, window=60.0)
    20.0
    """
    seen = [track for track in tracks if len(track.points) > 1]
    begin = max(now - window, min((track.began for track in seen), default=now))
    if now <= begin:
        return None
    return sum(track.at(now) - track.at(begin) for track in seen) / (now - begin)


def seconds_per_token(flops: float, measured: Mapping[float, float]) -> float:
    """Seconds that a run of some FLOPs per token takes for each token.

    Parameters
    ----------
    flops : float
        Forward FLOPs per token of the run.
    measured : mapping
        Seconds per token that runs took, by their forward FLOPs per token.

    Returns
    -------
    float
        Between measured runs along a power law. Above all of them time grows with the
        FLOPs, which is the most it can; below all of them it shrinks with their root,
        between an overhead that stays and work that goes.

    Examples
    --------
    >>> measured = {1e6: 1e-4, 1e8: 1e-2}
    >>> [round(seconds_per_token(f, measured), 6) for f in (1e4, 1e7, 1e9)]
    [1e-05, 0.001, 0.1]
    """
    if flops in measured:
        return measured[flops]
    known = sorted(measured.items())
    (least, at_least), (most, at_most) = known[0], known[-1]
    if flops < least:
        return at_least * math.sqrt(flops / least)
    if flops > most:
        return at_most * flops / most
    (a, x), (b, y) = next(pair for pair in pairwise(known) if flops <= pair[1][0])
    share = math.log(flops / a) / math.log(b / a)
    return math.exp((1 - share) * math.log(x) + share * math.log(y))


def paces(jobs: Iterable[tuple[Job, Track]]) -> dict[str, dict[float, float]]:
    """Seconds for each unit, by kind and FLOPs: the median of a few jobs each."""
    samples: dict[Kind, list[float]] = defaultdict(list)
    for job, track in jobs:
        if track.pace is not None:
            samples[kind_of(job)].append(track.pace)
    found: dict[str, dict[float, float]] = defaultdict(dict)
    for (kind, flops), those in samples.items():
        found[kind][flops] = statistics.median(those)
    return found


def seconds_left(
    job: Job, track: Track, measured: Mapping[str, Mapping[float, float]]
) -> float | None:
    """Estimate what is left of a job; what trains nothing is taken to be short.

    Returns
    -------
    float or None
        Seconds, at the job's own speed where it has one, else at that of jobs like it;
        None where neither is known.
    """
    begin, end = extent_of(job)
    if not end:
        return 0.0
    kind, flops = kind_of(job)
    pace = track.pace
    if pace is None and kind in measured:
        pace = seconds_per_token(flops, measured[kind])
    done = begin if track.done is None else track.done
    return None if pace is None else max(0.0, end - done) * pace


def time_left(
    jobs: Sequence[tuple[Job, Track]],
    measured: Mapping[str, Mapping[float, float]],
    at_once: int,
) -> tuple[float | None, str]:
    """Estimate when the last of some jobs ends, and say what that rests on.

    Parameters
    ----------
    jobs : sequence of (Job, Track)
        Those that have not ended, each after those that it needs.
    measured : mapping
        As `paces` gives it.
    at_once : int
        Jobs at a time.
    """
    left = {job.folder: seconds_left(job, track, measured) for job, track in jobs}
    known = {folder: each for folder, each in left.items() if each is not None}
    if len(known) < len(left):
        return None, "no run like those to come was measured yet"
    seconds = makespan([job for job, _ in jobs], known, at_once)
    return seconds, f"{at_once} at a time, at the speed measured so far"
