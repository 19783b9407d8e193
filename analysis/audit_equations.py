"""The paper's equations 10 to 14, and what it derives from them, fitted again.

Each is fitted by every method that the paper may have meant: least squares in log10 (as
it says), Huber's objective with delta 1e-3 and least absolute deviation in the natural
logarithm; with and without the star; in the plotted unit and in parameters; with D as
plotted and as seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from scaling.analysis.audit_claim import (
    Claim,
    Number,
    judge,
    numbers,
    plainly,
    quotient,
    refit,
    same_digits,
    within,
)
from scaling.analysis.audit_points import LARGEST, best, drawn, frontier
from scaling.analysis.laws import FORM_OF, Law, fit
from scaling.analysis.reference import load

TOPIC = "The equations"
Pair = tuple[Number, Number]


@dataclass(frozen=True, kw_only=True, slots=True)
class Printed:
    """A law as the paper prints it."""

    name: str
    """Of the claim."""
    where: str
    """The equation's number."""
    law: str
    """The law's name, such as `D(C)`."""
    says: str
    """The equation."""
    slope: str
    """Slope or exponent, with the printed digits."""
    intercept: str
    """Intercept, with the printed digits."""


EQ_10 = Printed(
    name="eq10",
    where="Eq. 10",
    law="N_v(N_nv)",
    says="N_v = 10^-5.604 N_nv^1.467",
    slope="1.467",
    intercept="-5.604",
)
OF_COMPUTE = (
    Printed(
        name="eq11",
        where="Eq. 11",
        law="N_v(C)",
        says="N_v = 10^-5.29 C^0.75",
        slope="0.75",
        intercept="-5.29",
    ),
    Printed(
        name="eq12",
        where="Eq. 12",
        law="N_nv(C)",
        says="N_nv = 10^-0.52 C^0.57",
        slope="0.57",
        intercept="-0.52",
    ),
    Printed(
        name="eq13",
        where="Eq. 13",
        law="D(C)",
        says="D = 10^-0.05 C^0.43",
        slope="0.43",
        intercept="-0.05",
    ),
    Printed(
        name="eq14",
        where="Eq. 14",
        law="L_u(C)",
        says="L_u = -1.062 log10 C + 13.839",
        slope="-1.062",
        intercept="13.839",
    ),
)
A, B, C = (float(OF_COMPUTE[i].slope) for i in (1, 0, 2))
"""The printed exponents of N_nv, N_v and D."""


def claims() -> Iterator[Claim]:
    """Lay the equations beside their refits."""
    points = frontier()
    for equation in (EQ_10, *OF_COMPUTE):
        yield _equation(equation, points)
    yield _digits(points)
    yield _blind(points)
    yield _star()
    yield _smallest()
    yield _drawn_line()
    yield from _ratios(points)
    yield _identity(points)
    yield _two_exponents(points)
    yield _determination(points)


# --- One equation, by every method ----------------------------------------------------


def line(points: pd.DataFrame, law: str, x: str = "", y: str = "") -> Law:
    """Fit one of the five laws by least squares, of other columns if named."""
    form = FORM_OF[law]
    return fit(law, form.kind, points[x or form.x], points[y or form.y])


def by(points: pd.DataFrame, law: str, how: str, x: str = "", y: str = "") -> Pair:
    """Give a law's two numbers by least squares."""
    return numbers(line(points, law, x, y), f"least squares, {how}")


def robust(points: pd.DataFrame, law: str) -> Iterator[Number]:
    """Give a law's two numbers by the robust objectives, and with sizes as the unit."""
    form, n = FORM_OF[law], len(points)
    plain, x, y = line(points, law), points[form.x], points[form.y]
    yield from refit(plain, x, y, f"Huber 1e-3, {n} points", "huber")
    yield from refit(plain, x, y, f"least absolute deviation, {n} points", "lad")
    if n > points["size"].nunique():
        how = "least squares, points of a size err together"
        yield from refit(plain, x, y, how, "lsq", points["size"])


