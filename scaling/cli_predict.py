"""The commands from laws to what to train next: `scaling predict`, `compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from scaling.cli_common import (
    LawOptions,
    columns_option,
    files_too,
    law_options,
    parse_columns,
    parse_numbers,
    plain_errors,
)
from scaling.errors import ScalingError
from scaling.files import require_own
from scaling.models.flops import CONVENTIONS

# --- predict ---


@click.command()
@click.argument("laws", type=click.Path(path_type=Path))
@click.option("--compute", type=float, help="Budget to divide, in FLOPs.")
@click.option(
    "--at",
    multiple=True,
    metavar="NAME=VALUE,...",
    help="A given run: N=7e7,D=1.4e9. With --compute, what is not to be chosen: U=1e9.",
)
@click.option(
    "--codebook",
    type=click.IntRange(min=2),
    help="Codes of the run to build, where the law does not choose them.",
)
@click.option(
    "--convention",
    type=click.Choice(list(CONVENTIONS)),
    help="FLOPs convention of the run to build.  [default: that of the laws' runs]",
)
@click.option(
    "--grid",
    type=click.Path(path_type=Path),
    help="Write a grid of that run, which scaling run takes, to verify the prediction.",
)
@click.option(
    "--unit",
    type=click.Choice(["tokens", "seconds"]),
    default="tokens",
    show_default=True,
    help="Unit of D: tokens, or seconds of data.",
)
@click.option(
    "--tokens-per-second",
    type=float,
    help="Tokens in a second of data.  [default: 5, for motion of a run store]",
)
@click.option("--level", type=float, default=0.95, show_default=True, help="Coverage.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@plain_errors
def predict(
    laws: Path,
    compute: float | None,
    at: tuple[str, ...],
    codebook: int | None,
    convention: str | None,
    grid: Path | None,
    unit: str,
    tokens_per_second: float | None,
    level: float,
    as_json: bool,
) -> None:
    """Predict the best use of a budget, or the loss of a run.

    LAWS is the file that scaling fit --out wrote. A budget is divided into N*, V* and
    D*, with intervals, and into the nearest run that can be built, its FLOPs counted
    exactly.

    \b
    Example:
      scaling predict laws.json --compute 1e18
      scaling predict laws.json --compute 1e18 --grid verify.yaml
      scaling predict laws.json --at N=7e7,D=1.4e9 --json
    """
    from scaling.analysis.laws_file import load_laws
    from scaling.analysis.render_fit import prediction_text

    given = parse_numbers(at, "--at")
    if compute is None and not given:
        raise click.UsageError(
            "nothing to predict; expected --compute FLOPS or --at NAME=VALUE: give one"
        )
    if compute is None and (codebook or convention or grid):
        raise click.UsageError(
            "--codebook, --convention and --grid build the run that a budget chooses; "
            "expected --compute: give it, or leave them out"
        )
    if tokens_per_second is not None and unit == "tokens":
        raise click.UsageError(
            "--tokens-per-second belongs to --unit seconds: give that as well"
        )
    found = load_laws(laws)
    if grid:
        from scaling.analysis.verify_grid import HEAD

        require_own(grid, [laws], HEAD)
    if compute is None:
        prediction = found.run(given, level)
    else:
        prediction = found.budget(compute, given, level)
        prediction = found.built(prediction, codebook, convention)
    if unit == "seconds":
        prediction = prediction.in_seconds(found.tokens_per_second(tokens_per_second))
    if grid and prediction.configuration is None:
        raise ScalingError(
            f"{grid} is not written: {prediction.not_built or 'no run is chosen'}"
        )
    if grid:
        from scaling.files import write_text

        write_text(grid, found.grid(prediction))
    if as_json:
        click.echo(json.dumps(prediction.to_dict(), allow_nan=False))
        return
    click.echo(prediction_text(prediction))
    if grid:
        click.echo(grid)


# --- compare ---


@click.command()
@click.argument("first", shell_complete=files_too)
@click.argument("second", shell_complete=files_too)
@columns_option
@click.option(
    "--law",
    default="power-floor",
    show_default=True,
    metavar="NAME",
    help="The law that both sets share, but for the multiplier.",
)
@click.option(
    "--multiplier",
    type=click.Choice(["C", "N", "D"]),
    help="The input that is multiplied.  [default: C where the law has it, else D]",
)
@law_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@plain_errors
def compare(
    first: str,
    second: str,
    columns: str | None,
    law: str,
    multiplier: Any,
    how: LawOptions,
    as_json: bool,
) -> None:
    """Compare two sets of runs by the compute that they need for the same loss.

    FIRST and SECOND are as the sources of scaling fit. One law is fitted to both, with
    the compute of the second multiplied by m: m above 1 means that it needs less.

    \b
    Example:
      scaling compare baseline.csv ours.csv --law power-floor
      scaling compare baseline.csv ours.csv --law power-floor --fix E=1.69 --json
    """
    from scaling.analysis.arms import compare_arms
    from scaling.analysis.records import read

    named = parse_columns(columns)
    if how.tie or how.bound:
        raise click.UsageError(
            "--tie and --bound have no effect on a comparison; expected --fix: or "
            "declare the law in a .py file"
        )
    a, b = (read(each, named, uncooled=how.uncooled) for each in (first, second))
    found = compare_arms(
        a,
        b,
        law=law,
        multiplier=multiplier,
        fix=how.fix,
        objective=how.objective(a),
        rows=how.rows,
        names=(first, second),
    )
    if as_json:
        click.echo(json.dumps(found.to_dict(), allow_nan=False))
        return
    click.echo(found)
