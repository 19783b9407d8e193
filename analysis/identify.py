"""What the data of a fit cannot determine, said in words: cheap enough for every fit.

The design comes first: inputs that vary together, take too few values or hardly vary.
Then the fit: parameters without an end, exponents below zero, a break outside the data,
and ties that the data reject.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scaling.analysis.fitting import Fit
from scaling.analysis.profiles import Profile, missing_ends
from scaling.analysis.rise import Rise
from scaling.errors import ScalingError

Array = NDArray[np.float64]

COLLINEAR = 0.01
"""Smallest eigenvalue of the correlation of log inputs: two inputs at 0.99."""
SAME = 0.05
"""Values of an input closer than this, in its logarithm, are one level."""
NARROW = 3.0
"""Factor that an input should span at least."""
ROWS = 5_000
"""Rows up to which all parameters are followed; beyond, those with large errors."""
REJECTED = 0.01
"""How rarely a true tie may look as false as the data make it look."""
BREAK = re.compile(r"\bbreak\b|\bbeyond\b")
"""Words in the meaning of a parameter that is a place within the data."""


def identifiability(
    fit: Fit, endless: Mapping[str, Profile] | None = None
) -> tuple[str, ...]:
    """List what the data do not determine; empty where nothing is amiss.

    Each warning begins with the bad state in capitals. `endless` is what `unbounded`
    found, if it was called already.
    """
    endless = unbounded(fit) if endless is None else endless
    return (*_design(fit), *_fitted(fit, endless))


def unbounded(fit: Fit) -> dict[str, Profile]:
    """Find the parameters that the data leave without an upper or a lower end."""
    if Rise(fit).degrees < 1:
        return {}
    asked = _doubtful(fit) if fit.sample.n > ROWS else None
    return missing_ends(fit, asked)


def _design(fit: Fit) -> Iterator[str]:
    logs = {n: fit.sample.by_name(fit.formula)[n] for n in fit.formula.inputs}
    yield from _few_levels(fit, logs)
    yield from _narrow(logs)
    yield from _collinear(logs)


def _fitted(fit: Fit, endless: Mapping[str, Profile]) -> Iterator[str]:
    yield from _unbounded(fit, endless)
    yield from _negative(fit)
    yield from _break_outside(fit)
    yield from _ties(fit)


# --- The design ---------------------------------------------------------------------


def _few_levels(fit: Fit, logs: dict[str, Array]) -> Iterator[str]:
    floor = _has_constant(fit)
    needed = 3 if floor else 2
    for name, x in logs.items():
        found = levels(x)
        if found < needed:
            takes = "1 value" if found == 1 else f"{found} values"
            with_floor = " with a floor" if floor else ""
            yield (
                f"TOO FEW LEVELS: {name} takes {takes}; a power law{with_floor} needs "
                f"{needed} or more: add runs at other {name}"
            )


def levels(x: Array) -> int:
    """Count the values of an input that are apart.

    >>> levels(np.log([1e6, 1.01e6, 4e6]))
    2
    """
    found, last = 0, -np.inf
    for each in np.sort(x).tolist():
        if each > last + SAME:
            found, last = found + 1, each
    return found


def _has_constant(fit: Fit) -> bool:
    """Whether a free parameter is added to the law on all rows alike."""
    gradient = fit.formula.compiled.derivatives(fit.theta[None], fit.problem.x)[1][0]
    alike = np.ptp(gradient, axis=1) == 0
    return bool(np.any(alike & (gradient[:, 0] != 0) & fit.free))


def _narrow(logs: dict[str, Array]) -> Iterator[str]:
    for name, x in logs.items():
        span = float(np.exp(np.ptp(x)))
        if levels(x) > 1 and span < NARROW:
            yield (
                f"NARROW: {name} spans a factor of {span:.2g}; expected {NARROW:g} or "
                f"more: add runs at smaller or larger {name}"
            )


def _collinear(logs: dict[str, Array]) -> Iterator[str]:
    varied = {name: x for name, x in logs.items() if levels(x) > 1}
    if len(varied) < 2:
        return
    x = np.array(list(varied.values()))
    deviation = x.std(axis=1)
    values, vectors = np.linalg.eigh(np.corrcoef(x))
    if values[0] > COLLINEAR:
        return
    powers = vectors[:, 0] / deviation
    # What varies least, with its last large power 1: D / N rather than N / D.
    last = np.flatnonzero(np.abs(powers) > 0.1 * np.abs(powers).max())[-1]
    powers = powers / powers[last]
    used = {n: float(p) for n, p in zip(varied, powers, strict=True) if abs(p) > 0.1}
    yield _same_combination(used, powers @ x)


def _same_combination(powers: dict[str, float], log: Array) -> str:
    """Name the combination of inputs that is the same in every row."""
    whole = {n: round(p) if abs(p - round(p)) < 0.03 else p for n, p in powers.items()}
    combination = _product(whole)
    spread = float(np.exp(np.ptp(log) / 2) - 1)
    within = f" within {100 * spread:.2g} %" if spread > 0.005 else ""
    exact = all(isinstance(power, int) for power in whole.values())
    value = f" is {np.exp(np.median(log)):.3g}" if exact else " is the same"
    *others, last = powers
    return (
        f"COLLINEAR DESIGN: {combination}{value}{within} in every row: "
        f"{', '.join(others)} and {last} cannot be told apart; vary {combination}"
    )


def _product(powers: dict[str, float]) -> str:
    """Write a product of powers.

    >>> _product({"N": -1, "D": 1}), _product({"N": 0.72, "D": 1})
    ('D / N', 'N^0.72 · D')
    """

    def factor(name: str, power: float) -> str:
        return name if abs(power) == 1 else f"{name}^{abs(power):.2g}"

    above = " · ".join(factor(n, p) for n, p in powers.items() if p > 0)
    below = " / ".join(factor(n, p) for n, p in powers.items() if p < 0)
    return f"{above} / {below}" if below else above


# --- The fit ------------------------------------------------------------------------


def _unbounded(fit: Fit, endless: Mapping[str, Profile]) -> Iterator[str]:
    if fit.degrees < 1:
        yield (
            "NO ROW LEFT OVER: the law has as many parameters as there are rows, so "
            "that nothing says how sure they are: add runs"
        )
    elif Rise(fit).degrees < 1:
        yield (
            "ONE RUN: all rows are of one run and err together, so that nothing says "
            "how sure the parameters are: add runs"
        )
    if endless:
        said = ". ".join(profile.sentence() for profile in endless.values())
        yield f"UNBOUNDED: {said}. Add runs, or fix or tie a parameter"


def _doubtful(fit: Fit) -> list[str]:
    """Name the parameters whose standard error is a third of their size or more."""
    rise, axes = Rise(fit), np.eye(len(fit.theta))
    size = np.where(fit.formula.compiled.scales, 1.0, np.abs(fit.theta))
    return [
        name
        for k, name in enumerate(fit.formula.compiled.names)
        if fit.free[k] and 3 * rise.standard_error(axes[k]) > size[k]
    ]


def _negative(fit: Fit) -> Iterator[str]:
    below = [
        f"{p.name} is {fit.value(p.name):.2g}"
        for p in fit.formula.free
        if p.meaning == "exponent" and fit.value(p.name) < 0
    ]
    raising = [name for name in fit.formula.inputs if _raises(fit, name)]
    if below and raising:
        yield (
            f"NEGATIVE EXPONENT: {', '.join(below)}: more {', '.join(raising)} raises "
            "the loss"
        )


def _raises(fit: Fit, name: str) -> bool:
    """Whether the law rises with an input on most rows."""
    x = fit.sample.by_name(fit.formula)
    law = fit.formula.compiled
    here = law.value(fit.theta[None], tuple(x.values()))
    x[name] = x[name] + 1e-4
    return bool(np.median(law.value(fit.theta[None], tuple(x.values())) - here) > 0)


def _break_outside(fit: Fit) -> Iterator[str]:
    for p in fit.formula.free:
        if p.unit in fit.formula.inputs and BREAK.search(p.meaning):
            x, at = fit.sample.table[p.unit], fit.value(p.name)
            if not x.min() <= at <= x.max():
                yield (
                    f"OUTSIDE THE DATA: {p.name}, the {p.meaning}, is {at:.3g}, but "
                    f"{p.unit} runs from {x.min():.3g} to {x.max():.3g}: choose a law "
                    f"without {p.name}, or add runs"
                )


# --- Ties ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class TieTest:
    """Whether the data bear a tie of the law."""

    name: str
    """The parameter that is tied."""
    other: str
    """The one it is set equal to."""
    statistic: float
    """2 c (F tied - F untied), see `rise`: distributed as F(1, degrees) if it holds."""
    p_value: float
    """Share of true ties that look as false."""
    untied: tuple[float, float]
    """Both parameters when they are free."""

    @property
    def rejected(self) -> bool:
        """Whether the data reject it."""
        return self.p_value < REJECTED

    @property
    def sentence(self) -> str:
        """Say it.

        >>> TieTest(
        ...     name="b", other="a", statistic=40.0, p_value=1e-9, untied=(0.012, 0.57)
        ... ).sentence
        'the tie b = a is rejected (p = 1e-09): untied, b is 0.012 and a 0.57'
        """
        verdict = "is rejected" if self.rejected else "stands"
        first, second = self.untied
        return (
            f"the tie {self.name} = {self.other} {verdict} (p = {self.p_value:.1g}): "
            f"untied, {self.name} is {first:.2g} and {self.other} {second:.2g}"
        )


def tie_test(fit: Fit, name: str | None = None) -> TieTest:
    """Test a tie of the law by fitting again without it.

    Parameters
    ----------
    fit : Fit
        A fit with a tie.
    name : str, optional
        The parameter that is tied; may be left out where there is one tie.

    Raises
    ------
    ScalingError
        If the law has no such tie, or rows do not suffice without it.
    """
    tied = fit.formula.tied
    if name is None and len(tied) == 1:
        (name,) = tied
    if name is None or name not in tied:
        known = ", ".join(f"{a} = {b}" for a, b in tied.items()) or "none"
        raise ScalingError(
            f"law {fit.formula.name} has no tie of {name or 'one parameter alone'}; "
            f"its ties are: {known}; name the tied parameter"
        )
    rest = {key: value for key, value in tied.items() if key != name}
    freed = fit.refit(formula=replace(fit.formula, tied=rest))
    names, other = fit.formula.compiled.names, tied[name]
    contrast = np.zeros(len(names))
    contrast[names.index(name)], contrast[names.index(other)] = 1.0, -1.0
    rise = fit.objective_value - freed.objective_value
    statistic, p_value = Rise(freed).statistic(contrast, rise)
    return TieTest(
        name=name,
        other=other,
        statistic=statistic,
        p_value=p_value,
        untied=(freed.value(name), freed.value(other)),
    )


def _ties(fit: Fit) -> Iterator[str]:
    for name in fit.formula.tied:
        if Rise(fit).degrees > 1:
            test = tie_test(fit, name)
            if test.rejected:
                yield f"TIE REJECTED: {test.sentence}"