def _equation(printed: Printed, points: pd.DataFrame) -> Claim:
    found = tuple(_of_sizes() if printed is EQ_10 else _of_compute(points, printed.law))
    slope, intercept = found[:2]
    inside = within(slope, float(printed.slope))
    inside &= within(intercept, float(printed.intercept))
    return Claim(
        name=printed.name,
        topic=TOPIC,
        where=printed.where,
        says=printed.says,
        printed=(printed.slope, printed.intercept),
        found=found,
        finding=_place(printed, slope) + _remark(printed.name, found),
        verdict=judge(inside),
        command="scaling fit scamo",
    )


def _place(printed: Printed, slope: Number) -> str:
    inside = "inside" if within(slope, float(printed.slope)) else "outside"
    return f"The printed {printed.slope} lies {inside} the interval of {slope.how}."


def _remark(name: str, found: tuple[Number, ...]) -> str:
    of = {n.how: n.value for n in found if n.quantity != "intercept"}
    seen = next((v for how, v in of.items() if "as seen" in how), None)
    if name == "eq13" and seen is not None:
        return (
            f" Data as seen, which leaves out the factor N_nominal / 44e6, have an "
            f"exponent of {seen:.3f}: the growth is that factor's."
        )
    low, high = min(of.values()), max(of.values())
    spread = f"{low:.3f} to {high:.3f}, a spread of {high - low:.2f}"
    return f" By method and unit it is {spread}."


def _of_compute(points: pd.DataFrame, law: str) -> Iterator[Number]:
    """Fit a law of compute in every way."""
    y, n = FORM_OF[law].y, len(points)
    without = points[points.index != points["C"].idxmax()]
    yield from by(points, law, f"{n} points")
    yield from by(without, law, f"{len(without)} points, without the star")
    small = points[points["size"] != LARGEST]
    yield from by(small, law, f"{len(small)} points, without {LARGEST}")
    yield from robust(points, law)
    parameters = {"N_nv": ("n_nv", "built_nv"), "N_v": ("n_v", "built_v")}.get(y, ())
    for column, word in zip(parameters, ("by the text", "as built"), strict=False):
        yield from by(points, law, f"parameters {word}", y=column)
    if y == "D":
        yield from by(points, law, "D as seen, C as plotted", y="seen")
    seen = "seen" if y == "D" else y
    yield from by(points, law, "D as seen, C as it costs", x="C_seen", y=seen)


def _of_sizes() -> Iterator[Number]:
    """Fit N_v against N_nv in every way."""
    law, points = EQ_10.law, drawn()
    own = best()
    yield from by(points, law, "6 points as drawn")
    yield from by(
        points[points["size"] != LARGEST], law, "5 as drawn, without the star"
    )
    yield from by(own, law, "6 best codebooks")
    yield from by(own[own["size"] != LARGEST], law, "5 best, without the star")
    yield from robust(own, law)
    yield from by(points, law, "as drawn, parameters by the text", "n_nv", "n_v")
    yield from by(own, law, "best, parameters by the text", "n_nv", "n_v")
    yield from by(own, law, "best, parameters as built", "built_nv", "built_v")


# --- How they were fitted -------------------------------------------------------------


def _digits(points: pd.DataFrame) -> Claim:
    """Say which method gives the printed digits of Eqs. 11 to 13."""
    found, who = [], []
    for printed in OF_COMPUTE[:3]:
        form = FORM_OF[printed.law]
        plain = line(points, printed.law)
        pair = refit(plain, points[form.x], points[form.y], "Huber 1e-3", "huber")
        for n, value in zip(pair, (plain.slope, plain.intercept), strict=True):
            quantity = f"{printed.where}: {n.quantity}"
            found.append(plainly(quantity, "least squares", value))
            found.append(plainly(quantity, "Huber 1e-3", n.value))
        ways = {"least squares": (plain.slope, plain.intercept)}
        ways["Huber's objective"] = (pair[0].value, pair[1].value)
        who.append(_who(printed, ways))
    said = [f"{p.where}: {each}" for p, each in zip(OF_COMPUTE, who, strict=False)]
    return Claim(
        name="method",
        topic=TOPIC,
        where="Sec. 5.4",
        says="Eqs. 11 to 13 are least squares",
        printed=tuple(f"{p.slope}, {p.intercept}" for p in OF_COMPUTE[:3]),
        found=tuple(found),
        finding=f"What gives the printed digits. {'; '.join(said)}.",
        verdict=judge(all(each == "least squares" for each in who)),
        command="scaling fit scamo",
    )


