import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from scaling.analysis.envelope import best_codebooks, best_evaluations, envelope

# Few distinct values, so that ties in compute and in loss are common.
evaluations = st.lists(
    st.tuples(st.sampled_from("abcde"), st.integers(1, 6), st.integers(-4, 0)),
    min_size=1,
    max_size=30,
)

quick = settings(max_examples=40, deadline=None)


def frame(rows) -> pd.DataFrame:
    points = pd.DataFrame(rows, columns=["run", "C", "L_u"])
    return points.astype({"C": float, "L_u": float})


def test_each_run_counts_with_its_lowest_loss():
    points = frame([("a", 1, -1), ("a", 2, -3), ("a", 3, -2), ("b", 1, 0)])
    best = best_evaluations(points)
    assert best[["run", "C"]].to_numpy().tolist() == [["b", 1.0], ["a", 2.0]]


@quick
@given(evaluations)
def test_the_lowest_are_those_that_sorting_all_rows_gives(rows):
    points = frame(rows)
    points.loc[points["L_u"] == 0, "L_u"] = math.nan  # not known
    ordered = points.sort_values(["L_u", "C", "run"]).drop_duplicates("run")
    expected = ordered.sort_values(["C", "L_u", "run"]).reset_index(drop=True)
    assert_frame_equal(best_evaluations(points), expected)


def test_of_equal_losses_the_cheapest_counts():
    assert best_evaluations(frame([("a", 2, -1), ("a", 1, -1)]))["C"].tolist() == [1]


def test_of_equal_compute_only_the_lowest_loss_stays():
    kept = envelope(frame([("a", 1, -1), ("b", 1, -2), ("c", 2, -2)]))
    assert kept["run"].tolist() == ["b"]


def test_of_one_budget_only_the_best_run_stays():
    spent = np.array([0.995, 1.0, 1.008])  # whole batches: not quite the same
    C = np.concatenate([1e10 * spent, 1e11 * spent, 1e12 * spent])
    losses = [3.0, 2.9, 2.8, 2.7, 2.5, 2.6, 2.3, 2.4, 2.2]
    minima = pd.DataFrame({"run": [*"abcdefghi"], "C": C, "L_u": losses})
    assert envelope(minima)["run"].tolist() == ["c", "e", "i"]
    assert envelope(minima, same=0)["run"].tolist() == [*"abcdegi"]


def test_the_paper_s_near_ties_are_no_budgets(scamo_study):
    assert len(scamo_study.frontier) == 19


def test_runs_without_compute_count_but_are_not_on_the_envelope():
    points = frame([("a", 1, -1), ("b", math.nan, -9)])
    assert set(best_evaluations(points)["run"]) == {"a", "b"}
    assert envelope(points)["run"].tolist() == ["a"]


@quick
@given(evaluations)
def test_the_envelope_falls_strictly(rows):
    kept = envelope(best_evaluations(frame(rows)))
    assert (np.diff(kept["C"]) > 0).all()
    assert (np.diff(kept["L_u"]) < 0).all()


@quick
@given(evaluations)
def test_the_envelope_is_a_subset_that_holds_the_lowest_loss(rows):
    minima = best_evaluations(frame(rows))
    kept = envelope(minima)
    assert set(kept["run"]) <= set(minima["run"])
    assert kept["L_u"].min() == minima["L_u"].min()


@quick
@given(evaluations)
def test_selecting_twice_changes_nothing(rows):
    minima = best_evaluations(frame(rows))
    assert_frame_equal(best_evaluations(minima), minima)
    assert_frame_equal(envelope(envelope(minima)), envelope(minima))


@quick
@given(evaluations, st.randoms())
def test_the_order_of_rows_does_not_matter(rows, random):
    shuffled = random.sample(rows, len(rows))
    expected = best_evaluations(frame(rows))
    assert_frame_equal(best_evaluations(frame(shuffled)), expected)
    assert_frame_equal(envelope(frame(shuffled)), envelope(frame(rows)))


@pytest.mark.parametrize("reverse", [False, True])
def test_each_size_has_one_best_codebook_the_smaller_of_equals(reverse):
    rows = [
        ("a", "S", 1e6, 64.0, -1.0),
        ("b", "S", 1e6, 256.0, -2.0),
        ("c", "S", 1e6, 512.0, -2.0),
        ("d", "M", 1e5, 64.0, -1.0),
    ]
    minima = pd.DataFrame(
        rows[::-1] if reverse else rows, columns=["run", "size", "N_nv", "N_v", "L_u"]
    )
    assert best_codebooks(minima)["run"].tolist() == ["d", "b"]
