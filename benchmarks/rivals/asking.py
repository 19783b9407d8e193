"""Have contenders fit, each in a process of its own, and judge what they say."""

from __future__ import annotations

import json
import math
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from rivals.contenders import Contender, Goal
from rivals.rows import Rows

HERE = Path(__file__).resolve().parent
ONE_THREAD = {
    f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")
} | {"POLARS_MAX_THREADS": "1", "VECLIB_MAXIMUM_THREADS": "1"}

Answer = Mapping[str, Any]


class Process:
    """A contender's process, which answers one job after another."""

    def __init__(self, interpreter: Path | str, module: str) -> None:
        self.pipe = subprocess.Popen(
            [str(interpreter), str(HERE / "work.py"), module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **ONE_THREAD},
        )
        self.absent = self._read().get("absent")

    def ask(
        self, rows: Rows, law: str, goal: Goal, *, task: str = "fit", repeats: int = 1,
        **options: Any,
    ) -> Answer:  # fmt: skip
        """Have a job done; the answer says `failed` where it could not be."""
        columns = {name: column.tolist() for name, column in rows.columns.items()}
        job: dict[str, Any] = {"task": task, "law": law, "objective": goal}
        job |= {"columns": columns, "repeats": repeats, "options": options}
        assert self.pipe.stdin is not None
        print(json.dumps(job), file=self.pipe.stdin, flush=True)
        return self._read()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.pipe.kill()
        self.pipe.communicate()

    def _read(self) -> dict[str, Any]:
        assert self.pipe.stdout is not None
        line = self.pipe.stdout.readline()
        answer: dict[str, Any] = json.loads(line or '{"failed": "its process died"}')
        return answer


@dataclass(frozen=True, kw_only=True)
class Arena:
    """We, and the rivals that are there."""

    ours: Process
    """Our process."""
    rivals: Sequence[tuple[Contender, Process]]
    """Theirs."""

    def against(self, law: str, goal: Goal) -> list[tuple[Contender, Process]]:
        """Pick the rivals that can fit a law with an objective."""
        return [pair for pair in self.rivals if pair[0].offers(law, goal)]

    def us(self, *job: Any, **options: Any) -> Answer:
        """Have us do a job, and stop where we cannot."""
        answer = self.ours.ask(*job, **options)
        if "failed" in answer:
            raise click.ClickException(f"we failed: {answer['failed']}")
        return answer


def judged(answer: Answer, rows: Rows, goal: Goal) -> float:
    """Evaluate an objective in float64 from nothing but formula and parameters."""
    names = {**rows.columns, **answer["parameters"], "log10": np.log10}
    loss = rows.columns["L_u"]
    with np.errstate(all="ignore"):
        law = eval(answer["formula"], {"__builtins__": {}}, names)
        r = np.log(law) - np.log(loss) if goal["space"] == "log" else law - loss
    size, delta = np.abs(r), goal["delta"]
    rho = {
        "lad": lambda: size,
        "lsq": lambda: r**2 / 2,
        "huber": lambda: np.where(size <= delta, r**2 / 2, delta * (size - delta / 2)),
    }
    return math.fsum(rho[goal["name"]]())


def installed(venv: Path, python: str) -> Path:
    """Make the rivals' environment, unless it is there; give its interpreter."""
    interpreter = venv / "bin" / "python"
    if not interpreter.exists():
        subprocess.run([python, "-m", "venv", str(venv)], check=True)
    pip = [str(interpreter), "-m", "pip", "install", "--quiet", "--requirement"]
    subprocess.run([*pip, str(HERE.parent / "rivals.txt")], check=True)
    return interpreter
