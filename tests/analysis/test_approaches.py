"""The approaches side by side agree where they must and refuse in words."""

import json

import numpy as np
import pytest

from scaling.analysis.approaches import approaches, approaches_text
from scaling.analysis.records import read


@pytest.fixture(scope="module")
def found(isoflops):
    return approaches(read(isoflops))


def by_name(found):
    return {each.approach.split(",")[0]: each for each in found.answers}


def test_all_find_the_exponent_of_a_known_law(exact_isoflops):
    found = approaches(read(exact_isoflops))
    for each in found.answers:
        assert not each.reason
        assert each.exponents["N"].value == pytest.approx(0.37 / 0.72, abs=0.002)
        assert each.exponents["D"].value == pytest.approx(0.35 / 0.72, abs=0.002)
    assert found.compute == 1e22


def test_the_law_s_answer_is_the_best_division(found, law_fit):
    law = found.answers[-1]
    A, B, alpha, beta = (law_fit.value(name) for name in ("A", "B", "alpha", "beta"))
    best = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    best *= (1e22 / 6) ** (beta / (alpha + beta))
    assert law.at_top["N"].value == pytest.approx(best, rel=1e-4)


def test_sizes_that_do_not_bracket_a_minimum_are_refused_by_name(isoflops):
    small = isoflops[isoflops["total_params"] < 0.03 * isoflops["flops"] ** 0.514]
    answers = approaches(read(small)).answers
    refused = [each for each in answers if each.approach.startswith("2 isoFLOP")]
    assert all("have a minimum, but a law needs 2" in each.reason for each in refused)


def test_a_grid_off_its_centre_warns_of_the_parabola(isoflops):
    C, N = isoflops["flops"], isoflops["total_params"]
    drift = 0.5 * (np.log10(C) - 20)
    N = N * np.exp(drift)
    D = C / (6 * N)
    loss = 1.8 + 400 / N**0.35 + 2000 / D**0.37
    moved = isoflops.assign(total_params=N, tokens=D, loss=loss)
    answers = {each.approach: each for each in approaches(read(moved)).answers}
    parabola = answers["2 isoFLOP, parabola"]
    assert any(
        text.startswith("BIASED: the parabola puts") for text in parabola.warnings
    )


def test_codebooks_have_an_answer_by_the_derivative(scamo):
    answers = {each.approach: each for each in approaches(scamo).answers}
    assert answers["derivative"].exponents["N_v(N_nv)"].value == pytest.approx(
        0.874, abs=5e-4
    )
    (law,) = [each for name, each in answers.items() if name.startswith("3 law")]
    assert law.reason or "V" in law.at_top


def test_a_table_of_compute_alone_says_what_is_lacking(tmp_path):
    rows = "".join(f"r{k},1e{k},{5 - k / 10}\n" for k in range(10, 16))
    (tmp_path / "a.csv").write_text("run,flops,loss\n" + rows)
    answers = approaches(read(tmp_path / "a.csv")).answers
    assert all(each.reason for each in answers)
    assert "hold neither sizes nor data" in answers[0].reason
    assert "needs N" in answers[1].reason


def test_text_and_json_say_the_same(found):
    fields = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert fields["kind"] == "approaches"
    page = approaches_text(found)
    assert max(map(len, page.splitlines())) <= 100
    for answer in fields["approaches"]:
        assert f"{answer['exponents']['N']['value']:.3f}" in page
