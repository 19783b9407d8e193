"""What a study is run on while it is shot at.

An engine starts what runs the jobs, starts again what has gone, and draws victims.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from . import processes

SIGNALS = {signal.SIGKILL: 17, signal.SIGTERM: 1, signal.SIGINT: 1, signal.SIGSTOP: 1}
"""How often each is drawn."""

ROLES = {"worker": 4, "launcher": 3, "forkserver": 1, "agent": 2, "job": 1, "node": 1}
"""How often a victim of each kind is drawn, where there is one."""

STOPPED = 10.0
"""Longest time in seconds that a process is stopped before it goes on."""

REST = 300.0
"""Seconds that launchers have to leave once all jobs are done."""

SCRIPTS = Path(__file__).parents[2] / "examples" / "cluster"


class Local:
    """Launchers on this machine, each with its workers.

    Parameters
    ----------
    run, work : sequence of list of str
        Commands that begin a store, and commands that join one.
    out : Path
        The store.
    mark : str
        Carried by every process.
    """

    def __init__(
        self, run: Sequence[list[str]], work: Sequence[list[str]], out: Path, mark: str
    ) -> None:
        self.starts = 0
        self.commands = [*run, *work]
        self.mark = mark
        self.environment = {
            **os.environ,
            processes.MARK: mark,
            "OMP_NUM_THREADS": "1",
        }
        self._out = out
        self._first_joining = len(run)
        self._launchers: dict[int, subprocess.Popen[bytes]] = {}
        self._not_before: dict[int, float] = defaultdict(float)
        self._stopped: dict[int, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._wake(list(self._stopped))
        for launcher in self._launchers.values():
            launcher.kill()
            launcher.wait()

    def tend(self) -> None:
        """Start launchers that have gone; wake who was stopped for long enough."""
        now = time.monotonic()
        self._wake([process for process, at in self._stopped.items() if now > at])
        begun = (self._out / "grid.json").exists()
        for place in range(len(self.commands)):
            launcher = self._launchers.get(place)
            gone = launcher is None or launcher.poll() is not None
            able = begun or place < self._first_joining
            if gone and able and now > self._not_before[place]:
                self._start(place)
                self._not_before[place] = now + 1  # one that cannot start, say

    def _wake(self, stopped: list[int]) -> None:
        for process in stopped:
            processes.send(process, signal.SIGCONT)
            del self._stopped[process]

    def _start(self, place: int) -> None:
        self.starts += 1
        log = self._out.with_name(f"{self._out.name}-launcher-{place}.log")
        with log.open("ab") as file:
            self._launchers[place] = subprocess.Popen(
                self.commands[place],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def hit(self, chance: random.Random) -> list[str]:
        """Draw a victim and a signal; say which they were, if it was still there."""
        victims = self._victims()
        if not victims:
            return []
        roles = sorted(victims)
        (role,) = chance.choices(roles, [ROLES[role] for role in roles])
        victim = chance.choice(sorted(victims[role]))
        (number,) = chance.choices(list(SIGNALS), list(SIGNALS.values()))
        if role in ("node", "job"):
            number = signal.SIGKILL
            there = self._end(role, victim)
        else:
            there = processes.send(victim, number)
        if there and number == signal.SIGSTOP:
            self._stopped[victim] = time.monotonic() + chance.uniform(0, STOPPED)
        return [f"{number.name} {role}"] if there else []

    def _victims(self) -> dict[str, list[int]]:
        """All processes that are ours, by what they are."""
        victims: dict[str, list[int]] = defaultdict(list)
        launchers = {launcher.pid for launcher in self._launchers.values()}
        for process in processes.marked(self.mark):
            role = "launcher" if process in launchers else self._role(process)
            if role:
                victims[role].append(process)
        return victims

    def _role(self, process: int) -> str:
        if "multiprocessing.forkserver" not in processes.command(process):
            return ""
        above = processes.command(processes.parent(process))
        return "worker" if "multiprocessing.forkserver" in above else "forkserver"

    def _end(self, role: str, process: int) -> bool:
        """End what is more than one process, which is not there but on a cluster."""
        return False

    def rest(self) -> None:
        """Let launchers see that all is done, and derive the tables."""
        self._wake(list(self._stopped))
        until = time.monotonic() + REST
        for launcher in self._launchers.values():
            with suppress(subprocess.TimeoutExpired):
                launcher.wait(max(0.0, until - time.monotonic()))
        self._start(0)  # the tables, if a kill came before them
        self._launchers[0].wait(REST)


class Cluster(Local):
    """Agents of a cluster of two nodes on this machine, and launchers that wait."""

    name = ""
    """What `--executor` calls it."""
    node = ""
    """Stands in the command line of a node's first process, and of no other's."""

    def __enter__(self) -> Self:
        self._nodes: list[subprocess.Popen[bytes]] = []
        said = self._script("start")
        for line in said.splitlines():
            if line.startswith("export "):
                pairs = line.removeprefix("export ").split()
                self.environment |= dict(pair.split("=", 1) for pair in pairs)
        options = ["--executor", self.name, "--agents", "2", "--cpus-per-agent", "2"]
        for place in range(self._first_joining):
            self.commands[place] = [*self.commands[place], *options, *self._address()]
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._script("stop")
        for node in self._nodes:  # started again, which the script does not know
            with suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGTERM)
            node.wait()

    def _script(self, verb: str) -> str:
        folder = self._out.with_name(f"{self._out.name}-{self.name}")
        command = [str(SCRIPTS / f"{self.name}-on-one-machine.sh"), verb, str(folder)]
        with folder.with_suffix(".log").open("ab") as log:
            ran = subprocess.run(
                command, env=self.environment, stdout=subprocess.PIPE, stderr=log
            )
        ran.check_returncode()
        return ran.stdout.decode()

    def _address(self) -> list[str]:
        return []

    def _role(self, process: int) -> str:
        command = processes.command(process)
        if self.node in command:
            return "node"
        if "scaling.runs.executors" in command:
            return "agent"
        return super()._role(process)

    def _below(self, node: int) -> list[int]:
        """List what runs on a node."""
        return processes.descendants(node)

    def _end(self, role: str, process: int) -> bool:
        """Cut a node's power, and switch it on again."""
        command = processes.arguments(process)
        below = self._below(process)
        there = processes.send(process, signal.SIGKILL)
        for each in below:
            processes.send(each, signal.SIGKILL)
        time.sleep(1)
        again = subprocess.Popen(
            command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._nodes.append(again)
        return there


class Slurm(Cluster):
    """A controller and two `slurmd`."""

    name = "slurm"
    node = "slurmd -N"

    def _below(self, node: int) -> list[int]:
        """Tasks are children of a process that has left the node's."""
        name = f"SLURMD_NODENAME={processes.arguments(node)[-1]}"
        ours = processes.marked(self.mark)
        return [process for process in ours if processes.carries(process, name)]

    def _victims(self) -> dict[str, list[int]]:
        """Jobs are victims too, by their numbers."""
        victims = super()._victims()
        asked = ["squeue", "--noheader", "--format=%A", "--states=RUNNING"]
        answer = subprocess.run(
            asked, env=self.environment, capture_output=True, text=True, check=False
        )
        if jobs := [int(job) for job in answer.stdout.split()]:
            victims["job"] = jobs
        return victims

    def _end(self, role: str, process: int) -> bool:
        if role == "node":
            return super()._end(role, process)
        cancel = ["scancel", "--full", "--signal=KILL", str(process)]
        return not subprocess.run(cancel, env=self.environment, check=False).returncode


class Ray(Cluster):
    """A head without processors and two nodes."""

    name = "ray"
    node = "--num-cpus=2"

    def _address(self) -> list[str]:
        return ["--address", self.environment["RAY_ADDRESS"]]


ENGINES = {"local": Local, "slurm": Slurm, "ray": Ray}
