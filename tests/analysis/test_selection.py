"""Which law predicts best: the criteria, the order, and the sentence."""

import itertools
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, optimize, stats

from scaling.analysis.catalogue import LAWS, exponent
from scaling.analysis.fitting import Fit, fit_law
from scaling.analysis.formula import Formula
from scaling.analysis.holdout import ExpandingWindow, Fold
from scaling.analysis.objective import Objective
from scaling.analysis.selection import Candidate, Selection, compare_laws, criteria
from scaling.errors import ScalingError

DATA = os.environ.get("SCALING_DATA")
real = pytest.mark.skipif(not DATA, reason="SCALING_DATA names no folder of data")

LSQ = Objective(name="lsq")


def grid_runs(sd: float = 0.005, seed: int = 0, tied: bool = False) -> pd.DataFrame:
    """Runs of 6 sizes at 10 budgets, by Chinchilla's law."""
    C, N = np.meshgrid(np.geomspace(1e18, 1e22, 10), np.geomspace(1e8, 3e9, 6))
    runs = pd.DataFrame({"C": C.ravel(), "N": N.ravel()})
    runs["D"] = runs["C"] / (6 * runs["N"])
    law = 1.8 + 480 / runs["N"] ** 0.35
    law += 480 / runs["D"] ** 0.35 if tied else 5000 / runs["D"] ** 0.41
    noise = np.random.default_rng(seed).normal(0, sd, len(runs))
    return runs.assign(L=law * np.exp(noise))


# --- Criteria -----------------------------------------------------------------------


def best_density(objective: Objective, r: np.ndarray) -> float:
    """-2 ln likelihood of exp(-rho / tau) / Z(tau), Z by quadrature, tau by search."""

    def value(log_tau: float) -> float:
        tau = np.exp(log_tau)
        edge = 60 * max(tau / objective.delta, np.sqrt(tau))
        kinks = [-objective.delta, 0, objective.delta]
        ends = [-edge, *(k for k in kinks if abs(k) < edge), edge]
        Z = sum(
            integrate.quad(
                lambda x: np.exp(-objective.rho(np.array(x)) / tau), low, high
            )[0]
            for low, high in itertools.pairwise(ends)
        )
        return 2 * (np.sum(objective.rho(r)) / tau + len(r) * np.log(Z))

    found = optimize.minimize_scalar(value, (-16, -10), bounds=(-25, 0))
    return float(found.fun)


@pytest.fixture(scope="module")
def fits() -> dict[str, Fit]:
    objectives = {
        "lsq": LSQ,
        "lad": Objective(name="lad"),
        "huber": Objective(delta=4e-3),
        "wide": Objective(delta=10.0),
        "asymmetric": Objective(name="asymmetric", delta=2e-3, quantile=0.2),
    }
    table = grid_runs()
    return {
        name: fit_law(table, "chinchilla", objective=objective)
        for name, objective in objectives.items()
    }


def test_least_squares_has_the_likelihood_of_gauss(fits: dict[str, Fit]) -> None:
    fit, n, k = fits["lsq"], 60, 6
    sd = np.sqrt(np.mean(fit.residuals**2))
    twice = -2 * stats.norm.logpdf(fit.residuals, scale=sd).sum()
    found = criteria(fit)
    assert (found.n, found.k) == (n, k)
    assert found.aicc == pytest.approx(twice + 2 * k * n / (n - k - 1), abs=1e-6)
    assert found.bic == pytest.approx(twice + k * np.log(n), abs=1e-6)


def test_absolute_deviations_have_the_likelihood_of_laplace(
    fits: dict[str, Fit],
) -> None:
    fit = fits["lad"]
    scale = np.mean(np.abs(fit.residuals))
    twice = -2 * stats.laplace.logpdf(fit.residuals, scale=scale).sum()
    assert criteria(fit).bic == pytest.approx(twice + 6 * np.log(60), abs=1e-6)


@pytest.mark.parametrize("name", ["huber", "asymmetric"])
def test_hubers_likelihood_is_that_of_quadrature(
    fits: dict[str, Fit], name: str
) -> None:
    fit = fits[name]
    twice = best_density(fit.objective, -fit.residuals)
    assert criteria(fit).bic == pytest.approx(twice + 6 * np.log(60), abs=1e-4)


def test_a_delta_beyond_all_residuals_is_least_squares(fits: dict[str, Fit]) -> None:
    assert criteria(fits["wide"]).aicc == pytest.approx(criteria(fits["lsq"]).aicc)


