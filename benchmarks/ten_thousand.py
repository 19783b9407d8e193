"""Plan a grid of 10,000 runs, and ask for the status of its store: seconds of each.

    python benchmarks/ten_thousand.py

The plan is to take 2 s at most, `scaling status`, the whole command, 1 s. The store is
made up: each job has a config, ten evaluations and a result, the most that there is to
read. The best of three; exits with 1 when either takes longer.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click

from scaling.runs.plan import Plan, expand
from scaling.runs.sections import Grid

PLAN_SECONDS, STATUS_SECONDS = 2.0, 1.0

WIDTHS = range(32, 352, 32)

GRID = {
    "study": "ten-thousand",
    "corpus": {"kind": "kinematic", "sequences": 40},
    "tokenizers": {"codebooks": [16, 64, 256, 1024, 4096]},
    "transformers": {
        "sizes": [f"{layers}x2x{width}" for layers in (1, 2) for width in WIDTHS],
        "tokens": [1000 * n for n in range(1, 11)],
    },
    "seeds": list(range(10)),
}

EVALUATION = {
    "tokens": 1000,
    "flops": 123_456_789,
    "loss": 3.25,
    "unigram_loss": 4.5,
    "normalised_loss": -1.25,
    "bits_per_second": 15.5,
    "cooled": False,
    "seconds": 1.5,
}


def write_store(plan: Plan, out: Path) -> None:
    """Write a store as it is at the end."""
    jobs = [job.folder for job in plan.jobs]
    (out / "grid.json").write_text(json.dumps({"study": "x", "jobs": jobs, "grid": {}}))
    rows = [json.dumps({"step": step, **EVALUATION}) for step in range(10)]
    for job in jobs:
        (out / job).mkdir()
        (out / job / "config.json").write_text("{}")
        (out / job / "metrics.jsonl").write_text("\n".join([*rows, ""]))
        (out / job / "result.json").write_text('{"status": "finished"}')


def best(action: Callable[[], object]) -> float:
    """Seconds of the fastest of three."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


@click.command()
def main() -> None:
    """Time both."""
    grid = Grid.model_validate(GRID)
    plan = expand(grid)
    planned = best(lambda: expand(grid))
    with tempfile.TemporaryDirectory(prefix="ten-thousand-") as folder:
        write_store(plan, Path(folder))
        command = [sys.executable, "-m", "scaling", "status", folder]
        said = subprocess.run(command, check=True, capture_output=True, text=True)
        asked = best(lambda: subprocess.run(command, check=True, capture_output=True))
    click.echo(f"{len(plan.transformers):,} runs, {said.stdout.splitlines()[-1]}")
    click.echo(f"planned in {planned:.2f} s (<= {PLAN_SECONDS:g})")
    click.echo(f"scaling status in {asked:.2f} s (<= {STATUS_SECONDS:g})")
    if planned > PLAN_SECONDS or asked > STATUS_SECONDS:
        sys.exit(1)


if __name__ == "__main__":
    main()
