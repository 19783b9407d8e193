"""Where further runs may lie: the candidates of a plan, and the grids it must beat.

A run is placed by its compute C, its tokens per parameter r = D / N and its codebook.
Its size solves C = cost(N) r N, where the cost of a token is what the rows show.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from scaling.analysis.allocation import Allocator, allocator
from scaling.analysis.fitting import Fit
from scaling.analysis.prediction import width_law
from scaling.errors import ScalingError

Array = NDArray[np.float64]

STEP = math.sqrt(2)
"""Factor from one candidate's compute, or tokens per parameter, to the next."""
RATIOS = 4.0
"""Factor by which tokens per parameter may leave those of 90 % of the rows."""
CODEBOOKS = 8
"""Codebooks that compete; of more, so many are taken log-evenly."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Region:
    """Where further runs of a study may lie.

    Runs are tables with a row for each: what the law takes by symbol, V and C.
    """

    fit: Fit
    """The law and the rows that there are."""
    spend: Allocator | None
    """What runs cost; None for a law of compute alone."""
    compute: Array
    """C of the rows, FLOPs."""
    given: Mapping[str, float]
    """Inputs of the law that are the same for all runs, such as U."""

    @property
    def least(self) -> float:
        """FLOPs of the smallest run of the rows."""
        return float(self.compute.min())

    @property
    def ratios(self) -> tuple[float, float, float]:
        """Tokens per parameter: least, median of the rows, most; 1 without a size."""
        if self.spend is None:
            return 1.0, 1.0, 1.0
        table = self.fit.sample.table
        tried = table["D"] / table[self.spend.sizes[0]]
        low, middle, high = np.quantile(tried, [0.05, 0.5, 0.95]).tolist()
        return low / RATIOS, middle, high * RATIOS

    @property
    def codebooks(self) -> Array:
        """V that the rows have, or N_v where V is not known; 1 without codebooks.

        The rows' own, since another codebook means another tokenizer.
        """
        if self.spend is None or "N_v" not in self.spend.sizes:
            return np.ones(1)
        table = self.fit.sample.table
        known = np.unique(table["V"] if "V" in table else table["N_v"])
        wanted = np.linspace(0, len(known) - 1, min(CODEBOOKS, len(known)))
        return np.asarray(known[wanted.round().astype(int)], float)

    def runs(
        self, compute: Array, ratio: ArrayLike = 1, codebook: ArrayLike = 1
    ) -> pd.DataFrame:
        """Place runs by C, r and codebook, each of shape (runs,)."""
        if self.spend is None:
            return pd.DataFrame({"C": compute})
        ratio, codebook = np.asarray(ratio, float), np.asarray(codebook, float)
        size = np.sqrt(compute / ratio)
        for _ in range(60):  # C grows as N to N^2.5: each step halves the error or more
            inputs = self._inputs(size, ratio, codebook)
            size = size * np.sqrt(compute / inputs["C"])
        return pd.DataFrame(inputs)

    def _inputs(self, size: Array, ratio: Array, codebook: Array) -> dict[str, Array]:
        assert self.spend is not None
        inputs, tokens = {self.spend.sizes[0]: size}, ratio * size
        if "N_v" in self.spend.sizes:
            if "V" in self.fit.sample.table:
                constant, exponent = width_law(self.fit)
                inputs["V"] = codebook
                codebook = codebook * np.exp(constant + exponent * np.log(size))
            inputs["N_v"] = codebook
        inputs["D"] = tokens
        for name, value in self.given.items():
            # No more than all tokens that are trained on can be unique.
            inputs[name] = np.minimum(value, tokens if name == "U" else math.inf)
        logs = {name: np.log(inputs[name]) for name in self.spend.sizes}
        return inputs | {"C": self.spend.cost.per_token(logs) * tokens}

    def candidates(self, most: float) -> pd.DataFrame:
        """List the runs that compete, the cheapest first.

        All combinations of compute from that of the smallest row up to `most` FLOPs and
        tokens per parameter up to `RATIOS` times outside those of 90 % of the rows,
        both in steps of `STEP`, and the codebooks of the rows; without sizes and tokens
        that are more than a step below the least of the rows.
        """
        low, _, high = self.ratios
        axes = (_ladder(self.least, most), _ladder(low, high), self.codebooks)
        found = self.runs(*(a.ravel() for a in np.meshgrid(*axes, indexing="ij")))
        rows = self.fit.sample.table
        for name in {"N", "N_nv", "D"} & set(found):
            found = found[found[name] >= 0.999 * rows[name].min() / STEP]
        if found.empty:
            raise ScalingError(
                f"one run may cost {most:.3g} FLOPs, but the smallest of the rows cost "
                f"{self.least:.3g}; expected to pay for at least one like it: raise "
                "the budget"
            )
        return found.reset_index(drop=True)

    def uniform(self, count: int, total: float) -> pd.DataFrame:
        """Give a uniform grid: compute rises log-evenly from that of the smallest row.

        All runs have the tokens per parameter that are the median of the rows, and
        codebooks in turn; together they cost `total` FLOPs.
        """
        compute = _series(self.least, count, total)
        ratio = np.full(count, self.ratios[1])
        return self.runs(compute, ratio, np.resize(self.codebooks, count))

    def isoflop(self, count: int, total: float) -> pd.DataFrame:
        """Give an isoFLOP grid: all runs cost the same, `total` FLOPs together.

        Tokens per parameter go log-evenly from a quarter to four times the median of
        the rows, codebooks in turn.
        """
        around = np.geomspace(1 / RATIOS, RATIOS, count) if count > 1 else np.ones(1)
        compute = np.full(count, total / count)
        codebooks = np.resize(self.codebooks, count)
        return self.runs(compute, self.ratios[1] * around, codebooks)


def region(fit: Fit, given: Mapping[str, float] | None = None) -> Region:
    """Say where further runs may lie, by the rows that there are.

    Raises
    ------
    ScalingError
        If the law does not say how to divide compute, nor is one of compute alone.
    """
    table = fit.sample.table
    spend = None if fit.formula.inputs == ("C",) else allocator(fit, given)
    if spend is None or "C" in table:
        compute = table["C"].to_numpy()
    else:
        logs = {name: np.log(table[name].to_numpy()) for name in spend.sizes}
        compute = spend.cost.per_token(logs) * table["D"].to_numpy()
    return Region(fit=fit, spend=spend, compute=compute, given=given or {})


def _ladder(low: float, high: float) -> Array:
    """Give low, low x STEP, ... up to high."""
    steps = math.floor(math.log(high / low) / math.log(STEP) + 1e-9)
    return np.asarray(low * STEP ** np.arange(steps + 1.0))


def _series(first: float, count: int, total: float) -> Array:
    """Give `count` numbers from `first` on, in equal ratios, that add up to `total`."""
    if count == 1:
        return np.array([total])
    places = np.arange(count)
    most = abs(math.log(total / first)) + math.log(count)
    ratio = brentq(lambda x: first * np.exp(x * places).sum() - total, -most, most)
    numbers = first * np.exp(ratio * places)
    return np.asarray(numbers * total / numbers.sum())
