"""Which evaluations a law rests on: ScaMo's selection rule, table to table.

From every run take the evaluation with the lowest loss; along increasing compute keep
a run only if it beats every cheaper one. What remains is the running minimum, or
envelope, of the loss (ScaMo, arXiv 2412.14559, section 5.4; compare Approach 1 of
Tao et al., arXiv 2407.13623: the lowest loss at each of a few FLOPs budgets).

Tables are those of `Records.points`. No result depends on the order of the rows.
"""

from __future__ import annotations

import math

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


def envelope(minima: pd.DataFrame) -> pd.DataFrame:
    """Keep the runs whose loss is lower than that of every run with less compute.

    Parameters
    ----------
    minima : DataFrame
        One row per run: `C` in FLOPs, `L_u` in nats per token. Rows whose compute is
        not known (NaN) cannot be placed and are left out.

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
    lowest_before = ordered["L_u"].cummin().shift(fill_value=math.inf)
    return ordered[ordered["L_u"] < lowest_before].reset_index(drop=True)


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
