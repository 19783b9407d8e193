"""By how much compute one set of runs is better than another."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from scaling.analysis import solver
from scaling.analysis.arms import Arms, compare_arms, multiplied
from scaling.analysis.catalogue import LAWS
from scaling.analysis.formula import Formula, Parameter
from scaling.analysis.intervals import uncertainty
from scaling.analysis.objective import Objective
from scaling.analysis.table import Quantity, Records
from scaling.errors import ScalingError

LSQ = Objective(name="lsq")
M = 1.35


def of_compute(
    m: float, n: int = 16, sd: float = 0.0, seed: int = 0, alpha: float = 0.25
) -> pd.DataFrame:
    """Runs whose compute is worth m of another arm's."""
    C = np.geomspace(1e17, 1e20, n)
    noise = np.random.default_rng(seed).normal(0, sd, n)
    return pd.DataFrame({"C": C, "L": (1.7 + 6e3 / (C * m) ** alpha) * np.exp(noise)})


def of_data(m: float, sd: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Runs of 5 sizes, each token of which is worth m of another arm's."""
    N, D = np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e8, 1e11, 5))
    runs = pd.DataFrame({"N": N.ravel(), "D": D.ravel()})
    law = 1.7 + 400 / runs["N"] ** 0.34 + 410 / (runs["D"] * m) ** 0.28
    noise = np.random.default_rng(seed).normal(0, sd, len(runs))
    return runs.assign(L=law * np.exp(noise))


@pytest.fixture(scope="module")
def arms() -> Arms:
    return compare_arms(of_compute(1, sd=0.003), of_compute(M, sd=0.003, seed=1))


# --- The multiplier -----------------------------------------------------------------


@pytest.mark.parametrize("objective", [None, LSQ, Objective(space="linear")])
def test_a_known_multiplier_is_found(objective: Objective | None) -> None:
    found = compare_arms(of_compute(1), of_compute(M), objective=objective)
    assert found.m == pytest.approx(M, rel=1e-6)
    assert found.needs == pytest.approx(1 / M, rel=1e-6)
    assert found.fit.value("alpha") == pytest.approx(0.25, rel=1e-5)


@pytest.mark.parametrize("law", ["chinchilla", "skaling"])
def test_a_known_multiplier_of_data_is_found(law: str) -> None:
    found = compare_arms(of_data(1), of_data(M), law, objective=LSQ)
    assert found.symbol == "D"
    assert found.m == pytest.approx(M, rel=1e-5)


def test_repeated_tokens_are_worth_as_much_more_as_fresh_ones() -> None:
    def runs(m: float) -> pd.DataFrame:
        table = of_data(1).assign(U=2e9)
        D, U = m * table["D"], m * np.minimum(table["U"], table["D"])
        worth = U + U * 5 * (1 - np.exp((1 - D / U) / 5))
        return table.assign(L=1.7 + 400 / table["N"] ** 0.34 + 410 / worth**0.28)

    found = compare_arms(runs(1), runs(M), "repetition", objective=LSQ)
    assert found.m == pytest.approx(M, rel=1e-4)
    assert found.fit.value("R") == pytest.approx(5, rel=1e-3)


def test_the_closed_form_agrees_where_floor_and_exponent_are_known() -> None:
    a, b = of_compute(1), of_compute(M)
    fix = {"E": 1.7, "alpha": 0.25}
    closed = ((a["L"] - 1.7) / (b["L"] - 1.7)) ** (1 / 0.25)
    assert closed.to_numpy() == pytest.approx(M)
    found = compare_arms(a, b, fix=fix, objective=LSQ)
    assert found.m == pytest.approx(closed.mean(), rel=1e-7)
    assert found.p is None

    a, b = of_compute(1, sd=0.001), of_compute(M, sd=0.001, seed=1)
    closed = ((a["L"] - 1.7) / (b["L"] - 1.7)) ** (1 / 0.25)
    # Each pair counts by the inverse of the variance of its own answer.
    above = 1 - 1.7 / (a["L"] + b["L"]) * 2
    mean = np.exp(np.average(np.log(closed), weights=above**2))
    found = compare_arms(a, b, fix=fix, objective=LSQ)
    assert found.m == pytest.approx(mean, rel=5e-3)


def test_arms_that_change_places_invert_the_multiplier() -> None:
    a, b = of_compute(1, sd=0.003), of_compute(M, sd=0.003, seed=1)
    for objective in (LSQ, None):
        one = compare_arms(a, b, objective=objective)
        other = compare_arms(b, a, objective=objective)
        assert other.m == pytest.approx(1 / one.m, rel=1e-6)
        assert other.interval() == pytest.approx(one.needs_interval(), rel=1e-4)
        assert other.p == pytest.approx(one.p, rel=1e-3)


