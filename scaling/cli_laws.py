"""The commands from losses to laws: `scaling fit`, `plot`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.cli_common import (
    LawOptions,
    columns_option,
    files_too,
    law_options,
    parse_columns,
    plain_errors,
)
from scaling.errors import ScalingError
from scaling.files import require_own

if TYPE_CHECKING:
    from scaling.analysis.material import Material
    from scaling.analysis.selection import Selection
    from scaling.analysis.table import Records

# --- fit ---


@click.command()
@click.argument("sources", nargs=-1, required=True, shell_complete=files_too)
@columns_option
@click.option(
    "--law",
    metavar="NAME",
    help="Fit this law to the rows: log, power, power-floor, bnsl, chinchilla, "
    "chinchilla-tied, kaplan, kaplan-floor, skaling, codebook, codebook-tied, "
    "codebook-saturating, codebook-data, repetition; auto, the one that predicts best; "
    "or a .py file "
    "that declares one.  [default: the five laws of the envelope]",
)
@click.option(
    "--approach",
    type=click.Choice(["all"]),
    help="Set the approaches side by side: envelope, isoFLOP, law, derivative.",
)
@law_options
@click.option(
    "--interval",
    "method",
    type=click.Choice(["wald", "pairs", "residual", "wild", "profile"]),
    help="How intervals are made: by Student's t, a bootstrap of runs, or for the "
    "parameters a profile likelihood.  [default: wald]",
)
@click.option("--level", type=float, help="Coverage of intervals.  [default: 0.95]")
@click.option(
    "--draws",
    type=click.IntRange(min=100),
    help="Refits of a bootstrap.  [default: 1000]",
)
@click.option(
    "--seed", type=click.IntRange(min=0), help="Of a bootstrap.  [default: 0]"
)
@click.option(
    "--holdout",
    type=float,
    help="Hold points out of the fit: above 1 those from this compute (FLOPs) on, "
    "below 1 this share of them, of highest compute.",
)
@click.option(
    "--audit",
    is_flag=True,
    help="Of scamo: every claim of the paper beside what its own points give.",
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
    law: str | None,
    approach: str | None,
    how: LawOptions,
    method: str | None,
    level: float | None,
    draws: int | None,
    seed: int | None,
    holdout: float | None,
    audit: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Derive scaling laws from losses.

    SOURCES are run stores of scaling run; CSV, Parquet or JSONL files; or the word
    scamo, the built-in reference study. Every law needs a loss. Without --law the laws
    of the envelope are fitted, which need compute (FLOPs), and some of them parameters,
    codebook and tokens; with it, one law to all rows, with its card.

    \b
    Example:
      scaling fit quickstart --out laws.json
      scaling fit losses.csv --columns N=params,D=tokens,L=loss --law chinchilla
      scaling fit losses.csv --law chinchilla --objective lsq --fix E=1.7
      scaling fit losses.csv --law auto --holdout 0.2 --json
      scaling fit scamo --json
      scaling fit scamo --audit
    """
    from scaling.analysis.records import read

    if audit:
        _audit(sources, as_json)
        return
    if out:
        require_own(out, sources, '"schema"')
    records = read(sources, parse_columns(columns), uncooled=how.uncooled)
    judged: dict[str, Any] = {
        "method": method,
        "level": level,
        "draws": draws,
        "seed": seed,
    }
    if method == "profile":
        judged |= {"method": None, "profiled": True}
    judged = {name: value for name, value in judged.items() if value is not None}
    if draws is not None and method in (None, "wald", "profile"):
        raise click.UsageError(
            "--draws belongs to a bootstrap: name one with --interval as well"
        )
    if approach:
        more = {"law": law, "holdout": holdout, **judged}
        _refuse_together("--approach", more, how)
        _fit_approaches(records, out, as_json)
    elif law:
        _fit_law(records, law, how, out, as_json, holdout=holdout, **judged)
    else:
        _refuse_together("the laws of the envelope", judged, how)
        _fit_envelope(records, holdout, out, as_json)


