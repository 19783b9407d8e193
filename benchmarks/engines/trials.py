"""Single trials of an orchestrator: left alone, killed, idle."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import click

from scaling.files import read_json

from . import processes
from .contenders import SLOTS, Commands

BENCHMARKS = Path(__file__).parents[1]

SETTLE = 10.0
"""Seconds after the launcher's death at which processes are counted."""


class Trial:
    """One start of a contender on a fresh store."""

    def __init__(self, folder: Path, ready: Path, start: Commands) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        self.out = self.folder / "out"
        self.counted = self.folder / "counted"
        self.counted.mkdir()
        shutil.copytree(ready, self.out)
        self.mark = uuid.uuid4().hex
        self._start = start
        self._sessions: set[int] = set()
        self._runs = read_json(ready / "grid.json")["jobs"]

    def start(self, way: str = "", counting: bool = False) -> subprocess.Popen[bytes]:
        """Start the contender's command."""
        paths = [str(BENCHMARKS), os.environ.get("PYTHONPATH", "")]
        if counting:
            paths.insert(0, str(BENCHMARKS / "engines" / "counted"))
        environment = {
            **os.environ,
            **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")},
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "COUNTED": str(self.counted),
            "RAY_USAGE_STATS_ENABLED": "0",
            "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
            processes.MARK: self.mark,
        }
        with (self.folder / "log").open("ab") as log:
            launcher = subprocess.Popen(
                self._start(self.out, way),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._sessions.add(launcher.pid)
        return launcher

    def alive(self) -> set[int]:
        """All processes that the contender has now."""
        return processes.marked(self.mark, self._sessions)

    def sweep(self) -> None:
        """End them."""
        processes.sweep(self.mark, self._sessions)

    def finished(self) -> list[Path]:
        """Folders of the runs that have a result."""
        found = (self.out / job for job in self._runs if "-d" in job)
        return [path for path in found if (path / "result.json").exists()]

    def in_the_middle(self) -> int:
        """Count the runs that have written a state and are not done."""
        begun = {path.parents[1] for path in self.out.glob("*-d*/checkpoint/*.json")}
        return len(begun.difference(self.finished()))

    def wait_for(self, runs: int, launcher: subprocess.Popen[bytes]) -> float:
        """Wait until so many runs are done, and nearly all slots are in mid-run.

        Returns
        -------
        float
            The most memory on the way, in MB.
        """
        peak = 0.0
        while len(self.finished()) < runs or self.in_the_middle() < SLOTS - 1:
            if launcher.poll() is not None:
                log = (self.folder / "log").read_text()
                raise click.ClickException(f"ended before it was killed:\n{log}")
            peak = max(peak, processes.pss(self.alive()))
            time.sleep(0.5)
        return peak

    def lost(self, runs: int) -> tuple[int, int]:
        """Count the steps that came to nothing, and the runs that were not finished."""
        done = sum(path.stat().st_size for path in self.counted.iterdir())
        finished = self.finished()
        useful = sum(
            json.loads((path / "metrics.jsonl").read_text().splitlines()[-1])["step"]
            for path in finished
        )
        return done - useful, runs - len(finished)

    def close(self) -> None:
        """End what is left, and remove the store."""
        self.sweep()
        shutil.rmtree(self.folder, ignore_errors=True)


def makespan(trial: Trial, runs: int) -> float:
    """Time the whole grid."""
    start = time.monotonic()
    code = trial.start().wait()
    seconds = time.monotonic() - start
    if code or len(trial.finished()) < runs:
        log = (trial.folder / "log").read_text()
        raise click.ClickException(f"exit code {code} on an untroubled grid:\n{log}")
    return seconds


def idle(trial: Trial, ours: bool) -> float:
    """Weigh a contender that has nothing to do."""
    if ours:
        hold_all(trial.out)
    launcher = trial.start("--idle")
    until = time.monotonic() + 60
    while not ours and not (trial.out / ".idle").exists():
        if time.monotonic() > until or launcher.poll() is not None:
            raise click.ClickException((trial.folder / "log").read_text())
        time.sleep(0.2)
    time.sleep(15 if ours else 5)
    return processes.pss(trial.alive())


def hold_all(out: Path) -> None:
    """Take all runs of a store for ourselves, so that a launcher finds nothing to do.

    The leases of this process lapse with it.
    """
    from scaling.runs import lease

    for job in read_json(out / "grid.json")["jobs"]:
        folder = out / job
        folder.mkdir(exist_ok=True)
        if not (folder / "result.json").exists():
            lease.acquire(folder, lease.TTL, 0)


def kill_worker(trial: Trial, runs: int) -> tuple[float, tuple[int, int]]:
    """Kill the busiest process when a quarter of the grid is done."""
    launcher = trial.start(counting=True)
    peak = trial.wait_for(runs // 4, launcher)
    others = trial.alive() - {launcher.pid}
    processes.send(processes.busiest(others), signal.SIGKILL)
    launcher.wait()
    return peak, trial.lost(runs)


def kill_launcher(trial: Trial, runs: int) -> tuple[int, tuple[int, int]]:
    """Kill the launcher when a third is done; see who is left; start it again."""
    launcher = trial.start(counting=True)
    trial.wait_for(runs // 3, launcher)
    launcher.kill()
    launcher.wait()
    time.sleep(SETTLE)
    left = len(trial.alive())
    trial.sweep()  # a person would, before the second start
    trial.start("--restart", counting=True).wait()
    return left, trial.lost(runs)


def pure_work(trial: Trial) -> float:
    """Sum the seconds that the runs take with no engine, four at a time."""
    trial.start().wait()
    return sum(float(path.read_text()) for path in trial.out.glob(".seconds-*"))
