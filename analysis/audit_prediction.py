"""The paper's prediction for 1e18 FLOPs, and how far its laws can see."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from scaling.analysis.audit_claim import LEVEL, Claim, Number, judge, plainly, within
from scaling.analysis.audit_equations import EQ_10, OF_COMPUTE, Printed, line
from scaling.analysis.audit_points import LARGEST, best, curves, frontier
from scaling.analysis.laws import Law
from scaling.analysis.reference import records
from scaling.analysis.study import fit as fit_study
from scaling.models.flops import TRAINING_FACTOR
from scaling.models.sizes import PAPER_SIZES
from scaling.words import plain

TOPIC = "The prediction for 1e18 FLOPs"
BUDGET = 1e18
TEXT = {"V": 2**16, "log10 D": 7.5}
"""What the text predicts, beside a model of 3B."""
PREDICT = "scaling fit scamo --out laws.json; scaling predict laws.json --compute 1e18"
SHARES = (0.1, 0.2, 0.3)
"""Of the frontier, held out at its upper end."""


def claims() -> Iterator[Claim]:
    """Lay the text's prediction beside its equations and what was measured."""
    yield _size()
    yield _codebook()
    yield _data()
    yield _budget()
    yield _trained()
    yield _loss()
    yield _further()
    yield _forever()


def _at(printed: Printed, x: float) -> float:
    """Evaluate a printed equation: a loss, or log10 of a size."""
    return float(printed.slope) * math.log10(x) + float(printed.intercept)


def _equation(law: str) -> Printed:
    return next(p for p in (EQ_10, *OF_COMPUTE) if p.law == law)


def _refitted(law: Law, x: float, how: str, quantity: str, *, new: bool) -> Number:
    """Give a refitted law at x with the interval of the law, or of a new point."""
    found = law.interval(x, LEVEL)
    ends = (found.new_low, found.new_high) if new else (found.mean_low, found.mean_high)
    values = [float(v) for v in (found.predicted, *ends)]
    if law.kind == "power":
        values = [math.log10(v) for v in values]
    value, low, high = values
    return Number(quantity=quantity, how=how, value=value, low=low, high=high)


def _size() -> Claim:
    """Check 3B."""
    points = frontier()
    found = _refitted(
        line(points, "N_nv(C)"),
        BUDGET,
        "least squares, the law",
        "log10 N_nv",
        new=False,
    )
    printed = _at(_equation("N_nv(C)"), BUDGET)
    sizes = points.drop_duplicates("size").set_index("size")["N_nv"].map(math.log10)
    half = 10**printed / 2
    nearest = (sizes - found.value).abs().idxmin()
    eq = plainly("log10 N_nv", "Eq. 12 as printed", printed)
    drawn = plainly("log10 N_nv", f"{LARGEST} as plotted", sizes[LARGEST])
    return Claim(
        name="predicted-size",
        topic=TOPIC,
        where="text on 1e18",
        says="the best model has 3B parameters",
        printed=("3B",),
        found=(found, eq, drawn),
        finding=f"{plain(10**printed, 3)} FLOPs per token, about {plain(half, 3)} "
        f"parameters; of the six sizes {nearest} is nearest.",
        verdict=judge(nearest == LARGEST and within(found, sizes[LARGEST])),
        command=PREDICT,
    )


