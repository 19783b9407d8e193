"""The agent: a launcher that takes its plan from the run store that it joins.

This is all that a cluster's engine needs to start, on as many machines as it likes: the
store says what there is to do, the leases in it who does it. So does a person by hand::

    from scaling.runs.agent import work_on

    work_on(Path("/shared/study"), stream=sys.stderr)  # returns when the grid is done
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from pydantic import ValidationError

from scaling.errors import ScalingError
from scaling.files import read_json
from scaling.runs.board import Board
from scaling.runs.claim import kept_parallel, kept_threads
from scaling.runs.jobs import Job, TransformerJob
from scaling.runs.launch import Outcome, jobs_done, work
from scaling.runs.lease import TTL
from scaling.runs.plan import Plan, expand
from scaling.runs.sections import Grid
from scaling.runs.slots import find_devices, slots_of
from scaling.runs.store import GRID
from scaling.runs.worker import Place
from scaling.version import code_version


def work_on(
    out: Path,
    *,
    jobs: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    stream: TextIO,
    ttl: float = TTL,
) -> Outcome:
    """Do the jobs of a store until its grid is done, however many others do the same.

    A grid that grows meanwhile is done to its new end.

    Parameters
    ----------
    out : Path
        A run store, on a file system that the others share.
    jobs : int, optional
        Jobs at a time; by default one per GPU, or one per processor.
    device : str
        `auto`, `cpu`, `cuda`, `cuda:1`; `auto` is all GPUs where there are any.
    threads : int, optional
        Processor threads of each process; by default the store's.
    stream : TextIO
        Where to say what happens, in plain lines.
    ttl : float
        Seconds without a sign of life after which others may take a job over.

    Raises
    ------
    ScalingError
        If the folder is no store, or its grid means other jobs on this machine.
    """
    threads = threads or kept_threads(out) or 1
    slots = slots_of(find_devices(device), jobs, threads, kept_parallel(out))
    place = Place(out=out, code_version=code_version(), ttl=ttl)
    while True:
        plan = read_plan(out)
        done = jobs_done(plan.jobs, out)
        to_do = [job for job in plan.jobs if job.folder not in done]
        board = Board(_shares(to_do), len(done), len(slots), stream)
        stream.write(f"{len(done)} of {len(plan.jobs)} jobs done\n")
        outcome = work(plan.jobs, place, slots, board)
        if read_plan(out) == plan:
            return outcome


def read_plan(out: Path) -> Plan:
    """Expand the grid of a store.

    Raises
    ------
    ScalingError
        If the folder is no store, is another version's, or its grid means other jobs
        on this machine.
    """
    path = out / GRID
    if not path.exists():
        raise ScalingError(
            f"{out} holds no {GRID}; expected a run store: begin one with scaling run"
        )
    store = read_json(path)
    try:
        grid = Grid.model_validate(store["grid"])
    except (KeyError, ValidationError):
        raise ScalingError(
            f"{path} is of another version of scaling, whose settings this one does "
            "not know; use the version that began the store"
        ) from None
    plan = expand(grid)
    strange = sorted({job.folder for job in plan.jobs} ^ set(store["jobs"]))
    if strange:
        raise ScalingError(
            f"{out}: its grid means other jobs on this machine, {strange[0]} for one; "
            "use the version of scaling that began it, and the same files of its corpus"
        )
    return plan


def _shares(jobs: Sequence[Job]) -> dict[str, float]:
    """Weigh jobs by their FLOPs, where they have any: nothing is timed here."""
    flops = {
        job.folder: float(job.flops_to_spend) if isinstance(job, TransformerJob) else 0
        for job in jobs
    }
    total = sum(flops.values()) or 1.0
    return {folder: len(jobs) * each / total + 1.0 for folder, each in flops.items()}