def test_units_of_the_loss_change_no_difference() -> None:
    table = grid_runs()
    differences = []
    for unit in (1.0, 1 / np.log(2)):
        scaled = table.assign(L=table["L"] * unit)
        both = [
            criteria(
                fit_law(
                    scaled, law, objective=Objective(space="linear", delta=0.01 * unit)
                )
            ).aicc
            for law in ("chinchilla", "chinchilla-tied")
        ]
        differences.append(both[1] - both[0])
    assert differences[0] == pytest.approx(differences[1], abs=1e-5)


def test_too_few_rows_for_the_correction() -> None:
    table = grid_runs().iloc[::9].head(6)
    assert criteria(fit_law(table, "chinchilla", objective=LSQ)).aicc == np.inf


# --- Comparison ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def found() -> Selection:
    laws = ["power-floor", "chinchilla", "kaplan", "codebook"]
    return compare_laws(grid_runs(), laws, LSQ)


def test_the_true_law_predicts_best(found: Selection) -> None:
    assert found.best.name == "chinchilla"
    assert next(iter(found.scored)) == "chinchilla"
    less = 1 - found.scored["chinchilla"].rmse / list(found.scored.values())[1].rmse
    assert found.sentence() == (
        f"chinchilla predicts best: {found.scored['chinchilla'].rmse:.2g} log loss on "
        f"rows held out, {100 * less:.0f} % less than {list(found.scored)[1]}"
    )
    assert less > 0.3


def test_all_laws_see_the_same_rows_and_cuts(found: Selection) -> None:
    fits = [c.fit for c in found.candidates if c.fit]
    assert [fit.sample.n for fit in fits] == [60, 60, 60]
    assert found.rows == "all evaluations: 60 rows"
    starts = [[fold.start for fold in w.folds] for w in found.scored.values()]
    assert starts[0] == starts[1] == starts[2]
    assert len(starts[0]) >= 4


def test_a_law_that_cannot_be_fitted_is_listed_with_its_reason(
    found: Selection,
) -> None:
    frame = found.to_frame()
    assert list(frame.columns) == [
        "law",
        "parameters",
        "hold_out_rmse",
        "hold_out_mean",
        "aicc",
        "bic",
        "rmse",
        "status",
    ]
    assert frame["law"].iloc[-1] == "codebook"
    assert frame["status"].iloc[-1] == "needs N_nv, which the table does not hold"
    assert frame["hold_out_rmse"].iloc[:3].is_monotonic_increasing
    assert frame["hold_out_rmse"].isna().tolist() == [False] * 3 + [True]
    row = frame.set_index("law").loc["chinchilla"]
    assert row["rmse"] == pytest.approx(0.005, rel=0.3)
    assert row["status"] == "good"
    assert repr(found).startswith("all evaluations: 60 rows\n")


def test_laws_of_compute_alone_are_compared_on_the_envelope() -> None:
    found = compare_laws(grid_runs(sd=0.0), ["power", "power-floor", "log"], LSQ)
    assert found.rows.startswith("the envelope of the runs")
    assert found.best.name == "power-floor"


def test_every_law_whose_inputs_are_there_is_tried() -> None:
    table = grid_runs().assign(U=np.nan)
    found = compare_laws(table.iloc[::2], objective=LSQ)
    expected = {n for n, law in LAWS.items() if set(law.inputs) <= {"N", "D", "C"}}
    assert {c.name for c in found.candidates} == expected


def test_few_rows_that_lack_an_input_are_left_out_for_all_laws() -> None:
    table = grid_runs()
    table.loc[3, "C"] = np.nan
    found = compare_laws(table, ["power", "chinchilla"], LSQ)
    assert found.rows.endswith(": 59 rows")
    assert len(found.scored) == 2


def test_an_input_that_many_rows_lack_keeps_its_laws_out() -> None:
    table = grid_runs()
    table.loc[3:9, "C"] = np.nan
    found = compare_laws(table, ["power", "chinchilla"], LSQ)
    status = {c.name: c.status for c in found.candidates}
    assert status["power"] == "needs C, which 7 of 60 rows lack"
    assert status["chinchilla"].startswith("the compute of 7 of 60 rows is not known")
    known = compare_laws(table.drop(columns="C"), ["chinchilla"], LSQ)
    assert known.best.name == "chinchilla"


def test_too_many_parameters_to_be_scored() -> None:
    table = grid_runs().iloc[::7].reset_index(drop=True)  # 9 runs
    found = compare_laws(table, ["chinchilla", "chinchilla-tied", "skaling"], LSQ)
    assert found.candidates[-1].name == "skaling"
    assert found.candidates[-1].reason.startswith("no cut of 9 rows")
    assert found.candidates[-1].fit is not None


