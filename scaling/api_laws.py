"""From losses to laws in Python: `fit` and `compare`, as the commands do it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeAlias,
    TypedDict,
    Unpack,
    overload,
)

from scaling.errors import ScalingError

if TYPE_CHECKING:
    from scaling.analysis.approaches import Approaches
    from scaling.analysis.arms import Arms
    from scaling.analysis.card import Card
    from scaling.analysis.formula import Formula
    from scaling.analysis.objective import Name, Objective
    from scaling.analysis.records import Source
    from scaling.analysis.study import Study
    from scaling.analysis.table import Records

    Given: TypeAlias = Source | Sequence[Source] | Records

Space: TypeAlias = Literal["log", "linear"]
Rows: TypeAlias = Literal["all", "best", "last", "frontier", "uncooled"]
Interval: TypeAlias = Literal["wald", "pairs", "residual", "wild", "profile"]

BOOTSTRAPS = ("pairs", "residual", "wild")


class OfLaw(TypedDict, total=False):
    """What says how one law is fitted, and judged."""

    columns: Mapping[str, str] | None
    objective: Name | None
    delta: float | None
    quantile: float | None
    loss_space: Space | None
    rows: Rows | None
    fix: Mapping[str, float] | None
    tie: Mapping[str, str] | None
    bound: Mapping[str, tuple[float, float]] | None
    interval: Interval | None
    level: float | None
    draws: int | None
    seed: int | None
    holdout: float | None


@overload
def fit(
    sources: Given,
    *,
    columns: Mapping[str, str] | None = None,
    rows: Literal["uncooled"] | None = None,
    holdout: float | None = None,
) -> Study: ...
@overload
def fit(sources: Given, law: str | Formula, **how: Unpack[OfLaw]) -> Card: ...
@overload
def fit(
    sources: Given,
    *,
    approach: Literal["all"],
    columns: Mapping[str, str] | None = None,
    rows: Literal["uncooled"] | None = None,
) -> Approaches: ...
def fit(
    sources: Given,
    law: str | Formula | None = None,
    *,
    approach: Literal["all"] | None = None,
    columns: Mapping[str, str] | None = None,
    objective: Name | None = None,
    delta: float | None = None,
    quantile: float | None = None,
    loss_space: Space | None = None,
    rows: Rows | None = None,
    fix: Mapping[str, float] | None = None,
    tie: Mapping[str, str] | None = None,
    bound: Mapping[str, tuple[float, float]] | None = None,
    interval: Interval | None = None,
    level: float | None = None,
    draws: int | None = None,
    seed: int | None = None,
    holdout: float | None = None,
) -> Study | Card | Approaches:
    """Derive scaling laws from losses, as `scaling fit` does.

    Parameters
    ----------
    sources : str, Path, DataFrame, a sequence of them, or Records
        Run stores, tables, the word `scamo`; or what `read` gave.
    law : str or Formula, optional
        One law for all rows: its name, a .py file that declares one, a law of your own,
        or `auto`, the one that predicts best. By default the laws of the envelope.
    approach : {"all"}, optional
        Set the approaches side by side: envelope, isoFLOP, law, derivative.
    columns : mapping, optional
        Column of the tables for each symbol, such as ``{"C": "compute"}``.
    objective, delta, quantile, loss_space, rows, fix, tie, bound
        How one law is fitted, and to which rows; see `scaling fit --help`.
    interval, level, draws, seed
        How the intervals of one law are made.
    holdout : float, optional
        Hold points out of the fit: above 1 those from this compute (FLOPs) on, below 1
        this share of them, of highest compute.

    Returns
    -------
    Study, Card or Approaches
        The laws of the envelope; with `law` that law and all that it should be judged
        by; with `approach` what each approach makes of the rows.

    Raises
    ------
    ScalingError
        If the rows determine no law, or an argument would have no effect.

    >>> fit("scamo").laws["L_u(C)"].slope.__round__(3)
    -1.062
    """
    of_law = {
        "objective": objective,
        "delta": delta,
        "quantile": quantile,
        "loss_space": loss_space,
        "rows": None if rows == "uncooled" else rows,
        "fix": fix,
        "tie": tie,
        "bound": bound,
    }
    judged = {"interval": interval, "level": level, "draws": draws, "seed": seed}
    if approach is not None:
        _refuse("approach", law=law, holdout=holdout, **judged, **of_law)
    elif law is None:
        _refuse("the laws of the envelope", **judged, **of_law)
    records = records_of(sources, columns, uncooled=rows == "uncooled")
    if approach is not None:
        from scaling.analysis.approaches import approaches

        return approaches(records)
    if law is None:
        from scaling.analysis.study import fit as fit_envelope

        study = fit_envelope(records, holdout)
        study.require_laws()
        return study
    return _card(records, law, of_law, judged, holdout)


def _card(
    records: Records,
    law: str | Formula,
    of_law: Mapping[str, Any],
    judged: Mapping[str, Any],
    holdout: float | None,
) -> Card:
    from scaling.analysis.card import card
    from scaling.analysis.fitting import fit_law
    from scaling.analysis.selection import compare_laws

    held = {name: of_law[name] for name in ("fix", "tie", "bound")}
    how = {"objective": objective_of(records, **of_law), "rows": of_law["rows"]}
    judged = {name: value for name, value in judged.items() if value is not None}
    method = judged.pop("interval", None)
    if "draws" in judged and method not in BOOTSTRAPS:
        raise ScalingError(
            f"draws belong to a bootstrap, and interval is {method!r}; expected one of "
            f"{', '.join(BOOTSTRAPS)}: name one, or leave draws out"
        )
    if law != "auto":
        found = fit_law(records, law, **how, **held)
    else:
        _refuse("law 'auto', which has no parameters of its own", **held)
        found = compare_laws(records, report=_say, **how).fit
    profiled = method == "profile"
    return card(
        found,
        method=None if profiled else method,
        profiled=profiled,
        holdout=holdout,
        **judged,
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def objective_of(
    records: Records,
    objective: Name | None,
    delta: float | None,
    quantile: float | None,
    loss_space: Space | None,
    **_: object,
) -> Objective | None:
    """Make the objective; None leaves it to the fit."""
    from scaling.analysis.objective import Objective

    asked: dict[str, Any] = {
        "name": objective,
        "delta": delta,
        "quantile": quantile,
        "space": loss_space,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    return Objective.suited(records.points()["L_u"], **given) if given else None


def _refuse(what: str, **arguments: object) -> None:
    """Refuse arguments that would have no effect."""
    given = [name for name, value in arguments.items() if value is not None]
    if given:
        raise ScalingError(
            f"{', '.join(given)} would have no effect on {what}; expected a law's "
            'name with them, such as law="chinchilla": name it, or leave them out'
        )


def records_of(
    sources: Given, columns: Mapping[str, str] | None, *, uncooled: bool = False
) -> Records:
    """Read the sources, unless that is done."""
    from scaling.analysis.records import read
    from scaling.analysis.table import Records

    if not isinstance(sources, Records):
        return read(sources, columns, uncooled=uncooled)
    if columns or uncooled:
        raise ScalingError(
            "the records are read already, and columns and uncooled rows are chosen "
            "before; expected sources: give them here, or choose in scaling.read"
        )
    return sources


# --- Two sets of runs ---


def compare(
    first: Given,
    second: Given,
    law: str | Formula = "power-floor",
    *,
    names: tuple[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
    multiplier: Literal["C", "N", "D"] | None = None,
    objective: Name | None = None,
    delta: float | None = None,
    quantile: float | None = None,
    loss_space: Space | None = None,
    rows: Rows | None = None,
    fix: Mapping[str, float] | None = None,
) -> Arms:
    """Compare two sets of runs by the compute that they need for the same loss.

    Parameters
    ----------
    first, second : str, Path, DataFrame, a sequence of them, or Records
        The runs of each, as for `fit`.
    law : str or Formula
        The law that both share, but for the multiplier.
    names : tuple of str, optional
        What the two are called; by default as their files are, or first and second.
    columns : mapping, optional
        As for `fit`, for both.
    multiplier : {"C", "N", "D"}, optional
        The input that is multiplied: by default C where the law has it, else D.
    objective, delta, quantile, loss_space, rows, fix
        As for `fit`.
    """
    from scaling.analysis.arms import compare_arms

    uncooled = rows == "uncooled"
    a, b = (records_of(each, columns, uncooled=uncooled) for each in (first, second))
    choice = None if rows == "uncooled" else rows
    return compare_arms(
        a,
        b,
        law,
        multiplier=multiplier,
        fix=fix,
        objective=objective_of(a, objective, delta, quantile, loss_space),
        rows=choice,
        names=names or (_called(first, "first"), _called(second, "second")),
    )


def _called(given: Given, otherwise: str) -> str:
    return str(given) if isinstance(given, str | Path) else otherwise
