"""Which of two sets of runs is better, by how much compute: the compute multiplier m.

Both arms are fitted together. They share every parameter, and arm b at compute C has
the loss that arm a has at compute m C, as in::

    L = E + A / (C m**arm)**alpha        arm = 0 in a, 1 in b

so that b needs 1 / m of a's compute for the same loss. Where the floor E and alpha are
known, m is ((L_a - E) / (L_b - E))**(1 / alpha) for two runs of equal compute. In a law
of size and data it is the data that is multiplied: a token of b is worth m of a's, at
every size. One m for all computes is an assumption; it is tested by letting the
exponents of the arms differ.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import sympy as sp
from numpy.typing import NDArray
from scipy.special import fdtrc

from scaling.analysis.catalogue import law as find_law
from scaling.analysis.expression import names, parse
from scaling.analysis.fitting import Fit, fit_sample
from scaling.analysis.formula import Formula, Parameter
from scaling.analysis.intervals import Ends, Method, Uncertainty, uncertainty
from scaling.analysis.objective import Objective
from scaling.analysis.sample import LOSS, Choice, Sample, sample
from scaling.analysis.table import Records
from scaling.errors import ScalingError
from scaling.files import jsonable

Array = NDArray[np.float64]
Runs = Records | pd.DataFrame

ARM = "arm"
MULTIPLIER = Parameter(
    name="m", meaning="multiplier of arm b", scale=True, starts=(1.0,)
)
FEWEST = 3
"""Rows that each arm should have."""
SIGNIFICANT = 0.05
"""p below which the arms are said not to share an exponent."""
WORDS = {
    "C": ("compute", ""),
    "D": ("data", " at the same size"),
    "N": ("parameters", " with the same data"),
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class Arms:
    """Two sets of runs under one law, and what sets them apart."""

    fit: Fit
    """The law of both; its parameter `m` is the multiplier."""
    symbol: str
    """What is multiplied: C, D, N or another input of the law."""
    names: tuple[str, str]
    """What the arms are called."""
    uncertainty: Uncertainty
    """How uncertain the law is."""
    p: float | None
    """Probability of exponents at least as far apart as these if the arms share them;
    None where there are none to test, or too few rows."""

    @property
    def m(self) -> float:
        """The multiplier: b has at x the loss that a has at m x."""
        return self.fit.value("m")

    def interval(self, level: float = 0.95) -> Ends:
        """Where the multiplier lies."""
        return self.uncertainty.parameters(level)["m"]

    @property
    def needs(self) -> float:
        """What b needs of a's compute (or data, ...) for the same loss: 1 / m."""
        return 1 / self.m

    def needs_interval(self, level: float = 0.95) -> Ends:
        """Where 1 / m lies."""
        low, high = self.interval(level)
        return Ends(1 / high, 1 / low if low > 0 else math.inf)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against the multiplier, the bad state in capitals."""
        found = [*self.fit.certificate.warnings, *self.fit.sample.suspicions]
        what = WORDS.get(self.symbol, (self.symbol, ""))[0]
        if self.p is not None and self.p < SIGNIFICANT:
            found.append(
                f"THE ARMS DO NOT SHARE AN EXPONENT (p = {self.p:.2g}): the multiplier "
                f"depends on {what}"
            )
        for name, n in zip(self.names, self.rows, strict=True):
            if n < FEWEST:
                found.append(
                    f"FEW ROWS: {name} has {n}, too few to show a scatter of their own"
                )
        if not self._loss_in_common:
            found.append(
                "NO LOSS IN COMMON: every loss of one arm is below every loss of the "
                "other; the multiplier rests on the law's shape between them"
            )
        return tuple(found)

    @property
    def rows(self) -> tuple[int, int]:
        """Number of rows of each arm."""
        first = self.fit.sample.table[ARM] == 0
        return int(first.sum()), int((~first).sum())

    @property
    def _loss_in_common(self) -> bool:
        table = self.fit.sample.table
        losses = [table.loc[table[ARM] == k, LOSS] for k in (0, 1)]
        return bool(max(x.min() for x in losses) <= min(x.max() for x in losses))

    def sentence(self, level: float = 0.95) -> str:
        """Say what b needs of a's compute, and whether to believe it."""
        a, b = self.names
        what, same = WORDS.get(self.symbol, (self.symbol, ""))
        low, high = self.needs_interval(level)
        holds = ", which includes no difference" if low <= 1 <= high else ""
        found = (
            f"{b} needs {self.needs:.3g} of {a}'s {what} for the same loss{same} "
            f"({100 * level:g} % {low:.3g} to {high:.3g}{holds})"
        )
        return "; ".join([found, *self.warnings])

    def to_dict(self, level: float = 0.95) -> dict[str, Any]:
        """Give the comparison as JSON holds it."""
        low, high = self.interval(level)
        least, most = self.needs_interval(level)
        formula = self.fit.formula
        found = {
            "schema": 1,
            "kind": "arms",
            "law": self.fit.formula.name,
            "arms": list(self.names),
            "n": list(self.rows),
            "multiplied": self.symbol,
            "m": {"value": self.m, "low": low, "high": high},
            "needs": {"value": self.needs, "low": least, "high": most},
            "level": level,
            "method": self.uncertainty.reason,
            "objective": str(self.fit.objective),
            "p_shared_exponents": self.p,
            "parameters": {p.name: self.fit.value(p.name) for p in formula.parameters},
            "sentence": self.sentence(level),
            "warnings": list(self.warnings),
        }
        return dict(jsonable(found))

    def __repr__(self) -> str:
        return self.sentence()

    def _repr_html_(self) -> str:
        from scaling.analysis.render_html import arms_html

        return arms_html(self)