def _codebook() -> Claim:
    """Check 2^16 by Eqs. 11 and 10."""
    width = math.log2(2 * PAPER_SIZES[LARGEST].d_model)
    points, own = frontier(), best()
    N_nv = 10 ** _at(_equation("N_nv(C)"), BUDGET)
    ways = (
        (line(points, "N_v(C)"), BUDGET, "refit of Eq. 11, the law"),
        (line(own, EQ_10.law), N_nv, "refit of Eq. 10 at Eq. 12's size"),
    )
    found = [
        _bits(_refitted(law, x, how, "", new=False), width) for law, x, how in ways
    ]
    for printed, x in ((_equation("N_v(C)"), BUDGET), (EQ_10, N_nv)):
        bits = _at(printed, x) / math.log10(2) - width
        how = f"{printed.where} as printed"
        found.append(plainly("log2 V", how, bits))
    tried = np.log2(sorted(set(curves()["V"])))
    inside = [f"2^{b:.0f}" for b in tried if within(found[0], b)]
    low, high = (2 ** (end or 0) for end in (found[0].low, found[0].high))
    sure = within(found[0], 16) and len(inside) == 1
    return Claim(
        name="predicted-codebook",
        topic=TOPIC,
        where="text on 1e18",
        says="the best codebook has 2^16 codes",
        printed=("2^16",),
        found=tuple(found),
        finding=f"By Eq. 11 anything from {low:,.0f} to {high:,.0f} codes; of those "
        f"tried {' and '.join(inside) or 'none'} lies inside. Printed, Eqs. 11 and 10 "
        "differ by a factor of three.",
        verdict="cannot be told" if within(found[0], 16) and not sure else judge(sure),
        command=PREDICT,
    )


def _bits(log10_vocabulary: Number, width: float) -> Number:
    """Turn log10 N_v into log2 V at the largest model's width."""
    n = log10_vocabulary
    assert n.low is not None
    assert n.high is not None
    value, low, high = (v / math.log10(2) - width for v in (n.value, n.low, n.high))
    return Number(quantity="log2 V", how=n.how, value=value, low=low, high=high)


def _data() -> Claim:
    """Check 10^7.5."""
    law = line(frontier(), "D(C)")
    found = _refitted(law, BUDGET, "least squares, the law", "log10 D", new=False)
    new = _refitted(law, BUDGET, "least squares, a new point", "log10 D", new=True)
    printed = _at(_equation("D(C)"), BUDGET)
    eq = plainly("log10 D", "Eq. 13 as printed", printed)
    times = 10 ** (printed - TEXT["log10 D"])
    return Claim(
        name="predicted-data",
        topic=TOPIC,
        where="text on 1e18",
        says="the best D is 10^7.5",
        printed=("7.5",),
        found=(found, new, eq),
        finding=f"Eq. 13 gives 10^{printed:.2f}, {times:.2f} times as much.",
        verdict=judge(within(found, TEXT["log10 D"])),
        command=PREDICT,
    )


def _budget() -> Claim:
    """Add the three laws up."""
    size, codes, data = (
        10 ** _at(_equation(law), BUDGET) for law in ("N_nv(C)", "N_v(C)", "D(C)")
    )
    cost = TRAINING_FACTOR * (size + codes) * data
    laws = [line(frontier(), law) for law in ("N_nv(C)", "N_v(C)", "D(C)")]
    own = [float(law.predict(BUDGET)) for law in laws]
    refitted = TRAINING_FACTOR * (own[0] + own[1]) * own[2]
    return Claim(
        name="predicted-budget",
        topic=TOPIC,
        where="Eqs. 7, 11 to 13",
        says="the three laws divide the budget",
        printed=("1e18",),
        found=(
            plainly("cost / budget", "as printed", cost / BUDGET),
            plainly("cost / budget", "least squares", refitted / BUDGET),
        ),
        finding=f"3 (N_nv + N_v) D of the printed laws costs {plain(cost)} FLOPs.",
        verdict=judge(abs(cost / BUDGET - 1) < 0.05),
    )


