"""Which rows are fitted: chosen, counted, refused."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from scaling.analysis.catalogue import LAWS
from scaling.analysis.sample import sample
from scaling.errors import ScalingError

CHINCHILLA, POWER = LAWS["chinchilla"], LAWS["power"]


@pytest.fixture
def table():
    """Three runs of four evaluations; the second is worse throughout."""
    rows = [
        {
            "run": f"run {k}",
            "N": N,
            "D": N * j,
            "C": 6 * N * N * j,
            "L": 5 - j / 4 + bad,
        }
        for k, (N, bad) in enumerate([(1e7, 0.0), (1e8, 2.0), (1e9, -1.0)])
        for j in (1, 2, 3, 4)
    ]
    rows[3]["L"] = 4.9  # the first run's last evaluation is not its best
    return pd.DataFrame(rows)


def test_all_rows_by_default(table):
    taken = sample(table, CHINCHILLA)
    assert (taken.rows, taken.n, taken.clusters) == ("all", 12, 3)
    assert taken.runs.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert_allclose(taken.loss, table["L"])
    assert_allclose(taken.weight, 1)
    assert_allclose(taken.order, table["C"])
    assert taken.name_of(5) == "run 1"


@pytest.mark.parametrize(
    ("rows", "kept"),
    [("last", [3, 7, 11]), ("best", [2, 7, 11]), ("frontier", [2, 11])],
)
def test_rows_are_chosen(table, rows, kept):
    taken = sample(table, CHINCHILLA, rows)
    assert_allclose(taken.table["D"], table["D"].iloc[kept])
    assert any(f"{len(kept)} of 12 rows" in note for note in taken.notes)


def test_the_choice_does_not_depend_on_the_order_of_rows(table):
    shuffled = table.sample(frac=1, random_state=1)
    for rows in ("last", "best", "frontier"):
        chosen = sample(table, CHINCHILLA, rows), sample(shuffled, CHINCHILLA, rows)
        assert sorted(chosen[0].loss) == sorted(chosen[1].loss)


def test_a_law_of_compute_takes_the_frontier_of_runs_of_several_sizes(table):
    assert sample(table, POWER).rows == "frontier"
    assert sample(table.drop(columns="N"), POWER).rows == "all"
    assert sample(table[table["N"] == 1e7], POWER).rows == "all"


def test_the_table_given_is_left_as_it_is(table):
    before = table.copy()
    sample(table, CHINCHILLA, "frontier")
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize(
    ("name", "symbol"),
    [("L", "L"), ("L_u", "L_u"), ("loss", "L"), ("normalised_loss", "L_u")],
)
def test_the_loss_has_several_names(table, name, symbol):
    taken = sample(table.rename(columns={"L": name}), CHINCHILLA)
    assert taken.loss_symbol == symbol
    assert_allclose(taken.loss, table["L"])


def test_inputs_are_logarithms_in_the_law_s_order(table):
    N, D = sample(table, CHINCHILLA).log_inputs(CHINCHILLA)
    assert_allclose([N, D], np.log([table["N"], table["D"]]))


def test_rows_are_taken_by_mask_and_by_position(table):
    taken = sample(table, CHINCHILLA)
    assert_allclose(taken.take(np.array([4, 0])).loss, table["L"].iloc[[4, 0]])
    assert taken.take(taken.loss > 5).n == (table["L"] > 5).sum()


# --- Bad input ------------------------------------------------------------------------


def test_unknown_values_are_dropped_and_counted(table):
    table.loc[0, "N"] = np.nan
    table.loc[[1, 2], "L"] = np.nan
    taken = sample(table, CHINCHILLA)
    assert taken.n == 9
    assert taken.dropped == {"N is not known": 1, "L_u is not known": 2}


@pytest.mark.parametrize("bad", [0.0, -3.0, np.inf])
@pytest.mark.parametrize("name", ["N", "D"])
def test_values_that_are_no_positive_number_are_named(table, name, bad):
    table.loc[5, name] = bad
    with pytest.raises(ScalingError, match=rf"^{name} is {bad:g} in run 1; expected"):
        sample(table, CHINCHILLA)


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_a_loss_that_is_infinite_is_named(table, bad):
    table.loc[5, "L"] = bad
    with pytest.raises(ScalingError, match=rf"loss.* is {bad:g} in run 1"):
        sample(table, CHINCHILLA)


@pytest.mark.parametrize("bad", [np.nan, -1.0, np.inf])
def test_a_weight_that_is_none_is_refused(table, bad):
    table["weight"] = 1.0
    table.loc[5, "weight"] = bad
    with pytest.raises(ScalingError, match=rf"weight.* {bad:g}"):
        sample(table, CHINCHILLA)


def test_rows_without_weight_are_no_rows(table):
    table["weight"] = 1.0
    table.loc[[4, 5], "weight"] = 0.0
    taken = sample(table, CHINCHILLA)
    assert taken.n == 10
    assert sum(taken.dropped.values()) == 2


@pytest.mark.parametrize("name", ["N", "L"])
def test_columns_of_text_are_named(table, name):
    table[name] = [f"{value:g}" for value in table[name]]
    table.loc[5, name] = "many"
    with pytest.raises(ScalingError, match=rf"{name}\w* .*many"):
        sample(table, CHINCHILLA)


def test_numbers_in_a_column_of_objects_count(table):
    table["N"] = table["N"].astype(object)
    assert sample(table, CHINCHILLA).n == 12


def test_nullable_columns_count(table):
    table["N"] = table["N"].astype("Int64")
    table.loc[2, "N"] = pd.NA
    assert sample(table, CHINCHILLA).dropped == {"N is not known": 1}


def test_runs_without_a_name_are_runs_of_their_own(table):
    table["run"] = table["run"].astype(object)
    table.loc[[0, 1], "run"] = None
    taken = sample(table, CHINCHILLA)
    assert taken.clusters == len(np.unique(taken.runs))
    assert (taken.runs >= 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="L"), "holds no loss; it has run, N, D, C: name"),
        (
            lambda t: t.drop(columns="D"),
            "law chinchilla needs D, .*--columns D=COLUMN, or choose another law",
        ),
        (
            lambda t: t.drop(columns=["N", "D"]),
            "law chinchilla needs N and D, which the table does not hold",
        ),
        (lambda t: pd.concat([t, t[["N"]]], axis=1), "N.* twice|two columns.* N"),
        (lambda t: t.to_dict("list"), "table"),
    ],
)
def test_tables_that_cannot_be_fitted_are_refused(table, change, message):
    with pytest.raises(ScalingError, match=message):
        sample(change(table), CHINCHILLA)


def test_an_unknown_choice_is_refused(table):
    with pytest.raises(ScalingError, match="rows is 'some'; expected one of all, best"):
        sample(table, CHINCHILLA, "some")


def test_records_are_taken_with_what_is_known_of_them(small):
    taken = sample(small, LAWS["codebook"])
    assert (taken.n, taken.clusters, taken.loss_symbol) == (96, 12, "L_u")
    assert taken.data_hash == small.data_hash
    assert taken.sources == small.sources
