"""What a study's design, rather than its runs, can make of its laws.

A law can be straight and tight and still only say what was tried: where the best
codebook is the largest there was, or the best run the longest.
"""

from __future__ import annotations

import pandas as pd

from scaling.analysis.laws import Form

MOST_NAMED = 4
"""Sizes that are named; more are counted."""

FEW_VALUES = 2
"""Amounts of data between which a law is only a step."""

LARGE_SHARE = 0.5
"""Share of the points at the edge of the data tried from which a law is in doubt."""


def warnings_of(
    form: Form, points: pd.DataFrame, minima: pd.DataFrame, table: pd.DataFrame
) -> tuple[str, ...]:
    """Say what the design may have made of a law, the bad state in capitals.

    Parameters
    ----------
    form : Form
        The law.
    points, minima : DataFrame
        All evaluations, and each run's best.
    table : DataFrame
        The points that the law is fitted to.
    """
    if "size" not in points:
        return ()
    if form.table == "best_codebooks":
        return tuple(_edge_codebooks(minima, table))
    if form.y in ("N_nv", "D") and "D" in table:
        few = _few_data(table) if form.y == "D" else []
        return (*_edge_data(points, table), *few)
    return ()


def _few_data(frontier: pd.DataFrame) -> list[str]:
    """Say where more than two points have but two amounts of data, in three digits."""
    values = {f"{D:.3g}" for D in frontier["D"]}
    if len(values) != FEW_VALUES or len(frontier) == FEW_VALUES:
        return []
    return [
        f"ONLY {FEW_VALUES} VALUES OF D among the points: the law is a step between "
        "them"
    ]


def _edge_codebooks(minima: pd.DataFrame, best: pd.DataFrame) -> list[str]:
    """Name the sizes whose best codebook is the smallest or largest they tried."""
    tried = minima.groupby("size")["V"].agg(["min", "max"]).loc[best["size"]]
    V = best["V"].to_numpy()
    at_edge = (tried["min"].to_numpy() == V) | (tried["max"].to_numpy() == V)
    sizes = best["size"][at_edge]
    if sizes.empty:
        return []
    few = len(sizes) <= MOST_NAMED
    which = ", ".join(sizes) if few else f"{len(sizes)} of {len(best)} sizes"
    return [
        f"BEST CODEBOOK AT THE EDGE of those tried for {which}: the true best may lie "
        "beyond it"
    ]


def _edge_data(points: pd.DataFrame, frontier: pd.DataFrame) -> list[str]:
    """Count the points where a size was trained on all the data that it ever was."""
    most = points.groupby("size")["D"].max().loc[frontier["size"]].to_numpy()
    at_edge = int((frontier["D"].to_numpy() >= 0.99 * most).sum())
    if at_edge < LARGE_SHARE * len(frontier):
        return []
    return [
        f"MOST DATA TRIED at {at_edge} of {len(frontier)} points: longer runs might "
        "move them"
    ]
