"""What runs cost: of their own, per second, and in dollars."""

import numpy as np
import pytest

from scaling.analysis.cost_figure import cost_figure
from scaling.analysis.records import read
from scaling.errors import ScalingError
from scaling.record import scan

from .figure_kit import assert_readable
from .store_kit import wsd_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return wsd_store(tmp_path_factory.mktemp("wsd"))


@pytest.fixture(scope="module")
def figure(store):
    return cost_figure(read(store), [store])


def test_it_reads_well(figure):
    assert_readable(figure)


def test_each_run_counts_from_where_it_left_its_trunk(figure):
    table = figure.table.set_index("run")
    assert len(table) == 8
    assert table.loc["trunk-1x1x16-1000", "D"] == 1000
    assert table.loc["trunk-1x1x16-2000", "D"] == 1000
    assert table.loc["1x1x16-2500", "D"] == 500
    per_token = 6 * (12 * 16**2 + 15 * 16)
    assert table.loc["1x1x16-2500", "C"] == per_token * 500


def test_throughput_is_what_the_store_was_written_with(figure):
    width = figure.table["size"].map({"1x1x16": 16, "1x2x32": 32})
    np.testing.assert_allclose(figure.table["tokens_per_second"], 64_000 / width)
    rate = figure.table["C"] / figure.table["seconds"]
    np.testing.assert_allclose(figure.table["flops_per_second"], rate)


def test_all_seconds_of_the_store_are_counted(figure, store):
    last = {row["run"]: row["seconds"] for row in scan(store)}
    assert figure.table["seconds"].sum() == pytest.approx(sum(last.values()))


def test_a_price_makes_dollars(store):
    figure = cost_figure(read(store), [store], price=7.2)
    table = figure.table
    np.testing.assert_allclose(table["dollars"], table["seconds"] * 0.002)
    assert "At $7.2 an hour" in figure.caption
    assert_readable(figure)


def test_lines_are_powers_of_ten_of_flops_per_second(figure):
    page = figure.page()
    right = page.axes[-1]
    lines = [np.array(line.get_data()) for line in right.get_lines()]
    rates = [C[0] / seconds[0] for C, seconds in lines]
    assert rates
    np.testing.assert_allclose(np.log10(rates) % 1, 0, atol=1e-9)


def test_a_table_with_seconds_will_do(table):
    timed = table.assign(seconds=table["tokens"] / 1000, device="h100")
    figure = cost_figure(read(timed))
    np.testing.assert_allclose(figure.table["tokens_per_second"], 1000)
    assert set(figure.table["machine"]) == {"h100"}
    assert_readable(figure)


def test_machines_have_marks_of_their_own(table):
    device = table["codebook_size"].map({64: "cpu", 256: "a100", 1024: "h100"})
    timed = table.assign(seconds=table["tokens"] / 1000, device=device)
    figure = cost_figure(read(timed))
    assert " on a100 and cpu and h100, evaluations included" in figure.caption
    assert_readable(figure)


def test_without_seconds_there_is_no_cost(small):
    with pytest.raises(ScalingError, match=r"hold no seconds.*pass the run store"):
        cost_figure(small)


@pytest.mark.parametrize("price", [0, -1, float("nan")])
def test_a_price_is_positive(store, price):
    with pytest.raises(ScalingError, match="the price of an hour"):
        cost_figure(read(store), [store], price=price)
