"""Who is compared, how each is installed and started, and on what."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scaling.files import write_json
from scaling.runs.grid import load_grid
from scaling.runs.plan import expand as plan_of

SLOTS = 4
"""Runs at a time."""

GRID = """\
study: orchestrators
corpus: {{kind: kinematic, sequences: 200}}
tokenizers: {{codebooks: [64], width: 16, depth: 1, steps: 100, batch_size: 8}}
transformers: {transformers}
evaluator: none
seeds: {seeds}
"""
RUNS = "{sizes: [1x1x16], tokens: [150000], batch_size: 8, evaluations: 4}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """One way to have the runs done."""

    title: str
    """As the table calls it."""
    package: str | None = None
    """What is installed for it, with its version."""
    driver: str | None = None
    """Its name in engines/drivers.py; None is ours."""


CONTENDERS = {
    "ours": Contender(title="`scaling run`"),
    "ray": Contender(title="Ray Tune", package="ray[tune]==2.60.0", driver="ray"),
    "submitit": Contender(
        title="submitit, local", package="submitit==1.5.4", driver="submitit"
    ),
    "dask": Contender(
        title="dask.distributed", package="distributed==2026.8.0", driver="dask"
    ),
    "processes": Contender(title="a process per run", driver="processes"),
}

Commands = Callable[[Path, str], list[str]]
"""From a store and a way to start (empty, `--restart`, `--idle`) to a command."""


def install(folder: Path, contender: Contender) -> tuple[Path, int, float]:
    """Make an environment upon ours; return its Python, and what it adds."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = folder / "lib" / version / "site-packages"
    ours = sysconfig.get_path("purelib")
    (site / "beneath.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    assert contender.package is not None
    install = [*pip, "install", "--quiet", contender.package]
    subprocess.run(install, check=True, capture_output=True)
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    return python, len(list(site.glob("*.dist-info"))), size / 1e6


def prepare(folder: Path, runs: int) -> tuple[Path, Path]:
    """Write the grid, and a store in which its corpus and tokenizer are ready."""
    ready, grid, out = (folder / name for name in ("0.yaml", "grid.yaml", "ready"))
    ready.write_text(GRID.format(transformers="none", seeds=[0]))
    grid.write_text(GRID.format(transformers=RUNS, seeds=list(range(runs))))
    run = [sys.executable, "-m", "scaling", "run"]
    subprocess.run([*run, ready, "--out", out], check=True, capture_output=True)
    expand(grid, out)
    return grid, out


def expand(grid: Path, store: Path) -> None:
    """Make the store the grid's, for those who do not read grids themselves."""
    plan = plan_of(load_grid(grid))
    content = {
        "study": plan.grid.study,
        "jobs": [job.folder for job in plan.jobs],
        "grid": plan.grid.model_dump(mode="json"),
    }
    write_json(store / "grid.json", content)


def commands(contender: Contender, python: Path, grid: Path) -> Commands:
    """How to start a contender on a store."""

    def ours(out: Path, way: str) -> list[str]:
        run = [sys.executable, "-m", "scaling"]
        if way == "--idle":
            return [*run, "work", str(out), "--jobs", str(SLOTS)]
        return [*run, "run", str(grid), "--out", str(out), "--jobs", str(SLOTS)]

    def theirs(out: Path, way: str) -> list[str]:
        driver = [str(python), "-m", "engines.drivers", str(contender.driver), str(out)]
        return [*driver, way] if way else driver

    return ours if contender.driver is None else theirs