def _who(printed: Printed, ways: dict[str, tuple[float, float]]) -> str:
    digits = (printed.slope, printed.intercept)
    for name, pair in ways.items():
        if all(map(same_digits, pair, digits)):
            return name
    for name, pair in ways.items():
        if all(map(_cut_off, pair, digits)):
            return f"{name}, its digits cut off, not rounded"
    return "neither"


def _cut_off(value: float, printed: str) -> bool:
    """Whether a value begins with the printed digits.

    >>> _cut_off(-0.5275, "-0.52"), _cut_off(0.5752, "0.57")
    (True, True)
    """
    scale = 10 ** len(printed.partition(".")[2])
    return bool(math.trunc(value * scale) == round(float(printed) * scale))


def _blind(points: pd.DataFrame) -> Claim:
    """Ask whether Eq. 14 was fitted before the largest model was trained."""
    printed = OF_COMPUTE[3]
    found: list[Number] = []
    same = {}
    without = points[points.index != points["C"].idxmax()]
    small = points[points["size"] != LARGEST]
    for table in (points, without, small):
        pair = by(table, printed.law, f"{len(table)} points")
        found += pair
        digits = (printed.slope, printed.intercept)
        same[len(table)] = all(map(same_digits, [n.value for n in pair], digits))
    gives = " and ".join(f"{n}" for n, yes in same.items() if yes)
    open_question = same[len(points)] and same[len(small)]
    return Claim(
        name="eq14-blind",
        topic=TOPIC,
        where="Fig. 3b",
        says="the largest model's loss was predicted, not fitted",
        printed=(printed.slope, printed.intercept),
        found=tuple(found),
        finding=f"The fits to {gives} points both round to the printed digits, with "
        f"{LARGEST} and without it: its points may have been in the fit or not.",
        verdict="cannot be told" if open_question else judge(same[len(small)]),
    )


def _star() -> Claim:
    """Ask whether the star of Fig. 3a, shown as a check, was in the fit."""
    points = drawn()
    with_it = by(points, EQ_10.law, "with the star")
    without = by(points[points["size"] != LARGEST], EQ_10.law, "without it")
    digits = (EQ_10.slope, EQ_10.intercept)
    inside = all(map(same_digits, [n.value for n in with_it], digits))
    return Claim(
        name="eq10-star",
        topic=TOPIC,
        where="Fig. 3a",
        says="the star checks the line, which is fitted to the other five points",
        printed=digits,
        found=(*without, *with_it),
        finding=f"The printed digits are{'' if inside else ' not'} those of the fit "
        f"with the star in it. Without it the exponent is {without[0].value:.3f}.",
        verdict=judge(not inside),
        command="scaling fit scamo",
    )


def _smallest() -> Claim:
    """Check that Fig. 3a draws each size's best codebook."""
    own, points = best(), drawn()
    wrong = points["V"].to_numpy() != own["V"].to_numpy()
    at, true = points[wrong].iloc[0], own[wrong].iloc[0]
    rule = by(own, EQ_10.law, "6 best codebooks")
    return Claim(
        name="eq10-44m",
        topic=TOPIC,
        where="Fig. 3a",
        says="the points are each size's best codebook",
        printed=(EQ_10.slope, EQ_10.intercept),
        found=(*rule, *by(points, EQ_10.law, "6 points as drawn")),
        finding=f"{len(points) - wrong.sum()} of {len(points)} are. {at['size']} is "
        f"drawn at V = {at['V']}, but is best at {true['V']} (Fig. 8). With that point "
        f"the exponent is {rule[0].value:.3f} in place of {EQ_10.slope}.",
        verdict=judge(not wrong.any()),
        command="scaling fit scamo",
    )


def _drawn_line() -> Claim:
    """Fit the line that Fig. 3a draws."""
    drawn_line = load("fig3a_nv_vs_nnv").query("kind == 'line'")
    law = fit(EQ_10.law, "power", drawn_line["Nnv"], drawn_line["Nv"])
    found = (
        plainly("exponent", "the line of Fig. 3a", law.slope),
        plainly("intercept", "the line of Fig. 3a", law.intercept),
    )
    return Claim(
        name="eq10-line",
        topic=TOPIC,
        where="Fig. 3a, Sec. 1",
        says="the line of Fig. 3a is Eq. 10, and gamma about 1.46",
        printed=(EQ_10.slope, EQ_10.intercept),
        found=found,
        finding=f"The line has {law.slope:.3f}, {law.intercept:.3f}: the digits of Eq. "
        "10 cut off, not rounded, and then drawn.",
        verdict=judge(same_digits(law.slope, EQ_10.slope)),
        command="scaling plot scamo --figure figure3a",
    )


