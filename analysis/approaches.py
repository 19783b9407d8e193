"""The approaches side by side: what each makes of the same rows.

1  envelope: power laws through the runs that beat every cheaper one
2  isoFLOP: minima of parabolas, cubics and Akima's curves over sizes at equal compute
3  law: one law of size and data fitted to all rows, divided exactly
   derivative: for each size the codebook that reaches a loss with the least compute

They rest on different rows and different assumptions. Where they differ by more than
their intervals, no single one of them should be believed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from scaling.analysis.allocation import allocator
from scaling.analysis.catalogue import LAWS
from scaling.analysis.envelope import best_evaluations, envelope
from scaling.analysis.fitting import Fit, fit_law
from scaling.analysis.intervals import uncertainty
from scaling.analysis.isoflop import TOLERANCE, IsoFlop, budgets, isoflop, slices
from scaling.analysis.isoloss import isoloss
from scaling.analysis.laws import Law, fit
from scaling.analysis.layout import section, table, wrap
from scaling.analysis.minimum import Method
from scaling.analysis.parabola import bias
from scaling.analysis.prediction import LEVEL, Estimate, predict_budget
from scaling.analysis.table import Records
from scaling.errors import ScalingError
from scaling.files import jsonable

SCHEMA = 1
SIZES = ("N", "N_nv")
METHODS: tuple[Method, ...] = ("parabola", "cubic", "akima")
EXPLAINED = 0.25
"""Difference in ln N* up to which a law's best sizes explain those of parabolas."""
CODEBOOK_LAW = "N_v(N_nv)"
SLICES = 8
"""Budgets at which training curves are read, where runs were not made at any."""
ALONG = (
    f"profiles read off training curves at {SLICES} budgets, where no run ended: fair "
    "only if the schedule can be cut there"
)
ACROSS = (
    f"profiles read at {SLICES} budgets between the ends of runs of one size and "
    "codebook, those of near equal compute averaged"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What one approach says."""

    approach: str
    """Which approach, and how it was done."""
    exponents: Mapping[str, Estimate] = field(default_factory=dict)
    """Exponent in compute of the best N, N_nv, N_v and D; `N_v(N_nv)` in N_nv."""
    at_top: Mapping[str, Estimate] = field(default_factory=dict)
    """The best N, N_nv, N_v, V and D at the largest compute of the rows."""
    n: int = 0
    """Points that it rests on."""
    reason: str = ""
    """Why it gives no answer; empty where it does."""
    warnings: tuple[str, ...] = ()
    """What speaks against it."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Approaches:
    """All approaches on the same rows."""

    sources: tuple[str, ...]
    """Where the rows came from."""
    data_hash: str
    """First 16 hex digits of the SHA-256 of the values used."""
    compute: float
    """Largest compute of the rows, in FLOPs."""
    answers: tuple[Answer, ...]
    """One per approach."""
    notes: tuple[str, ...]
    """What was done to the rows."""

    @property
    def refusals(self) -> tuple[str, ...]:
        """Which approaches give no answer, and why."""
        return tuple(f"{a.approach}: {a.reason}" for a in self.answers if a.reason)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against the answers, the bad state in capitals."""
        given = [each for each in self.answers if not each.reason]
        return tuple(f"{a.approach}: {text}" for a in given for text in a.warnings)

    def __repr__(self) -> str:
        return approaches_text(self)

    def _repr_html_(self) -> str:
        from scaling.analysis.render_html import approaches_html

        return approaches_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Give the comparison as JSON holds it."""
        return {
            "schema": SCHEMA,
            "kind": "approaches",
            "sources": list(self.sources),
            "data_hash": self.data_hash,
            "compute": self.compute,
            "approaches": [jsonable(asdict(answer)) for answer in self.answers],
            "notes": list(self.notes),
        }


def approaches(records: Records) -> Approaches:
    """Answer by every approach that the records allow; the others say why not.

    Parameters
    ----------
    records : Records
        With compute, and sizes N or N_nv, for any approach to answer.
    """
    points = records.points()
    top = float(points["C"].max()) if "C" in points else math.nan
    size = size_profiled(points) or "N"
    law = _answer("3 law", lambda: _by_law(records, top))
    answers = [_answer("1 envelope", lambda: _by_envelope(points, top))]
    for method in METHODS:
        profiled = partial(_by_isoflop, points, size, method, top, records)
        answers.append(_answer(f"2 isoFLOP, {method}", profiled))
    answers.append(law)
    if {"N_v", "V", "N_nv"} <= set(points):
        answers.append(_answer("derivative", lambda: _by_derivative(points)))
    return Approaches(
        sources=records.sources,
        data_hash=records.data_hash,
        compute=top,
        answers=tuple(answers),
        notes=(*records.suspicions, *records.notes),
    )


def _answer(name: str, find: Callable[[], dict[str, Any]]) -> Answer:
    try:
        return Answer(**({"approach": name} | find()))
    except ScalingError as reason:
        return Answer(approach=name, reason=str(reason))


def _require(points: pd.DataFrame, *symbols: str) -> None:
    lacking = [symbol for symbol in symbols if symbol not in points]
    if lacking:
        raise ScalingError(
            f"needs {' and '.join(lacking)}, which the rows do not hold: name the "
            f"column with --columns {lacking[0]}=COLUMN"
        )


# --- 1: envelope --------------------------------------------------------------------


def _by_envelope(points: pd.DataFrame, top: float) -> dict[str, Any]:
    _require(points, "C")
    chosen = envelope(best_evaluations(points))
    laws = {
        symbol: fit(f"{symbol}(C)", "power", chosen["C"], chosen[symbol])
        for symbol in ("N", "N_nv", "N_v", "D")
        if symbol in chosen
    }
    if not laws:
        raise ScalingError(
            "the rows hold neither sizes nor data; name them with --columns N=COLUMN"
        )
    return _of_lines(laws, top, len(chosen))


def _of_lines(laws: Mapping[str, Law], top: float, n: int) -> dict[str, Any]:
    warnings = [f"{law.name}: {text}" for law in laws.values() for text in law.warnings]
    return {
        "exponents": {symbol: _slope(law) for symbol, law in laws.items()},
        "at_top": {symbol: _at(law, top) for symbol, law in laws.items()},
        "n": n,
        "warnings": tuple(warnings),
    }


def _slope(law: Law) -> Estimate:
    low, high = law.slope_interval(LEVEL)
    return Estimate(value=law.slope, low=low, high=high)


def _at(law: Law, x: float) -> Estimate:
    interval = law.interval([x], LEVEL)
    return Estimate(
        value=float(interval.predicted[0]),
        low=float(interval.mean_low[0]),
        high=float(interval.mean_high[0]),
    )


# --- 2: isoFLOP ---------------------------------------------------------------------


def _by_isoflop(
    points: pd.DataFrame, size: str, method: Method, top: float, records: Records
) -> dict[str, Any]:
    _require(points, "C", size)
    found, how = _profiles(points, size, method)
    if not found.laws:
        raise ScalingError(
            f"{len(found.used)} of {len(found.profiles)} budgets have a minimum, but a "
            f"law needs 2 ({'; '.join(_left_out(found))})"
        )
    laws = {name.removesuffix("(C)"): law for name, law in found.laws.items()}
    answer = _of_lines(laws, top, len(found.used))
    warnings = [f"left out: {text}" for text in _left_out(found)]
    if method == "parabola":
        warnings += _bias_of(found, records)
    warnings += [how] if how else []
    return answer | {"warnings": (*answer["warnings"], *warnings)}


def _left_out(found: IsoFlop) -> list[str]:
    """Say which budgets have no minimum, by reason."""
    by_reason: dict[str, list[str]] = {}
    for C, why in found.refused.items():
        by_reason.setdefault(why, []).append(f"{C:.3g}")
    return [f"{', '.join(Cs)} FLOPs: {why}" for why, Cs in by_reason.items()]


def _profiles(points: pd.DataFrame, size: str, method: Method) -> tuple[IsoFlop, str]:
    rows, how = profile_rows(points, size)
    return isoflop(rows, size, method=method), how


def size_profiled(points: pd.DataFrame) -> str | None:
    """Choose the size that budgets are profiled over; None where there is none.

    N holds the codebook's parameters, so that where codebooks differ it is N_nv.
    """
    several = "V" in points and points["V"].min() < points["V"].max()
    wanted = reversed(SIZES) if several else SIZES
    return next((symbol for symbol in wanted if symbol in points), None)


def _with_best_codebook(rows: pd.DataFrame, size: str) -> pd.DataFrame:
    """Keep, of each size at each budget, the runs of its best codebook.

    A profile asks for the best size, the codebook being what suits it; with all of
    them the parabola would go through a cloud.
    """
    if size != "N_nv" or "V" not in rows:
        return rows
    mean = rows["L_u"].groupby([rows["C"], rows[size], rows["V"]]).transform("mean")
    least = mean.groupby([rows["C"], rows[size]]).transform("min")
    return rows[mean == least]


def profile_rows(points: pd.DataFrame, size: str) -> tuple[pd.DataFrame, str]:
    """Give rows of equal compute, and how they were read where no run ended there.

    Runs that were made at budgets stand as they are, with the budget as their C. Others
    are read at `SLICES` budgets: along each run where runs have 3 evaluations or more,
    else from end to end of the runs that have their size and codebook in common.
    """
    rows = points.dropna(subset=["C", size, "L_u"])
    try:
        made = rows.assign(C=budgets(rows["C"]))
        return _with_best_codebook(made, size), ""
    except ScalingError:
        if rows.groupby("run").size().median() >= 3:
            curves, how = rows, ALONG
        else:
            curves, how = _ends(rows, size), ACROSS
        if curves.groupby("run").size().median() < 3:
            raise
    low, high = np.log(curves["C"].quantile([0.1, 0.95]))
    return slices(curves, np.exp(np.linspace(low, high, SLICES)).tolist()), how


def _ends(rows: pd.DataFrame, size: str) -> pd.DataFrame:
    """Name runs of one size and codebook alike, and average those of one compute."""
    by = [name for name in (size, "N_v", "V") if name in rows]
    ordered = rows.sort_values([*by, "C"], kind="stable")
    model = ordered.groupby(by).ngroup()
    apart = ordered["C"] > (1 + TOLERANCE) * ordered.groupby(model)["C"].shift()
    level = apart.groupby(model).cumsum()
    ordered = ordered.assign(run=model)
    means = ordered.groupby([model.to_numpy(), level.to_numpy()])
    return means.mean(numeric_only=True).reset_index(drop=True)


def _bias_of(found: IsoFlop, records: Records) -> Iterator[str]:
    """Say what a parabola does to sizes under the law that the rows follow.

    Nothing is said where the law's own best sizes are not those that would explain the
    parabolas: then the law does not fit well enough to say.
    """
    try:
        fitted = fit_law(records, "chinchilla")
        shift = bias(found, fitted.value("alpha"), fitted.value("beta"))
        spend = allocator(fitted)
    except ScalingError:  # no law of N and D on these rows: the bias is not known
        return
    best = [spend.log_optimum(fitted.theta[None], C)[0, 0] for C in shift.C]
    seen = [math.log(profile.size) for profile in found.used]
    explained = np.abs(np.array(seen) - np.array(shift.shifts) - np.array(best))
    if shift.warning and np.nanmax(explained) < EXPLAINED:
        yield f"BIASED: {shift.warning}"


# --- 3: one law ---------------------------------------------------------------------


def _by_law(records: Records, top: float) -> dict[str, Any]:
    points = records.points()
    laws = [LAWS["chinchilla"]]
    if "V" in points and points["V"].min() < points["V"].max():
        laws = [LAWS["codebook"], LAWS["codebook-tied"]]
    # A negative exponent leaves no optimum: the last resort keeps them positive.
    positive = {p.name: (0.0, p.upper) for p in laws[-1].free if p.lower == -p.upper}
    laws.append(laws[-1].bound(positive))
    reasons: list[str] = []
    for law in laws:
        try:
            return _divided(fit_law(records, law), top, reasons)
        except ScalingError as reason:
            reasons.append(str(reason))
    raise ScalingError(reasons[0])


def _divided(fitted: Fit, top: float, reasons: Sequence[str]) -> dict[str, Any]:
    prediction = predict_budget(fitted, uncertainty(fitted), top)
    return {
        "approach": f"3 law, {fitted.formula.name}",
        "exponents": prediction.exponents,
        "at_top": prediction.quantities,
        "n": fitted.sample.n,
        "warnings": (
            *(f"another law was tried first: {reason}" for reason in reasons),
            *fitted.certificate.warnings,
        ),
    }


# --- Derivative ---------------------------------------------------------------------


def _by_derivative(points: pd.DataFrame) -> dict[str, Any]:
    _require(points, "C")
    found = isoloss(points)
    if found.law is None:
        reasons = "; ".join(f"{each.N_nv:.3g}: {each.reason}" for each in found.best)
        raise ScalingError(
            "fewer than 2 sizes have a codebook that needs the least compute for a "
            f"loss ({reasons}): train codebooks on both sides of it"
        )
    used = [each for each in found.best if not each.reason]
    refused = [
        f"N_nv = {each.N_nv:.3g} is left out: {each.reason}"
        for each in found.best
        if each.reason
    ]
    return {
        "exponents": {CODEBOOK_LAW: _slope(found.law)},
        "at_top": {"N_v": _at(found.law, used[-1].N_nv)},
        "n": len(used),
        "warnings": (*found.law.warnings, *refused),
    }


# --- Text ---------------------------------------------------------------------------


def approaches_text(found: Approaches) -> str:
    """Write the comparison for the terminal, one table for each quantity."""
    lines = [
        *wrap(f"Approaches to {', '.join(found.sources)}; data {found.data_hash}"),
        f"with {100 * LEVEL:g} % intervals; the largest compute is "
        f"{found.compute:.3g} FLOPs",
    ]
    for rows, agreement in comparisons(found):
        lines += ["", *table(rows, right=(1,)), *(f"  {said}" for said in agreement)]
    lines += [
        *section("No answer", found.refusals),
        *section("Warnings", found.warnings),
        *section("Notes", found.notes),
    ]
    return "\n".join(lines)


def comparisons(
    found: Approaches,
) -> Iterator[tuple[list[tuple[str, ...]], list[str]]]:
    """Give a table for each quantity, its head first, and whether answers agree."""
    answered = [each for each in found.answers if not each.reason]
    for symbol in dict.fromkeys(s for each in answered for s in each.exponents):
        given = [each for each in answered if symbol in each.exponents]
        rows = [_head(symbol, found.compute), *(_cells(each, symbol) for each in given)]
        yield rows, list(_agreement(symbol, given))


def _agreement(symbol: str, answers: Sequence[Answer]) -> Iterator[str]:
    """Say whether the exponents can all be true, and how far the sizes lie apart."""
    exponents = [each.exponents[symbol] for each in answers]
    known = [each for each in exponents if not math.isnan(each.low)]
    if len(known) < 2:
        return
    agree = max(each.low for each in known) <= min(each.high for each in known)
    sizes = [each.at_top[symbol].value for each in answers if symbol in each.at_top]
    apart = (
        f"; at the top a factor of {max(sizes) / min(sizes):.2g} apart" if sizes else ""
    )
    state = "intervals overlap" if agree else "THE APPROACHES DISAGREE on the exponent"
    yield f"{state}{apart}"


def _head(symbol: str, compute: float) -> tuple[str, ...]:
    if symbol == CODEBOOK_LAW:
        return ("N_v in N_nv", "n", "exponent", "at the largest size")
    return (f"{symbol}*", "n", "exponent in C", f"at {compute:.3g} FLOPs")


def _cells(each: Answer, symbol: str) -> tuple[str, ...]:
    at = each.at_top.get(symbol.partition("(")[0])
    exponent = each.exponents[symbol]
    return (each.approach, str(each.n), _shown(exponent, ".3f"), _shown(at, ".3g"))


def _shown(each: Estimate | None, spec: str) -> str:
    if each is None:
        return ""
    if math.isnan(each.low):
        return f"{each.value:{spec}}"
    return f"{each.value:{spec}} ({each.low:{spec}} to {each.high:{spec}})"
