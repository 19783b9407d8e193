"""The package `chinchilla` (PyPI, 0.2.0), in one process.

BFGS with finite differences in extended precision from each point of a grid of starts,
5^5 = 3125 of them in its documentation. Its own Huber loss of ln L is used, with our
delta, or its absolute deviation. `values` takes fewer per axis; with 2 and 3 they are
points of the documented grid too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from chinchilla import Chinchilla
from chinchilla._metrics import huber, log_huber, mae
from work import Answer

FORMULA = "E + A / N**alpha + B / D**beta"
DOCUMENTED = 5
NAMES = ("E", "A", "B", "alpha", "beta")


def fit(
    law: str,
    objective: Mapping[str, Any],
    columns: Mapping[str, Any],
    values: int = DOCUMENTED,
) -> Answer:
    """Fit from `values` points per axis of the documented grid."""
    ranges = {"E": (1, 2), "a": (1, 10), "b": (1, 10), "alpha": (0.1, 0.7)}
    ranges["beta"] = ranges["alpha"]
    table = pd.DataFrame({name: columns[name] for name in ("N", "D")})
    table["C"], table["loss"] = 6 * table["N"] * table["D"], columns["L_u"]
    with tempfile.TemporaryDirectory() as folder:
        engine = Chinchilla(
            folder,
            param_grid={
                name: np.linspace(*ends, values) for name, ends in ranges.items()
            },
            loss_fn=_loss(objective),
            log_level=50,
        )
        engine.database.df = table
        engine.fit(parallel=False)
    return Answer(
        formula=FORMULA,
        parameters={name: float(engine.params[name]) for name in NAMES},
        share=(values / DOCUMENTED) ** len(NAMES),
        note=f"{values**5} of {DOCUMENTED**5} starts",
    )


def _loss(objective: Mapping[str, Any]) -> Callable[..., Any]:
    in_log = objective["space"] == "log"
    if objective["name"] == "lad":
        return _log_mae if in_log else mae
    return partial(log_huber if in_log else huber, delta=objective["delta"])


def _log_mae(L: Any, law: Any) -> Any:
    return mae(np.log(L), np.log(law))
