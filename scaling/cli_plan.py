"""The command that says what to train next: `scaling plan`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.cli_common import parse_numbers, plain_errors
from scaling.errors import ScalingError

if TYPE_CHECKING:
    from scaling.analysis.buildable import Configuration
    from scaling.analysis.nextruns import RunPlan


@click.command()
@click.argument("laws", type=click.Path(path_type=Path))
@click.option(
    "--budget", type=float, required=True, help="FLOPs for all new runs together."
)
@click.option(
    "--target",
    type=float,
    required=True,
    help="Compute of the prediction in FLOPs, beyond the rows.",
)
@click.option(
    "--runs",
    type=int,
    default=12,
    show_default=True,
    help="New runs at most.",
)
@click.option(
    "--shrink",
    type=click.Choice(["loss", "size"]),
    default="loss",
    show_default=True,
    help="What to know better: the loss at the best size, or that size.",
)
@click.option(
    "--share",
    type=float,
    default=0.5,
    show_default=True,
    help="Part of the budget that one run may cost.",
)
@click.option(
    "--at",
    multiple=True,
    metavar="NAME=VALUE,...",
    help="Inputs of the law that are not chosen: U=1e9.",
)
@click.option(
    "--grid",
    type=click.Path(path_type=Path),
    help="Write a grid of these runs, which scaling run takes.",
)
@click.option(
    "--codebook",
    type=click.IntRange(min=2),
    help="Codes of the runs in that grid, where the law does not know them.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of the simulation.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@plain_errors
def plan(
    laws: Path,
    budget: float,
    target: float,
    runs: int,
    shrink: Any,
    share: float,
    at: tuple[str, ...],
    grid: Path | None,
    codebook: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Choose the next runs: those that narrow a prediction most.

    LAWS is the file that scaling fit --law --out wrote. Of all runs that the budget
    pays for, those are chosen that make the interval of the prediction at the target
    narrowest. Simulation tells how narrow, beside uniform grids of the same cost.

    \b
    Example:
      scaling plan laws.json --budget 1e18 --target 1e20
      scaling plan laws.json --budget 1e18 --target 1e20 --shrink size --runs 4
      scaling plan laws.json --budget 1e18 --target 1e20 --grid next.yaml
    """
    from scaling.analysis.laws_file import load_laws
    from scaling.analysis.layout import wrap
    from scaling.analysis.nextruns import plan_runs, write_grid

    found = load_laws(laws)
    if found.fit is None:
        raise ScalingError(
            f"{laws} holds the laws of the envelope, which know no single runs; "
            "expected one law: fit the records with --law, such as --law chinchilla"
        )
    planned = plan_runs(
        found.fit,
        budget,
        target,
        runs=runs,
        shrink=shrink,
        share=share,
        given=parse_numbers(at, "--at"),
        seed=seed,
    )
    built = write_grid(planned, found, grid, codebook) if grid else []
    if as_json:
        fields = planned.to_dict() | {"built": [each.to_dict() for each in built]}
        click.echo(json.dumps(fields, allow_nan=False))
        return
    click.echo(planned)
    if grid:
        click.echo("\n" + "\n".join(wrap(_cost(planned, built))))
        click.echo(grid)


def _cost(planned: RunPlan, built: list[Configuration]) -> str:
    """Say what the runs cost as they can be built."""
    flops = sum(each.flops for each in built)
    return (
        f"As built: {flops:.6g} FLOPs, {100 * flops / planned.compute:.4g} % of the "
        "plan. The grid is a study of its own and trains its own tokenizers, which are "
        "not counted; fit its store together with the earlier rows."
    )