def test_a_law_of_your_own_takes_part() -> None:
    own = Formula(
        name="one-exponent",
        text="E + (A / N + B / D)**g",
        inputs=("N", "D"),
        parameters=(
            LAWS["chinchilla"].parameters[0],
            *LAWS["chinchilla"].parameters[1:3],
            exponent("g"),
        ),
    )
    found = compare_laws(grid_runs(), [own, "chinchilla"], LSQ)
    assert {c.name for c in found.candidates} == {"one-exponent", "chinchilla"}
    assert found.best.name == "chinchilla"


def test_no_law_fits_the_columns() -> None:
    table = pd.DataFrame({"V": [1.0, 2.0], "L": [3.0, 2.0]})
    with pytest.raises(ScalingError, match=r"holds the inputs of none of [0-9]+ laws"):
        compare_laws(table)


def test_no_law_can_be_scored() -> None:
    found = compare_laws(grid_runs().iloc[::12], ["chinchilla"], LSQ)
    with pytest.raises(
        ScalingError, match=r"no law could be scored .*chinchilla: no cut"
    ):
        found.sentence()


def test_a_loss_below_zero_is_compared_as_it_is() -> None:
    table = grid_runs()
    table["L_u"] = table.pop("L") - 4
    found = compare_laws(table, ["chinchilla", "chinchilla-tied"])
    assert found.objective.space == "linear"
    assert "nats per token on rows held out" in found.sentence()
    assert found.scored["chinchilla"].rmse < 0.02


# --- The law to take ----------------------------------------------------------------


def scored(law: str, *errors: float) -> Candidate:
    folds = [
        Fold(n=9, rmse=e, mean_abs=e, mean=0.0, start=float(k), trained=9)
        for k, e in enumerate(errors)
    ]
    return Candidate(formula=LAWS[law], window=ExpandingWindow.of(folds))


def selection(*candidates: Candidate) -> Selection:
    return Selection(candidates=candidates, objective=LSQ, rows="all evaluations")


def test_the_simpler_law_is_taken_within_noise() -> None:
    more = scored("chinchilla", 0.010, 0.011, 0.012)
    fewer = scored("chinchilla-tied", 0.011, 0.010, 0.013)  # 0.3 +- 0.7 worse
    found = selection(more, fewer)
    assert found.best is fewer
    assert found.sentence() == (
        "chinchilla-tied predicts as well as any: 0.011 log loss on rows held out; "
        "chinchilla, with more parameters, has 0.011, a difference within noise"
    )


def test_the_simpler_law_is_not_taken_beyond_noise() -> None:
    more = scored("chinchilla", 0.010, 0.011, 0.012)
    fewer = scored("chinchilla-tied", 0.012, 0.0135, 0.014)
    assert selection(more, fewer).best is more


def test_a_law_of_compute_alone_does_not_stand_in_for_one_of_size_and_data() -> None:
    more = scored("chinchilla", 0.010, 0.011, 0.012)
    fewer = scored("power", 0.010, 0.011, 0.0121)
    assert selection(more, fewer).best is more


def test_one_fold_has_no_noise_to_be_within() -> None:
    found = selection(scored("chinchilla", 0.0100), scored("chinchilla-tied", 0.0101))
    assert found.best.name == "chinchilla"


def test_one_law_alone() -> None:
    assert selection(scored("power", 0.01)).sentence() == (
        "power is the only law that could be scored: 0.01 log loss on rows held out"
    )


# --- Public data --------------------------------------------------------------------


def public(name: str) -> pd.DataFrame:
    assert DATA
    folder = Path(DATA)
    if name == "epoch":
        table = pd.read_csv(folder / "epoch_chinchilla" / "svg_extracted_data.csv")
        table = table.rename(
            columns={"Model Size": "N", "Training FLOP": "C", "loss": "L"}
        )
        table["D"] = table["C"] / (6 * table["N"])
        return table.nsmallest(240, "L")[["N", "D", "C", "L"]]
    table = pd.read_csv(folder / "open_athena_isoflops" / "isoflops.csv")
    names = {"params": "N", "tokens": "D", "budget": "C", "loss": "L"}
    return table[table["experiment"] == name].rename(columns=names)[[*"NDCL"]]


@real
@pytest.mark.parametrize(
    ("name", "extrapolates"),
    [
        ("epoch", False),
        ("ml_scalefit__massivetext__chinchilla", False),
        ("marin_202603__comma__llama_2", True),
        ("marin_202603__dclm__llama_2", True),
    ],
)
def test_aicc_prefers_the_coupled_law_where_it_predicts_and_where_not(
    name: str, extrapolates: bool
) -> None:
    laws = ["chinchilla", "chinchilla-tied", "skaling"]
    found = compare_laws(public(name), laws)
    frame = found.to_frame().set_index("law")
    assert frame["aicc"].idxmin() == "skaling"
    assert (frame["hold_out_rmse"].idxmin() == "skaling") is extrapolates
    assert (found.best.name == "skaling") is extrapolates
