"""The command `scaling report`: a study as one page that can be sent to anyone."""

from __future__ import annotations

from pathlib import Path

import click

from scaling.cli_common import (
    columns_option,
    files_too,
    json_option,
    parse_columns,
    plain_errors,
    show_paths,
)


@click.command()
@click.argument("sources", nargs=-1, required=True, shell_complete=files_too)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The page.  [default: report.html in the run store, or in this folder where "
    "the sources are not one store]",
)
@columns_option
@click.option(
    "--law",
    metavar="NAME",
    help="Predict by this law, fitted to all rows, as for scaling fit.  [default: the "
    "laws of the envelope where there are any]",
)
@click.option("--holdout", type=float, help="As for scaling fit.")
@click.option(
    "--no-motions",
    is_flag=True,
    help="Leave out the motions that the best run makes, which take seconds.",
)
@json_option
@plain_errors
def report(
    sources: tuple[str, ...],
    out: Path | None,
    columns: str | None,
    law: str | None,
    holdout: float | None,
    no_motions: bool,
    as_json: bool,
) -> None:
    """Write a study as one HTML page.

    SOURCES are those of scaling fit, or one laws.json that it wrote. What to train
    next comes first, then a slider of compute, all runs, every figure, motions, how
    compute was counted, the laws in full and how to make it all again. The page needs
    no network, and fits in a mail. Prints its path.

    \b
    Example:
      scaling report quickstart
      scaling report losses.csv --columns N=params,D=tokens,L=loss --law chinchilla
      scaling report laws.json --out laws.html
    """
    if len(sources) == 1 and sources[0].lower().endswith(".json"):
        given = {"--columns": columns, "--law": law, "--holdout": holdout}
        named = [option for option, value in given.items() if value is not None]
        if named:
            raise click.UsageError(
                f"{', '.join(named)} would have no effect on {sources[0]}, which holds "
                "laws already: give their records instead, or leave it out"
            )
    from scaling.api_figures import report as write_report

    path = write_report(
        sources,
        out,
        columns=parse_columns(columns),
        law=law,
        holdout=holdout,
        motions=not no_motions,
    )
    show_paths([path], as_json)
