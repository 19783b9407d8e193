"""Where further runs may lie: the candidates of a plan, and the grids it must beat."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.analysis.allocation import Allocator, allocator
from scaling.analysis.fitting import Fit
from scaling.analysis.prediction import width_law
from scaling.errors import ScalingError

Array = NDArray[np.float64]

STEP = math.sqrt(2)
"""Factor from one candidate's size, tokens or compute to the next."""
RATIOS = 4.0
"""Factor by which tokens per parameter may leave those of 90 % of the rows."""
CODEBOOKS = 8
"""Codebooks that compete; of more, so many are taken log-evenly."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Runs:
    """Runs that could be made, one per index."""

    inputs: Mapping[str, Array]
    """Values by symbol, each of shape (runs,): the law's inputs, V where it is one."""
    compute: Array
    """C, training FLOPs of each."""

    def __len__(self) -> int:
        return len(self.compute)

    @property
    def total(self) -> float:
        """FLOPs of all."""
        return float(self.compute.sum())

    def take(self, which: Sequence[int] | NDArray[np.bool_]) -> Runs:
        """Keep some runs, by position or by mask."""
        kept = np.arange(len(self))[which]
        inputs = {name: column[kept] for name, column in self.inputs.items()}
        return Runs(inputs=inputs, compute=self.compute[kept])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Region:
    """Where further runs of a study may lie."""

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
    def size(self) -> str:
        """Symbol of the size: N, or N_nv."""
        assert self.spend is not None
        return self.spend.sizes[0]

    @property
    def vocabulary(self) -> str | None:
        """Symbol of the codebook that runs differ in: V, or N_v where V is unknown."""
        if self.spend is None or "N_v" not in self.spend.sizes:
            return None
        return "V" if "V" in self.fit.sample.table else "N_v"

    @property
    def codebooks(self) -> Array:
        """Codebooks that the rows have, by `vocabulary`; one NaN where they differ not.

        The rows' own, since another codebook means another tokenizer.
        """
        if self.vocabulary is None:
            return np.array([math.nan])
        known = np.unique(self.fit.sample.table[self.vocabulary])
        wanted = np.linspace(0, len(known) - 1, min(CODEBOOKS, len(known)))
        return np.asarray(known[wanted.round().astype(int)], float)

    @property
    def ratios(self) -> tuple[float, float, float]:
        """Tokens per parameter: least, median of the rows, most."""
        table = self.fit.sample.table
        tried = table["D"] / table[self.size]
        low, middle, high = np.quantile(tried, [0.05, 0.5, 0.95]).tolist()
        return low / RATIOS, middle, high * RATIOS

    def runs(self, size: Array, tokens: Array, codebook: Array) -> Runs:
        """Describe runs by all that the law and their cost depend on."""
        assert self.spend is not None
        inputs = {self.size: size, "D": tokens}
        if self.vocabulary:
            inputs[self.vocabulary] = codebook
        if self.vocabulary == "V":
            constant, exponent = width_law(self.fit)
            inputs["N_v"] = codebook * np.exp(constant + exponent * np.log(size))
        for name, value in self.given.items():
            # No more than all tokens that are trained on can be unique.
            most = tokens if name == "U" else math.inf
            inputs[name] = np.minimum(np.full_like(tokens, value), most)
        logs = {name: np.log(inputs[name]) for name in self.spend.sizes}
        compute = self.spend.cost.per_token(logs) * tokens
        if "C" in self.fit.formula.inputs:
            inputs["C"] = compute
        return Runs(inputs=inputs, compute=compute)

    def at_compute(self, compute: Array, ratio: Array, codebook: Array) -> Runs:
        """Give the runs that cost so much, at so many tokens per parameter."""
        low, high = np.zeros_like(compute), np.log(compute)
        for _ in range(60):
            middle = (low + high) / 2
            sizes = np.exp(middle)
            dear = self.runs(sizes, ratio * sizes, codebook).compute > compute
            low, high = np.where(dear, low, middle), np.where(dear, middle, high)
        return self.runs(np.exp(low), ratio * np.exp(low), codebook)

    def candidates(self, most: float) -> Runs:
        """List the runs that compete.

        Sizes, codebooks and tokens in all combinations: sizes and tokens in steps of
        `STEP` from the smallest of the rows, codebooks those of the rows, compute from
        that of the smallest row up to `most` FLOPs; tokens per parameter at most
        `RATIOS` times outside those of 90 % of the rows. For a law of compute alone:
        compute in such steps.

        Raises
        ------
        ScalingError
            If no run is left.
        """
        found = self._steps(most)
        affordable = (found.compute <= most) & (found.compute >= 0.99 * self.least)
        if affordable.any():
            return found.take(affordable)
        raise ScalingError(
            f"one run may cost {most:.3g} FLOPs, but the smallest of the rows cost "
            f"{self.least:.3g}; expected to pay for at least one like it: raise the "
            "budget"
        )

    def _steps(self, most: float) -> Runs:
        if self.spend is None:
            compute = _ladder(self.least, most)
            return Runs(inputs={"C": compute}, compute=compute)
        table = self.fit.sample.table
        low, _, high = self.ratios
        ends = np.array([low, high])
        largest = self.at_compute(np.full(2, most), ends, self.codebooks[[0, 0]]).inputs
        sizes = _ladder(table[self.size].min(), largest[self.size][0])
        tokens = _ladder(table["D"].min(), largest["D"][1])
        axes = np.meshgrid(sizes, tokens, self.codebooks, indexing="ij")
        size, data, codebook = (axis.ravel() for axis in axes)
        within = (data >= 0.99 * low * size) & (data <= 1.01 * high * size)
        return self.runs(size[within], data[within], codebook[within])

    def uniform(self, count: int, total: float) -> Runs:
        """Give a uniform grid: compute rises log-evenly from that of the smallest row.

        All runs have the tokens per parameter that are the median of the rows, and
        codebooks in turn; together they cost `total` FLOPs.
        """
        compute = _series(self.least, count, total)
        if self.spend is None:
            return Runs(inputs={"C": compute}, compute=compute)
        middle = np.full(count, self.ratios[1])
        return self.at_compute(compute, middle, np.resize(self.codebooks, count))

    def isoflop(self, count: int, total: float) -> Runs:
        """Give an isoFLOP grid: all runs cost the same, `total` FLOPs together.

        Tokens per parameter go log-evenly from a quarter to four times the median of
        the rows, codebooks in turn.
        """
        compute = np.full(count, total / count)
        around = np.geomspace(1 / RATIOS, RATIOS, count) if count > 1 else np.ones(1)
        codebooks = np.resize(self.codebooks, count)
        return self.at_compute(compute, self.ratios[1] * around, codebooks)


