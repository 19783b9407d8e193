"""Kill a study at random, launch it again, and compare its record with a straight run.

    python benchmarks/kill_and_resume.py examples/cmu.yaml --kills 5

Each kill is a SIGKILL to the launcher or to one of its workers, drawn at random, and
then to the launcher, at a random moment. The two `runs.csv` must be equal byte for byte
and no finished run may be repeated. Exits with 1 when either fails.
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
from contextlib import suppress
from pathlib import Path

import click


def descendants(process: int) -> list[int]:
    """List the processes below a process."""
    listing = Path(f"/proc/{process}/task/{process}/children")
    try:
        children = [int(child) for child in listing.read_text().split()]
    except OSError:  # it ended just now
        return []
    return [*children, *(below for child in children for below in descendants(child))]


def finished(out: Path) -> dict[Path, int]:
    """Jobs that are over, with the time at which they ended."""
    return {path: path.stat().st_mtime_ns for path in out.glob("*/result.json")}


def kill_once(command: list[str], after: float, chance: random.Random) -> str:
    """Start the study, kill one of its processes and then the launcher."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **quiet) as launcher:
        time.sleep(after)
        if launcher.poll() is not None:
            return "it had ended before"
        victim = chance.choice([launcher.pid, *descendants(launcher.pid)])
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        time.sleep(chance.uniform(0, 2))
        launcher.kill()
        return "launcher" if victim == launcher.pid else "a worker, then the launcher"


def run(command: list[str]) -> None:
    """Run the study to its end."""
    subprocess.run(command, check=True, capture_output=True)


@click.command()
@click.argument("grid", type=click.Path(exists=True, path_type=Path))
@click.option("--kills", default=5, show_default=True, help="Times to kill.")
@click.option("--seed", default=0, show_default=True, help="Draws the moments.")
@click.option("--straight", type=click.Path(exists=True, path_type=Path),
              help="Store of a straight run that is there already.")  # fmt: skip
def main(grid: Path, kills: int, seed: int, straight: Path | None) -> None:
    """Compare a killed study with a straight one."""
    chance = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="kill-and-resume-"))
    command = [sys.executable, "-m", "scaling", "run", str(grid), "--out"]
    if straight is None:
        straight = folder / "straight"
        run([*command, str(straight)])
    jobs = len(list(straight.glob("*/result.json")))
    out, repeated = folder / "killed", 0
    for number in range(1, kills + 1):
        before = finished(out)
        after = chance.uniform(15, 75)
        victim = kill_once([*command, str(out)], after, chance)
        now = finished(out)
        repeated += sum(now.get(path) != ended for path, ended in before.items())
        click.echo(
            f"kill {number}: after {after:.0f} s, {victim}; {len(now)} of {jobs} done"
        )
    before = finished(out)
    run([*command, str(out)])
    repeated += sum(finished(out)[path] != ended for path, ended in before.items())
    same = (out / "runs.csv").read_bytes() == (straight / "runs.csv").read_bytes()
    click.echo(f"runs.csv equal byte for byte: {same}; jobs repeated: {repeated}")
    if not same or repeated:
        click.echo(f"both stores are kept for a look: {straight}, {out}")
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
