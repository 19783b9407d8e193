"""Where a fit starts: a grid over what is nonlinear, the linear solved at each point.

This is variable projection (Golub and Pereyra 1973) used to screen: for a law such as
E + A / N**alpha + B / D**beta only (alpha, beta) need searching, since E, A and B
follow from them by a small least squares.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from scaling.analysis import solver
from scaling.analysis.expression import parse
from scaling.analysis.formula import Formula
from scaling.analysis.sample import Sample
from scaling.analysis.solver import Problem
from scaling.errors import ScalingError

Array = NDArray[np.float64]

POLISHED = 32
"""Starts that are brought to their minima."""


def start_grid(formula: Formula, taken: Sample) -> Array:
    """Combine the starts of the nonlinear parameters, shape (starts, parameters).

    Parameters that enter linearly are left at 1; held ones are at their values.
    """
    compiled = formula.compiled
    centre = {n: math.exp(x.mean()) for n, x in taken.by_name(formula).items()}
    linear = {compiled.names[k] for k in compiled.linear}
    choices: list[tuple[float, ...]] = []
    for parameter in formula.parameters:
        if parameter.name in formula.fixed:
            choices.append((formula.fixed[parameter.name],))
        elif parameter.name in linear or parameter.name in formula.tied:
            choices.append((1.0,))
        elif parameter.starts:
            choices.append(parameter.starts)
        else:
            raise ScalingError(
                f"{parameter.name} of law {formula.name} enters nonlinearly and has no "
                "starts; expected values to start from, such as starts=(0.1, 0.3, 1.0)"
            )
    grid = np.array(list(itertools.product(*choices)))
    values = {p.name: grid[:, k].copy() for k, p in enumerate(formula.parameters)}
    values |= {name: values[other] for name, other in formula.tied.items()}
    for j, parameter in enumerate(formula.parameters):
        if parameter.name not in formula.fixed:
            grid[:, j] *= _unit(parameter.per, {**values, **centre})
    lower, upper = np.array([p.bounds for p in formula.parameters]).T
    return np.unique(np.clip(compiled.carried(grid), lower, upper), axis=0)


def _unit(text: str, values: Mapping[str, Array | float]) -> Array:
    """Evaluate what starts are multiples of, for all of them."""
    unit = parse(text)
    symbols = sorted(unit.free_symbols, key=str)
    unknown = [str(symbol) for symbol in symbols if str(symbol) not in values]
    if unknown:
        raise ScalingError(
            f"starts are given per {text}, but {unknown[0]} is neither a parameter nor "
            "an input of the law; expected such as D**b / N**a"
        )
    function = sp.lambdify(symbols, unit, modules="numpy")
    return np.asarray(function(*(values[str(symbol)] for symbol in symbols)), float)


def best_starts(screened: Problem, grid: Array) -> Array:
    """Solve for the linear parameters at each start, and keep the most promising.

    Half are those with the lowest objective; half are spread evenly over the rest, so
    that a basin that looks bad at first is seen too.
    """
    theta = project(screened, grid)
    order = np.argsort(solver.values(screened, theta), kind="stable")
    if len(order) <= POLISHED:
        return np.asarray(theta[order])
    half = POLISHED // 2
    rest = order[half:]
    spread = rest[np.linspace(0, len(rest) - 1, half).astype(int)]
    return np.asarray(theta[np.concatenate([order[:half], spread])])


def project(screened: Problem, grid: Array) -> Array:
    """Solve for the linear parameters by weighted least squares, others as given.

    Scale parameters are kept positive and the others within their bounds. Weights are
    1 / loss^2 for an objective on log loss, which it then follows to first order.
    """
    law = screened.law
    solved = [k for k in law.linear if screened.free[k]]
    if not solved:
        return grid
    theta = grid.copy()
    held = [i for i, k in enumerate(law.linear) if not screened.free[k]]
    asked = [i for i, k in enumerate(law.linear) if screened.free[k]]
    weight = screened.w
    if screened.objective.space == "log":
        weight = weight / screened.y**2
    with np.errstate(all="ignore"):
        for part in np.array_split(np.arange(len(grid)), 1 + len(grid) // 500):
            basis, rest = law.basis(grid[part], screened.x)
            fixed_part = law.plain(grid[part])[:, [law.linear[i] for i in held]]
            rest = rest + np.einsum("bk,bkn->bn", fixed_part, basis[:, held])
            found = _least_squares(basis[:, asked], screened.y - rest, weight)
            for i, k in enumerate(solved):
                theta[part, k] = _allowed(screened, k, found[:, i], basis[:, asked[i]])
    return theta


def _least_squares(basis: Array, target: Array, weight: Array) -> Array:
    """Solve batches of small weighted least squares, columns scaled to one length."""
    root = np.sqrt(weight)
    columns = basis * root
    size = np.sqrt(np.sum(columns**2, axis=2, keepdims=True))
    size = np.where((size > 0) & np.isfinite(size), size, 1)
    columns = np.nan_to_num(columns / size)
    gram = columns @ columns.mT + 1e-12 * np.eye(columns.shape[1])
    right = columns @ np.nan_to_num(target * root)[:, :, None]
    return np.asarray(np.linalg.solve(gram, right)[:, :, 0] / size[:, :, 0])


def _allowed(screened: Problem, k: int, found: Array, basis: Array) -> Array:
    if not screened.law.scales[k]:
        return np.clip(found, screened.lower[k], screened.upper[k])
    # A term that least squares would make negative starts as a small positive one.
    typical = np.abs(screened.y).mean() / np.maximum(np.abs(basis).mean(axis=1), 1e-300)
    return np.asarray(np.log(np.maximum(found, 1e-3 * typical)))
