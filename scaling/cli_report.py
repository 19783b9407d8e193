"""The command `scaling report`: a study as one page that can be sent to anyone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scaling.cli_common import (
    columns_option,
    files_too,
    json_option,
    parse_columns,
    plain_errors,
    show_paths,
)
from scaling.errors import ScalingError
from scaling.files import require_own, write_text

if TYPE_CHECKING:
    from scaling.analysis.report import Motions

REPORT = "report.html"
"""Name of the page, unless it is given another."""


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
    path = write_report(
        sources,
        out,
        columns=parse_columns(columns),
        law=law,
        holdout=holdout,
        motions=not no_motions,
    )
    show_paths([path], as_json)


def write_report(
    sources: Sequence[str | Path],
    out: Path | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    law: str | None = None,
    holdout: float | None = None,
    motions: bool = True,
) -> Path:
    """Write the report of some sources; give its path.

    Parameters
    ----------
    sources, columns, law, holdout
        As for `scaling.analysis.gallery.Material`.
    out : Path, optional
        By default `report.html` in the one run store, or else in the current folder.
    motions : bool
        Whether to let the best run of a store of motion show what it can do.

    Raises
    ------
    ScalingError
        If a source cannot be read, or `out` is a file that is no report.
    """
    from scaling.analysis.material import Material
    from scaling.analysis.report import MARK, page
    from scaling.analysis.report_data import evaluations

    material = Material(
        sources=list(map(str, sources)),
        columns=columns or {},
        law=law,
        holdout=holdout,
    )
    if out is None:
        alone = len(sources) == 1 and material.stores
        out = Path(sources[0], REPORT) if alone else Path(REPORT)
    require_own(out, sources, MARK)
    evaluations(material)  # what cannot be read makes no report
    shown, reason = _motions(material.stores) if motions else (None, "--no-motions")
    html = page(
        material,
        motions=shown,
        missing={} if shown else {"Motions": reason},
        command=_command(sources, columns or {}, law, holdout, motions=motions),
    )
    write_text(out, html)
    return out


def _motions(stores: Sequence[Path]) -> tuple[Motions | None, str]:
    """Let the first store's best run answer; or say why there is nothing to see."""
    from scaling.analysis.player import Motion
    from scaling.analysis.report import Motions
    from scaling.runs.showcase import showcase

    if not stores:
        return None, "no source is a run store, with a model that could be asked"
    try:
        found = showcase(stores[0])
    except (OSError, ScalingError) as error:
        return None, str(error)
    groups = [
        [
            Motion(joints=motion.joints, caption=motion.caption, label=label)
            for label, motion in answer.visible.items()
        ]
        for answer in found.answers
    ]
    notes = [
        f"For “{answer.generated.caption}” the model ended at once: there is no motion."
        for answer in found.answers
        if not len(answer.generated.joints)
    ]
    return Motions(run=found.run, groups=groups, notes=notes), ""


def _command(
    sources: Sequence[str | Path],
    columns: Mapping[str, str],
    law: str | None,
    holdout: float | None,
    *,
    motions: bool,
) -> list[str]:
    """Spell the command line that writes this report."""
    named = ",".join(f"{name}={column}" for name, column in columns.items())
    options = {
        "--columns": named or None,
        "--law": law,
        "--holdout": None if holdout is None else f"{holdout:g}",
    }
    given = [word for pair in options.items() if pair[1] for word in pair]
    quiet = [] if motions else ["--no-motions"]
    return ["scaling", "report", *map(str, sources), *map(str, given), *quiet]
