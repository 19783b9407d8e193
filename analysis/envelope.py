"""Which evaluations a law rests on: ScaMo's selection rule, table to table.

From every run take the evaluation with the lowest loss; along increasing compute keep
a run only if it beats every cheaper one. What remains is the running minimum, or
envelope, of the loss (ScaMo, arXiv 2412.14559, section 5.4; compare Approach 1 of
Tao et al., arXiv 2407.13623: the lowest loss at each of a few FLOPs budgets).

Tables are those of `Records.points`. No result depends on the order of the rows.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd


def best_evaluations(points: pd.DataFrame) -> pd.DataFrame:
    """Take each run's evaluation with the lowest L_u.

    Parameters
    ----------
    points : DataFrame
        One row per evaluation: `run`, `C` in FLOPs, `L_u` in nats per token.

    Returns
    -------
    DataFrame
        One row per run, by increasing `C`. Of equal losses the cheapest counts.

    >>> points = pd.DataFrame({"run": ["a", "a"], "C": [1.0, 2.0], "L_u": [-1, -2]})
    >>> best_evaluations(points)["C"].tolist()
    [2.0]
    """
    least = points["L_u"].groupby(points["run"]).transform("min")
    # Most rows need no sorting: they lie above their run's least. NaN is above all.
    lowest = points[~(points["L_u"] > least)]
    lowest_first = lowest.sort_values(["L_u", "C", "run"], kind="stable")
    return _by_compute(lowest_first.drop_duplicates("run"))


SAME_BUDGET = 0.02
"""Share by which runs of one compute budget may differ: they train on whole batches."""
SHARING = 3
"""Runs that share a budget on average, from which on a study is one of budgets."""


def same_budget(C: pd.Series[float]) -> float:
    """Give the share by which computes may differ and be one budget.

    It is 0 unless the runs were plainly given a few budgets, so that near ties of
    other studies stay apart, ScaMo's among them.

    >>> same_budget(pd.Series([1.0, 1.001, 0.999, 10.0, 10.01, 9.99]))
    0.02
    >>> same_budget(pd.Series([1.0, 1.001, 3.0, 10.0]))
    0.0
    """
    ordered = C.dropna().sort_values()
    groups = 1 + int((ordered.pct_change() > SAME_BUDGET).sum())
    return SAME_BUDGET if len(ordered) >= SHARING * groups else 0.0


def envelope(minima: pd.DataFrame, same: float | None = None) -> pd.DataFrame:
    """Keep the runs whose loss is lower than that of every run with less compute.

    Of runs that were given one budget, and by a batch more or less did not spend quite
    the same, only the best can stand: the others would otherwise be kept or dropped by
    which of them spent a little less.

    Parameters
    ----------
    minima : DataFrame
        One row per run: `C` in FLOPs, `L_u` in nats per token. Rows whose compute is
        not known (NaN) cannot be placed and are left out.
    same : float, optional
        Share by which computes may differ and be one budget; by default as
        `same_budget` finds, 0 is the bare rule.

    Returns
    -------
    DataFrame
        The rows kept: `C` increases strictly and `L_u` decreases strictly.

    >>> minima = pd.DataFrame(
    ...     {"run": list("abc"), "C": [1.0, 2.0, 3.0], "L_u": [-1.0, -0.5, -2.0]}
    ... )
    >>> envelope(minima)["run"].tolist()
    ['a', 'c']
    """
    ordered = _by_compute(minima.dropna(subset="C"))
    lowest, C = ordered["L_u"].cummin(), ordered["C"].to_numpy()
    share = same_budget(ordered["C"]) if same is None else same
    within = np.searchsorted(C, C * (1 + share), side="right") - 1
    kept = ordered["L_u"] < lowest.shift(fill_value=math.inf)
    kept &= ordered["L_u"].to_numpy() <= lowest.to_numpy()[within]
    return ordered[kept].reset_index(drop=True)


def best_codebooks(minima: pd.DataFrame) -> pd.DataFrame:
    """Take each transformer size's best codebook, the points of ScaMo's Fig. 3a.

    Parameters
    ----------
    minima : DataFrame
        One row per run: `size`, `N_nv`, `N_v`, `L_u`.

    Returns
    -------
    DataFrame
        One row per size, by increasing `N_nv`. Of equal losses the smaller codebook
        counts.
    """
    lowest_first = minima.sort_values(["L_u", "N_v", "run"], kind="stable")
    best = lowest_first.drop_duplicates("size")
    return best.sort_values(["N_nv", "size"], kind="stable").reset_index(drop=True)


def _by_compute(table: pd.DataFrame) -> pd.DataFrame:
    order = ["C", "L_u", "run"]
    return table.sort_values(order, kind="stable").reset_index(drop=True)
