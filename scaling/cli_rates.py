"""The command that reads a sweep of learning rates: `scaling rates`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from scaling.cli_common import columns_option, files_too, parse_columns, plain_errors
from scaling.files import require_own


@click.command()
@click.argument("source", shell_complete=files_too)
@columns_option
@click.option("--level", type=float, default=0.95, show_default=True, help="Coverage.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the result to this JSON file."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@plain_errors
def rates(
    source: str, columns: str | None, level: float, out: Path | None, as_json: bool
) -> None:
    """Find the best learning rates of a sweep, and their rule over widths.

    SOURCE is a run store whose grid has several learning rates, or a table with
    learning_rate, d_model, compute and a loss. In each cell (size, codebook, budget) a
    parabola in the logarithm of the rate finds the best; over widths they follow rate =
    base (64 / d_model)^exponent, printed as lines for a grid.

    \b
    Example:
      scaling run examples/rates.yaml
      scaling rates rates
      scaling rates sweep.csv --columns L=val_loss,learning_rate=lr --json
    """
    from scaling.analysis.rates import best_rates
    from scaling.analysis.render_rates import rates_text
    from scaling.files import write_json

    if out:
        require_own(out, [source], '"kind": "rates"')
    found = best_rates(source, parse_columns(columns), level)
    if out:
        write_json(out, found.to_dict(), indent=1)
    if as_json:
        click.echo(json.dumps(found.to_dict(), allow_nan=False))
        return
    click.echo(rates_text(found))
    if out:
        click.echo(out)