def test_an_arm_is_worth_as_much_as_itself() -> None:
    runs = of_compute(1, sd=0.003).assign(run=[f"r{k}" for k in range(16)])
    found = compare_arms(runs, runs)
    assert found.m == pytest.approx(1, abs=1e-9)
    assert found.fit.sample.clusters == 32
    assert "which includes no difference" in found.sentence()


@settings(max_examples=10, deadline=None)
@given(unit=st.floats(1e-18, 1e3), seed=st.integers(0, 99))
def test_neither_units_nor_order_of_rows_matter(unit: float, seed: int) -> None:
    a, b = of_compute(1, sd=0.003), of_compute(M, sd=0.003, seed=1)
    one = compare_arms(a, b, objective=LSQ)
    a, b = (
        each.assign(C=each["C"] * unit).sample(frac=1, random_state=seed)
        for each in (a, b)
    )
    other = compare_arms(a, b, objective=LSQ)
    assert other.m == pytest.approx(one.m, rel=1e-6)
    assert other.interval() == pytest.approx(one.interval(), rel=1e-4)


@pytest.mark.parametrize("objective", [LSQ, Objective()])
def test_intervals_hold_the_truth_about_as_often_as_they_say(
    objective: Objective,
) -> None:
    truth = compare_arms(of_compute(1, 10), of_compute(M, 10), objective=objective).fit
    random, runs = np.random.default_rng(0), 300
    losses = truth.sample.loss * np.exp(random.normal(0, 0.003, (runs, 20)))
    problem = replace(truth.problem, y=losses)
    theta = solver.minimise(problem, np.tile(truth.theta, (runs, 1))).theta
    held = 0
    for y, each in zip(losses, theta, strict=True):
        drawn = replace(truth.sample, table=truth.sample.table.assign(L_u=y))
        fit = replace(truth, sample=drawn, theta=each)
        low, high = uncertainty(fit).parameters()["m"]
        held += low < M < high
    # Three standard errors of 300 simulations about 0.95.
    assert held / runs == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / runs))


# --- The law of both ----------------------------------------------------------------

CASES = [(name, symbol) for name, law in LAWS.items() for symbol in law.inputs]


@pytest.mark.parametrize(("name", "symbol"), CASES)
def test_arm_b_has_the_loss_of_arm_a_at_m_times_the_input(
    name: str, symbol: str
) -> None:
    law = LAWS[name]
    random = np.random.default_rng(0)
    theta = random.uniform(0.2, 0.9, (4, len(law.parameters)))
    x = {s: random.uniform(0.5, 2, 7) for s in law.inputs}
    log_m = 0.3
    moved = (symbol, "U") if symbol == "D" else (symbol,)
    expected = law.compiled.value(
        theta, [x[s] + log_m * (s in moved) for s in law.inputs]
    )
    both = multiplied(law, symbol)
    theta = np.column_stack([theta, np.full(4, log_m)])
    inputs = [x[s] for s in law.inputs]
    value = both.compiled.value
    assert value(theta, [*inputs, np.ones(7)]) == pytest.approx(expected)
    theta[:, -1] = 0
    plain = law.compiled.value(theta[:, :-1], inputs)
    assert value(theta, [*inputs, np.ones(7)]) == pytest.approx(plain)
    theta[:, -1] = log_m
    assert value(theta, [*inputs, np.zeros(7)]) == pytest.approx(plain)


def test_each_arm_has_its_own_rows() -> None:
    a = of_compute(1, n=8).assign(N=1e8)
    b = pd.concat([of_compute(M, n=8).assign(N=n) for n in (1e8, 2e8)])
    found = compare_arms(a, b.reset_index(drop=True))
    assert found.fit.sample.rows == "frontier"
    assert found.fit.sample.table.groupby("arm").size().to_dict() == {0.0: 8, 1.0: 8}


def test_compute_counted_in_two_ways_is_said() -> None:
    def records(m: float, convention: str) -> Records:
        frame = of_compute(m).rename(columns={"C": "flops", "L": "loss"})
        frame = frame.assign(flops_convention=convention)
        frame["run"] = [f"r{k}" for k in frame.index]
        columns = {"C": "flops", "L_u": "loss"}
        held = {s: Quantity.of(s, column) for s, column in columns.items()}
        return Records(frame=frame, quantities=held, sources=(f"{convention}.csv",))

    found = compare_arms(records(1, "openai"), records(M, "6nd"))
    assert "COUNTED IN TWO WAYS: a by openai, b by 6nd" in found.sentence()
    assert found.fit.sample.sources == ("openai.csv", "6nd.csv")
    assert len(found.fit.sample.data_hash) == 33
    same = compare_arms(records(1, "6nd"), records(M, "6nd"))
    assert "TWO WAYS" not in repr(same)


def test_weights_of_one_arm_are_kept() -> None:
    b = of_compute(M)
    b.loc[3, "L"] = 9.0
    weighted = b.assign(weight=np.where(b.index == 3, 0.0, 1.0))
    found = compare_arms(of_compute(1), weighted, objective=LSQ)
    assert found.m == pytest.approx(M, rel=1e-6)


