"""Agents on a cluster, and the process that waits for them: what all engines share.

There is no scheduler here. An engine (Slurm, Ray) starts agents and starts them again
where a node was lost; which job an agent does next, the store and its leases say. An
agent is a process of its own, `python -m scaling.runs.executors`, that leaves with the
process that started it: its standard input is a pipe that ends when that one does.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from scaling.errors import ScalingError, plain
from scaling.exit_codes import STOPPED
from scaling.files import read_json, write_json
from scaling.runs.board import Board
from scaling.runs.launch import Outcome
from scaling.runs.status import JobState, read_status
from scaling.runs.store import derive_tables, reason

IDS, LOGS = "executor.json", "executor"
"""Where a store keeps how its agents are found again, and what they said."""

GRACE = 10.0
"""Seconds that an agent has to stop its workers, which takes them 9 at most."""

LOOK_EVERY, ASK_EVERY = 2.0, 10.0
"""Seconds between two looks at the store, and between two questions to an engine."""


# --- An agent -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Agent:
    """What each agent is told."""

    out: str
    """The run store, as every node sees it."""
    jobs: int | None
    """Jobs at a time; None leaves it to the device."""
    device: str
    """`auto`, `cpu`, `cuda`."""
    threads: int
    """Processor threads of each process."""

    def start(
        self, output: IO[bytes] | None = None, **environment: str
    ) -> subprocess.Popen[bytes]:
        """Start it below this process.

        Engines signal all processes of a task, and what means "checkpoint" to its
        first one would kill the others: they are to hear of it from that one alone.
        """
        command = [sys.executable, "-m", __name__, json.dumps(asdict(self))]
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _USER_SIGNALS)
        try:  # a mask is inherited
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, **environment},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


_USER_SIGNALS = {signal.SIGUSR1, signal.SIGUSR2}


def stop(process: subprocess.Popen[bytes]) -> None:
    """Have an agent write its workers' states and leave, in 10 s at most."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()


def main(argument: str) -> None:
    """Be an agent; the exit code is 0, 1 where jobs failed, or `STOPPED`."""
    from scaling.runs.agent import work_on

    signal.signal(signal.SIGTERM, _leave_once)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    agent = Agent(**json.loads(argument))
    try:
        outcome = work_on(
            Path(agent.out),
            jobs=agent.jobs,
            device=agent.device,
            threads=agent.threads,
            stream=sys.stderr,
        )
    except KeyboardInterrupt:
        sys.exit(STOPPED)
    except (OSError, ScalingError) as error:
        sys.exit(f"Error: {plain(error)}")
    sys.exit(bool(outcome.failed))


def _leave_once(*_: object) -> None:
    """Leave in order, though told twice: a second time would mean not to wait."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _leave_with_parent() -> None:
    os.read(0, 1)  # nobody writes: it returns when the other end is closed
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(STOPPED)


# --- An engine ----------------------------------------------------------------------


class Engine(Protocol):
    """A cluster's scheduler, as far as agents need it."""

    @property
    def name(self) -> str:
        """`slurm` or `ray`."""

    def submit(self, agent: Agent, count: int) -> dict[str, Any]:
        """Queue agents, and say how they are found again."""

    def left(self, ids: Mapping[str, Any]) -> int | None:
        """Count agents that are queued or running; None where nobody can say now."""

    def cancel(self, ids: Mapping[str, Any]) -> None:
        """Stop agents; their jobs write checkpoints first."""

    def farewell(self, ids: Mapping[str, Any]) -> str:
        """Say what becomes of the agents when the waiting process leaves."""


def run_on(engine: Engine, agent: Agent, count: int, board: Board) -> Outcome:
    """Start agents on a store that is begun, or find those of before, and wait.

    Parameters
    ----------
    engine : Engine
        Where they run.
    agent : Agent
        What each is told.
    count : int
        Agents to start where none is queued or running.
    board : Board
        What a person sees.

    Raises
    ------
    ScalingError
        If the engine refuses, or all agents are gone before the jobs are done.
    KeyboardInterrupt
        After a word on what becomes of the agents.
    """
    out = Path(agent.out)
    states = _states(out)
    if not all(state.ended for state in states):
        ids = _find(engine, out)
        if ids is None:
            ids = _submit(engine, agent, count, board)
        else:
            board.say(f"{engine.name}: agents are at work already; following them")
        try:
            states = _follow(engine, ids, out, board)
        except KeyboardInterrupt:
            board.say(f"left; {_so_far(_states(out))}; {engine.farewell(ids)}")
            raise
        finally:
            board.close()
    derive_tables(out)
    return _outcome(engine, states, out)


