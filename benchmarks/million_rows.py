"""Time the analysis of up to a million log rows, step by step, beside plain pandas.

    python benchmarks/million_rows.py [--pairs 3] [--figure FILE.png]

Logs of a known law (Hoffmann et al.'s with noise per run, 1,000 evaluations a run, seed
0) are written as a CSV of 12 columns, as JSONL and Parquet of the same, and as a run
store of one `metrics.jsonl` per run. Two tables are printed. First the steps in one
process, at five sizes: milliseconds, rows per second at the largest, and the power of
the size that the cost of the upper decade follows, 1 for a linear step. The size is
that of its own input: rows, but for the envelope and the lines, which take runs and
points and are given as many of these here. Then `scaling fit`, the whole command as a
process, and by turns with it what a user would write by hand: a file at a time into
pandas, a loop over groups for the minima and one for the envelope, polyfit. Both must
find the same law of the loss. The plain way does less: it checks nothing, hashes
nothing, and fits one line of the five, without errors.

Peaks are read from Linux's /proc. The cost of the steps is drawn to --figure.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import click
import numpy as np
import pandas as pd
from seaborn import color_palette

from scaling.analysis.axes import canvas, decade_axis, house_style, key
from scaling.analysis.envelope import best_evaluations, envelope
from scaling.analysis.laws import FORMS, fit_form
from scaling.analysis.records import read
from scaling.analysis.render import summary
from scaling.analysis.study import fit

SIZES = (10_000, 31_000, 100_000, 316_000, 1_000_000)
PER_RUN = 1_000
CODEBOOKS = (256, 1024, 4096, 16_384, 65_536)
OF_RUN = ("size", "codebook_size", "non_vocab_params", "vocab_params", "learning_rate")
MARKS = "osD^v<>ph"
WANTED = "wanted at 1,000,000 rows: 5 s, 1024 MiB"

AFTER = """
status = open("/proc/self/status").read()
print(status.partition("VmHWM:")[2].split()[0])
"""
"""The most memory that a process held, in KiB, whatever its parent did."""

OURS = """
import sys
from scaling.cli import main
main(["fit", sys.argv[1], "--json"], standalone_mode=False)
assert "torch" not in sys.modules
"""

PLAIN = """
import json, sys
from pathlib import Path
import numpy as np, pandas as pd
path = Path(sys.argv[1])
if path.is_dir():
    tables = []
    for folder in sorted(path.iterdir()):
        table = pd.read_json(folder / "metrics.jsonl", lines=True)
        config = json.loads((folder / "config.json").read_text())
        tables.append(table.assign(run=folder.name, **config["record"]))
    rows = pd.concat(tables, ignore_index=True)
elif path.suffix == ".csv":
    rows = pd.read_csv(path)
elif path.suffix == ".jsonl":
    rows = pd.read_json(path, lines=True)
else:
    rows = pd.read_parquet(path)
best = []
for run, group in rows.groupby("run"):
    best.append(group.loc[group["normalised_loss"].idxmin()])
least, frontier = float("inf"), []
for row in sorted(best, key=lambda row: row["flops"]):
    if row["normalised_loss"] < least:
        least = row["normalised_loss"]
        frontier.append(row)
