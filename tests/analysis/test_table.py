"""What a row is: names, symbols, and a hash of the values alone."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.analysis.records import read
from scaling.analysis.table import MOST_SIZES, Quantity, _order, blank, size_names

ROWS = pd.DataFrame(
    {
        "flops": [1e9, 2e9, 2e9, 4e9, 5e9],
        "non_vocab_params": [10e3, 10e3, 20e3, 20e3, 40e3],
        "total_params": [11e3, 12e3, 21e3, 22e3, 44e3],
        "loss": [3.0, 2.0, 2.0, 1.5, 1.0],
    }
)
NAMES = ["a", "a", "b", "b", "c"]

orders = st.permutations(range(len(ROWS)))


@given(orders)
def test_the_hash_does_not_depend_on_the_order_of_rows(order):
    shuffled = ROWS.iloc[order]
    assert read(shuffled).data_hash == read(ROWS).data_hash
    named = ROWS.assign(run=NAMES)
    assert read(named.iloc[order]).data_hash == read(named).data_hash


@given(orders)
def test_nor_where_only_one_source_names_its_runs(order):
    other = ROWS.assign(run=NAMES, loss=ROWS["loss"] / 2)
    expected = read([ROWS, other]).data_hash
    assert read([ROWS.iloc[order], other.iloc[order]]).data_hash == expected


def test_the_hash_knows_runs_that_are_named_from_those_that_are_not():
    named = ROWS.assign(run=[f"row {n}" for n in range(1, 6)])
    assert (read(named).points()["run"] == read(ROWS).points()["run"]).all()
    assert read(named).data_hash != read(ROWS).data_hash


def test_names_made_here_do_not_count_and_given_ones_do():
    sized = ROWS.assign(size=["10k", "10k", "20k", "20k", "40k"])
    assert (read(sized).points()["size"] == read(ROWS).points()["size"]).all()
    assert read(sized).data_hash != read(ROWS).data_hash


@pytest.mark.parametrize("column", ["flops", "total_params", "loss"])
def test_every_quantity_counts(column):
    changed = ROWS.assign(**{column: ROWS[column] * (1 + 1e-15)})
    assert read(changed).data_hash != read(ROWS).data_hash


def test_hashes_stay_what_they_were(small, scamo):
    """Hashes are printed and kept with laws; a new version must not move them."""
    assert scamo.data_hash == "1c7a672d8a0a0eb3"
    assert small.data_hash == "1996b7e8b110af23"


def test_points_hold_every_symbol_in_order():
    table = ROWS.assign(
        **{"run": NAMES, "vocab_params": 1e3, "tokens": 1e6, "unique_tokens": 1e5},
        **{"codebook_size": 64, "weight": 1},
    )
    assert list(read(table).points().columns) == [
        "run", "size", "C", "N", "N_nv", "N_v", "D", "U", "V", "L_u", "weight"
    ]  # fmt: skip


def test_a_size_is_named_from_the_total_where_there_is_nothing_else():
    points = read(ROWS.drop(columns="non_vocab_params")).points()
    assert points["size"].tolist() == ["11k", "12k", "21k", "22k", "44k"]
    assert read(ROWS).points()["size"].tolist() == ["10k", "10k", "20k", "20k", "40k"]


def test_labels_say_the_unit():
    assert Quantity.of("U", "unique_tokens").label == "Unique training data U (tokens)"
    assert Quantity.of("weight", "weight").label == "Weight"


def test_sizes_beyond_counting_are_still_told_apart():
    counts = np.geomspace(1e6, 1e10, MOST_SIZES + 1).tolist()
    assert len(set(size_names(counts).values())) == len(counts)


keys = st.tuples(*[st.sampled_from([0.0, 1.0, np.nan])] * 3)


@given(st.lists(keys, min_size=1, max_size=20))
def test_rows_are_sorted_by_one_key_after_the_other(rows):
    table = np.array(rows)
    expected = table[np.lexsort(table.T[::-1])]
    np.testing.assert_array_equal(table[_order(list(table.T))], expected)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["a", None, " ", "", "a"], [False, True, True, True, False]),
        ([1.0, np.nan], [False, True]),
        ([["a"], {}, None], [False, False, True]),
        ([True, None, 0], [False, True, False]),
    ],
)
def test_blank_are_the_cells_without_a_mark(cells, expected):
    assert blank(pd.Series(cells)).tolist() == expected
