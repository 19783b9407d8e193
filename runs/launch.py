"""The launcher: jobs of a plan over the slots of one machine, one process per job.

The launcher keeps no state: what is done is what the run store says. It can be killed
at any moment, and so can its workers.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from scaling import __version__
from scaling.errors import ScalingError
from scaling.files import ASIDE, read_json, write_json
from scaling.record import ended, status
from scaling.runs import worker
from scaling.runs.board import Board
from scaling.runs.jobs import Job, TransformerJob
from scaling.runs.plan import Plan
from scaling.runs.store import GRID, LOCK, derive_tables, locked
from scaling.runs.worker import Message, Place

ATTEMPTS = 3
"""Times that a job is started when its process ends without a word."""

GRACE = 10.0
"""Seconds that workers have to write their state when the launcher is stopped."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a launch ended."""

    diverged: tuple[str, ...]
    """Runs that ended on a loss that was not finite."""
    failed: Mapping[str, str]
    """Why a job failed, by folder; launching again tries it again."""
    waiting: int
    """Jobs that did not start, since one that they need failed."""


@dataclass(kw_only=True, slots=True)
class _Slot:
    """A running worker."""

    job: Job
    process: BaseProcess
    messages: Connection
    ended: Message | None = None


@dataclass(kw_only=True, slots=True)
class _Launch:
    """What a launch has seen so far."""

    jobs: tuple[Job, ...]
    place: Place
    board: Board
    done: set[str]
    attempts: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    running: list[_Slot] = field(default_factory=list)

    def ready(self) -> list[Job]:
        """Jobs that can start now, the most expensive first."""
        busy = {slot.job.folder for slot in self.running}
        pending = {job.folder for job in self.jobs} - self.done
        jobs = [
            job
            for job in self.jobs
            if job.folder not in busy | self.failed.keys() | self.done
            and pending.isdisjoint(job.needs)
        ]
        return sorted(jobs, key=_compute, reverse=True)


def _compute(job: Job) -> int:
    return job.flops if isinstance(job, TransformerJob) else 0


def launch(plan: Plan, place: Place, slots: int, board: Board) -> Outcome:
    """Run every job that is not done yet, and derive the tables.

    Raises
    ------
    ScalingError
        If the folder belongs to another grid, or another launcher works on it.
    KeyboardInterrupt
        After the workers have written their states.
    """
    require_own(plan, place.out)
    place.out.mkdir(parents=True, exist_ok=True)
    with _sole_launcher(place.out):
        _claim(plan, place.out)
        return _work(plan.jobs, place, slots, board)


def work(jobs: Sequence[Job], place: Place, slots: int, board: Board) -> Outcome:
    """Do jobs that belong to no grid in a run store that is there, as `launch` does."""
    with _sole_launcher(place.out):
        return _work(jobs, place, slots, board)


def _sole_launcher(out: Path) -> AbstractContextManager[None]:
    message = f"{out}: another launcher works on it; wait for it, or stop it"
    return locked(out / LOCK, message)


def _work(jobs: Sequence[Job], place: Place, slots: int, board: Board) -> Outcome:
    done = jobs_done(jobs, place.out)
    state = _Launch(jobs=tuple(jobs), place=place, board=board, done=done)
    context = _forkserver()
    try:
        while state.running or state.ready():
            for job in state.ready()[: slots - len(state.running)]:
                state.running.append(_start(context, job, place))
            _listen(state)
    except BaseException:
        _stop(state.running)
        raise
    finally:
        board.close()
    derive_tables(place.out)
    return _outcome(state)


def jobs_done(jobs: Iterable[Job], out: Path) -> set[str]:
    """Find the jobs that need not be done again."""
    return {job.folder for job in jobs if ended(out / job.folder)}


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
    return path.name != LOCK and not path.name.startswith(ASIDE)


def _claim(plan: Plan, out: Path) -> None:
    require_own(plan, out)  # again, now that nobody else can write it
    jobs = [job.folder for job in plan.jobs]
    grid = plan.grid.model_dump(mode="json")
    write_json(out / GRID, {"study": plan.grid.study, "jobs": jobs, "grid": grid})


def find_device(name: str) -> str:
    """Settle on a device: `auto` is a GPU where there is one.

    Raises
    ------
    ScalingError
        If the device is not there.
    """
    gpus = torch.cuda.device_count()
    if name == "auto":
        return "cuda" if gpus else "cpu"
    try:
        if torch.device(name).type not in ("cpu", "cuda"):
            raise RuntimeError("no device to train on")
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError):
        there = f"cpu and {gpus} cuda devices" if gpus else "cpu alone"
        raise ScalingError(
            f"--device {name!r} is not there; this machine has {there}"
        ) from None
    return name


def code_version() -> str:
    """Version of this program, with the commit when it runs from a checkout."""
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return __version__
    git = ["git", "-C", str(here), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(git, capture_output=True, text=True, check=False)
    commit = found.stdout.strip()
    return f"{__version__}+g{commit}" if commit else __version__


def _forkserver() -> Any:
    """Prepare workers' imports once: torch and the first optimiser take seconds."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["scaling.runs.worker", "torch._dynamo"])
    return context


def _start(context: Any, job: Job, place: Place) -> _Slot:
    messages, theirs = context.Pipe(duplex=False)
    process = context.Process(target=worker.main, args=(job, place, theirs))
    process.start()
    theirs.close()
    return _Slot(job=job, process=process, messages=messages)


def _listen(state: _Launch) -> None:
    """Wait until workers say something or end, and take note of it."""
    pipes = [slot.messages for slot in state.running]
    heard = wait(pipes, timeout=1.0)
    for slot in list(state.running):
        if slot.messages not in heard:
            continue
        try:
            _hear(state, slot, slot.messages.recv())
        except (EOFError, ConnectionError):
            slot.process.join()
            slot.messages.close()
            state.running.remove(slot)
            _ended(state, slot)
    state.board.tick(len(state.running))


def _hear(state: _Launch, slot: _Slot, message: Message) -> None:
    folder = slot.job.folder
    if message.kind == "progress":
        state.board.progress(folder, message.done, message.total)
    elif message.kind == "said":
        state.board.say(f"{folder}: {message.text}")
    else:
        slot.ended = message


def _ended(state: _Launch, slot: _Slot) -> None:
    folder, code = slot.job.folder, slot.process.exitcode
    if slot.ended is not None and slot.ended.kind == "finished":
        state.done.add(folder)
        state.board.finished(folder, slot.ended.text)
        return
    if slot.ended is not None:
        reason = slot.ended.text
    else:  # gone without a word: a signal, or the system ran out of memory
        attempt = state.attempts[folder] = state.attempts.get(folder, 0) + 1
        reason = f"its process ended with exit code {code}"
        if attempt < ATTEMPTS:
            state.board.say(f"{folder}: {reason}; starting it again")
            return
    state.failed[folder] = reason
    state.board.say(f"{folder}: FAILED: {reason}")


def _stop(running: list[_Slot]) -> None:
    """Let workers write their states and leave."""
    for slot in running:
        slot.process.terminate()
    for slot in running:
        slot.process.join(GRACE)
        slot.process.kill()
        slot.messages.close()


def _outcome(state: _Launch) -> Outcome:
    out, done = state.place.out, sorted(state.done)
    return Outcome(
        diverged=tuple(name for name in done if status(out / name) == "diverged"),
        failed=state.failed,
        waiting=len(state.jobs) - len(done) - len(state.failed),
    )
