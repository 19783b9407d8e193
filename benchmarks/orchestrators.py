"""A grid of small runs on four slots: ours beside Ray Tune, submitit and dask.

    python benchmarks/orchestrators.py
    python benchmarks/orchestrators.py --runs 8 --repeats 1 --only ours --only dask

Everyone trains the same runs with the same code, `engines/task.py`, in a store whose
corpus and tokenizer are ready; ours by `scaling run`, the others by the drivers of
`engines/drivers.py`. Rivals are installed beside what runs this script, in environments
of their own. Every trial begins with nothing running and ends when the command returns.
docs/orchestrators.md says what the columns mean, and what is fair about them.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import Any

import click
from engines.contenders import (
    CONTENDERS,
    SLOTS,
    Commands,
    Contender,
    commands,
    install,
    prepare,
)
from engines.trials import Trial, idle, kill_launcher, kill_worker, makespan, pure_work


@dataclass(kw_only=True, slots=True)
class Measured:
    """What was measured of one contender."""

    packages: int = 0
    """Packages that it adds to an environment with scaling."""
    megabytes: float = 0.0
    """What they take on the disk."""
    makespans: list[float] = field(default_factory=list)
    """Seconds from the start of the command to its return."""
    idle: float = 0.0
    """MB with nothing to do."""
    peaks: list[float] = field(default_factory=list)
    """MB at most, while all slots work."""
    worker_kill: list[tuple[int, int]] = field(default_factory=list)
    """Steps done for nothing, and runs not finished, after the kill of a worker."""
    launcher_kill: list[tuple[int, int]] = field(default_factory=list)
    """The same after the kill of the launcher, and a restart."""
    left: list[int] = field(default_factory=list)
    """Processes left after the kill of the launcher."""


def overhead(measured: Measured, work: float, runs: int) -> float:
    """Seconds of a slot that a run costs beyond its work."""
    return (median(measured.makespans) * SLOTS - work) / runs


ROWS: dict[str, Callable[[Measured, float, int], Any]] = {
    "makespan, s (median)": lambda m, work, runs: round(median(m.makespans), 1),
    "overhead per run, s": lambda m, work, runs: round(overhead(m, work, runs), 2),
    "memory, idle, MB": lambda m, work, runs: round(m.idle),
    "memory, peak, MB": lambda m, work, runs: round(max(m.peaks)),
    "packages added": lambda m, work, runs: m.packages,
    "MB added": lambda m, work, runs: round(m.megabytes),
    "worker killed: runs lost": lambda m, work, runs: mean(n for _, n in m.worker_kill),
    "worker killed: steps for nothing": lambda m, work, runs: round(
        mean(n for n, _ in m.worker_kill)
    ),
    "launcher killed: processes left": lambda m, work, runs: mean(m.left),
    "launcher killed: runs lost": lambda m, work, runs: mean(
        n for _, n in m.launcher_kill
    ),
    "launcher killed: steps for nothing": lambda m, work, runs: round(
        mean(n for n, _ in m.launcher_kill)
    ),
}


def table(all_measured: dict[str, Measured], work: float, runs: int) -> list[str]:
    """Print the table; return what a rival is better at."""
    click.echo(f"{runs} runs, {SLOTS} slots, {work:.1f} s of pure work\n")
    titles = [CONTENDERS[name].title for name in all_measured]
    click.echo(f"| | {' | '.join(titles)} |")
    click.echo("|---|" + "--:|" * len(titles))
    beaten = []
    for row, value in ROWS.items():
        values = {name: value(m, work, runs) for name, m in all_measured.items()}
        click.echo(f"| {row} | {' | '.join(f'{v:g}' for v in values.values())} |")
        ours = values.get("ours", 0)
        beaten += [
            f"{row}: {CONTENDERS[name].title} {v:g}, ours {ours:g}"
            for name, v in values.items()
            if v < ours
        ]
    return beaten


class Field:
    """Where trials take place: a folder, a grid and the store that all begin with."""

    def __init__(self, folder: Path, runs: int) -> None:
        self.folder = folder
        self.runs = runs
        self.grid, self.ready = prepare(folder, runs)

    def tried(self, start: Commands, trial: Callable[..., Any], *more: Any) -> Any:
        """Have one trial on a fresh store."""
        fresh = Trial(self.folder, self.ready, start)
        try:
            return trial(fresh, *more)
        finally:
            fresh.close()

    def enter(self, name: str) -> tuple[Commands, Measured]:
        """Install a contender, and weigh it at rest."""
        contender, measured, python = CONTENDERS[name], Measured(), Path(sys.executable)
        if contender.package:
            added = install(self.folder / name, contender)
            python, measured.packages, measured.megabytes = added
        start = commands(contender, python, self.grid)
        measured.idle = self.tried(start, idle, contender.driver is None)
        return start, measured

    def measure(self, start: Commands, measured: Measured) -> None:
        """Have every other trial once."""
        measured.makespans.append(self.tried(start, makespan, self.runs))
        peak, lost = self.tried(start, kill_worker, self.runs)
        measured.peaks.append(peak)
        measured.worker_kill.append(lost)
        left, lost = self.tried(start, kill_launcher, self.runs)
        measured.left.append(left)
        measured.launcher_kill.append(lost)


@click.command()
@click.option("--runs", default=32, show_default=True, help="Runs of the grid.")
@click.option("--repeats", default=3, show_default=True, help="Of every trial.")
@click.option("--only", multiple=True, type=click.Choice(list(CONTENDERS)),
              help="These contenders; all by default.")  # fmt: skip
def main(runs: int, repeats: int, only: tuple[str, ...]) -> None:
    """Compare orchestrators on one machine."""
    folder = Path(tempfile.mkdtemp(prefix="orch-"))  # short: Ray makes sockets in it
    try:
        trials = Field(folder, runs)
        nothing = Contender(title="no engine", driver="nothing")
        start = commands(nothing, Path(sys.executable), trials.grid)
        work = median(trials.tried(start, pure_work) for _ in range(repeats))
        entered = {name: trials.enter(name) for name in only or CONTENDERS}
        for repeat in range(repeats):  # in turns, for a machine changes with time
            for name, (start, measured) in entered.items():
                trials.measure(start, measured)
                click.echo(f"{repeat + 1}, {name}: {measured}", err=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    beaten = table({name: each for name, (_, each) in entered.items()}, work, runs)
    for line in beaten:
        click.echo(f"\nbetter than ours: {line}", nl=False)
    click.echo()
    sys.exit(bool(beaten))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing is left
    main()
