"""Our own engine, timed and asked as its rivals are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from work import Answer

from scaling.analysis.fitting import Fit, fit_law
from scaling.analysis.objective import Objective
from scaling.analysis.records import read

FORMULAS = {
    "power-floor": "E + A / C**alpha",
    "bnsl": "E + A * C**-c0 * (1 + (C / d)**(1 / f))**(-c1 * f)",
    "chinchilla": "E + A / N**alpha + B / D**beta",
    "kaplan-floor": "E + ((Nc / N)**(alpha / beta) + Dc / D)**beta",
    "skaling": "E + A * (N**-a + R * D**-b)**k",
    "codebook": "-E + A1 / N_nv**alpha1 + A2 / N_v**alpha2 + B / D**beta",
    "codebook-tied": "-E + A1 / N_nv**beta + A2 / N_v**alpha2 + B / D**beta",
}
"""Written out again, so that a law that is not what it says is found out."""


def fit(law: str, objective: Mapping[str, Any], columns: Mapping[str, Any]) -> Answer:
    """Fit with the defaults."""
    found = _fit(law, objective, columns)
    seen = found.certificate
    counts = f"{seen.starts} starts screened, {seen.polished} polished"
    note = "; ".join((f"{counts}, {seen.agree} agree", *seen.warnings))
    return Answer(formula=FORMULAS[law], parameters=found.values, note=note)


def draws(
    law: str, objective: Mapping[str, Any], columns: Mapping[str, Any], count: int
) -> Answer:
    """Fit, and resample pairs `count` times: both are timed."""
    from scaling.analysis.intervals import bootstrap

    bootstrap(_fit(law, objective, columns), draws=count, kind="pairs", seed=0)
    return Answer()


def million(
    law: str, objective: Mapping[str, Any], columns: Mapping[str, Any], path: str
) -> Answer:
    """Read a large table and fit the laws of compute alone to all its rows."""
    records = read(path)
    for name in ("log", "power"):
        fit_law(records, name, rows="all")
    return Answer()


def _fit(law: str, objective: Mapping[str, Any], columns: Mapping[str, Any]) -> Fit:
    named = {key: value for key, value in objective.items() if value is not None}
    return fit_law(pd.DataFrame(dict(columns)), law, objective=Objective(**named))
