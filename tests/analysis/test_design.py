"""A law that only says what was tried says so."""

import pandas as pd
import pytest

from scaling.analysis.design import warnings_of
from scaling.analysis.laws import FORM_OF


def minima(best: int) -> pd.DataFrame:
    """Three codebooks at two sizes; the best of size A is the one given."""
    rows = [("A", V, -2.0 if best == V else -1.0) for V in (64, 256, 1024)]
    rows += [("B", V, -2.0 if V == 256 else -1.0) for V in (64, 256, 1024)]
    return pd.DataFrame(rows, columns=["size", "V", "L_u"])


@pytest.mark.parametrize(("best", "doubts"), [(64, 1), (256, 0), (1024, 1)])
def test_a_best_codebook_at_the_edge_is_a_doubt(best, doubts):
    table = minima(best)
    chosen = table.loc[table.groupby("size")["L_u"].idxmin()]
    found = warnings_of(FORM_OF["N_v(N_nv)"], table, table, chosen)
    assert len(found) == doubts
    if found:
        assert "AT THE EDGE of those tried for A:" in found[0]


@pytest.mark.parametrize(("at_most", "doubts"), [(1, 0), (2, 1), (4, 1)])
def test_a_frontier_of_the_longest_runs_is_a_doubt(at_most, doubts):
    points = pd.DataFrame({"size": ["A"] * 4, "D": [100.0] * 4})
    frontier = points.assign(D=[100.0] * at_most + [30.0, 20.0, 10.0][: 4 - at_most])
    for law in ("D(C)", "N_nv(C)"):
        found = warnings_of(FORM_OF[law], points, points, frontier)
        assert len(found) == doubts
    assert not warnings_of(FORM_OF["L_u(C)"], points, points, frontier)


@pytest.mark.parametrize(
    ("data", "doubts"),
    [([3e4, 30_010, 1.2e5], 1), ([3e4, 6e4, 1.2e5], 0), ([3e4, 1.2e5], 0)],
)
def test_a_law_of_two_amounts_of_data_is_a_step(data, doubts):
    frontier = pd.DataFrame({"size": "A", "D": data})
    points = pd.DataFrame({"size": ["A"], "D": [1e9]})
    found = warnings_of(FORM_OF["D(C)"], points, points, frontier)
    assert len(found) == doubts
    if found:
        assert found[0].startswith("ONLY 2 VALUES OF D among the points:")
    assert not warnings_of(FORM_OF["N_nv(C)"], points, points, frontier)


def test_without_sizes_nothing_is_known_of_the_design():
    points = pd.DataFrame({"D": [1.0, 2.0]})
    assert warnings_of(FORM_OF["D(C)"], points, points, points) == ()


def test_many_sizes_are_counted_not_named():
    rows = [(size, V, -float(V)) for size in "ABCDEF" for V in (64, 256)]
    table = pd.DataFrame(rows, columns=["size", "V", "L_u"])
    best = table[table["V"] == 256]
    (found,) = warnings_of(FORM_OF["N_v(N_nv)"], table, table, best)
    assert "for 6 of 6 sizes:" in found