def _audit(sources: tuple[str, ...], as_json: bool) -> None:
    """Check the paper, by methods of the audit's own."""
    from scaling.analysis.audit import audit, text

    typed = click.core.ParameterSource.COMMANDLINE
    context = click.get_current_context()
    others = [
        option.opts[0]
        for option in context.command.params
        if option.expose_value
        and option.name not in ("sources", "audit", "as_json")
        and context.get_parameter_source(str(option.name)) is typed
    ]
    if others:
        raise click.UsageError(
            f"{', '.join(others)} would have no effect on --audit, which fits by every "
            "method: leave them out, or fit without --audit"
        )
    if sources != ("scamo",):
        raise click.UsageError(
            f"--audit is of the paper's own points, not of {', '.join(sources)}; give "
            "the word scamo: scaling fit scamo --audit"
        )
    found = audit()
    _show(found.to_dict, lambda: text(found), None, as_json)


def _refuse_together(what: str, given: Mapping[str, object], how: LawOptions) -> None:
    """Refuse options that only a fit of one law would heed."""
    options = {"method": "interval", "profiled": "interval"}
    given = {options.get(k, k): v for k, v in given.items()}
    names = [f"--{name}" for name, value in given.items() if value is not None]
    names += how.given
    if names:
        raise click.UsageError(
            f"{', '.join(names)} would have no effect on {what}; they belong to a fit "
            "of one law, --law NAME: leave them out, or fit that law by itself"
        )


def _fit_envelope(
    records: Records, holdout: float | None, out: Path | None, as_json: bool
) -> None:
    from scaling.analysis.render import summary
    from scaling.analysis.study import fit as fit_laws

    study = fit_laws(records, holdout=holdout)
    study.require_laws()
    if out:
        study.save(out)
    _show(study.to_dict, lambda: summary(study), out, as_json)
    if records.sources == ("scamo",) and not as_json:
        more = "scaling fit scamo --audit"
        click.echo(f"every claim of the paper beside its points: {more}", err=True)


def _fit_law(
    records: Records,
    law: str,
    how: LawOptions,
    out: Path | None,
    as_json: bool,
    **judged: Any,
) -> None:
    from scaling.analysis.card import card
    from scaling.analysis.fitting import fit_law
    from scaling.analysis.render_fit import selection_text, text
    from scaling.files import write_json

    selection = _select(records, how) if law == "auto" else None
    found = selection.fit if selection else fit_law(records, law, **how.to_fit(records))
    fitted = card(found, **judged)

    def fields() -> dict[str, Any]:
        chosen_from = {} if selection is None else {"selection": selection.to_dict()}
        return fitted.to_dict() | chosen_from

    if out:
        write_json(out, fields(), indent=1)

    def lines() -> str:
        before = "" if selection is None else selection_text(selection) + "\n\n"
        return before + text(fitted)

    _show(fields, lines, out, as_json)


def _select(records: Records, how: LawOptions) -> Selection:
    from scaling.analysis.selection import compare_laws

    if how.fix or how.tie or how.bound:
        raise click.UsageError(
            "--fix, --tie and --bound name the parameters of one law; name that law "
            "instead of auto, or leave them out"
        )
    return compare_laws(
        records,
        objective=how.objective(records),
        rows=how.rows,
        report=lambda said: click.echo(said, err=True),
    )


def _fit_approaches(records: Records, out: Path | None, as_json: bool) -> None:
    from scaling.analysis.approaches import approaches, approaches_text
    from scaling.files import write_json

    found = approaches(records)
    if out:
        write_json(out, found.to_dict(), indent=1)
    _show(found.to_dict, lambda: approaches_text(found), out, as_json)


def _show(
    fields: Callable[[], Mapping[str, Any]],
    lines: Callable[[], str],
    out: Path | None,
    as_json: bool,
) -> None:
    if as_json:
        click.echo(json.dumps(fields(), allow_nan=False))
        return
    click.echo(lines())
    if out:
        click.echo(out)