# --- One exponent for both ----------------------------------------------------------


def test_arms_of_one_exponent_are_rarely_told_apart() -> None:
    p = [
        compare_arms(
            of_compute(1, sd=0.003, seed=2 * k),
            of_compute(M, sd=0.003, seed=2 * k + 1),
            fix={"E": 1.7},
            objective=LSQ,
        ).p
        for k in range(100)
    ]
    rejected = np.mean(np.array(p, float) < 0.05)
    assert rejected <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 100)
    assert np.mean(np.array(p, float) < 0.5) == pytest.approx(0.5, abs=0.15)


def test_arms_of_two_exponents_are_told_apart() -> None:
    steep = of_compute(0.3, sd=0.002, seed=1, alpha=0.3)
    found = compare_arms(of_compute(1, sd=0.002), steep, fix={"E": 1.7})
    assert found.p is not None
    assert found.p < 0.01
    assert found.sentence().endswith(
        f"THE ARMS DO NOT SHARE AN EXPONENT (p = {found.p:.2g}): the multiplier "
        "depends on compute"
    )


def test_a_difference_of_slopes_is_the_one_of_linear_regression() -> None:
    x = np.linspace(17, 20, 40)
    random = np.random.default_rng(0)
    ours, theirs = [], []
    for _ in range(12):
        a, b = (
            pd.DataFrame({"C": 10**x, "L": 20 - 0.9 * x + random.normal(0, 0.02, 40)})
            for _ in range(2)
        )
        linear = Objective(name="lsq", space="linear")
        ours.append(compare_arms(a, b, "log", objective=linear).p)
        lines = [stats.linregress(x, each["L"]) for each in (a, b)]
        error = np.hypot(*(line.stderr for line in lines))
        t = (lines[1].slope - lines[0].slope) / error
        theirs.append(abs(t))
    # The error is estimated otherwise, and to about 8 % by 76 rows left over.
    assert stats.t.isf(np.array(ours, float) / 2, 76) == pytest.approx(theirs, rel=0.3)
    assert min(ours) < 0.2 < 0.7 < max(ours)


def test_too_few_rows_leave_the_exponents_untested() -> None:
    found = compare_arms(of_compute(1, n=3), of_compute(M, n=2), objective=LSQ)
    assert found.p is None
    assert found.m == pytest.approx(M, rel=1e-4)


# --- Words --------------------------------------------------------------------------


def test_the_sentence_says_what_b_needs(arms: Arms) -> None:
    low, high = arms.needs_interval()
    assert low < 1 / M < high < 1
    assert arms.sentence() == (
        f"b needs {arms.needs:.3g} of a's compute for the same loss "
        f"(95 % {low:.3g} to {high:.3g})"
    )
    assert (low, high) == pytest.approx([1 / end for end in arms.interval()[::-1]])
    assert "(80 % " in arms.sentence(0.8)


def test_arms_have_the_names_they_are_given() -> None:
    found = compare_arms(
        of_data(1), of_data(M), "chinchilla", names=("old", "new"), objective=LSQ
    )
    assert found.sentence().startswith(
        "new needs 0.741 of old's data for the same loss at the same size (95 % "
    )
    assert found.fit.sample.name_of(0) == "old: row 1"


def test_arms_without_a_loss_in_common_are_in_doubt() -> None:
    found = compare_arms(of_compute(1), of_compute(1e5))
    assert "NO LOSS IN COMMON" in found.sentence()
    assert found.m == pytest.approx(1e5, rel=1e-3)


@pytest.mark.parametrize(
    ("law", "options", "text"),
    [
        ("power", {"multiplier": "N"}, "power has no input 'N' to multiply; .* of C"),
        ("power-floor", {"fix": {"E": 9.0}}, "E is fixed at 9, but the loss"),
        ("power-floor", {"fix": {"F": 1.0}}, "no parameter 'F' to fix"),
        ("nothing", {}, "there is no law 'nothing'"),
    ],
)
def test_what_cannot_be_compared(
    law: str, options: dict[str, object], text: str
) -> None:
    with pytest.raises(ScalingError, match=text):
        compare_arms(of_compute(1), of_compute(M), law, **options)  # type: ignore[arg-type]


def test_a_law_with_an_m_of_its_own_is_refused() -> None:
    scale = Parameter(name="m", scale=True)
    own = Formula(name="own", text="m / C", inputs=("C",), parameters=(scale,))
    with pytest.raises(ScalingError, match=r"law own uses the name 'm'.*: rename it"):
        compare_arms(of_compute(1), of_compute(M), own)


def test_two_kinds_of_loss_are_refused() -> None:
    b = of_compute(M).rename(columns={"L": "L_u"})
    with pytest.raises(ScalingError, match="the loss of a is L, that of b L_u"):
        compare_arms(of_compute(1), b)
