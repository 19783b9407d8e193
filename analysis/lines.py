"""Predict from the laws of the envelope: each quantity from its own line in compute."""

from __future__ import annotations

import math

from scaling.analysis.laws import Law, fit
from scaling.analysis.prediction import FAR, Estimate, Prediction
from scaling.analysis.study import Study
from scaling.errors import ScalingError

QUANTITIES = ("N_nv", "N_v", "D")


def predict_study(study: Study, compute: float, level: float = 0.95) -> Prediction:
    """Read every law of a study at a budget.

    The lines are fitted apart, so that nothing makes N_nv*, N_v* and D* spend exactly
    the budget together.

    Parameters
    ----------
    study : Study
        The laws over C.
    compute : float
        Budget in FLOPs.
    level : float
        Coverage of the intervals, Student's of the lines.

    Raises
    ------
    ScalingError
        If the study has no law of the loss.
    """
    if "L_u(C)" not in study.laws:
        raise ScalingError(
            f"the study has no law L_u(C): {study.skipped.get('L_u(C)', 'not fitted')}"
        )
    loss = study.laws["L_u(C)"]
    interval = loss.interval([compute], level)
    lines, direct = lines_of(study), study.laws.get("N_v(N_nv)")
    least, most = study.compute_range("L_u(C)")
    beyond = max(compute / most, least / compute, 1.0)
    warnings = [
        f"{law.name}: {w}" for law in (loss, *lines.values()) for w in law.warnings
    ]
    if beyond > FAR:
        warnings.append(
            f"FAR EXTRAPOLATION: {beyond:.3g} times beyond the points; the interval "
            "holds only if the law does"
        )
    return Prediction(
        law="of the envelope",
        compute=compute,
        quantities={
            symbol: _estimate(law, compute, level) for symbol, law in lines.items()
        },
        at={},
        loss=_estimate(loss, compute, level),
        new_run=_ends(loss, interval.new_low[0], interval.new_high[0]),
        exponents={symbol: _slope(law, level) for symbol, law in lines.items()},
        gamma=_slope(direct, level) if direct else None,
        level=level,
        method="Student's t about each line, n - 2 degrees of freedom",
        cost="",
        beyond=beyond,
        loss_symbol=study.quantities["L_u"].shown,
        warnings=tuple(dict.fromkeys(warnings)),
    )


def lines_of(study: Study) -> dict[str, Law]:
    """Give the lines of N_nv, N_v, V and D in compute, those that there are.

    That of V goes through the same points, the runs of the envelope. It is no law of
    the paper, which has N_v; it is what a codebook is chosen by.
    """
    lines = {s: study.laws[f"{s}(C)"] for s in QUANTITIES if f"{s}(C)" in study.laws}
    points = study.frontier[~study.held_out(study.frontier)]
    if "V" in points and points["V"].nunique() > 1 and points["C"].nunique() > 1:
        lines["V"] = fit("V(C)", "power", points["C"], points["V"])
    return {s: lines[s] for s in ("N_nv", "N_v", "V", "D") if s in lines}


def _estimate(law: Law, compute: float, level: float) -> Estimate:
    interval = law.interval([compute], level)
    low, high = _ends(law, interval.mean_low[0], interval.mean_high[0])
    return Estimate(value=float(interval.predicted[0]), low=low, high=high)


def _slope(law: Law, level: float) -> Estimate:
    low, high = law.slope_interval(level)
    if math.isnan(low):
        low, high = -math.inf, math.inf
    return Estimate(value=law.slope, low=low, high=high)


def _ends(law: Law, low: float, high: float) -> tuple[float, float]:
    """Two points leave no interval: it is then everything that the law can give."""
    if math.isnan(low):
        return 0.0 if law.kind == "power" else -math.inf, math.inf
    return float(low), float(high)
