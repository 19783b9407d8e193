"""Whose a folder is: the grid that a run store belongs to."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from scaling.errors import ScalingError
from scaling.files import ASIDE, read_json, write_json
from scaling.runs import lease
from scaling.runs.group import ONE, Parallel
from scaling.runs.plan import Plan
from scaling.runs.slots import Slot
from scaling.runs.store import GRID

BEFORE = ("prediction.json", "verify.yaml")
"""Files that may lie in a folder before it is a store: what `scaling verify` foretold,
and the grid that puts it to the test."""


def claim(plan: Plan, out: Path, slot: Slot, ttl: float = lease.TTL) -> None:
    """Make a folder the store of a grid, whoever else does the same.

    Parameters
    ----------
    plan : Plan
        Of the grid.
    out : Path
        The folder, made where it is not there.
    slot : Slot
        Its threads and processes are kept, since they change how sums round: whoever
        joins takes them over.
    ttl : float
        Seconds without a sign of life after which another's claim is void.

    Raises
    ------
    ScalingError
        If the folder is another grid's, or holds other things.
    """
    require_own(plan, out)
    out.mkdir(parents=True, exist_ok=True)
    with lease.wait_for(out, ttl):
        require_own(plan, out)  # again, now that nobody else can write it
        earlier = read_json(out / GRID) if (out / GRID).exists() else {}
        store = {
            "study": plan.grid.study,
            "jobs": [job.folder for job in plan.jobs],
            "grid": plan.grid.model_dump(mode="json"),
            "threads": earlier.get("threads", slot.threads),
            "parallel": earlier.get("parallel", asdict(slot.parallel)),
        }
        write_json(out / GRID, store)


def kept_threads(out: Path) -> int | None:
    """Read the threads of a process; None where there is no store yet."""
    path = out / GRID
    return read_json(path).get("threads") if path.exists() else None


def kept_parallel(out: Path) -> Parallel:
    """Read how many processes a run has; one where there is no store yet."""
    path = out / GRID
    kept = read_json(path).get("parallel") if path.exists() else None
    return Parallel(**kept) if kept else ONE


def require_own(plan: Plan, out: Path) -> None:
    """Refuse a folder that is not, or cannot become, the store of a grid.

    A grid may grow in its folder; one that would leave runs of the earlier grid behind
    is another grid, and their records would mix.

    Raises
    ------
    ScalingError
        If the folder is another grid's, or holds other things.
    """
    path = out / GRID
    if out.exists() and not out.is_dir():
        raise ScalingError(f"{out} is a file; choose another folder with --out")
    if path.exists():
        earlier = read_json(path)
        left_behind = sorted(set(earlier["jobs"]) - {job.folder for job in plan.jobs})
        if left_behind:
            raise ScalingError(
                f"{out} holds another grid of study {earlier['study']}: "
                f"{len(left_behind)} of its jobs are not in this one, {left_behind[0]} "
                "for one; a grid may gain runs in its folder but not lose or change "
                "them: choose another folder with --out"
            )
    elif out.is_dir() and any(map(_is_foreign, out.iterdir())):
        raise ScalingError(
            f"{out} is not empty and holds no grid; choose another folder with --out"
        )


def _is_foreign(path: Path) -> bool:
    """Whether no launcher that was killed at its start can have left this."""
    return not path.name.startswith((lease.PREFIX, ASIDE)) and path.name not in BEFORE