def region(fit: Fit, given: Mapping[str, float] | None = None) -> Region:
    """Say where further runs may lie, by the rows that there are.

    Raises
    ------
    ScalingError
        If the law does not say how to divide compute, nor is one of compute alone.
    """
    given, table = dict(given or {}), fit.sample.table
    alone = fit.formula.inputs == ("C",)
    spend = None if alone else allocator(fit, given)
    if "C" in table:
        compute = table["C"].to_numpy()
    else:  # then the law has a size and data
        assert spend is not None
        logs = {name: np.log(table[name].to_numpy()) for name in spend.sizes}
        compute = spend.cost.per_token(logs) * table["D"].to_numpy()
    return Region(fit=fit, spend=spend, compute=compute, given=given)


def _ladder(low: float, high: float) -> Array:
    """Give low, low x STEP, ... up to high, and low alone where high lies below it."""
    steps = max(0, math.floor(math.log(high / low) / math.log(STEP) + 1e-9))
    return np.asarray(low * STEP ** np.arange(steps + 1.0))


def _series(first: float, count: int, total: float) -> Array:
    """Give `count` numbers from `first` on, in equal ratios, that add up to `total`."""
    if count == 1:
        return np.array([total])
    low, high = -math.log(count * total / first), math.log(total / first) + 1
    for _ in range(100):
        middle = (low + high) / 2
        numbers = first * np.exp(middle * np.arange(count))
        low, high = (low, middle) if numbers.sum() > total else (middle, high)
    return np.asarray(numbers * total / numbers.sum())
