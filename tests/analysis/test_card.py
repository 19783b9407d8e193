"""A card says all that a fit is to be judged by, and comes back whole from its file."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from scaling.analysis.card import card, load
from scaling.analysis.catalogue import LAWS
from scaling.analysis.fitting import fit_law
from scaling.analysis.records import read
from scaling.errors import ScalingError


@pytest.fixture(scope="module")
def good(law_fit):
    return card(law_fit, holdout=0.2)


def test_a_good_fit_has_no_warning(good):
    assert good.warnings == ()
    assert (good.status, good.message) == ("good", "nothing speaks against this fit")


def test_the_truth_lies_in_the_intervals(good):
    truth = {"E": 1.8, "A": 400, "B": 2000, "alpha": 0.35, "beta": 0.37}
    inside = [p.low <= truth[n] <= p.high for n, p in good.parameters.items()]
    assert sum(inside) >= 4
    frontier = good.frontier
    assert frontier["N"].low <= 0.37 / 0.72 <= frontier["N"].high
    assert frontier["N"].value + frontier["D"].value == pytest.approx(1, abs=1e-6)


def test_json_holds_what_a_reader_must_know(good):
    fields = json.loads(json.dumps(good.to_dict(), allow_nan=False))
    assert (fields["schema"], fields["kind"], fields["law"]) == (1, "fit", "chinchilla")
    assert fields["objective"]["text"] == "Huber(delta 0.001) on log loss"
    assert fields["objective"]["value"] == good.fit.objective_value
    assert fields["parameters"]["alpha"]["value"] == good.fit.value("alpha")
    assert fields["certificate"]["agree"] == good.fit.certificate.agree
    assert fields["data"]["n"] == fields["data"]["runs"] == 35
    assert fields["data"]["ranges"]["C"] == [1e18, 1e22]
    assert fields["conventions"]["compute"].startswith("C = 6 N D, as the rows show it")
    assert fields["holdout"]["n"] == 7
    assert [row["delta"] for row in fields["delta_sweep"]][:2] == [1e-4, 1e-3]
    assert len(fields["table"]["N"]) == 35


def test_a_card_comes_back_whole(good, tmp_path):
    good.save(tmp_path / "laws.json")
    again = load(json.loads((tmp_path / "laws.json").read_text()))
    assert again.method == good.uncertainty.method
    assert again.reason == good.uncertainty.reason
    assert np.array_equal(again.fit.theta, good.fit.theta)
    assert again.fit.certificate == good.fit.certificate
    assert again.parameters() == good.uncertainty.parameters()
    kept = good.fit.sample.table
    pd.testing.assert_frame_equal(again.fit.sample.table, kept, check_dtype=False)
    assert card(again.fit, holdout=0.2).to_dict() == good.to_dict()


def test_a_bootstrap_comes_back_from_its_seed(law_fit):
    made = card(law_fit, method="pairs", draws=200, seed=7)
    again = load(made.to_dict())
    assert np.array_equal(again.draws, made.uncertainty.draws)


def test_fixed_and_tied_parameters_are_told_apart(isoflops):
    held = fit_law(read(isoflops), "chinchilla", fix={"E": 1.8}, tie={"beta": "alpha"})
    states = {n: (p.state, p.low is None) for n, p in card(held).parameters.items()}
    assert states["E"] == ("fixed", True)
    assert states["beta"] == ("= alpha", True)
    assert states["alpha"] == ("free", False)
    again = load(card(held).to_dict()).fit
    assert again.formula == held.formula


def test_a_law_of_one_s_own_needs_no_catalogue_to_be_read(isoflops):
    mine = replace(
        LAWS["chinchilla"], name="mine", text="E + A/N**alpha + B/D**beta + 0"
    )
    made = card(fit_law(read(isoflops), mine))
    assert load(made.to_dict()).fit.formula.name == "mine"


def test_what_is_not_finite_is_null(isoflops):
    two = fit_law(read(isoflops.iloc[[0, 34]]), "power")
    fields = json.loads(json.dumps(card(two).to_dict(), allow_nan=False))
    assert fields["objective"]["residual_sd"] is None
    assert math.isfinite(fields["parameters"]["alpha"]["value"])
    assert fields["status"] == "doubtful"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "study"}, "it is kind 'study', schema 1; expected 'fit', 1: fit the"),
        ({"schema": 99}, "schema 99"),
        ({"theta": {}}, "has no field 'E'"),
        ({"table": 3}, "is misshapen"),
    ],
)
def test_files_that_are_no_card_are_refused(good, change, message):
    with pytest.raises(ScalingError, match=message):
        load(good.to_dict() | change)


def test_rows_held_out_that_are_missed_reach_the_verdict(law_fit, good):
    missed = replace(good.holdout, coverage=0.3)
    found = replace(good, holdout=missed)
    assert found.status == "doubtful"
    assert "HELD-OUT ROWS MISSED: 30 % lie within" in found.message


def test_a_delta_that_decides_reaches_the_verdict(good):
    assert not any("DELTA" in text for text in good.warnings)
    swept = good.sweep.assign(alpha=np.linspace(0.2, 0.5, len(good.sweep)))
    (found,) = replace(good, sweep=swept).warnings
    assert found.startswith("DELTA DECIDES: alpha goes from 0.2 to 0.5 with delta, ")


def test_intervals_may_be_those_of_profiles(law_fit, good):
    made = card(law_fit, profiled=True)
    for name, each in made.parameters.items():
        assert (each.low, each.high) == (
            made.profiles[name].low,
            made.profiles[name].high,
        )
        assert each.low < each.value < each.high
        assert each.low == pytest.approx(good.parameters[name].low, rel=0.2)
    assert made.to_dict()["intervals"]["parameters"] == "profile"
    assert "Intervals of the parameters: " in repr(made)


def test_an_end_that_the_data_do_not_give_is_null(isoflops):
    two = isoflops[isoflops["flops"].isin([1e18, 1e22])].iloc[::2]
    made = card(fit_law(read(two), "skaling"))
    assert made.endless
    for name, profile in made.endless.items():
        low, high = made.parameters[name].low, made.parameters[name].high
        assert (low is None, high is None) == (profile.low_open, profile.high_open)


HOSTILE = (
    "0*log10.__globals__['__builtins__']['open']('{path}', 'w').write('x')",
    "0*__import__('os').system('touch {path}')",
    "0*().__class__",
    "(lambda: 0)()",
    "9**9**9**9",
    "ｅval('1')",
)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("where", ["text", "per"])
def test_a_card_of_another_s_making_runs_nothing(good, tmp_path, text, where):
    fields = json.loads(json.dumps(good.to_dict()))
    text = text.format(path=tmp_path / "touched")
    if where == "text":
        fields["declaration"]["text"] += f" + {text}"
    else:
        fields["declaration"]["parameters"][3]["per"] = text
    with pytest.raises(ScalingError):
        load(fields).fit.refit()
    assert not (tmp_path / "touched").exists()
