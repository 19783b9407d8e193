"""Rows in blocks become the table that all of them at once would be."""

import json
import math

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from pydantic_core import from_json

from scaling.analysis.columns import columns_of

numbers = st.one_of(st.integers(-(2**53), 2**53), st.floats())
cells = st.one_of(numbers, st.booleans(), st.text(max_size=3), st.none())
columns = st.sampled_from("abcd")
loose = st.lists(st.dictionaries(columns, cells), max_size=9).filter(any)
alike = st.lists(
    st.fixed_dictionaries({"L": st.floats(), "D": st.integers(1, 9), "run": st.text()}),
    min_size=1,
    max_size=9,
)


def table_of(rows, size):
    blocks = [rows[k : k + size] for k in range(0, len(rows), size)]
    return pd.DataFrame(columns_of(blocks), index=range(len(rows)))


@settings(deadline=None)
@given(rows=st.one_of(loose, alike), size=st.integers(1, 9))
def test_the_table_is_that_of_all_rows_at_once(rows, size):
    expected = pd.DataFrame(rows, index=range(len(rows)))
    found = table_of(rows, size)[[*expected.columns]]
    assert_frame_equal(plain(found), plain(expected))
    filled = expected.dropna(axis="columns", how="all")
    numeric = filled.select_dtypes("number").columns
    assert found[numeric].dtypes.tolist() == expected[numeric].dtypes.tolist()


def plain(table):
    """Leave values as they are, and mark what is missing as None."""
    return table.astype(object).where(table.notna(), None)


def test_columns_stand_in_the_order_in_which_they_appear():
    rows = [{"b": 1, "a": 2}, {"c": 3, "b": 4}]
    assert list(columns_of([rows[:1], rows[1:]])) == ["b", "a", "c"]


def test_counts_beyond_a_machine_word_stay_exact():
    found = columns_of([[{"C": 10**21}, {"C": 7}], [{"C": 8}]])["C"]
    assert found.tolist() == [10**21, 7, 8]


@given(st.floats(allow_nan=False))
def test_the_quick_parser_reads_a_number_to_the_last_bit(number):
    found = from_json(json.dumps([number]).encode())[0]
    assert math.copysign(1, found) == math.copysign(1, number)
    assert found == number
