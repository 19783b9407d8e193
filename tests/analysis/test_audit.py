"""The audit of the paper: its numbers, verdicts and table, its page, the command."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.analysis.audit import SHOWN, Audit, audit, text
from scaling.analysis.audit_claim import (
    Claim,
    Number,
    judge,
    quotient,
    refit,
    same_digits,
    written,
)
from scaling.analysis.audit_points import (
    best,
    curves,
    data_rule,
    drawn,
    frontier,
    minima,
)
from scaling.analysis.audit_tables import compared, differences
from scaling.analysis.laws import fit
from scaling.analysis.vocabulary import line

if TYPE_CHECKING:
    from tests.conftest import CommandLine

DOCS = Path(__file__).resolve().parents[2] / "docs"
GOLDEN = Path(__file__).with_name("golden") / "audit.txt"

FORWARD = """
44M 52242432 52504576 53028864 54077440 56174592 68757504 119089152
111M 173970432 174363648 175150080 176722944 179868672 198743040 274240512
343M 614387712 614912000 615960576 618057728 622252032 647417856 748081152
775M 1434762240 1435417600 1436728320 1439349760 1444592640 1476049920 1601879040
1B 2748340224 2749126656 2750699520 2753845248 2760136704 2797885440 2948880384
3B 5930764800 5932403200 5935680000 5942233600 5955340800 6033984000 6348556800
"""
"""Forward FLOPs per token of the 42 models, codebooks 2^8 to 2^16, counted by hand."""


@pytest.fixture(scope="module")
def found() -> Audit:
    return audit()


def numbers(found: Audit, claim: str, how: str) -> list[float]:
    return [n.value for n in found.claim(claim).found if n.how == how]


# --- Known numbers --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "how", "slope", "intercept"),
    [
        ("eq14", "least squares, 19 points", -1.06212, 13.83935),
        ("eq14", "least squares, 17 points, without 3B", -1.06214, 13.83939),
        ("eq14", "least squares, 18 points, without the star", -1.0581, 13.777),
        ("eq10", "least squares, 6 points as drawn", 1.4670, -5.6040),
        ("eq10", "least squares, 5 as drawn, without the star", 1.530, -6.128),
        ("eq10", "least squares, 6 best codebooks", 1.23557, -3.45483),
        ("eq10", "least squares, as drawn, parameters by the text", 1.460, -5.389),
        ("eq11", "least squares, 19 points", 0.74755, -5.21194),
        ("eq11", "Huber 1e-3, 19 points", 0.717, -4.651),
        ("eq12", "least squares, 19 points", 0.56005, -0.29990),
        ("eq12", "Huber 1e-3, 19 points", 0.5752, -0.5275),
        ("eq13", "least squares, 19 points", 0.43570, -0.11798),
        ("eq13", "Huber 1e-3, 19 points", 0.4304, -0.0483),
    ],
)
def test_the_equations_have_the_known_numbers(
    found: Audit, claim: str, how: str, slope: float, intercept: float
) -> None:
    value = numbers(found, claim, how)
    places = [len(str(n).partition(".")[2]) for n in (slope, intercept)]
    for ours, known, digits in zip(value, (slope, intercept), places, strict=True):
        # The points have five digits, so a sixth of an intercept is not theirs.
        assert ours == pytest.approx(known, abs=max(1.1 * 10.0**-digits, 1e-4))


def test_the_models_cost_what_was_counted_by_hand() -> None:
    table = minima().set_index(["size", "V"])
    for row in FORWARD.split("\n")[1:-1]:
        size, *costs = row.split()
        ours = table.loc[size, "N_nv"] + table.loc[size, "N_v"]
        assert ours.tolist() == [int(cost) for cost in costs]


def test_compute_is_three_forward_passes_over_the_plotted_data(found: Audit) -> None:
    six, three, every = found.claim("compute").found
    assert three.value == pytest.approx(3.0000, abs=1e-4)
    assert three.low == pytest.approx(3, abs=5e-4)
    assert three.high == pytest.approx(3, abs=5e-4)
    assert 6 < six.value < 6.2
    assert every.value < 3.4e-5


def test_the_plotted_data_follow_from_the_name_of_the_model() -> None:
    points, table = frontier(), curves()
    assert np.abs(points["D"] / data_rule(points) - 1).max() < 1.5e-5  # as read off
    assert np.abs(table["D"] / data_rule(table) - 1).max() < 3e-6


def test_data_as_seen_are_the_same_for_every_size_at_an_evaluation() -> None:
    seen = frontier().groupby("k")["seen"].nunique()
    assert (seen == 1).all()


def test_one_point_of_figure_3a_is_not_at_its_best_codebook() -> None:
    wrong = drawn()["V"].to_numpy() != best()["V"].to_numpy()
    assert drawn()[wrong][["size", "V"]].to_numpy().tolist() == [["44M", 256]]


def test_figure_6_and_table_3_differ_in_nine_values() -> None:
    assert len(compared()) == 112 == len(compared().dropna())
    counts = differences().groupby(["panel", "quantizer"]).size().to_dict()
    assert counts == {
        ("HML_L1", "FSQ"): 4,
        ("MU_usage", "VQ"): 3,
        ("MU_usage", "FSQ"): 1,
        ("MU_entropy", "VQ"): 1,
    }


@pytest.mark.parametrize(
    ("claim", "verdict", "words"),
    [
        ("selection", "agrees", "19 of 42 runs, the same and in the same order"),
        ("eq14", "agrees", ""),
        ("eq14-blind", "cannot be told", "19 and 17 points both round"),
        ("eq10-44m", "disagrees", "1.236 in place of 1.467"),
        ("eq10-star", "disagrees", "Without it the exponent is 1.530"),
        ("eq10-line", "disagrees", "1.460, -5.600"),
        ("method", "disagrees", "Eq. 11: neither; Eq. 12: Huber's objective, its"),
        ("ratio-data", "disagrees", "C^0.14"),
        ("ratio-codebook", "disagrees", "C^0.18"),
        ("gamma", "cannot be told", "7 of 7 estimates are above 1"),
        ("data", "disagrees", "k x 128,000 x N_nominal / 44e6"),
        ("predicted-budget", "disagrees", "8.3e17"),
        ("predicted-data", "disagrees", "10^7.69"),
        ("predicted-loss", "agrees", "-0.036 nats"),
        ("fig6-table3", "disagrees", "4 of 4 values stand in the table for the next"),
        ("vq", "agrees", "lowest at 2048"),
        ("fsq", "agrees", "every step on 2 of 2 data sets"),
        ("shape", "agrees", "0.66 nats"),
        ("conventions", "disagrees", "D's falls by 0.49"),
    ],
)
def test_verdicts(found: Audit, claim: str, verdict: str, words: str) -> None:
    assert found.claim(claim).verdict == verdict
    assert words in found.claim(claim).finding


# --- The fits beside independent ones -------------------------------------------------


def test_huber_s_line_is_that_of_iterated_reweighting() -> None:
    points = frontier()
    plain = fit("N_nv(C)", "power", points["C"], points["N_nv"])
    slope, intercept = refit(plain, points["C"], points["N_nv"], "", "huber")
    other = line("N_nv(C)", points["C"], points["N_nv"], delta=1e-3)
    assert slope.value == pytest.approx(other.slope, abs=1e-6)
    assert intercept.value == pytest.approx(other.intercept, abs=2e-5)


def test_points_of_a_size_that_err_together_leave_the_line_and_widen_the_interval() -> (
    None
):
    points = frontier()
    plain = fit("N_nv(C)", "power", points["C"], points["N_nv"])
    apart, together = (
        refit(plain, points["C"], points["N_nv"], "", "lsq", runs)[0]
        for runs in ((), points["size"])
    )
    assert apart.value == pytest.approx(plain.slope, abs=1e-8)
    assert together.value == pytest.approx(plain.slope, abs=1e-8)
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


@given(
    over=st.floats(0.2, 2),
    under=st.floats(0.4, 2),
    seed=st.integers(0, 2**20),
)
def test_a_quotient_of_exponents_holds_the_quotient_of_the_lines(
    over: float, under: float, seed: int
) -> None:
    x = np.geomspace(1, 1e4, 19)
    noise = np.exp(np.random.default_rng(seed).normal(0, 0.05, (2, 19)))
    a, b = x**over * noise[0], x**under * noise[1]
    found = quotient(x, a, b, "x")
    lines = [fit("y(x)", "power", x, y).slope for y in (a, b)]
    assert found.value == pytest.approx(lines[0] / lines[1], rel=1e-9)
    assert found.low < found.value < found.high


def test_numbers_are_written_as_their_intervals_deserve() -> None:
    about = {"quantity": "", "how": ""}
    assert written(Number(**about, value=1.6623e18)) == "1.662e18"
    assert written(Number(**about, value=4375.0)) == "4,375"
    assert written(Number(**about, value=0.03724)) == "0.03724"
    wide = Number(**about, value=14.739, low=13.479, high=16.004)
    assert written(wide) == "14.74 [13.48, 16.00]"
    assert same_digits(-1.0621, "-1.062")
    assert not same_digits(0.5752, "0.57")
    assert judge(True) == "agrees"


# --- As text, as JSON, as a page ------------------------------------------------------


def test_every_claim_is_whole(found: Audit) -> None:
    names = [claim.name for claim in found.claims]
    assert len(set(names)) == len(names)
    for claim in found.claims:
        assert claim.says
        assert claim.where
        assert claim.finding.endswith(".")
        assert claim.verdict in SHOWN
        assert claim.command.startswith("scaling ")
        for number in claim.found:
            assert np.isfinite(number.value)
            assert (number.low is None) == (number.high is None)
            if number.low is not None:
                assert number.low <= number.value <= number.high


def test_nothing_that_is_found_is_written_down() -> None:
    """Other points give other numbers: what is fitted is not a constant of the code."""
    points = frontier()
    moved = points.assign(N_nv=points["N_nv"] * (points["C"] / 1e16) ** 0.1)
    before, after = (fit("N(C)", "power", p["C"], p["N_nv"]) for p in (points, moved))
    assert after.slope == pytest.approx(before.slope + 0.1)
    sources = (DOCS.parent / "analysis").glob("audit*.py")
    code = "".join(path.read_text() for path in sources)
    fitted = ("1.236", "0.7475", "0.5752", "13.8393", "-0.0515", "1.530", "1.23557")
    assert not [number for number in fitted if f"={number}" in code.replace(" ", "")]


def test_the_head_of_the_table(found: Audit) -> None:
    lines = text(found).splitlines()
    assert lines[:22] == GOLDEN.read_text().splitlines()
    assert max(map(len, lines)) <= 100
    assert repr(found) == text(found)


def test_bad_states_are_in_capitals(found: Audit) -> None:
    lines = text(found).splitlines()
    loud = sum(line.startswith("  DISAGREES: ") for line in lines)
    assert loud == found.verdicts["disagrees"]
    assert sum(found.verdicts.values()) == len(found.claims)


def test_the_json_has_every_field(found: Audit) -> None:
    fields_of = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert fields_of["schema"] == 1
    assert fields_of["kind"] == "audit"
    assert set(fields_of["claims"][0]) == {field.name for field in fields(Claim)}
    assert set(fields_of["claims"][0]["found"][0]) == {f.name for f in fields(Number)}
    eq14 = next(c for c in fields_of["claims"] if c["name"] == "eq14")
    assert eq14["printed"] == ["-1.062", "13.839"]


def rows() -> list[list[str]]:
    """Give the rows of the page's tables: name, paper, points, verdict, command."""
    page = (DOCS / "scamo.md").read_text()
    cells = [
        line.strip("|").split("|") for line in page.splitlines() if line[:1] == "|"
    ]
    cells = [[cell.strip() for cell in row] for row in cells]
    return [row for row in cells if row[0] not in ("claim", "---")]


