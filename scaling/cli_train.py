"""The commands before there are losses: `scaling run`, `status`, `flops`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scaling.cli_common import (
    device_option,
    jobs_option,
    plain_errors,
    slots_on,
    stoppable,
)
from scaling.errors import ScalingError
from scaling.models.flops import (
    CONVENTIONS,
    PAPER_CONTEXT,
    PAPER_TEXT_WIDTH,
    Architecture,
)

if TYPE_CHECKING:
    from scaling.runs.launch import Outcome

# --- run ---


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
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processor threads per job; another number may round differently.",
)
@device_option
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
    "--dry-run",
    is_flag=True,
    help="Check the grid and print the plan; train nothing, write nothing.",
)
@plain_errors
def run(
    grid: Path,
    out: Path | None,
    jobs: int | None,
    threads: int,
    device: str,
    seed: int | None,
    overrides: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Train a grid of tokenizers and transformers.

    GRID is a YAML file. What is finished already is not done again; a run that was
    interrupted, killed even, goes on from its last checkpoint.

    \b
    Example:
      scaling run examples/quickstart.yaml --dry-run
      scaling run examples/quickstart.yaml --set seeds=[0,1] --out two-seeds
    """
    from scaling.runs.board import Board, plan_table
    from scaling.runs.calibrate import estimate, frames_of
    from scaling.runs.grid import load_grid
    from scaling.runs.launch import (
        code_version,
        find_device,
        jobs_done,
        launch,
        require_own,
    )
    from scaling.runs.plan import expand
    from scaling.runs.store import RUNS, TOKENIZERS
    from scaling.runs.worker import Place

    settings = [*overrides, *([f"seeds=[{seed}]"] if seed is not None else [])]
    plan = expand(load_grid(grid, settings))
    out = out or Path(plan.grid.study)
    device = find_device(device)
    slots = slots_on(device, jobs)
    require_own(plan, out)
    done = jobs_done(plan.jobs, out)
    to_do = [job for job in plan.jobs if job.folder not in done]
    seconds = estimate(to_do, frames_of(plan.grid.corpus), device, threads)
    click.echo(plan_table(plan, seconds, slots), err=not dry_run)
    if dry_run:
        return
    version = code_version()
    place = Place(out=out, device=device, threads=threads, code_version=version)
    board = Board(seconds, len(done), slots, sys.stderr)

    def so_far() -> str:
        return f"{len(jobs_done(plan.jobs, out))} of {len(plan.jobs)} jobs done; "

    with stoppable(so_far):
        outcome = launch(plan, place, slots, board)
    _close(outcome, out / (RUNS if plan.transformers else TOKENIZERS))


def _close(outcome: Outcome, table: Path) -> None:
    """Say what did not go well, and where the table lies."""
    for name in outcome.diverged:
        click.echo(f"{name} diverged; its evaluations before that are kept", err=True)
    if outcome.failed:
        first, reason = next(iter(outcome.failed.items()))
        jobs = "1 job" if len(outcome.failed) == 1 else f"{len(outcome.failed)} jobs"
        raise ScalingError(
            f"{jobs} failed, so that {outcome.waiting} more could not start; "
            f"{first}: {reason}; nothing finished is lost: run the same command again"
        )
    click.echo(table)


# --- status ---


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@plain_errors
def status(out: Path, as_json: bool) -> None:
    """Show what is done and what is not in a run store.

    \b
    Example:
      scaling status quickstart
    """
    from scaling.runs.status import read_status

    states = read_status(out)
    if as_json:
        click.echo(json.dumps([state.to_dict() for state in states]))
        return
    width = max(len(state.job) for state in states)
    for state in states:
        click.echo(f"{state.job:<{width}}  {state.describe()}")
    ended = sum(state.ended for state in states)
    click.echo(f"{ended} of {len(states)} jobs done")


# --- flops ---


@click.command()
@click.option(
    "--size",
    "size_name",
    required=True,
    help="44M to 3B by name, or LAYERSxHEADSxWIDTH.",
)
@click.option(
    "--codebook", type=int, required=True, help="Codebook size V, taken as given."
)
@click.option(
    "--n-ctx",
    type=int,
    default=PAPER_CONTEXT,
    show_default=True,
    help="Positions in a sequence, text included.",
)
@click.option(
    "--prefix",
    type=int,
    default=0,
    show_default=True,
    help="Text positions among them (matmul only).",
)
@click.option(
    "--text-width",
    type=int,
    default=PAPER_TEXT_WIDTH,
    show_default=True,
    help="Width of the text states (matmul and 6nd).",
)
@click.option(
    "--convention",
    type=click.Choice(list(CONVENTIONS)),
    help="Only this one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@plain_errors
def flops(
    size_name: str,
    codebook: int,
    n_ctx: int,
    prefix: int,
    text_width: int,
    convention: str | None,
    as_json: bool,
) -> None:
    """Count forward FLOPs per token in each convention.

    Training costs three times as much: C = 3 f D.

    \b
    Example:
      scaling flops --size 44M --codebook 256
      scaling flops --size 4x4x128 --codebook 1024 --convention openai --json
    """
    from scaling.models.sizes import size

    architecture = Architecture(
        size=size(size_name),
        codebook_size=codebook,
        n_ctx=n_ctx,
        n_prefix=prefix,
        text_width=text_width,
    )
    names = [convention] if convention else list(CONVENTIONS)
    counts = {name: CONVENTIONS[name](architecture) for name in names}
    if as_json:
        click.echo(json.dumps(counts))
        return
    for name, count in counts.items():
        click.echo(f"{name:<8}{count:>16,} FLOPs per token, forward")
