"""The command that puts laws to the test: `scaling verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.cli_common import (
    LawOptions,
    columns_option,
    device_option,
    files_too,
    jobs_option,
    law_options,
    parse_columns,
    plain_errors,
    stoppable,
)

if TYPE_CHECKING:
    from scaling.runs.forecast import Forecast
    from scaling.trial import Trial


@click.command()
@click.argument("study", shell_complete=files_too)
@click.option(
    "--law",
    metavar="NAME",
    help="The law that foretells, as for scaling fit; or envelope.  [default: auto, "
    "the one that predicts best]",
)
@click.option(
    "--compute",
    type=click.FloatRange(min=1),
    metavar="FLOPS",
    help="Budget of the run.  [default: 10 times the largest compute of the rows]",
)
@click.option(
    "--codebook",
    type=click.IntRange(min=2),
    help="Codes of the run, where the law does not choose them.",
)
@columns_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the verification.  [default: verify-FLOPS in the study's folder]",
)
@click.option(
    "--measured",
    type=float,
    metavar="LOSS",
    help="Loss of a run that was trained elsewhere, after the prediction was frozen.",
)
@law_options
@jobs_option
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Processor threads per process.  [default: those of the first launch, or as "
    "many as end soonest]",
)
@device_option
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print the prediction and the plan; train nothing, write nothing.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object: how it ended, or with --dry-run what is foretold.",
)
@plain_errors
def verify(
    study: str,
    law: str | None,
    compute: float | None,
    codebook: int | None,
    columns: str | None,
    out: Path | None,
    measured: float | None,
    how: LawOptions,
    jobs: int | None,
    threads: int | None,
    device: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Predict a larger run, train it, and compare.

    STUDY is a run store, a table, or the laws that scaling fit --out wrote. The
    prediction is frozen in a file with a digest before any training, and the run is
    trained with the study's own corpus and tokenizers. A second call goes on where the
    first was stopped. That a prediction fails is a result, and no error.

    \b
    Example:
      scaling verify quickstart --dry-run
      scaling verify quickstart --law codebook --compute 1e13
      scaling verify losses.csv --columns N=params,D=tokens,L=loss
      scaling verify losses.csv --columns N=params,D=tokens,L=loss --measured 2.13
    """
    from scaling.trial import begin, conclude, expected
    from scaling.trial_laws import Asked

    asked = Asked(
        law=law, compute=compute, codebook=codebook, out=out, how=_keywords(how)
    )
    trial = begin(
        study,
        asked,
        parse_columns(columns),
        uncooled=how.uncooled,
        write=not dry_run,
        measured=measured,
    )
    train_it = trial.to_train and measured is None
    forecast = expected(trial, jobs, threads, device) if train_it else None
    if dry_run:
        _show_plan(trial, forecast, as_json)
        return
    if forecast is not None:
        _train(trial, forecast)
    trial = conclude(trial, measured)
    if as_json:
        click.echo(json.dumps(trial.to_dict(), allow_nan=False))
        return
    click.echo("\n".join([repr(trial), "", *trial.files().values()]))


def _keywords(how: LawOptions) -> dict[str, Any]:
    """Give the keywords of `scaling.fit`."""
    return {
        "objective": how.name,
        "delta": how.delta,
        "quantile": how.quantile,
        "loss_space": how.space,
        "rows": how.rows,
        "fix": how.fix,
        "tie": how.tie,
        "bound": how.bound,
    }


def _show_plan(trial: Trial, forecast: Forecast | None, as_json: bool) -> None:
    """Print what is foretold and what would be done."""
    if as_json:
        plan = forecast and forecast.to_dict()
        click.echo(json.dumps({**trial.to_dict(), "plan": plan}, allow_nan=False))
        return
    click.echo(trial)
    if forecast is not None:
        from scaling.runs.plan_table import plan_table

        click.echo(f"\n{plan_table(forecast)}")


def _train(trial: Trial, forecast: Forecast) -> None:
    """Train the run; stopped, say how to go on."""
    from scaling.runs.launch import jobs_done
    from scaling.trial import train

    jobs = forecast.plan.jobs

    def so_far() -> str:
        return f"{len(jobs_done(jobs, trial.folder))} of {len(jobs)} jobs done; "

    with stoppable(so_far):
        train(trial, forecast)