def compare_arms(
    a: Runs,
    b: Runs,
    law: str | Formula = "power-floor",
    *,
    multiplier: str | None = None,
    fix: Mapping[str, float] | None = None,
    objective: Objective | None = None,
    rows: Choice | None = None,
    names: tuple[str, str] = ("a", "b"),
    interval: Method | None = None,
) -> Arms:
    """Find by how much compute one set of runs is better than another.

    Parameters
    ----------
    a, b : Records or DataFrame
        The runs of each arm, as `fitting.fit_law` takes them. Runs of one
        name in both are different runs.
    law : str or Formula
        The law that they share.
    multiplier : str, optional
        The input that is multiplied: by default C, or D where the law has no C.
    fix : mapping, optional
        Values of parameters, such as a floor that is known: `{"E": 1.7}`.
    objective : Objective, optional
        As for `fitting.fit_law`.
    rows : {"all", "best", "last", "frontier"}, optional
        Which evaluations of a run count, in each arm. By default as for
        `fitting.fit_law`; where that differs between the arms, the envelope.
    names : tuple of str
        What the arms are called in words.
    interval : {"wald", "pairs", "residual", "wild"}, optional
        How intervals are made; see `intervals.uncertainty`.

    Raises
    ------
    ScalingError
        If the law has no such input, the losses of the arms are of two kinds, or the
        rows cannot determine the law.
    """
    shared = find_law(law).fix(fix or {})
    symbol = multiplier or ("C" if "C" in shared.inputs else "D")
    taken = _together(a, b, shared, rows, names)
    if objective is None:
        objective = Objective.suited(taken.loss)
    fit = fit_sample(multiplied(shared, symbol), taken, objective)
    return Arms(
        fit=fit,
        symbol=symbol,
        names=names,
        uncertainty=uncertainty(fit, interval),
        p=_test(fit, shared, symbol, interval),
    )


# --- The law of two arms ------------------------------------------------------------


def multiplied(shared: Formula, symbol: str) -> Formula:
    """Put symbol * m**arm where the law has the symbol.

    With D goes U, the unique tokens: what makes a token worth more does so whether it
    is seen for the first time or again.

    Raises
    ------
    ScalingError
        If the law has no such input, or has an m or arms of its own.

    >>> from scaling.analysis.catalogue import LAWS
    >>> multiplied(LAWS["power-floor"], "C").text
    'E + A / (C * m**arm)**alpha'
    """
    if symbol not in shared.inputs:
        raise ScalingError(
            f"law {shared.name} has no input {symbol!r} to multiply; expected one of "
            f"{', '.join(shared.inputs)}: choose one, or another law"
        )
    taken = {ARM, MULTIPLIER.name} & {*shared.all_inputs, *_names(shared)}
    if taken:
        raise ScalingError(
            f"law {shared.name} uses the name {taken.pop()!r}, which stands for the "
            "arm or its multiplier m here: rename it in your law"
        )
    text = shared.text
    for name in {symbol, "U"} if symbol == "D" else {symbol}:
        text = _put(text, name, f"({name} * m**{ARM})")
    return replace(
        shared,
        name=f"{shared.name} of two arms",
        text=text,
        parameters=(*shared.parameters, MULTIPLIER),
        arms=(ARM,),
    )


