"""The commands that look: `scaling status` at a store, `flops` at a size."""

from __future__ import annotations

import json
from pathlib import Path

import click

from scaling.cli_common import plain_errors
from scaling.models.flops import (
    CONVENTIONS,
    PAPER_CONTEXT,
    PAPER_TEXT_WIDTH,
    Architecture,
)

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
    from scaling.runs.status import read_status, table

    states = read_status(out)
    if as_json:
        click.echo(json.dumps({"jobs": [state.to_dict() for state in states]}))
    else:
        click.echo(table(states))


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
