"""Kill a study of 24 runs a hundred times at random; compare it with a straight run.

    python benchmarks/hundred_kills.py
    python benchmarks/hundred_kills.py --engine slurm --kills 20
    python benchmarks/hundred_kills.py examples/cmu.yaml --kills 8 --every 30

Half of the runs have a cosine schedule; half are branches of trunks. Several launchers
work on one store at once, some by `scaling run`, some by `scaling work`, each started
again when it has gone. Every few seconds, at a random moment, one process is sent
SIGKILL: a worker, a launcher, a forkserver; now and then another is sent SIGTERM or
SIGINT, or is stopped for a while and goes on. Those do not count as kills. A study that
ends before its share of the kills have hit is begun again in an empty folder. With
`--engine slurm` or `ray` the jobs are done by agents on a cluster of two nodes that the
scripts of examples/cluster start on this machine, and agents, Slurm's jobs and whole
nodes are victims as well.

Judged from without: by the kernel's notices of every file that is put in place, and by
the tables. Exits with 1 unless no result was lost or changed, no job was finished twice
or touched after its end, both tables equal those of the straight run byte for byte,
and no process is left.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click
from engines import processes
from engines.fire import ENGINES, Local
from engines.notices import Watch

from scaling.files import read_json

GRID = """\
study: hundred-kills
corpus: {{kind: kinematic, sequences: 200}}
tokenizers: {{codebooks: [64, 256], width: 16, depth: 1, steps: 200, batch_size: 8}}
transformers:
  sizes: [1x1x16, 1x2x32]
  tokens: [{tokens}]
  batch_size: 8
  evaluations: 8
  schedule: {schedule}
seeds: [0]
"""
"""Two codebooks x two sizes x three budgets, for each of two schedules."""

SCHEDULES = {"cosine": "200000, 300000, 400000", "wsd": "250000, 500000, 750000"}
"""Budgets that take about the same time: branches share their trunk."""

TABLES = ("runs.csv", "tokenizers.csv")

LOOKS = 0.05
"""Seconds between two looks at the kernel's notices."""

SETTLE = 20.0
"""Seconds that everything has to leave at the end."""

PATIENCE = 900.0
"""Seconds without a finished job after which the study counts as stuck."""


@dataclass(kw_only=True, slots=True)
class Tally:
    """What was done to one study, and what came of it."""

    hits: Counter[str] = field(default_factory=Counter)
    """Signals sent, by kind and victim."""
    counts: Counter[str] = field(default_factory=Counter)
    """Everything else that the table shows."""

    @property
    def kills(self) -> int:
        """Times that SIGKILL hit."""
        return sum(n for name, n in self.hits.items() if name.startswith("SIGKILL"))

    @property
    def sound(self) -> bool:
        """Whether nothing was lost, done twice, different or left."""
        return not any(self.counts[name] for name in FAULTS)


FAULTS = (
    *("results lost or changed", "jobs finished twice", "jobs touched after their end"),
    *("jobs not finished", *(f"{table} differs" for table in TABLES)),
    "processes left behind",
)


def not_finished(out: Path) -> list[str]:
    """List the jobs of a store that have no result."""
    jobs = read_json(out / "grid.json")["jobs"]
    return [job for job in jobs if not (out / job / "result.json").exists()]


def same(one: Path, other: Path) -> bool:
    """Whether two files are there and are equal."""
    both = one.exists() and other.exists()
    return both and one.read_bytes() == other.read_bytes()


def command(grid: Path, out: Path, jobs: int) -> list[str]:
    """`scaling run`, as anyone would write it."""
    options = [str(grid), "--out", str(out), "--jobs", str(jobs)]
    return [sys.executable, "-m", "scaling", "run", *options]


def under_fire(
    cluster: Local, out: Path, kills: int, every: float, chance: random.Random
) -> Tally:
    """Work on a store to its end while signals hit."""
    tally = Tally()
    with cluster:
        stuck_at, done = time.monotonic() + PATIENCE, 0
        while not (out / "grid.json").exists():
            if time.monotonic() > stuck_at:
                raise click.ClickException(f"no launcher began {out}; see its logs")
            cluster.tend()
            time.sleep(LOOKS)
        watch = Watch(out)
        hit_at = time.monotonic() + chance.expovariate(1 / every)
        while not_finished(out) and time.monotonic() < stuck_at:
            watch.look()
            cluster.tend()
            if tally.kills < kills and time.monotonic() > hit_at:
                tally.hits.update(cluster.hit(chance))
                hit_at = time.monotonic() + chance.expovariate(1 / every)
            finished = sum(history.finished for history in watch.jobs.values())
            if finished > done:
                stuck_at, done = time.monotonic() + PATIENCE, finished
            time.sleep(LOOKS)
        cluster.rest()
    watch.close()
    histories = watch.jobs.values()
    tally.counts["starts of launchers"] = cluster.starts
    tally.counts["starts of jobs"] = sum(h.counts["config.json"] for h in histories)
    tally.counts["jobs"] = len(histories)
    tally.counts["results lost or changed"] = sum(h.lost for h in histories)
    tally.counts["jobs finished twice"] = sum(
        h.counts["result.json"] > 1 for h in histories
    )
    tally.counts["jobs touched after their end"] = sum(
        bool(h.after_end) for h in histories
    )
    tally.counts["jobs not finished"] = len(not_finished(out))
    return tally


