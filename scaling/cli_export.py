"""The command that shows a store's evaluations elsewhere: `scaling export`."""

from __future__ import annotations

from pathlib import Path

import click

from scaling.cli_common import json_option, plain_errors, show_paths

KINDS = ("tensorboard", "wandb")
"""Where evaluations can go."""


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "kind",
    type=click.Choice(KINDS),
    required=True,
    help="What to write for.",
)
@json_option
@plain_errors
def export(out: Path, kind: str, as_json: bool) -> None:
    """Write a store's evaluations for TensorBoard or Weights & Biases.

    OUT is a folder that scaling run wrote, finished or not. The export goes to its
    subfolder tensorboard or wandb; a second call adds what is new. With Weights &
    Biases runs are written offline, to be uploaded by wandb sync.
    `scaling run --export` does the same while the runs train.

    \b
    Example:
      scaling export quickstart --to tensorboard
      tensorboard --logdir quickstart/tensorboard
    """
    from scaling.runs.export import export_store

    rows = export_store(out, kind)
    click.echo(f"{rows} evaluations exported", err=True)
    show_paths([out / kind], as_json, evaluations=rows)
