"""Values of rows: empty, weighted, repeated."""

import numpy as np
import pandas as pd
import pytest

from scaling.analysis.records import read
from scaling.analysis.study import fit
from scaling.errors import ScalingError


def frame(**columns):
    plain = {"flops": [1e9, 2e9, 4e9], "loss": [3.0, 2.0, 1.0]}
    return pd.DataFrame(plain | columns)


def repeats(sources):
    found = read(sources)
    return [n for n in (*found.notes, *found.suspicions) if "equal another" in n]


# --- Empty cells --------------------------------------------------------------------


@pytest.mark.parametrize("column", ["tokens", "non_vocab_params", "codebook_size"])
def test_a_quantity_that_rows_lack_is_left_out_and_not_the_rows(column):
    records = read(frame(**{column: [10, None, np.nan]}))
    assert set(records.quantities) == {"C", "L_u"}
    assert len(records.frame) == 3
    (note,) = [note for note in records.notes if "is left out" in note]
    assert note.endswith(f"{column} is empty in row 2 of table, row 3 of table")
    assert fit(records).laws["L_u(C)"].n == 3


def test_many_empty_cells_are_counted():
    columns = {"flops": [1e9] * 8, "loss": np.arange(8), "tokens": [1] + [None] * 7}
    note = "row 6 of table and 2 more"
    assert any(note in said for said in read(pd.DataFrame(columns)).notes)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_quantity_is_refused(value):
    with pytest.raises(ScalingError, match=r"tokens is not finite in row 2 of table"):
        read(frame(tokens=[1, value, 2]))


@pytest.mark.parametrize("column", ["total_params", "unique_tokens"])
@pytest.mark.parametrize("value", [0, -5])
def test_counts_are_positive(column, value):
    with pytest.raises(ScalingError, match=f"{column} is not positive in row 2 of"):
        read(frame(**{column: [1, value, 2]}))


# --- Weights ------------------------------------------------------------------------


def test_weights_are_kept_with_the_points():
    records = read(frame(w=[0, 1, 2.5]), {"weight": "w"})
    assert records.points()["weight"].tolist() == [0, 1, 2.5]
    assert records.data_hash != read(frame()).data_hash


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1, r"weight is negative in row 2 of table \(-1\); expected 0 or more: corr"),
        (np.nan, r"weight is not finite in row 2 of table \(nan\)"),
        (np.inf, r"weight is not finite in row 2 of table \(inf\)"),
        ("much", "weight is 'much' in row 2 of table; expected a number"),
    ],
)
def test_weights_that_cannot_be(value, message):
    with pytest.raises(ScalingError, match=message):
        read(frame(weight=[1, value, 1]))


# --- Repeated rows ------------------------------------------------------------------


def test_rows_that_repeat_another_are_kept_and_named():
    table = frame(seed=[1, 2, 3])
    table = pd.concat([table, table, table.head(1)])
    records = read(table)
    assert len(records.frame) == 7
    assert repeats(table) == [
        "REPEATED ROWS: 4 rows equal another exactly (row 4 = row 1, row 5 = row 2, "
        "row 6 = row 3, ...); if they are copies, intervals are too narrow"
    ]


def test_rows_that_differ_in_a_quantity_or_in_run_repeat_nothing():
    table = pd.concat([frame(), frame()])
    assert repeats(table)
    assert not repeats(table.assign(tokens=range(1, 7)))
    assert not repeats(table.assign(run=list("abcdef")))
    assert repeats(table.assign(run=list("abcabc")))


def test_a_row_of_another_source_is_named_with_it():
    (note,) = repeats([frame(), frame(loss=[9.0, 2.0, 8.0])])
    assert "1 rows equal another exactly (row 2 of table 2 = row 2 of table 1)" in note


def test_a_few_repeated_rows_are_only_noted():
    table = pd.concat([frame(loss=[3.0 + k, 2.0 + k, 1.0 + k]) for k in range(9)])
    found = read(pd.concat([table, table.head(1)]))
    assert not found.suspicions
    assert any("equal another exactly" in note for note in found.notes)


def test_without_repeats_nothing_is_said(table):
    assert not repeats(table)
