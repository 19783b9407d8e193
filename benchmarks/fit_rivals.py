"""Time our fits against those of public tools, and compare the objectives reached.

    python benchmarks/fit_rivals.py --data DATA --venv .rivals --python python3.12

DATA holds the public tables, which have no licence and are not shipped:
`epoch_chinchilla/svg_extracted_data.csv` (epoch-research/analyzing-chinchilla),
`open_athena_isoflops/isoflops.csv` (Open-Athena/scaling-law-analysis) and
`sail_vocab/exp_data.csv` (sail-sg/scaling-with-vocab). The rivals of `rivals.txt` are
installed into an environment of their own; one of them needs Python 3.12. Every
contender is a process with one thread, gets the same rows, and its objective is
evaluated from its parameters by one function, `judged`. Seconds are the processor's;
starting Python and importing are left out. Where part of a rival's work is done, its
time is scaled to the whole and the table says which part: its objective is then that of
the part.

Exits with 1 if a rival ended below us anywhere, and prints the parameters.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import click
import numpy as np
import pandas as pd
from rivals.asking import Answer, Arena, Process, installed, judged
from rivals.contenders import DELTAS, RIVALS, Contender, Goal, goal, title
from rivals.rows import Rows, epoch_rows, isoflop_rows, vocabulary_rows

BELOW = 1e-9
"""How far below us, relatively, a rival must end to count: less is rounding."""
NEGATIVE = " (not counted: its floor is below zero, where our laws may not go)"


def heading(text: str) -> None:
    """Print a heading as Markdown."""
    click.echo(f"### {text}\n")


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Print a table as Markdown."""
    for line in (header, ["---"] * len(header), *lines):
        click.echo(f"| {' | '.join(line)} |")
    click.echo()


def times(ratio: float) -> str:
    """Write how many times as long a rival takes."""
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}"


# --- One fit ------------------------------------------------------------------------


def point_fits(arena: Arena, rows: Rows, whole: bool) -> None:
    """Time one fit of Chinchilla's law, from first start to last."""
    for objective in (
        goal("huber", "log", 1e-3),
        goal("huber", "linear", 1e-3),
        goal("lsq", "linear"),
    ):
        heading(f"Chinchilla's law, {rows.n} rows, {title(objective)}")
        us = arena.us(rows, "chinchilla", objective, repeats=6)
        first, later = us["seconds"][0], median(us["seconds"][1:])
        value = judged(us, rows, objective)
        shown = [f"{value:.10g}", ""]
        lines = [["ours, first call", f"{first:.3f}", *shown, "", us["note"]]]
        lines += [["ours, later calls", f"{later:.3f}", *shown, "1", us["note"]]]
        for rival, process in arena.against("chinchilla", objective):
            repeats = 1 if rival.brief else 3
            them = process.ask(
                rows, "chinchilla", objective, repeats=repeats, **rival.asked(whole)
            )
            measured = _measured(them, rows, objective, value, later)
            lines.append([rival.name, *measured])
        header = ["", "seconds", "objective", "above ours", "times ours", "starts"]
        table(header, lines)


def _measured(
    them: Answer, rows: Rows, objective: Goal, value: float, later: float
) -> list[str]:
    if "failed" in them:
        return ["", "", "", "", them["failed"]]
    seconds, theirs = median(them["seconds"]), judged(them, rows, objective)
    above, ratio = f"{theirs / value - 1:+.1e}", times(seconds / later)
    return [f"{seconds:.3f}", f"{theirs:.10g}", above, ratio, them["note"]]


# --- Many fits ----------------------------------------------------------------------


def bootstraps(arena: Arena, rows: Rows, count: int = 4000) -> None:
    """Time a bootstrap of Chinchilla's law."""
    lines = []
    for objective in (
        goal("huber", "log", 1e-3),
        goal("lsq", "log"),
        goal("lsq", "linear"),
    ):
        job = (rows, "chinchilla", objective)
        us = arena.us(*job, task="draws", repeats=4, count=count)
        later = median(us["seconds"][1:])
        cells = [f"{later:.2f}", f"{1e3 * later / count:.3f}", "1"]
        lines.append([title(objective), "ours, pairs", *cells, "point fit included"])
        for rival, process in arena.against("chinchilla", objective):
            if not rival.draws:
                continue
            them = process.ask(*job, task="draws", count=count, done=rival.draws)
            if "failed" in them:
                lines.append([title(objective), rival.name, "", "", "", them["failed"]])
                continue
            seconds = them["seconds"][0]
            cells = [f"{seconds:.2f}", f"{1e3 * seconds / count:.3f}"]
            cells += [times(seconds / later), them["note"]]
            lines.append([title(objective), rival.name, *cells])
    heading(f"{count} bootstrap draws, Chinchilla's law, {rows.n} rows")
    table(["objective", "", "seconds", "ms a draw", "times ours", "note"], lines)