x, y = zip(*((np.log10(row["flops"]), row["normalised_loss"]) for row in frontier))
print(json.dumps({"laws": {"L_u(C)": {"slope": np.polyfit(x, y, 1)[0]}}}))
"""


# --- Logs ---------------------------------------------------------------------------


def made(rows: int) -> pd.DataFrame:
    """Draw the evaluations of a study, run by run."""
    rng = np.random.default_rng(0)
    runs = np.repeat(np.arange(rows // PER_RUN), PER_RUN)
    step = np.tile(np.arange(1, PER_RUN + 1), rows // PER_RUN)
    N = np.geomspace(1e6, 1e9, 10).round()[runs % 10]
    V = np.array(CODEBOOKS)[runs // 10 % len(CODEBOOKS)]
    N_v = (np.sqrt(N / 72).round() * V).round()
    D = (1e8 * rng.uniform(0.5, 2, rows // PER_RUN)[runs] * step).round()
    loss = 1.69 + 406.4 / (N + N_v) ** 0.34 + 410.7 / D**0.28
    loss *= np.exp(0.01 * rng.standard_normal(rows // PER_RUN)[runs])
    loss *= np.exp(0.002 * rng.standard_normal(len(runs)))
    return pd.DataFrame(
        {
            "run": pd.Series(runs).map("run-{:04d}".format),
            "size": pd.Series(N / 1e6).map("{:.3g}M".format),
            "codebook_size": V,
            "non_vocab_params": N.astype(int),
            "vocab_params": N_v.astype(int),
            "learning_rate": 3e-4,
            "step": step,
            "tokens": D.astype(int),
            "flops": 6 * (N + N_v) * D,
            "loss": loss,
            "unigram_loss": np.log(V),
            "normalised_loss": loss - np.log(V),
        }
    )


def write_store(table: pd.DataFrame, out: Path) -> None:
    """Write a run store, as `scaling run` leaves it."""
    for run, rows in table.groupby("run"):
        folder = out / str(run)
        folder.mkdir(parents=True)
        record = json.loads(rows[list(OF_RUN)].iloc[0].to_json())
        config = {"kind": "transformer", "record": record}
        (folder / "config.json").write_text(json.dumps(config))
        lines = map(json.dumps, rows.drop(columns=["run", *OF_RUN]).to_dict("records"))
        (folder / "metrics.jsonl").write_text("\n".join([*lines, ""]))
        (folder / "result.json").write_text('{"status": "finished"}')


def written(table: pd.DataFrame, folder: Path) -> Iterator[Path]:
    """Write a table in each form that there is a library for."""
    folder.mkdir()
    table.to_csv(folder / "logs.csv", index=False)
    yield folder / "logs.csv"
    write_store(table, folder / "store")
    yield folder / "store"
    table.to_json(
        folder / "logs.jsonl", orient="records", lines=True, double_precision=15
    )
    yield folder / "logs.jsonl"
    try:
        table.to_parquet(folder / "logs.parquet")
        yield folder / "logs.parquet"
    except ImportError:
        click.echo("Parquet is left out: pip install pyarrow", err=True)


# --- The steps ----------------------------------------------------------------------


def steps(sources: list[Path]) -> dict[str, float]:
    """Give the milliseconds of each step, the medians of three."""
    reads = {f"read {source.name}": partial(read, source) for source in sources}
    records = read(sources[0])
    points = records.points()
    alone = points.assign(run=np.arange(len(points)).astype(str))  # a run each
    study = fit(records)
    actions: dict[str, Callable[[], Any]] = {
        **reads,
        "hash of the rows": lambda: records.data_hash,
        "best of each run": lambda: best_evaluations(records.points()),
        "envelope (of as many runs)": partial(envelope, alone),
        "five lines (of as many points)": lambda: [fit_form(f, points) for f in FORMS],
        "fit, all of it": partial(fit, records),
        "render": partial(summary, study),
    }
    return {name: median(_times(action)) for name, action in actions.items()}


def _times(action: Callable[[], Any]) -> list[float]:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        kept = action()
        times.append(1000 * (time.perf_counter() - start))
        del kept
    return times


def exponent(costs: list[float]) -> float:
    """Give the power of the size that the cost of the upper decade follows.

    >>> round(exponent([1, 1, 10, 31.6, 100]), 2)
    1.0
    """
    return float(np.polyfit(np.log(SIZES[2:]), np.log(costs[2:]), 1)[0])


# --- The whole command --------------------------------------------------------------


class Run(NamedTuple):
    """One way, once."""

    seconds: float
    mebibytes: float
    slope: float


def process(code: str, source: Path) -> Run:
    """Fit a source in a process of its own."""
    command = [sys.executable, "-c", code + AFTER, str(source)]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - start
    found, peak = done.stdout.splitlines()
    slope = json.loads(found)["laws"]["L_u(C)"]["slope"]
    return Run(seconds, int(peak) / 1024, slope)


def compared(source: Path, pairs: int) -> list[str]:
    """Time both ways by turns, and check that they find the same."""
    turns = [(process(OURS, source), process(PLAIN, source)) for _ in range(pairs)]
    cells = []
    for way in zip(*turns, strict=True):
        cells.append(f"{median(run.seconds for run in way):.2f} s")
        cells.append(f"{max(run.mebibytes for run in way):.0f} MiB")
    assert all(abs(ours.slope / plain.slope - 1) < 1e-6 for ours, plain in turns)
    ratios = [plain.seconds / ours.seconds for ours, plain in turns]
    return [*cells, f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"]


# --- Output -------------------------------------------------------------------------


def table(rows: list[list[str]]) -> None:
    """Print rows of cells, the first being the heading."""
    for cells in (rows[0], ["---"] * len(rows[0]), *rows[1:]):
        click.echo(f"| {' | '.join(cells)} |")
    click.echo()


def draw(costs: dict[str, list[float]], path: Path) -> None:
    """Draw the cost of each step against the size of its input."""
    # As they end at the right; what a law's text takes depends on no size.
    drawn = sorted((each[-1], n, each) for n, each in costs.items() if n != "render")
    every = [cost for _, _, each in drawn for cost in each]
    low, high = min(every) / 2, 2 * max(every)
    ends = np.array([SIZES[0], SIZES[-1]])
    with house_style():
        (ax,) = canvas(4.2)
        ax.set(xscale="log", yscale="log", ylim=(low, high))
        for cost in 10.0 ** np.arange(-6, 2):  # milliseconds for each item
            ax.plot(ends, cost * ends, color="0.85", linewidth=0.8, zorder=0)
        lines = []
        colours = color_palette("colorblind", len(drawn))
        for colour, mark, (_, name, each) in zip(
            colours, MARKS, reversed(drawn), strict=False
        ):
            named = f"{name}: {exponent(each):.2f}"
            lines += ax.plot(SIZES, each, label=named, color=colour, marker=mark)
            lines[-1].set_markeredgecolor("white")
        ax.set_xlabel("Size of the step's input (rows, runs or points)")
        ax.set_ylabel("Time (ms)")
        ax.set_title(
            "Cost of each step of the analysis; grey lines: linear in the size"
        )
        decade_axis(ax.xaxis)
        decade_axis(ax.yaxis)
        key(ax, "Power of the size, from 1e5 on", lines, top=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        page = ax.get_figure(root=True)
        assert page is not None
        page.savefig(path)


@click.command()
@click.option("--pairs", default=3, show_default=True, help="Turns of both ways.")
@click.option(
    "--figure",
    type=click.Path(path_type=Path),
    default=Path("docs/performance/cost.png"),
    show_default=True,
)
def main(pairs: int, figure: Path) -> None:
    """Print the tables and draw the figure."""
    costs: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="million-rows-") as folder:
        for rows in SIZES:
            sources = list(written(made(rows), Path(folder) / f"{rows}"))
            for name, cost in steps(sources).items():
                costs.setdefault(name, []).append(cost)
        heading = ["step, ms", *(f"{rows:,}" for rows in SIZES), "rows/s", "power"]
        table([heading, *(_step(name, each) for name, each in costs.items())])
        sides = ["scaling fit", "peak", "plain pandas", "peak", "plain / ours"]
        whole = [
            [f"{source.name}, {rows:,} rows", *compared(source, pairs)]
            for rows in SIZES[::2]
            for source in sorted((Path(folder) / f"{rows}").iterdir())
        ]
        table([["", *sides], *whole])
    click.echo(WANTED)
    draw(costs, figure)


def _step(name: str, costs: list[float]) -> list[str]:
    per_second = 1000 * SIZES[-1] / costs[-1]
    times = [f"{cost:.3g}" if cost < 100 else f"{cost:.0f}" for cost in costs]
    return [name, *times, f"{per_second:,.0f}", f"{exponent(costs):.2f}"]


if __name__ == "__main__":
    main()
