"""The command from logs of other trainers to a table: `scaling import`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from scaling.cli_common import parse_columns, plain_errors


@click.command(name="import")
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH..."
)
@click.option("--out", type=click.Path(path_type=Path), help="The CSV file to write.")
@click.option(
    "--columns",
    metavar="NAME=COLUMN,...",
    help="The log's name for a column of the record or its symbol: N, N_nv, N_v, D, U, "
    "C, V, L, L_u, run, step, ...; COLUMN*FACTOR converts units.",
)
@click.option(
    "--derive",
    multiple=True,
    type=click.Choice(["N", "D", "C"]),
    help="Derive this by C = 6 N D (D first as batch x sequence x steps) although it "
    "may be logged; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Show the preview; write nothing.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the preview as one JSON object."
)
@plain_errors
def import_logs(
    paths: tuple[Path, ...],
    out: Path | None,
    columns: str | None,
    derive: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Turn logs of other trainers into a table for scaling fit and plot.

    PATHS are logs, or folders that are searched for them: exports (CSV, JSONL, Parquet)
    and offline runs of Weights & Biases, TensorBoard event files, trainer_state.json
    of Hugging Face, metrics.csv of Lightning, tables of others. A preview says on
    stderr which column comes from where, and what is missing.

    \b
    Example:
      scaling import wandb_export.csv --out runs.csv
      scaling import wandb/ --dry-run
      scaling import results.csv --columns L=test_nll,C=gflops*1e9 --out runs.csv
      scaling fit runs.csv --law chinchilla
    """
    from scaling.runs.imports import load, require_out, write
    from scaling.runs.imports_preview import text, to_dict

    if out is None and not dry_run:
        raise click.UsageError(
            "--out is missing: name the CSV file to write, or look with --dry-run"
        )
    if out is not None:
        require_out(out, paths)
    imported = load(paths, parse_columns(columns), derive)
    click.echo(text(imported), err=True)
    if out is not None and not dry_run:
        write(imported, out)
    if as_json:
        said = to_dict(imported) | {"out": None if dry_run else str(out)}
        click.echo(json.dumps(said, allow_nan=False, default=str))
    elif out is not None and not dry_run:
        click.echo(out)