# --- What is derived from them --------------------------------------------------------


def _ratios(points: pd.DataFrame) -> Iterator[Claim]:
    """Refit the two ratios whose exponents the paper divides."""
    for name, over, under, printed, right in (
        ("ratio-data", "N_nv", "D", "1.325", A - C),
        ("ratio-codebook", "N_v", "N_nv", "1.315", B - A),
    ):
        ratio = points[over] / points[under]
        law = fit("ratio(C)", "power", points["C"], ratio)
        found = numbers(law, f"least squares, {over} / {under}")[0]
        yield Claim(
            name=name,
            topic=TOPIC,
            where="Sec. 5.4",
            says=f"{over} / {under} grows as C^{printed}",
            printed=(printed,),
            found=(found,),
            finding=f"{printed} is a quotient of exponents. Those of a ratio are "
            f"subtracted: the printed ones leave C^{right:.2f}.",
            verdict=judge(within(found, float(printed))),
        )


def _identity(points: pd.DataFrame) -> Claim:
    """Ask whether (C^a + C^b) C^c = C can hold."""
    cost = (points["N_nv"] + points["N_v"]) * points["D"]
    found = [numbers(fit("cost(C)", "power", points["C"], cost), "(N_nv + N_v) D")[0]]
    for y in ("N_nv", "N_v"):
        law = fit("cost(C)", "power", points["C"], points[y] * points["D"])
        found.append(numbers(law, f"{y} D")[0])
    return Claim(
        name="identity",
        topic=TOPIC,
        where="Sec. 5.4",
        says="the exponents satisfy (C^a + C^b) C^c = C",
        printed=(f"{A}", f"{B}", f"{C}"),
        found=tuple(found[1:] + found[:1]),
        finding=f"With the printed a = {A}, b = {B}, c = {C} the one product grows as "
        f"C^{A + C:.2f}, the other as C^{B + C:.2f}: their sum is C for all C only if "
        "a = b. The points themselves cost C, since C was counted from them.",
        verdict=judge(B == A),
    )


def _two_exponents(points: pd.DataFrame) -> Claim:
    """Lay Eq. 10 beside the quotient of Eqs. 11 and 12."""
    found = quotient(points["C"], points["N_v"], points["N_nv"], "19 points")
    direct = by(points, EQ_10.law, "N_v against N_nv, 19 points")[0]
    both = within(found, float(EQ_10.slope)) and within(found, B / A)
    return Claim(
        name="two-exponents",
        topic=TOPIC,
        where="Eq. 10 and Eqs. 11, 12",
        says=f"N_v grows as N_nv^{EQ_10.slope}, and as N_nv^{B / A:.3f} ({B:g}/{A:g})",
        printed=(EQ_10.slope, f"{B / A:.3f}"),
        found=(found, direct),
        finding="Two numbers for one thing. The points tell them apart no better: the "
        f"interval holds {'both' if both else 'not both'}.",
        verdict=judge(same_digits(B / A, EQ_10.slope)),
    )


def _determination(points: pd.DataFrame) -> Claim:
    """Give R2 of all five equations, where the paper prints one."""
    found = [plainly("R2", "Eq. 10, as drawn", line(drawn(), EQ_10.law).r2)]
    for printed in OF_COMPUTE:
        r2 = line(points, printed.law).r2
        found.append(plainly("R2", printed.where, r2))
    worst = min(found, key=lambda n: n.value)
    return Claim(
        name="r2",
        topic=TOPIC,
        where="Fig. 3a",
        says="R2 of Eq. 10 is 0.95 (none is printed for the others)",
        printed=("0.95",),
        found=tuple(found),
        finding=f"The weakest is {worst.how}, {worst.value:.2f}.",
        verdict=judge(same_digits(found[0].value, "0.95")),
        command="scaling fit scamo",
    )
