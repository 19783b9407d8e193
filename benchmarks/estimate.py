"""How far the plan's estimate is from what then happens, on the quickstart.

    python benchmarks/estimate.py [GRID] [--jobs N] [--out FOLDER]

Takes the plan that `scaling run --dry-run --json` prints, runs the grid, and prints the
seconds of both, by kind of job and in all. A job's seconds are those from the first
sight of its folder to its result.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

LOOK_EVERY = 0.02
"""Seconds between two looks at the run store."""


def main() -> None:
    """Estimate, run, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    quickstart = ROOT / "examples" / "quickstart.yaml"
    parser.add_argument("grid", nargs="?", type=Path, default=quickstart)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = arguments.out or Path(folder) / "out"
        jobs = ["--jobs", str(arguments.jobs)] if arguments.jobs else []
        command = [sys.executable, "-m", "scaling", "run", str(arguments.grid)]
        command += ["--out", str(out), *jobs]
        start = time.perf_counter()
        plan = json.loads(_output([*command, "--dry-run", "--json"]))
        print(f"plan printed in {time.perf_counter() - start:.1f} s; {plan['packing']}")
        total, seconds = _run(command, out)
    _compare(plan, seconds)
    _line("makespan", plan["seconds"], total)


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _run(command: list[str], out: Path) -> tuple[float, dict[str, float]]:
    """Run a grid; return its makespan, and each job's seconds by folder."""
    begun: dict[str, float] = {}
    ended: dict[str, float] = {}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        while process.poll() is None:
            for folder in out.iterdir() if out.is_dir() else ():
                if not folder.is_dir():
                    continue
                begun.setdefault(folder.name, time.time())
                result = folder / "result.json"
                if folder.name not in ended and result.exists():
                    ended[folder.name] = result.stat().st_mtime
            time.sleep(LOOK_EVERY)
    if process.returncode:
        raise SystemExit(f"the grid failed; see {out}")
    seconds = {name: end - begun[name] for name, end in ended.items()}
    return max(ended.values()) - min(begun.values()), seconds


def _compare(plan: dict[str, Any], measured: dict[str, float]) -> None:
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for job in plan["jobs"]:
        kinds[job["kind"] + " " + job.get("size", "")].append(job)
    print(f"{'':24}{'estimate':>10}{'measured':>10}{'ratio':>8}")
    for kind, jobs in kinds.items():
        estimate = sum(job["seconds"] for job in jobs)
        _line(f"{len(jobs)} {kind}", estimate, sum(measured[j["job"]] for j in jobs))
    _line("sum", sum(j["seconds"] for j in plan["jobs"]), sum(measured.values()))


def _line(name: str, estimate: float, measured: float) -> None:
    print(f"{name:24}{estimate:10.1f}{measured:10.1f}{estimate / measured:8.2f}")


if __name__ == "__main__":
    main()
