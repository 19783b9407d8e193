"""The command line: `scaling run`, `status`, `fit`, `plot`, `flops`.

Nothing heavy is imported up here, so that `scaling --help` answers at once; each
command imports what it needs. Data goes to stdout, everything else to stderr.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import click

from scaling import __version__
from scaling.errors import ScalingError, plain
from scaling.models.flops import (
    CONVENTIONS,
    PAPER_CONTEXT,
    PAPER_TEXT_WIDTH,
    Architecture,
)

if TYPE_CHECKING:
    from scaling.analysis.study import Study
    from scaling.analysis.table import Records
    from scaling.runs.launch import Outcome

INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell gives it."""

P = ParamSpec("P")


def plain_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Turn a user's mistake into one line on stderr and exit code 1."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except (OSError, ScalingError) as error:
            if os.environ.get("SCALING_TRACEBACK"):
                raise
            raise click.ClickException(plain(error)) from None

    return wrapped


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.pass_context
def main(context: click.Context) -> None:
    """Find scaling laws of tokenized data.

    How large a model, how large a codebook, how much data for a compute budget: train
    a grid, fit laws to its losses (or to anyone's), draw the figures.

    Exit codes: 0 done; 1 a mistake in the input, or failed runs; 2 a mistake in the
    command; 130 interrupted. SCALING_TRACEBACK=1 shows the stack behind an error.
    """
    if os.environ.get("NO_COLOR"):
        context.color = False


# --- run ---


@main.command()
@click.argument("grid", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the run store.  [default: the study's name]",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Jobs at a time.  [default: one per processor; one on a GPU]",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processor threads per job; another number may round differently.",
)
@click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."
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
    from scaling.runs.calibrate import estimate
    from scaling.runs.grid import load_grid
    from scaling.runs.launch import (
        code_version,
        find_device,
        jobs_done,
        launch,
        require_own,
    )
    from scaling.runs.plan import expand
    from scaling.runs.worker import Place

    settings = [*overrides, *([f"seeds=[{seed}]"] if seed is not None else [])]
    plan = expand(load_grid(grid, settings))
    out = out or Path(plan.grid.study)
    device = find_device(device)
    slots = jobs or (len(os.sched_getaffinity(0)) if device == "cpu" else 1)
    require_own(plan, out)
    done = jobs_done(plan, out)
    to_do = [job for job in plan.jobs if job.folder not in done]
    seconds = estimate(plan, to_do, device, threads)
    click.echo(plan_table(plan, seconds, slots), err=not dry_run)
    if dry_run:
        return
    version = code_version()
    place = Place(out=out, device=device, threads=threads, code_version=version)
    board = Board(seconds, len(done), slots, sys.stderr)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        outcome = launch(plan, place, slots, board)
    except KeyboardInterrupt:
        click.echo(
            f"stopped; {len(jobs_done(plan, out))} of {len(plan.jobs)} jobs done; "
            "run the same command to go on",
            err=True,
        )
        sys.exit(INTERRUPTED)
    _close(outcome, out)


def _close(outcome: Outcome, out: Path) -> None:
    from scaling.runs.store import RUNS

    for name in outcome.diverged:
        click.echo(f"{name} diverged; its evaluations before that are kept", err=True)
    if outcome.failed:
        first, reason = next(iter(outcome.failed.items()))
        jobs = "1 job" if len(outcome.failed) == 1 else f"{len(outcome.failed)} jobs"
        raise ScalingError(
            f"{jobs} failed, so that {outcome.waiting} more could not start; "
            f"{first}: {reason}; nothing finished is lost: run the same command again"
        )
    click.echo(out / RUNS)


# --- status ---


@main.command()
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


# --- fit ---


def _columns(text: str | None) -> dict[str, str]:
    """Read `--columns C=flops,N_nv=params`."""
    columns = {}
    for pair in (text or "").split(","):
        name, equals, column = pair.partition("=")
        if equals and name and column:
            columns[name.strip()] = column.strip()
        elif pair:
            raise click.BadParameter(
                f"{pair!r} is not NAME=COLUMN", param_hint="--columns"
            )
    return columns


@main.command()
@click.argument("sources", nargs=-1, required=True)
@click.option(
    "--columns",
    metavar="NAME=COLUMN,...",
    help="Columns of a table that has other names: C, D, V, N_nv, N_v, L, L_u, run.",
)
@click.option(
    "--holdout",
    type=float,
    help="Hold points out of the fit: above 1 those from this compute (FLOPs) on, "
    "below 1 this share of the frontier.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the laws to this JSON file."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object and nothing else."
)
@plain_errors
def fit(
    sources: tuple[str, ...],
    columns: str | None,
    holdout: float | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Derive scaling laws from losses.

    SOURCES are run stores of scaling run; CSV, Parquet or JSONL files; or the word
    scamo, the built-in reference study. A table needs compute (FLOPs) and loss, and
    for the other laws parameters, codebook and tokens.

    \b
    Example:
      scaling fit quickstart --out laws.json
      scaling fit losses.csv --columns C=compute,L=val_loss,N_nv=params
      scaling fit scamo --json
    """
    from scaling.analysis.records import read
    from scaling.analysis.render import summary
    from scaling.analysis.study import fit as fit_laws

    study = fit_laws(read(sources, _columns(columns)), holdout=holdout)
    study.require_laws()
    if out:
        study.save(out)
    if as_json:
        click.echo(json.dumps(study.to_dict(), allow_nan=False))
        return
    click.echo(summary(study))
    if out:
        click.echo(out)


# --- plot ---


@main.command()
@click.argument("sources", nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("figures"),
    show_default=True,
    help="Folder for the figures.",
)
@click.option(
    "--figure",
    "only",
    multiple=True,
    help="Only this figure, such as figure3b; may be repeated.",
)
@click.option(
    "--format",
    "formats",
    default="png,svg,pdf",
    show_default=True,
    help="File formats.",
)
@click.option("--columns", metavar="NAME=COLUMN,...", help="As for scaling fit.")
@click.option("--holdout", type=float, help="As for scaling fit.")
@plain_errors
def plot(
    sources: tuple[str, ...],
    out: Path,
    only: tuple[str, ...],
    formats: str,
    columns: str | None,
    holdout: float | None,
) -> None:
    """Draw the figures of a study.

    SOURCES are those of scaling fit, or one laws.json that it wrote (which holds the
    points of every figure but the training curves, figure 2). Beside each figure lies
    the table behind it as CSV. Prints the paths.

    \b
    Example:
      scaling plot quickstart --out quickstart/figures
      scaling plot scamo --figure figure3b --format svg
    """
    from scaling.analysis.figures import figures, save

    records, study = _records_and_study(sources, columns, holdout)
    gallery = figures(records, study, only or None)
    for name, reason in gallery.missing.items():
        click.echo(f"{name} is not drawn: {reason}", err=True)
    for figure in gallery.figures:
        for path in save(figure, out, formats.split(",")):
            click.echo(path)


def _records_and_study(
    sources: Sequence[str], columns: str | None, holdout: float | None
) -> tuple[Records | None, Study]:
    from scaling.analysis.records import read
    from scaling.analysis.study import Study
    from scaling.analysis.study import fit as fit_laws

    if len(sources) == 1 and sources[0].lower().endswith(".json"):
        if columns or holdout is not None:
            raise click.UsageError(
                "--columns and --holdout belong to a fit; "
                f"{sources[0]} holds one already: give its records instead"
            )
        return None, Study.load(sources[0])
    records = read(sources, _columns(columns))
    return records, fit_laws(records, holdout=holdout)


# --- flops ---


@main.command()
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