def test_the_page_has_every_claim_with_its_verdict(found: Audit) -> None:
    assert [row[0] for row in rows()] == [claim.name for claim in found.claims]
    assert [row[3].strip("*") for row in rows()] == [
        claim.verdict for claim in found.claims
    ]


def test_the_page_s_numbers_are_the_audit_s(found: Audit) -> None:
    shown = r"-?\d+(?:,\d{3})*(?:\.\d+)?"
    for name, _, points, _, _ in rows():
        claim = found.claim(name)
        said = " ".join([claim.finding, claim.says, *map(written, claim.found)])
        said += " ".join(f" {n.how} {n.quantity}" for n in claim.found)
        known, there = (set(re.findall(shown, part)) for part in (said, points))
        assert not there - known, name


def test_the_page_s_commands_are_the_audit_s(found: Audit) -> None:
    for name, *_, command in rows():
        alone = found.claim(name).command
        if command:
            assert command.strip("`") in alone, name
        else:
            assert alone == "scaling fit scamo --audit", name


# --- The command ----------------------------------------------------------------------


def test_the_command_prints_the_table(scaling: CommandLine, found: Audit) -> None:
    done = scaling.run("fit", "scamo", "--audit")
    assert done.returncode == 0, done.stderr
    assert done.stdout == text(found) + "\n"
    assert not done.stderr


def test_the_command_prints_one_object(scaling: CommandLine, found: Audit) -> None:
    done = scaling.run("fit", "scamo", "--audit", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(json.dumps(found.to_dict()))


def test_the_fit_of_the_paper_names_the_audit(scaling: CommandLine) -> None:
    assert "scaling fit scamo --audit" in scaling.run("fit", "scamo").stderr
    assert not scaling.run("fit", "scamo", "--json").stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["scamo", "--holdout", "0.1"], "--holdout would have no effect on --audit"),
        (["scamo", "--law", "log"], "--law would have no effect on --audit"),
        (["scamo", "--objective", "lsq"], "--objective would have no effect"),
        (["runs.csv"], "of the paper's own points, not of runs.csv"),
        (["scamo", "runs.csv"], "not of scamo, runs.csv"),
    ],
)
def test_an_audit_of_something_else_is_refused(
    scaling: CommandLine, arguments: list[str], words: str
) -> None:
    done = scaling.run("fit", *arguments, "--audit")
    assert done.returncode == 2
    assert words in done.stderr
