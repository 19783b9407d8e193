"""What a study comes to: said plainly where it is firm, provisionally where not."""

import re

import pandas as pd
import pytest

from scaling.analysis.material import Material, usual_law
from scaling.analysis.outlook import fitted_range
from scaling.analysis.prediction import FAR, Estimate
from scaling.analysis.verdict import _grade, verdict
from scaling.words import duration, short


@pytest.fixture
def losses(isoflops, tmp_path):
    path = tmp_path / "isoflops.csv"
    isoflops.to_csv(path, index=False)
    return path


def test_a_sound_table_gives_a_firm_answer(losses):
    found = verdict(Material(sources=[losses]))
    assert found.firm
    assert not found.warnings
    assert not found.advice
    assert found.headline.startswith("Train a model of ")
    assert "10 times the most compute of any run behind the laws" in found.headline
    assert "100 % within their 95 % intervals" in " ".join(found.reasons)


def test_the_headline_is_the_prediction_at_ten_times_the_largest_compute(losses):
    material = Material(sources=[losses])
    found = verdict(material)
    _, most = fitted_range(material.laws)
    expected = material.laws.budget(FAR * most)
    assert found.next_run.compute == FAR * most
    assert found.next_run.loss == expected.loss
    low, high = expected.new_run
    assert f"(95 % of single runs: {low:.3g} to {high:.3g})" in found.headline


def test_the_commands_fit_the_same_law(losses):
    commands = verdict(Material(sources=[losses])).commands
    assert commands[0] == f"scaling fit {losses} --law chinchilla --out laws.json"
    assert commands[1].startswith("scaling predict laws.json --compute 1e23")


def test_warnings_make_it_provisional_and_come_with_remedies(table, tmp_path):
    path = tmp_path / "runs.csv"
    last = table.drop_duplicates("run", keep="last")
    last.to_csv(path, index=False)
    found = verdict(Material(sources=[path]))
    assert not found.firm
    assert found.headline.startswith("Provisional: train ")
    assert any("MOST DATA TRIED" in w or "LOW R2" in w for w in found.warnings)
    assert found.advice
    assert found.commands[-1] == "scaling run next.yaml"


def test_a_law_of_compute_alone_chooses_no_sizes(tmp_path):
    path = tmp_path / "curve.csv"
    compute = [10.0**k for k in range(15, 23)]
    rows = {"flops": compute, "loss": [2 + 50 * c**-0.1 for c in compute]}
    pd.DataFrame(rows).to_csv(path, index=False)
    found = verdict(Material(sources=[path], law="power"))
    assert "the law chooses no sizes" in found.headline


def test_one_run_gives_no_answer_and_says_why(table, tmp_path):
    path = tmp_path / "one.csv"
    table[table["run"] == "w16-v64"].to_csv(path, index=False)
    found = verdict(Material(sources=[path]))
    assert found.headline.startswith("These runs give no answer yet: ")
    assert found.next_run is None


def test_the_paper_is_spoken_of_in_its_own_units():
    found = verdict(Material(sources=["scamo"]))
    assert "non-vocabulary FLOPs per token" in found.answers[0]
    assert "4 of 4 within the 95 % interval" in found.reasons[2]


def test_each_answer_says_how_well_it_is_known(losses):
    answers = verdict(Material(sources=[losses])).answers
    assert re.match(r"N\* = 24\.\dB parameters, known to \d+ % \(95 % int", answers[0])


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (90, 120, "known to 20 %"),
        (30, 200, "known to a factor of 3.3"),
        (5, 200, "NOT DETERMINED"),
        (0, 200, "NOT DETERMINED"),
    ],
)
def test_how_well_a_value_is_known(low, high, words):
    assert _grade(Estimate(value=100, low=low, high=high)) == words


def test_one_seed_and_repeated_data_speak_against_it(table, tmp_path):
    path = tmp_path / "runs.csv"
    table.assign(seed=0, unique_tokens=1000).to_csv(path, index=False)
    warnings = " ".join(verdict(Material(sources=[path])).warnings)
    assert "ONE SEED: every run was trained once" in warnings
    assert re.search(r"REPEATED DATA: .* epochs of the 1,000 unique ones", warnings)


def test_a_codebook_that_no_run_had_is_doubted(table, tmp_path):
    path = tmp_path / "runs.csv"
    table.to_csv(path, index=False)
    found = verdict(Material(sources=[path]))
    built = found.next_run.configuration.codebook_size
    outside = not 64 <= built <= 1024
    said = [each for each in found.warnings if "CODEBOOK NOT TRIED" in each]
    assert bool(said) == outside
    if outside:
        last = table[table["non_vocab_params"] == 600_000]
        best = last.loc[last["normalised_loss"].idxmin(), "codebook_size"]
        assert said[0].endswith(f"V = {short(best)} was best")


def test_the_speed_of_the_largest_run_says_how_long_the_next_takes(table, tmp_path):
    path = tmp_path / "runs.csv"
    table.assign(seconds=table["flops"] / 1e9).to_csv(path, index=False)
    found = verdict(Material(sources=[path]))
    seconds = found.next_run.compute / 1e9
    assert f"would take about {duration(seconds)}" in found.reasons[-1]


@pytest.mark.parametrize(
    ("held", "law"),
    [
        ({"N_nv", "N_v", "D", "C"}, "codebook"),
        ({"N", "D"}, "chinchilla"),
        ({"C"}, "power-floor"),
    ],
)
def test_the_usual_law_uses_what_the_records_hold(small, held, law):
    from dataclasses import replace

    some = {k: q for k, q in small.quantities.items() if k in held}
    some |= dict.fromkeys(held - set(some), small.quantities["L_u"])
    assert usual_law(replace(small, quantities=some)) == law