def _submit(engine: Engine, agent: Agent, count: int, board: Board) -> dict[str, Any]:
    out = Path(agent.out)
    ids = engine.submit(agent, count)
    write_json(out / IDS, {**_known(out), engine.name: ids})
    agents = "1 agent" if count == 1 else f"{count} agents"
    board.say(f"{engine.name}: {agents} queued; logs in {out / LOGS}")
    return ids


def cancel(engine: Engine, out: Path) -> None:
    """Stop the agents of a store.

    Raises
    ------
    ScalingError
        If none is queued or running.
    """
    ids = _find(engine, out)
    if ids is None:
        raise ScalingError(
            f"{out}: no agents of {engine.name} are queued or running; nothing to stop"
        )
    engine.cancel(ids)


def engines_of(out: Path) -> list[str]:
    """Name the engines that agents of a store were given to."""
    return list(_known(out))


def _known(out: Path) -> dict[str, Any]:
    return read_json(out / IDS) if (out / IDS).exists() else {}


def _find(engine: Engine, out: Path) -> dict[str, Any] | None:
    """Find agents of before that are queued or running still."""
    ids: dict[str, Any] | None = _known(out).get(engine.name)
    if ids is None:
        return None
    left = engine.left(ids)
    if left is None:
        raise ScalingError(
            f"{out}: {engine.name} does not say whether the agents of before are still "
            f"there; try again later, or remove {out / IDS} if you know that none is"
        )
    return ids if left else None


def _follow(
    engine: Engine, ids: Mapping[str, Any], out: Path, board: Board
) -> list[JobState]:
    """Tell what the store shows until all is done or nobody works on it."""
    states = _states(out)
    seen = {state.job: state.status for state in states}
    asked = time.monotonic()
    while not all(state.ended for state in states):
        if time.monotonic() - asked > ASK_EVERY:
            asked = time.monotonic()
            if engine.left(ids) == 0:
                states = _states(out)  # what the last one did before it left
                _tell(states, seen, out, board)
                return states
        time.sleep(LOOK_EVERY)
        states = _states(out)
        _tell(states, seen, out, board)
        board.tick(sum(state.status == "running" for state in states))
    return states


def _states(out: Path) -> list[JobState]:
    return [state for state in read_status(out) if state.in_grid]


def _tell(
    states: Iterable[JobState], seen: dict[str, str], out: Path, board: Board
) -> None:
    """Say what ended since the last look."""
    for state in states:
        if state.status == seen.get(state.job):
            continue
        seen[state.job] = state.status
        if state.ended:
            board.finished(state.job, state.status)
        elif state.status == "failed":
            board.say(f"{state.job}: FAILED: {reason(out / state.job)}")


def _outcome(engine: Engine, states: list[JobState], out: Path) -> Outcome:
    failed = {
        state.job: reason(out / state.job)
        for state in states
        if state.status == "failed"
    }
    waiting = sum(not state.ended for state in states) - len(failed)
    if waiting and not failed:
        logs = "their logs are in" if _said(out) else "the nodes wrote nothing to"
        raise ScalingError(
            f"all {engine.name} agents are gone; {_so_far(states)}; {logs} "
            f"{out / LOGS}; nothing finished is lost: run the same command to go on"
        )
    diverged = tuple(state.job for state in states if state.status == "diverged")
    return Outcome(diverged=diverged, failed=failed, waiting=waiting)


def _said(out: Path) -> bool:
    """Whether a Slurm task (.out, .err) or a Ray agent (.log) wrote anything."""
    return any(path.stat().st_size for path in (out / LOGS).glob("*[0-9]*.[eol]*"))


def _so_far(states: list[JobState]) -> str:
    return f"{sum(state.ended for state in states)} of {len(states)} jobs done"


if __name__ == "__main__":
    main(sys.argv[1])