# --- Every cell ---------------------------------------------------------------------

GOALS = (
    *(goal("huber", space, delta) for space in ("log", "linear") for delta in DELTAS),
    *(goal(name, space) for name in ("lad", "lsq") for space in ("log", "linear")),
)


def every_cell(arena: Arena, sets: Sequence[Rows]) -> int:
    """Compare objectives in every cell; count those where a rival ended below us."""
    lines, lost = [], []
    for rows in sets:
        for law in rows.laws:
            for objective in GOALS:
                against = arena.against(law, objective)
                if against:
                    line, better = cell(arena.ours, against, rows, law, objective)
                    lines.append(line)
                    lost += better
    heading("Objective in every cell: mean over rows, times 1e6")
    table(["rows", "n", "law", "objective", "ours", "best rival", "above ours"], lines)
    count = sum(not each.endswith(NEGATIVE) for each in lost)
    click.echo(f"{len(lines)} cells; rivals below us: {count}.\n")
    for each in lost:
        click.echo(f"- {each}")
    return count


def cell(
    ours: Process,
    against: Sequence[tuple[Contender, Process]],
    rows: Rows,
    law: str,
    objective: Goal,
) -> tuple[list[str], list[str]]:
    """Have all fit one law to one set; give the line, and who ended below us."""
    us = ours.ask(rows, law, objective)
    value = math.inf if "failed" in us else judged(us, rows, objective)
    where = [rows.name, str(rows.n), law, title(objective)]
    found, lost = {}, []
    for rival, process in against:
        them = process.ask(rows, law, objective, **(rival.brief or rival.options))
        if "failed" in them:
            continue
        theirs = found[rival.name] = judged(them, rows, objective)
        if theirs < value * (1 - BELOW):
            lost.append(
                f"{', '.join(where)}: {rival.name} reaches {theirs!r} with "
                f"{them['parameters']}; we {value!r} with {us.get('parameters', us)}"
                f"{NEGATIVE * (law != 'codebook' and them['parameters']['E'] < 0)}"
            )
    least = min(found.values(), default=math.nan)
    best = next((name for name in found if found[name] == least), "none ended")
    mean = f"{1e6 * value / rows.n:.6g}"
    return [*where, mean, best, f"{least / value - 1:+.1e}"], lost


# --- Many rows ----------------------------------------------------------------------


def million_rows(arena: Arena, rows: Rows, n: int = 1_000_000) -> None:
    """Time reading a million rows and fitting the log and the power law to them."""
    chance = np.random.default_rng(0)
    C = 10 ** chance.uniform(15, 21, n)
    loss = (8 - 0.3 * np.log10(C)) * np.exp(0.01 * chance.standard_normal(n))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "losses.csv")
        pd.DataFrame({"flops": C, "loss": loss}).to_csv(path, index=False)
        us = arena.us(rows, "", {}, task="million", repeats=3, path=str(path))
    heading(f"{n:,} rows read from CSV, fitted by the log and the power law")
    seconds = [f"{each:.2f}" for each in us["elapsed"]]
    table(["first call, seconds elapsed", "second", "third"], [seconds])


@click.command()
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="Folder of the public tables.",
)
@click.option(
    "--venv",
    type=click.Path(path_type=Path),
    default=Path(".rivals"),
    show_default=True,
    help="The rivals' environment, made if need be.",
)
@click.option("--python", default=sys.executable, help="Interpreter to make it with.")
@click.option(
    "--only",
    default="points,bootstraps,million,cells",
    show_default=True,
    help="Which tables.",
)
@click.option("--whole", is_flag=True, help="All starts of the rivals' point fits.")
def main(data: Path, venv: Path, python: str, only: str, whole: bool) -> None:
    """Compare our fits with those of public tools."""
    interpreter, wanted, lost = installed(venv, python), only.split(","), 0
    epoch = epoch_rows(data)
    with ExitStack() as stack:
        modules = sorted({rival.module for rival in RIVALS})
        processes = {m: stack.enter_context(Process(interpreter, m)) for m in modules}
        for module, process in processes.items():
            if process.absent:
                click.echo(f"{module} is left out: {process.absent}\n")
        rivals = [(r, processes[r.module]) for r in RIVALS]
        arena = Arena(
            ours=stack.enter_context(Process(sys.executable, "ours")),
            rivals=[pair for pair in rivals if not pair[1].absent],
        )
        if "points" in wanted:
            point_fits(arena, epoch, whole)
        if "bootstraps" in wanted:
            bootstraps(arena, epoch)
        if "million" in wanted:
            million_rows(arena, epoch)
        if "cells" in wanted:
            sets = [epoch, *isoflop_rows(data), *vocabulary_rows(data)]
            lost = every_cell(arena, sets)
    sys.exit(lost > 0)


if __name__ == "__main__":
    main()