def left_behind(mark: str, seconds: float) -> int:
    """Count the processes that are still there after a while, and end them."""
    until = time.monotonic() + seconds
    while processes.marked(mark) and time.monotonic() < until:
        time.sleep(0.2)
    left = processes.marked(mark)
    for process in left:
        click.echo(f"left behind: {processes.command(process)}", err=True)
    processes.sweep(mark)
    return len(left)


def straight_run(grid: Path, out: Path, jobs: int) -> float:
    """Run a study with nobody disturbing it; return its seconds."""
    start = time.monotonic()
    ran = subprocess.run(
        command(grid, out, jobs), capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise click.ClickException(f"the straight run failed:\n{ran.stderr}")
    return time.monotonic() - start


def built_in(folder: Path) -> list[Path]:
    """Write the two studies, a file each."""
    paths = [folder / f"{schedule}.yaml" for schedule in SCHEDULES]
    for path in paths:
        tokens = SCHEDULES[path.stem]
        path.write_text(GRID.format(schedule=path.stem, tokens=tokens))
    return paths


def trial(
    grid: Path,
    folder: Path,
    begin: Callable[[Path, Path, str], Local],
    kills: int,
    every: float,
    chance: random.Random,
) -> Tally:
    """Run one study straight and, as often as it takes, under fire."""
    straight = folder / f"{grid.stem}-straight"
    total = Tally()
    seconds = straight_run(grid, straight, os.cpu_count() or 1)
    total.counts["seconds, straight"] = round(seconds)
    start = time.monotonic()
    while total.kills < kills:
        total.counts["rounds"] += 1
        out = folder / f"{grid.stem}-{total.counts['rounds']}"
        mark = uuid.uuid4().hex
        cluster = begin(grid, out, mark)
        tally = under_fire(cluster, out, kills - total.kills, every, chance)
        tally.counts["processes left behind"] = left_behind(mark, SETTLE)
        for table in TABLES:
            equal = same(out / table, straight / table)
            tally.counts[f"{table} differs"] = not equal
        total.hits += tally.hits
        total.counts.update(tally.counts)
        click.echo(
            f"{grid.stem}, round {total.counts['rounds']}: {total.kills} of {kills} "
            f"kills, {tally.counts['jobs']} jobs, "
            f"{'sound' if tally.sound else 'NOT SOUND'}",
            err=True,
        )
    total.counts["seconds, under fire"] = round(time.monotonic() - start)
    return total


def table(tallies: dict[str, Tally]) -> None:
    """Print one Markdown table, a column for each study."""
    first = ["rounds", "jobs", "seconds, straight", "seconds, under fire"]
    first += ["starts of launchers", "starts of jobs"]
    kinds = sorted({kind for tally in tallies.values() for kind in tally.hits})
    lines = [(name, [t.counts[name] for t in tallies.values()]) for name in first]
    lines += [(kind, [t.hits[kind] for t in tallies.values()]) for kind in kinds]
    lines += [("**kills (SIGKILL)**", [t.kills for t in tallies.values()])]
    lines += [
        (f"**{name}**", [t.counts[name] for t in tallies.values()]) for name in FAULTS
    ]
    click.echo(f"| | {' | '.join(tallies)} | all |")
    click.echo("|---|" + "--:|" * (len(tallies) + 1))
    for name, values in lines:
        click.echo(f"| {name} | {' | '.join(map(str, [*values, sum(values)]))} |")


def shares(kills: int, studies: int) -> list[int]:
    """Deal kills out to studies.

    >>> shares(100, 3)
    [34, 33, 33]
    """
    return [(kills + studies - 1 - study) // studies for study in range(studies)]


@click.command()
@click.argument("grids", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--kills", default=100, show_default=True, help="SIGKILLs in all.")
@click.option("--every", default=4.0, show_default=True, help="Mean seconds between.")
@click.option("--engine", "kind", type=click.Choice(list(ENGINES)), default="local",
              show_default=True, help="What runs the jobs.")  # fmt: skip
@click.option("--launchers", default=2, show_default=True, help="By `scaling run`.")
@click.option("--joined", default=1, show_default=True, help="By `scaling work`.")
@click.option("--jobs", default=2, show_default=True, help="Slots of each.")
@click.option("--seed", default=0, show_default=True, help="Draws the moments.")
@click.option("--keep", is_flag=True, help="Keep the stores and the launchers' logs.")
def main(
    grids: tuple[Path, ...],
    kills: int,
    every: float,
    kind: str,
    launchers: int,
    joined: int,
    jobs: int,
    seed: int,
    keep: bool,
) -> None:
    """Compare killed studies with straight ones: those of GRIDS, or two built in."""
    folder = Path(tempfile.mkdtemp(prefix="hundred-kills-"))
    chance = random.Random(seed)

    def begin(grid: Path, out: Path, mark: str) -> Local:
        run = command(grid, out, jobs)
        work = [*run[:3], "work", str(out), "--jobs", str(jobs)]
        return ENGINES[kind]([run] * launchers, [work] * joined, out, mark)

    studies = grids or built_in(folder)
    tallies = {
        grid.stem: trial(grid, folder, begin, share, every, chance)
        for grid, share in zip(studies, shares(kills, len(studies)), strict=True)
    }
    table(tallies)
    sound = all(tally.sound for tally in tallies.values())
    if keep or not sound:
        click.echo(f"the stores and the logs are kept for a look: {folder}", err=True)
    else:
        shutil.rmtree(folder)
    sys.exit(not sound)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing is left
    main()
