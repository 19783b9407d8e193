"""Learning curves: branches leave their trunks, rates are those of the schedules."""

import numpy as np
import pandas as pd
import pytest

from scaling.analysis.histories import facts, histories
from scaling.analysis.learning_figure import SCHEDULES, learning_figure
from scaling.analysis.records import read
from scaling.errors import ScalingError
from scaling.record import scan
from scaling.runs.schedules import warmup_cosine, warmup_stable_decay

from .figure_kit import assert_readable
from .store_kit import PEAK, WARMUP, wsd_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return wsd_store(tmp_path_factory.mktemp("wsd"))


@pytest.fixture(scope="module")
def figure(store):
    return learning_figure(read(store), [store])


def line(figure, run):
    table = figure.table
    return table[(table["run"] == run) & (table["kind"] == "loss")]


def test_it_reads_well(figure):
    assert_readable(figure)


def test_all_evaluations_are_there_and_no_others(figure, store):
    losses = figure.table[figure.table["kind"] == "loss"]
    seen = set(zip(losses["run"], losses["D"], strict=True))
    rows = {(row["run"], float(row["tokens"])) for row in scan(store)}
    assert rows <= seen
    joined = {(run, D) for run, D in seen - rows}
    assert joined == {  # where each run leaves the trunk before it
        ("trunk-1x1x16-2000", 1000.0),
        ("trunk-1x2x32-2000", 1000.0),
        ("1x1x16-1250", 1000.0),
        ("1x1x16-2500", 2000.0),
        ("1x2x32-1250", 1000.0),
        ("1x2x32-2500", 2000.0),
    }


def test_a_branch_starts_with_the_loss_of_its_trunk(figure):
    branch, trunk = line(figure, "1x1x16-2500"), line(figure, "trunk-1x1x16-2000")
    assert branch["D"].tolist() == [2000, 2250, 2500]
    assert branch["L_u"].iloc[0] == trunk["L_u"].iloc[-1]
    assert set(branch["part"]) == {"branch"}
    assert set(trunk["part"]) == {"trunk"}


def test_a_run_that_diverged_ends_in_a_cross(figure):
    assert line(figure, "1x2x32-2500")["end"].tolist() == ["", "", "lost"]
    assert line(figure, "1x1x16-2500")["end"].tolist() == ["", "", "last"]
    crosses = [x for x in figure.draw().get_lines() if x.get_marker() == "x"]
    assert [len(x.get_xdata()) for x in crosses].count(1) == 1
    assert "Crosses: 1 run that diverged" in figure.caption


def test_rates_of_branches_are_the_schedules(figure, store):
    rates = figure.table[figure.table["kind"] == "rate"]
    of = rates[rates["run"] == "1x1x16-2500"]
    steps = 100_000  # so many that steps are as good as tokens
    for D, rate in zip(of["D"], of["rate"], strict=True):
        step = round(D / 2500 * steps)
        rising, stable = (round(x / 2500 * steps) for x in (WARMUP, 2000))
        wanted = warmup_stable_decay(
            step, rising=rising, stable=stable, steps=steps, peak=PEAK
        )
        assert rate == pytest.approx(wanted, abs=1e-3 * PEAK)
    trunk = rates[rates["run"] == "trunk-1x1x16-2000"]
    assert (trunk["rate"] == PEAK).all()


def test_rates_of_cosine_runs_are_the_schedules():
    D = np.geomspace(10, 5000, 50)
    about = {"warmup": 0.1, "peak": PEAK}
    found = SCHEDULES["cosine"](D, 5000.0, about)
    steps = 500_000
    wanted = [
        warmup_cosine(round(each * 100), steps=steps, warmup=0.1, peak=PEAK)
        for each in D
    ]
    np.testing.assert_allclose(found, wanted, atol=1e-3 * PEAK)


def test_without_warm_up_a_rate_begins_at_its_peak():
    D = np.array([1.0, 10.0])
    about = {"warmup": 0.0, "peak": PEAK, "cools": False}
    for schedule in SCHEDULES.values():
        np.testing.assert_allclose(schedule(D, 1e6, about), PEAK, rtol=1e-6)


def test_tables_give_curves_without_rates(small):
    figure = learning_figure(small)
    assert set(figure.table["kind"]) == {"loss"}
    assert len(figure.table) == len(small.frame)
    assert "learning rate" not in figure.caption
    assert_readable(figure)


def test_many_codebooks_stand_in_rows(scamo):
    figure = learning_figure(scamo)
    assert figure.sizes == ("44M", "111M", "343M", "775M", "1B", "3B")
    assert_readable(figure)


def test_of_many_runs_the_best_stand_out(table):
    copies = [table.assign(run=table["run"] + f"-{k}", seed=k) for k in range(6)]
    worse = [t.assign(normalised_loss=t["normalised_loss"] + t["seed"]) for t in copies]
    figure = learning_figure(read(pd.concat(worse)))
    thin = figure.table.groupby("run")["thin"].all()
    assert thin.sum() == 60
    assert not thin[thin.index.str.endswith("-0")].any()
    assert "Thick" in figure.caption


def test_stores_of_the_same_runs_are_told_apart(tmp_path, store):
    other = wsd_store(tmp_path / "other")
    records = read([store, other])
    found = histories(records, [store, other])
    assert len(found) == len(scan(store)) + len(scan(other))
    assert set(records.frame["run"]) <= set(found["run"])
    branch = found[found["run"] == f"{other}:1x1x16-2500"]
    assert set(branch["parent"]) == {f"{other}:trunk-1x1x16-2000"}


def test_facts_are_what_the_configs_say(store):
    known = facts(store)["1x2x32-2500"]
    assert known["parent"] == "trunk-1x2x32-2000"
    assert (known["start"], known["tokens"], known["warmup"]) == (2000, 2500, WARMUP)
    assert (known["n_ctx"], known["n_prefix"], known["text_width"]) == (101, 20, 8)
    assert known["status"] == "diverged"


def test_single_evaluations_are_no_curves(isoflops):
    with pytest.raises(ScalingError, match="every run has one evaluation"):
        learning_figure(read(isoflops))


def test_curves_need_data(table):
    with pytest.raises(ScalingError, match="needs D"):
        learning_figure(read(table[["run", "flops", "normalised_loss"]]))
