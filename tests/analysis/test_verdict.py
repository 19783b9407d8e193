"""What a study comes to: said plainly where it is firm, provisionally where not."""

import pandas as pd
import pytest

from scaling.analysis.material import Material, usual_law
from scaling.analysis.outlook import fitted_range
from scaling.analysis.prediction import FAR
from scaling.analysis.verdict import verdict


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
    assert "10 times the largest compute of the points; expect L " in found.headline
    assert "100 % within their 95 % intervals" in " ".join(found.reasons)


def test_the_headline_is_the_prediction_at_ten_times_the_largest_compute(losses):
    material = Material(sources=[losses])
    found = verdict(material)
    _, most = fitted_range(material.laws)
    expected = material.laws.budget(FAR * most)
    assert found.next_run.compute == FAR * most
    assert found.next_run.loss == expected.loss
    low, high = expected.new_run
    assert f"a single run between {low:.3g} and {high:.3g} (95 %)" in found.headline


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
    assert "4 of 4 within the 95 % interval" in found.reasons[1]


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
