"""The launcher: jobs over the slots of one machine, one process per job.

The launcher keeps no state: what is done is what the run store says. It can be killed
at any moment, and so can its workers; any number of launchers, on any machines that
share the file system, work on one store. Each job is leased while it is at work
(`lease.py`). What another launcher is at is waited for, and taken over should its
owner be gone.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from scaling.exit_codes import STOPPED
from scaling.files import write_text
from scaling.record import RESULT, ended, status
from scaling.runs import worker
from scaling.runs.board import Board
from scaling.runs.claim import claim
from scaling.runs.forkserver import forkserver
from scaling.runs.jobs import Job
from scaling.runs.lease import Watch
from scaling.runs.plan import Plan
from scaling.runs.queue import Queue
from scaling.runs.slots import Slot
from scaling.runs.store import ERROR, derive_tables, reason
from scaling.runs.worker import Message, Place

ATTEMPTS = 3
"""Times that a job is started when its process ends without a word."""

BACK_OFF = 1.0
"""Seconds before it is started again; twice as many each time."""

SOONEST, LATEST, LATE = 0.1, 2.0, 0.05
"""Looks at a job that is at work elsewhere: seconds between two at least and at most,
and as a share of the time that it has been waited for."""

GRACE = 9.0
"""Seconds that workers have to write their state when the launcher is stopped."""

SAY_EVERY = 60.0
"""Seconds between two words about what is waited for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a launch ended."""

    diverged: tuple[str, ...]
    """Runs that ended on a loss that was not finite."""
    failed: Mapping[str, str]
    """Why a job failed, by folder; launching again tries it again."""
    waiting: int
    """Jobs that did not start, since one that they need failed."""


def launch(plan: Plan, place: Place, slots: Sequence[Slot], board: Board) -> Outcome:
    """Run every job that is not done yet, and derive the tables.

    Raises
    ------
    ScalingError
        If the folder belongs to another grid, or holds other things.
    KeyboardInterrupt
        After the workers have written their states.
    """
    claim(plan, place.out, slots[0], place.ttl)
    return work(plan.jobs, place, slots, board)


def work(
    jobs: Sequence[Job], place: Place, slots: Sequence[Slot], board: Board
) -> Outcome:
    """Do jobs in a run store that is there, of its grid or beside it."""
    launch = _Launch(jobs, place, slots, board)
    try:
        launch.run()
    except BaseException:
        launch.stop()
        raise
    finally:
        board.close()
    derive_tables(place.out)
    return launch.outcome()


def jobs_done(jobs: Iterable[Job], out: Path) -> set[str]:
    """Find the jobs that need not be done again."""
    return {job.folder for job in jobs if ended(out / job.folder)}


@dataclass(kw_only=True, slots=True)
class _Worker:
    """A process that does a job."""

    job: Job
    slot: Slot
    process: BaseProcess
    said: Message | None = None
    """Its last word."""


class _Launch:
    """What a launch has seen so far; it ends when no job can start any more."""

    def __init__(
        self, jobs: Sequence[Job], place: Place, slots: Sequence[Slot], board: Board
    ) -> None:
        self.jobs = jobs
        self.place = place
        self.board = board
        self.idle = list(reversed(slots))
        self.running: dict[Connection, _Worker] = {}
        self.watch = Watch(place.ttl)
        self.elsewhere: dict[str, tuple[float, str]] = {}  # since when, by whom
        self.said = time.monotonic()  # a word about them
        self.done = jobs_done(jobs, place.out)
        to_do = [job for job in jobs if job.folder not in self.done]
        self.queue = Queue(to_do, board.seconds)
        self.failed: dict[str, str] = {}
        self.losses: dict[str, int] = {}
        self.errors = {job.folder: self._error(job) for job in to_do}  # earlier ones
        self.context = forkserver(max(slot.threads for slot in slots))

    def run(self) -> None:
        """Start jobs and listen to them until none is left."""
        while self.queue or self.running:
            while self.idle and (job := self.queue.pop()):
                self._consider(job)
            self._listen(min(1.0, self.queue.pause()) if self.idle else 1.0)
            self._say_what_is_waited_for()
            self.board.tick(len(self.running))

    # --- Starting ---

    def _consider(self, job: Job) -> None:
        """Start a job, unless it is over or another launcher is at it."""
        folder = self.place.out / job.folder
        found, free = self.watch.look(folder)
        since, holder = self.elsewhere.pop(
            job.folder, (time.monotonic(), "another launcher")
        )
        if RESULT in found.names:
            self._finished(job, f"{status(folder)} elsewhere")
        elif not free:
            self.elsewhere[job.folder] = since, found.holder
            late = LATE * (time.monotonic() - since)
            self.queue.rest(job, min(LATEST, max(SOONEST, late)))
        elif self._error(job) not in (0, self.errors[job.folder]):
            self._fail(job, f"{reason(folder)} (by {holder})")
        else:
            self._start(job, found.number)

    def _error(self, job: Job) -> int:
        """When a job failed, by the clock of whoever did it; 0: it did not."""
        try:
            return (self.place.out / job.folder / ERROR).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def _start(self, job: Job, over: int) -> None:
        slot = self.idle.pop()
        messages, theirs = self.context.Pipe(duplex=False)
        arguments = (job, self.place, slot, over, theirs)
        process = self.context.Process(target=worker.main, args=arguments)
        self.running[messages] = _Worker(job=job, slot=slot, process=process)
        with suppress(OSError, EOFError):  # the forkserver was killed just now: then
            process.start()  # nothing will be heard from this worker
        theirs.close()

    # --- Listening ---

    def _listen(self, seconds: float) -> None:
        """Wait until workers say something or end, and take note of it."""
        for messages in self._heard(seconds):
            try:
                self._hear(self.running[messages], messages.recv())
            except (EOFError, OSError):
                self._gone(self._dismiss(messages))

    def _heard(self, seconds: float) -> list[Connection]:
        found = wait(list(self.running), seconds)
        return [each for each in found if isinstance(each, Connection)]

    def _hear(self, worker: _Worker, message: Message) -> None:
        folder = worker.job.folder
        if message.kind == "progress":
            self.board.progress(folder, message.done, message.total)
        elif message.kind == "said":
            self.board.say(f"{folder}: {message.text}")
        else:
            worker.said = message

    def _dismiss(self, messages: Connection) -> _Worker:
        worker = self.running.pop(messages)
        messages.close()
        self.idle.append(worker.slot)
        return worker

    def _gone(self, worker: _Worker) -> None:
        match worker.said:
            case Message(kind="finished", text=how):
                self._finished(worker.job, how)
            case Message(kind="failed", text=why):
                self._fail(worker.job, why)
            case Message(kind="held"):
                self.queue.push(worker.job)
            case Message(kind="stopped"):
                self._again(worker.job, "stopped", BACK_OFF)
            case _ if _exit_code(worker.process) == STOPPED:
                self.board.say(f"{worker.job.folder}: another launcher took it over")
                self.queue.rest(worker.job, BACK_OFF)
            case _:
                self._lost(worker)

    def _finished(self, job: Job, how: str) -> None:
        self.done.add(job.folder)
        self.queue.ended(job.folder)
        self.board.finished(job.folder, how)

    def _fail(self, job: Job, why: str) -> None:
        self.failed[job.folder] = why
        self.board.say(f"{job.folder}: FAILED: {why}")

    def _lost(self, worker: _Worker) -> None:
        """Start a job again whose process is gone: a signal, or memory ran out."""
        job, code = worker.job, _exit_code(worker.process)
        why = f"its process ended with exit code {code}"
        losses = self.losses[job.folder] = self.losses.get(job.folder, 0) + 1
        if losses == ATTEMPTS:
            with suppress(OSError):  # the disk may be full
                write_text(self.place.out / job.folder / ERROR, why)
            self._fail(job, why)
        else:
            self._again(job, why, BACK_OFF * 2 ** (losses - 1))

    def _again(self, job: Job, why: str, pause: float) -> None:
        self.board.say(f"{job.folder}: {why}; starting it again")
        self.queue.rest(job, pause)

    def _say_what_is_waited_for(self) -> None:
        now = time.monotonic()
        if self.running or not self.elsewhere or now - self.said < SAY_EVERY:
            return
        self.said = now
        folder, (_, holder) = next(iter(self.elsewhere.items()))
        jobs = "1 job" if len(self.elsewhere) == 1 else f"{len(self.elsewhere)} jobs"
        self.board.say(f"waiting for {jobs} at work elsewhere, {folder} by {holder}")

    # --- Ending ---

    def stop(self) -> None:
        """Let workers write their states and leave; asked again, do not wait."""
        self._signal(signal.SIGTERM)
        end = time.monotonic() + GRACE
        try:
            while self.running and time.monotonic() < end:
                for messages in self._heard(end - time.monotonic()):
                    self._let_go(messages)
        finally:
            self._signal(signal.SIGKILL)

    def _let_go(self, messages: Connection) -> None:
        """Wait for the end of its words: of a process, a dead forkserver knows none."""
        try:
            messages.recv()
        except (EOFError, OSError):
            self._dismiss(messages)

    def _signal(self, number: signal.Signals) -> None:
        for running in self.running.values():
            if running.process.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(running.process.pid, number)

    def outcome(self) -> Outcome:
        """Sum up."""
        out, done = self.place.out, sorted(self.done)
        return Outcome(
            diverged=tuple(name for name in done if status(out / name) == "diverged"),
            failed=self.failed,
            waiting=len(self.jobs) - len(done) - len(self.failed),
        )


def _exit_code(process: BaseProcess) -> int | None:
    if process.pid is not None:
        process.join()
    return process.exitcode
