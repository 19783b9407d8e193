"""A run store as a table: the rows of `scan`, however the runs differ."""

import json

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from scaling.analysis import stores
from scaling.analysis.checks import place
from scaling.analysis.stores import read_store
from scaling.record import scan

values = st.one_of(st.integers(0, 9), st.floats(0, 1), st.none())
rows = st.dictionaries(
    st.sampled_from(["loss", "tokens", "seed", "status", "unknown"]), values
)
runs = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(["seed", "size", "loss"]), values),
        st.lists(rows, max_size=4),
        st.sampled_from([None, "finished", "diverged"]),
    ),
    min_size=1,
    max_size=4,
)


def write(store, number, record, evaluations, ended):
    folder = store / f"run{number}"
    folder.mkdir(parents=True)
    config = {"kind": "transformer", "record": record}
    (folder / "config.json").write_text(json.dumps(config))
    lines = [json.dumps(row) + "\n" for row in evaluations]
    (folder / "metrics.jsonl").write_text("".join(lines))
    if ended:
        (folder / "result.json").write_text(json.dumps({"status": ended}))


@settings(deadline=None, max_examples=60)
@given(runs=runs, block=st.integers(1, 5))
def test_the_table_holds_the_rows_of_the_scan(runs, block, tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    for number, run in enumerate(runs):
        write(store, number, *run)
    scanned = scan(store)
    if not scanned:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stores, "BLOCK", block)
        found = read_store(store, "out", [])
    expected = pd.DataFrame(scanned).dropna(axis="columns", how="all")
    assert_frame_equal(
        found.reset_index(drop=True).astype(object),
        expected.astype(object),
        check_dtype=False,
    )


def test_places_name_run_and_line(tmp_path):
    for number in range(2):
        write(tmp_path, number, {}, [{"loss": 1.0}, {"loss": 2.0}], None)
    found = read_store(tmp_path, "out", [])
    assert list(map(place, found.index)) == [
        *("run0 line 1 of out", "run0 line 2 of out"),
        *("run1 line 1 of out", "run1 line 2 of out"),
    ]


def test_of_one_run_the_others_are_not_read(tmp_path):
    for number in range(2):
        write(tmp_path, number, {}, [{"loss": float(number)}], None)
    (tmp_path / "run0" / "metrics.jsonl").write_text("broken\nlines\n")
    assert read_store(tmp_path / "run1", "out", [])["loss"].tolist() == [1.0]
