"""The package `vpnls` (Open-Athena, 0.1.0): variable projection over a grid.

Huber's loss or least squares on the loss itself, N in millions and D in billions as its
documentation does. It is not in `rivals.txt`: where its authors' package is installed
in the rivals' environment its rows appear, elsewhere they are said to be absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vpnls.api import fit_vpnls, huber
from work import Answer

FORMULA = "E + A / N**alpha + B / D**beta"


def fit(
    law: str, objective: Mapping[str, Any], columns: Mapping[str, Any], **options: Any
) -> Answer:
    """Fit by the method and at the resolution given."""
    loss = huber(objective["delta"]) if objective["name"] == "huber" else None
    N, D = columns["N"] / 1e6, columns["D"] / 1e9
    found = fit_vpnls(N, D, columns["L_u"], loss=loss, **options)
    parameters = {
        "E": found.E,
        "A": found.A * 1e6**found.alpha,
        "B": found.B * 1e9**found.beta,
        "alpha": found.alpha,
        "beta": found.beta,
    }
    return Answer(formula=FORMULA, parameters=parameters)