# --- plot ---


@click.command()
@click.argument("sources", nargs=-1, required=True, shell_complete=files_too)
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
    help="Only this figure or table, such as figure3b, isoflop or table3; may be "
    "repeated.",
)
@click.option(
    "--format",
    "formats",
    default="png,svg,pdf",
    show_default=True,
    help="File formats of figures; tables are CSV and Markdown.",
)
@columns_option
@click.option(
    "--law",
    metavar="NAME",
    help="Law of the figures of one law, as for scaling fit.  [default: codebook, "
    "chinchilla or power-floor, by what the records hold]",
)
@click.option("--holdout", type=float, help="As for scaling fit.")
@click.option(
    "--price",
    type=click.FloatRange(min=0),
    metavar="DOLLARS",
    help="Price of an hour of the device, for the figure of cost.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object: paths, captions, and what is not drawn, and why.",
)
@plain_errors
def plot(
    sources: tuple[str, ...],
    out: Path,
    only: tuple[str, ...],
    formats: str,
    columns: str | None,
    law: str | None,
    holdout: float | None,
    price: float | None,
    as_json: bool,
) -> None:
    """Draw the figures of a study, and write the paper's tables of it.

    SOURCES are those of scaling fit, or one laws.json that it wrote, which holds the
    points of the laws. The paper's figures are figure2, 3a, 3b, 4, 6, 7a, 7b, 7c and 8,
    its tables table3 to table6; beyond it there are isoflop, surface, fit, residuals,
    extrapolation, profiles, verification, optima, conventions, learning and cost. Those
    that the data does not allow are named with the reason. Beside each figure lies the
    table behind it as CSV. Prints the paths.

    \b
    Example:
      scaling plot quickstart --out quickstart/figures
      scaling plot scamo --figure figure3b --format svg
      scaling plot losses.csv --columns N=params,D=tokens,L=loss --law chinchilla
      scaling plot fsq vq --figure tokenizers
    """
    from scaling.analysis.figure import known_formats
    from scaling.analysis.gallery import gallery

    wanted = known_formats(formats.split(","))
    made = gallery(_material(sources, columns, law, holdout, price), only)
    if not made.captions:
        raise ScalingError(next(iter(made.reasons)))
    for reason, names in made.reasons.items():
        click.echo(f"not made: {', '.join(names)}: {reason}", err=True)
    for name in made.captions:
        _refuse_to_replace(out / f"{name}.csv", sources)
    paths = made.save(out, wanted)
    if as_json:
        found = {"paths": [*map(str, paths)], "captions": made.captions}
        click.echo(json.dumps({**found, "missing": dict(made.missing)}))
        return
    for path in paths:
        click.echo(path)


def _material(
    sources: Sequence[str],
    columns: str | None,
    law: str | None,
    holdout: float | None,
    price: float | None,
) -> Material:
    """Take the sources for what figures are made of; a file of laws is one already."""
    from scaling.analysis.material import Material

    material = Material(
        sources=sources,
        columns=parse_columns(columns),
        law=law,
        holdout=holdout,
        price=price,
    )
    if material.loaded is not None and (columns or law or holdout is not None):
        raise click.UsageError(
            "--columns, --law and --holdout belong to a fit; "
            f"{sources[0]} holds one already: give its records instead"
        )
    return material


def _refuse_to_replace(table: Path, sources: Iterable[str]) -> None:
    """Refuse a figure's table in the place of one that is a source, or a run store's.

    Run stores call theirs tokenizers.csv, as the figure does.
    """
    names = ("", table.name)
    read = {(Path(source) / name).resolve() for source in sources for name in names}
    of_store = table.name == "tokenizers.csv" and (table.parent / "grid.json").exists()
    if of_store or (table.exists() and table.resolve() in read):
        raise ScalingError(
            f"{table} is a source or a run store's table, and the figure's would "
            "replace it; expected a folder for figures: name another with --out"
        )