def _trained() -> Claim:
    """Ask whether a run of 1e18 FLOPs is there."""
    points = frontier()
    star = points.iloc[-1]
    ratio = star["C"] / BUDGET
    drop = -float(_equation("L_u(C)").slope) * math.log10(ratio)
    below = points["C"].iloc[-2]
    return Claim(
        name="predicted-run",
        topic=TOPIC,
        where="text on 1e18, Fig. 3b",
        says="a model was trained with 1e18 FLOPs",
        printed=("1e18",),
        found=(
            plainly("star / 1e18", "Fig. 3b", ratio),
            plainly("FLOPs of the star", "Fig. 3b", star["C"]),
            plainly("FLOPs of the point before", "Fig. 3b", below),
        ),
        finding=f"The star is evaluation {star['k']} of 30, the lowest, of a run that "
        f"goes on, at {plain(star['C'], 3)} FLOPs. Eq. 14 falls by {drop:.2f} nats "
        "from 1e18 to there.",
        verdict=judge(abs(ratio - 1) < 0.05),
        command="scaling fit scamo --holdout 1e18",
    )


def _loss() -> Claim:
    """Predict the star's loss from smaller models alone."""
    points = frontier()
    star, small = points.iloc[-1], points[points["size"] != LARGEST]
    law = line(small, "L_u(C)")
    how = f"from {law.n} points without {LARGEST}, a new point"
    found = _refitted(law, star["C"], how, "L_u", new=True)
    eq = _at(_equation("L_u(C)"), star["C"])
    wide = ((found.high or 0) - (found.low or 0)) / 2 / abs(law.slope)
    return Claim(
        name="predicted-loss",
        topic=TOPIC,
        where="text on 1e18",
        says="the measured loss aligns precisely with the prediction",
        found=(
            found,
            plainly("L_u", "measured, the star", star["L_u"]),
            plainly("L_u", "Eq. 14 there", eq),
            plainly("L_u", "Eq. 14 at 1e18", _at(_equation("L_u(C)"), BUDGET)),
        ),
        finding=f"It misses Eq. 14 by {star['L_u'] - eq:+.3f} nats and lies inside the "
        f"interval; but that is as wide as {10**wide:.1f} times more or less compute.",
        verdict=judge(within(found, star["L_u"])),
        command="scaling fit scamo --holdout 0.1",
    )


def _further() -> Claim:
    """Hold out more and more of the frontier."""
    found, inside = [], []
    for share in SHARES:
        study = fit_study(records(), holdout=share)
        assert study.holdout is not None
        error = study.holdout.errors["L_u(C)"]
        how = f"{error.n} points from {plain(study.holdout.compute)} FLOPs on"
        for quantity, value in (("rms", error.rmse), ("mean", error.mean)):
            found.append(plainly(f"{quantity} error, nats", how, value))
        held = study.frontier[study.held_out(study.frontier)]
        ends = study.laws["L_u(C)"].interval(held["C"], LEVEL)
        inside += held["L_u"].between(ends.new_low, ends.new_high).tolist()
    return Claim(
        name="predicted-further",
        topic=TOPIC,
        where="text on 1e18",
        says="the law predicts models larger than those it was fitted to",
        found=tuple(found),
        finding=f"{sum(inside)} of {len(inside)} points held out lie inside the "
        "interval of a new point. But the error grows with the reach, and to one "
        "side: the loss fell faster than a law of the cheaper points foretold.",
        verdict=judge(all(inside)),
        command="scaling fit scamo --holdout 0.3",
    )


def _forever() -> Claim:
    """Find where Eq. 14 must end."""
    codes = max(curves()["V"])
    printed = _equation("L_u(C)")
    end = (-math.log(codes) - float(printed.intercept)) / float(printed.slope)
    return Claim(
        name="forever",
        topic=TOPIC,
        where="Eq. 14",
        says="L_u falls by 1.062 for each decade of compute",
        printed=(printed.slope,),
        found=(
            plainly("least L_u possible", f"-ln {codes}", -math.log(codes)),
            plainly("log10 C there", "Eq. 14", end),
        ),
        finding=f"L_u cannot go below -ln V: with {codes:,} codes Eq. 14 must bend "
        f"before 10^{end:.1f} FLOPs, and before that if motion has any entropy.",
        verdict="cannot be told",
    )
