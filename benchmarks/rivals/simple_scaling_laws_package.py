"""The package `simple-scaling-laws` (PyPI, 0.2.0).

Least squares on the loss itself; every row is a run of its own. Each fit ends with a
wild cluster bootstrap of at least one draw, so that the time of the draws is that of a
fit with many less that of a fit with one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from simple_scaling_laws import fit as fit_package
from work import Answer

LAWS = {
    "chinchilla": (
        "separable-power", ("N",), ("D",), "E + A / N**alpha + B / D**beta"
    ),
    "kaplan-floor": (
        "kaplan-joint-power", ("N",), ("D",), "E + A * (N**-rho + R / D)**beta"
    ),
    "skaling": (
        "skaling-joint-power", ("N",), ("D",),
        "E + A * (N**-alpha + R * D**-beta)**k",
    ),
    "codebook": (
        "separable-power", ("N_nv", "N_v"), ("D",),
        "E + A_N_nv / N_nv**alpha_N_nv + A_N_v / N_v**alpha_N_v + B / D**beta",
    ),
    "power-floor": ("separable-power", (), ("C",), "E + B / C**beta"),
    "bnsl": (
        "broken-power", (), ("C",),
        "E + A * C**-c0 * (1 + (C / d)**(1 / f))**(-c1 * f)",
    ),
}  # fmt: skip
"""By the name of our law: theirs, its sizes and data, and the formula."""


def fit(
    law: str, objective: Mapping[str, Any], columns: Mapping[str, Any], count: int = 1
) -> Answer:
    """Fit, with `count` draws of its bootstrap."""
    theirs, sizes, data, formula = LAWS[law]
    named = {f"model_size__{name}": columns[name] for name in sizes}
    named |= {f"dataset_size__{name}": columns[name] for name in data}
    runs = np.arange(len(columns["L_u"])).astype(str)
    table = pl.DataFrame(
        {"training_run_id": runs, **named, "test_loss__L": columns["L_u"]}
    )
    model = fit_package(table, law=theirs, n_draws=count, seed=0)
    found = model.fits["test_loss__L"].params
    reference = np.array(
        [model.manifest["predictors"][name]["reference"] for name in named]
    )
    return Answer(
        formula=formula, parameters=model.law.raw_scale_params(found, reference)
    )


def draws(
    law: str,
    objective: Mapping[str, Any],
    columns: Mapping[str, Any],
    count: int,
    done: int,
) -> Answer:
    """Time `done` of `count` draws beyond the first."""
    marks = [time.process_time()]
    for draws_too in (1, 1, 1 + done):  # the first fit of a process takes longer
        fit(law, objective, columns, draws_too)
        marks.append(time.process_time())
    _, alone, both = np.diff(marks)
    # The caller times all of this; only both - alone of it are draws.
    share = (marks[-1] - marks[0]) / (both - alone) * done / count
    return Answer(share=share, note=f"{done} draws timed, wild instead of pairs")