def _put(text: str, name: str, other: str) -> str:
    return re.sub(rf"\b{name}\b", other, text)


def _names(formula: Formula) -> list[str]:
    return [parameter.name for parameter in formula.parameters]


def _together(
    a: Runs, b: Runs, shared: Formula, rows: Choice | None, names: tuple[str, str]
) -> Sample:
    """Choose the rows of each arm, and mark which is whose."""
    both = [sample(each, shared, rows) for each in (a, b)]
    if both[0].rows != both[1].rows:
        both = [sample(each, shared, "frontier") for each in (a, b)]
    symbols = [each.loss_symbol for each in both]
    if symbols[0] != symbols[1]:
        raise ScalingError(
            f"the loss of {names[0]} is {symbols[0]}, that of {names[1]} {symbols[1]}; "
            "expected both normalised (L_u) or neither (L): give the same loss of both"
        )
    tables = [
        each.table.assign(
            run=f"{name}: " + each.table["run"].astype(str),
            weight=each.weight,
            **{ARM: float(k)},
        )
        for k, (name, each) in enumerate(zip(names, both, strict=True))
    ]
    return replace(
        both[0],
        table=pd.concat(tables, join="inner", ignore_index=True),
        sources=_each_once(source for each in both for source in each.sources),
        data_hash="+".join(each.data_hash for each in both if each.data_hash),
        dropped=dict(sum((Counter(each.dropped) for each in both), Counter())),
        notes=_each_once(note for each in both for note in each.notes),
        suspicions=(
            *_each_once(doubt for each in both for doubt in each.suspicions),
            *_counted_otherwise(both, names),
        ),
    )


def _each_once(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def _counted_otherwise(both: list[Sample], names: tuple[str, str]) -> Iterator[str]:
    ways = [each.flops_convention for each in both]
    if None not in ways and ways[0] != ways[1]:
        yield (
            f"COMPUTE IS COUNTED IN TWO WAYS: {names[0]} by {ways[0]}, {names[1]} by "
            f"{ways[1]}; the multiplier holds their difference too"
        )


# --- Do the arms share their exponents? ---------------------------------------------


def _test(
    fit: Fit, shared: Formula, symbol: str, interval: Method | None
) -> float | None:
    """Test (F) that arm b's exponents differ from arm a's by nothing."""
    apart = _exponents_apart(fit, shared, symbol)
    if not apart:
        return None
    try:
        wide = fit_sample(_widened(fit.formula, apart), fit.sample, fit.objective)
    except ScalingError:
        return None
    if wide.degrees < 1:
        return None
    found = uncertainty(wide, interval)
    which = [wide.formula.compiled.names.index(f"{name}_b") for name in apart]
    shift, covariance = wide.theta[which], found.covariance[np.ix_(which, which)]
    if not np.isfinite(covariance).all():
        return None
    F = float(shift @ np.linalg.pinv(covariance, hermitian=True) @ shift) / len(which)
    return float(fdtrc(float(len(which)), found.degrees, max(F, 0.0)))


def _exponents_apart(fit: Fit, shared: Formula, symbol: str) -> list[str]:
    """Name the free parameters, amplitudes apart, of the law's slope in ln symbol.

    While they are shared, a change of scale of the symbol is all that m can be.
    """
    slope = sp.diff(parse(shared.text), *names(symbol))
    return [
        parameter.name
        for parameter in shared.parameters
        if slope.has(*names(parameter.name))
        and not parameter.scale
        and parameter.name not in shared.fixed
    ]


def _widened(formula: Formula, apart: list[str]) -> Formula:
    """Let arm b have exponents of its own: p + p_b arm in the place of p."""
    text = formula.text
    for name in apart:
        text = _put(text, name, f"({name} + {name}_b * {ARM})")
    shifts = tuple(
        Parameter(
            name=f"{name}_b", meaning=f"{name} of arm b less that of a", starts=(0.0,)
        )
        for name in apart
    )
    return replace(formula, text=text, parameters=(*formula.parameters, *shifts))
