"""Time how fast the commands start, beside Python itself and beside click.

    python benchmarks/startup.py [--pairs 20] [--before FOLDER]

Each command is a process of its own, by turns with `python -c pass` and with
`python -c "import click"`: medians over the pairs in milliseconds, and what it takes
more than either. No command can take less than its Python with click, whose imports are
the limit. `--before` names a checkout of another version, to be timed in the same turns
(its ratio is the median of the pairs'). Last come the modules that cost the most, by
`python -X importtime`, those they import left out.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import click

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = str(ROOT / "examples" / "isoflops.csv")
MAIN = "from scaling.cli import main; main(prog_name='scaling')"
WANTED = 150
"""Milliseconds that help may take."""

CASES = {
    "scaling --help": [MAIN, "--help"],
    "scaling fit --help": [MAIN, "fit", "--help"],
    "scaling run --help": [MAIN, "run", "--help"],
    "scaling status --help": [MAIN, "status", "--help"],
    "import scaling": ["import scaling"],
    "scaling fit CSV (35 rows)": [MAIN, "fit", SAMPLE, "--columns", "N=params"],
}


def process(code: list[str], root: Path, *options: str) -> str:
    """Run code on the checkout at `root`, the folder that is; give its stderr."""
    command = [sys.executable, *options, "-c", *code]
    done = subprocess.run(command, check=True, cwd=root, capture_output=True, text=True)
    return done.stderr


def milliseconds(code: list[str], root: Path = ROOT) -> float:
    """Time one process."""
    start = time.perf_counter()
    process(code, root)
    return 1000 * (time.perf_counter() - start)


def compared(code: list[str], pairs: int, before: Path | None) -> list[str]:
    """Time a command by turns with the limits, and with another version."""
    milliseconds(code)  # files are read from the disk, byte code is written
    turns = []
    for _ in range(pairs):
        us = milliseconds(code)
        python, library = milliseconds(["pass"]), milliseconds(["import click"])
        them = milliseconds(code, before) if before else us
        turns.append((us, us - python, us - library, them, them / us))
    us, over_python, over_click, them, ratio = map(median, zip(*turns, strict=True))
    ratios = [turn[-1] for turn in turns]
    then = [f"{them:.0f}", f"{ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"]
    cells = [f"{us:.0f}", f"{over_python:.0f}", f"{over_click:.0f}"]
    return cells + (then if before else [])


def slowest(code: list[str], count: int = 8) -> list[tuple[int, str]]:
    """Give the modules that take longest by themselves, in microseconds."""
    said = process(code, ROOT, "-X", "importtime")
    rows = [line.removeprefix("import time:").split("|") for line in said.splitlines()]
    found = [(int(own), name.strip()) for own, _, name in rows if own.strip().isdigit()]
    return sorted(found, reverse=True)[:count]


@click.command()
@click.option("--pairs", default=20, show_default=True, help="Turns taken.")
@click.option(
    "--before",
    type=click.Path(exists=True, path_type=Path),
    help="Checkout of another version.",
)
def main(pairs: int, before: Path | None) -> None:
    """Print one table, and what is slow to import."""
    titles = ["", "ms", "over python -c pass", "over import click"]
    titles += ["before, ms", "before / now"] if before else []
    for cells in (titles, ["---"] * len(titles)):
        click.echo(f"| {' | '.join(cells)} |")
    for name, code in CASES.items():
        click.echo(f"| {' | '.join([name, *compared(code, pairs, before)])} |")
    click.echo(f"\nwanted of help: {WANTED} ms")
    for name in ("scaling --help", "scaling fit CSV (35 rows)"):
        listed = ", ".join(
            f"{module} {us / 1000:.1f}" for us, module in slowest(CASES[name])
        )
        click.echo(f"{name}, ms by module: {listed}")


if __name__ == "__main__":
    main()
