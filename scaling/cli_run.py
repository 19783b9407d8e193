"""The command that trains a grid: `scaling run`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.cli_common import device_option, jobs_option, plain_errors, stoppable
from scaling.cli_executor import ClusterOptions, executor_options
from scaling.errors import ScalingError

if TYPE_CHECKING:
    from scaling.runs.forecast import Forecast
    from scaling.runs.launch import Outcome

AUTO = 0
"""Threads that are to be chosen."""


class _Threads(click.IntRange):
    """A number of threads, or `auto`."""

    name = "threads"

    def convert(self, value: Any, *context: Any) -> Any:
        return AUTO if value == "auto" else super().convert(value, *context)


THREADS = _Threads(min=1)


@click.command()
@click.argument("grid", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the run store.  [default: the study's name]",
)
@jobs_option
@click.option(
    "--threads",
    type=THREADS,
    metavar="[INTEGER|auto]",
    help="Processor threads per process; another number may round differently. auto: "
    "as many as end the grid soonest.  [default: those of the first launch, or 1]",
)
@device_option
@executor_options
@click.option(
    "--processes-per-run",
    "processes",
    type=click.IntRange(min=1),
    help="Processes of each transformer run, one per GPU.  [default: as at the first "
    "launch, or 1]",
)
@click.option(
    "--parallel",
    type=click.Choice(["ddp", "fsdp"]),
    default="ddp",
    show_default=True,
    help="ddp: each process holds the model; fsdp: a share of it.",
)
@click.option(
    "--export",
    multiple=True,
    type=click.Choice(["tensorboard", "wandb"]),
    help="Also write for TensorBoard or Weights & Biases, as runs train; may be "
    "repeated.",
)
@click.option(
    "--price",
    type=click.FloatRange(min=0),
    metavar="DOLLARS",
    help="Price of an hour of a GPU, or of this machine where jobs run on its "
    "processors: the plan says what each run costs.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), help="One seed in place of the grid's."
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Replace a setting of the grid; may be repeated.",
)
@click.option(
    "--report",
    is_flag=True,
    help="End with report.html in the store, as scaling report.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Check the grid and print the plan; train nothing, write nothing.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object: how it ended, or with --dry-run the plan.",
)
@plain_errors
def run(
    grid: Path,
    out: Path | None,
    jobs: int | None,
    threads: int | None,
    device: str,
    cluster: ClusterOptions,
    processes: int | None,
    parallel: Any,
    export: tuple[str, ...],
    price: float | None,
    seed: int | None,
    overrides: tuple[str, ...],
    report: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train a grid of tokenizers and transformers.

    GRID is a YAML file. What is finished already is not done again; a run that was
    interrupted, killed even, goes on from its last checkpoint.

    \b
    Example:
      scaling run examples/quickstart.yaml --dry-run
      scaling run examples/quickstart.yaml --report
      scaling run examples/quickstart.yaml --set seeds=[0,1] --out two-seeds
    """
    from scaling.runs import forkserver
    from scaling.runs.grid import load_grid

    settings = [*overrides, *([f"seeds=[{seed}]"] if seed is not None else [])]
    study = load_grid(grid, settings)
    forkserver.begin(threads or 1)  # its imports beside our own

    from scaling.runs.claim import kept_parallel, kept_threads, require_own
    from scaling.runs.forecast import forecast
    from scaling.runs.group import Parallel
    from scaling.runs.launch import jobs_done
    from scaling.runs.packing import Wish
    from scaling.runs.plan import expand
    from scaling.runs.plan_table import plan_table
    from scaling.runs.slots import find_devices
    from scaling.runs.train import require_shares

    if report and study.transformers is None:
        raise click.UsageError(
            f"{grid} trains tokenizers alone, and a report is of transformers; leave "
            "--report out, and draw them with scaling plot"
        )
    plan = expand(study)
    out = out or Path(study.study)
    require_own(plan, out)
    several = Parallel(processes=processes, kind=parallel) if processes else None
    wish = Wish(
        devices=("cpu",) if cluster.elsewhere else find_devices(device),
        jobs=jobs,
        threads=threads or kept_threads(out) or (None if threads == AUTO else 1),
        parallel=several or kept_parallel(out),
    )
    if study.transformers is not None:
        require_shares(study.transformers.batch_size, wish.parallel.processes)
    expected = forecast(plan, jobs_done(plan.jobs, out), wish, price)
    if dry_run and as_json:
        click.echo(json.dumps(expected.to_dict()))
    else:
        click.echo(plan_table(expected), err=not dry_run)
    if not dry_run:
        outcome = _train(expected, out, cluster, export, jobs, device)
        _tell(outcome, expected, out, report=report, as_json=as_json)


def _tell(
    outcome: Outcome, expected: Forecast, out: Path, *, report: bool, as_json: bool
) -> None:
    """Say how a launch ended, and where its table and its page lie."""
    from scaling.api_figures import report as write_report
    from scaling.runs.store import RUNS, TOKENIZERS

    written = {"table": out / (RUNS if expected.plan.transformers else TOKENIZERS)}
    if report and not outcome.failed:
        written["report"] = write_report([out])
    close(outcome, as_json, **{name: str(path) for name, path in written.items()})
    if not as_json:
        click.echo("\n".join(map(str, written.values())))


def _train(
    expected: Forecast,
    out: Path,
    cluster: ClusterOptions,
    export: tuple[str, ...],
    jobs: int | None,
    device: str,
) -> Outcome:
    """Launch a plan, here or on a cluster."""
    from scaling.runs.board import Board
    from scaling.runs.export import exporting
    from scaling.runs.launch import jobs_done, launch
    from scaling.runs.worker import Place
    from scaling.version import code_version

    plan, slots = expected.plan, expected.packing.slots
    done = len(plan.jobs) - len(expected.packing.seconds)
    board = Board(expected.packing.seconds, done, len(slots), sys.stderr)

    def so_far() -> str:
        return f"{len(jobs_done(plan.jobs, out))} of {len(plan.jobs)} jobs done; "

    if cluster.elsewhere:
        with exporting(out, export):
            return cluster.launch(plan, out, slots[0], jobs, device, board)
    place = Place(out=out, code_version=code_version())
    with stoppable(so_far), exporting(out, export):
        return launch(plan, place, slots, board)


def close(outcome: Outcome, as_json: bool, **more: str) -> None:
    """Say how a launch ended, and what did not go well in it."""
    if as_json:
        click.echo(json.dumps({**more, **asdict(outcome)}))
    for name in outcome.diverged:
        click.echo(f"{name} diverged; its evaluations before that are kept", err=True)
    if outcome.failed:
        first, reason = next(iter(outcome.failed.items()))
        jobs = "1 job" if len(outcome.failed) == 1 else f"{len(outcome.failed)} jobs"
        waiting = f", so that {outcome.waiting} more could not start"
        raise ScalingError(
            f"{jobs} failed{waiting if outcome.waiting else ''}; {first}: {reason}; "
            "what is finished is kept: mend that, and run the same command again"
        )
