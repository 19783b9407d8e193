"""Which learning rate is best, by width: from a sweep to the rule that a grid takes.

In each cell of a study (size, codebook, budget) the loss is lowest at some rate, found
by a parabola in the logarithm of the rate about the best of those tried. Over the
widths d the best rates follow, by least squares in logarithms,

    rate = base (64 / d)^exponent

The exponent is 1 where learning transfers as Yang et al. (2022, arXiv 2203.03466) have
it for Adam. Porian et al. (2024, arXiv 2406.19146) show how a law comes out wrong where
rates are not tuned by size; Li et al. (2025, arXiv 2503.04715) fit best rates as here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from scaling.analysis.minimum import minimum
from scaling.analysis.prediction import LEVEL, Estimate
from scaling.analysis.reading import read_file
from scaling.analysis.records import read
from scaling.errors import ScalingError
from scaling.files import jsonable
from scaling.record import run_folders, status

Array = NDArray[np.float64]

WIDTH = 64
"""Width at which the rule has its base."""
NEAR = 4.2
"""Factor about the best rate tried within which the parabola is fitted."""
SAME_BUDGET = 1.05
"""Factor between tokens of one budget: runs train on whole batches."""
KIND = "rates"
LOW, HIGH, UNSTABLE = (
    "AT THE EDGE: the lowest rate tried was best; add lower ones",
    "AT THE EDGE: the highest rate tried was best; add higher ones",
    "AT THE EDGE: the next rate diverged; add rates between",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Best:
    """The best learning rate of one cell."""

    size: str
    """Transformer size."""
    width: int
    """Its d_model."""
    codebook: int
    """Codes; 0 where the records do not say."""
    tokens: int
    """Budget: tokens of its longest run."""
    losses: Mapping[float, float]
    """Loss by learning rate, mean over seeds; NaN where a run diverged."""
    tried: float
    """The rate of the lowest loss."""
    rate: Estimate | None
    """Where the parabola is lowest, with its interval: NaN where three rates leave no
    scatter to tell it by; None where there is no minimum."""
    reason: str = ""
    """Why there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """How the best rate falls with the width: base (64 / d)^exponent."""

    base: Estimate
    """Best rate at width 64; intervals are NaN where no cell is left over."""
    exponent: Estimate
    """Power of 64 / d."""
    cells: int
    """Cells that it rests on."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Rates:
    """What a sweep of learning rates says."""

    source: str
    """Where the runs came from."""
    loss: str
    """Column of the loss."""
    cells: tuple[Best, ...]
    """The cells with several rates."""
    rule: Rule | None
    """The rule over widths; None where no two widths have a minimum."""
    level: float
    """Coverage of the intervals."""
    notes: tuple[str, ...] = ()
    """What was done to the runs."""

    @property
    def setting(self) -> dict[str, Any] | float | None:
        """The learning rate for a grid: a rule; one number for one width; or None."""
        found = [cell for cell in self.cells if cell.rate]
        rates = [cell.rate.value for cell in found if cell.rate]
        if not rates:
            return None
        if self.rule and self.rule.exponent.value > 0:
            base, exponent = self.rule.base.value, self.rule.exponent.value
            return {
                "base": _short(base),
                "width": WIDTH,
                "exponent": round(exponent, 2),
            }
        return _short(math.exp(float(np.mean(np.log(rates)))))

    def yaml(self) -> str:
        """Write the lines for a grid; empty where there is nothing to write."""
        rate = self.setting
        if rate is None:
            return ""
        if isinstance(rate, dict):
            pairs = ", ".join(f"{key}: {value}" for key, value in rate.items())
            return f"transformers:\n  learning_rate: {{{pairs}}}"
        return f"transformers:\n  learning_rate: {rate}"

    def __repr__(self) -> str:
        from scaling.analysis.render_rates import rates_text  # which knows this class

        return rates_text(self)

    def _repr_html_(self) -> str:
        from scaling.analysis.render_html import rates_html

        return rates_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON holds it."""
        return dict(jsonable({"kind": KIND, **asdict(self), "setting": self.setting}))


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def best_rates(
    source: str | Path | pd.DataFrame,
    columns: Mapping[str, str] | None = None,
    level: float = LEVEL,
) -> Rates:
    """Find the best learning rates of a sweep.

    Parameters
    ----------
    source : str, Path or DataFrame
        A run store, or a table with `learning_rate`, `d_model`, a loss and compute, one
        row per run or per evaluation; of runs that cool down the cooled ones count.
    columns : mapping, optional
        As `records.read` takes it.
    level : float
        Coverage of the intervals.

    Raises
    ------
    ScalingError
        If the source has no such columns, or no cell with two learning rates.
    """
    if not 0 < level < 1:
        raise ScalingError(f"level is {level:g}; expected between 0 and 1: give 0.95")
    records = read(source, columns)
    (name,) = records.sources
    loss = records.quantities["L_u"].column
    runs = _ends(records.frame, name)
    runs = runs.assign(loss=runs[loss])
    diverged = _diverged(source, columns or {})
    cells = [
        _best(key, cell, diverged, level)
        for key, cell in _cells(runs)
        if cell["learning_rate"].nunique() + len(_lost(key, cell, diverged)) > 1
    ]
    if not cells:
        raise ScalingError(
            f"{name} has no two learning rates for any size, codebook and budget; "
            "expected a sweep: learning_rate: [0.001, 0.002, 0.004] in its grid"
        )
    return Rates(
        source=name,
        loss=loss,
        cells=tuple(sorted(cells, key=lambda c: (c.width, c.codebook, c.tokens))),
        rule=rule_of(cells, level),
        level=level,
        notes=(*(f"{n} rows left out: {why}" for why, n in records.dropped.items()),),
    )


# --- Runs and cells -------------------------------------------------------------------

Key = tuple[int, str, int]


def _ends(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """Take the last evaluation of each run that came to its end."""
    for name in ("learning_rate", "d_model"):
        if name not in frame or frame[name].isna().any():
            raise ScalingError(
                f"{source} does not say the {name} of every run; expected a column "
                f"{name}: add it, or name it with --columns {name}=COLUMN"
            )
    if "status" in frame:
        over = frame["status"].isna() | (frame["status"] == "finished")
        frame = frame[over]
    place = "tokens" if "tokens" in frame else "flops"
    last = frame.sort_values(place, kind="stable").drop_duplicates("run", keep="last")
    return last.assign(
        size=_sizes(last),
        codebook=_codebooks(last),
        budget=last[place],
        **{n: _positive(last, n, source) for n in ("learning_rate", "d_model")},
    )


def _positive(runs: pd.DataFrame, name: str, source: str) -> pd.Series[float]:
    """Read a column of which logarithms are taken."""
    found = pd.to_numeric(runs[name], errors="coerce")
    odd = runs[~found.between(0, math.inf, inclusive="neither")]
    if len(odd):
        raise ScalingError(
            f"{name} is {odd[name].iloc[0]} in run {odd['run'].iloc[0]} of {source}; "
            "expected a number above 0: correct it or remove the run"
        )
    return found


def _codebooks(table: pd.DataFrame) -> pd.Series[float]:
    codes = table.get("codebook_size", pd.Series(0, table.index))
    return pd.to_numeric(codes, errors="coerce").fillna(0)


def _sizes(table: pd.DataFrame) -> pd.Series[str]:
    if "size" in table:
        return table["size"].astype(str)
    return "width " + table["d_model"].astype(str)


def _cells(runs: pd.DataFrame) -> Iterator[tuple[Key, pd.DataFrame]]:
    """Part the runs by size, codebook and budget."""
    for _, column in runs.groupby(["d_model", "size", "codebook"]):
        column = column.sort_values("budget", kind="stable")
        steps = column["budget"] > SAME_BUDGET * column["budget"].shift()
        width, size, codebook = column[["d_model", "size", "codebook"]].iloc[0]
        for _, cell in column.groupby(steps.cumsum()):
            yield (int(width), str(size), int(codebook)), cell


def _diverged(
    source: str | Path | pd.DataFrame, columns: Mapping[str, str]
) -> set[tuple[str, int, float]]:
    """Find the sizes, codebooks and rates of runs that diverged, with rows or none."""
    if isinstance(source, pd.DataFrame):
        table = source
    elif Path(source).is_dir():
        table = pd.DataFrame(
            config["record"] | {"status": status(folder)}
            for folder, config in run_folders(Path(source), "transformer", "trunk")
            if "record" in config
        )
    else:
        table = read_file(Path(source), [])
    table = table.rename(columns={column: name for name, column in columns.items()})
    if not {"status", "learning_rate", "d_model"} <= set(table):
        return set()
    table = table[table["status"].astype(str).str.contains("diverged", case=False)]
    rates = pd.to_numeric(table["learning_rate"], errors="coerce")
    found = zip(_sizes(table), _codebooks(table).astype(int), rates, strict=True)
    return {each for each in found if each[2] > 0}  # NaN is not


def _lost(
    key: Key, cell: pd.DataFrame, diverged: set[tuple[str, int, float]]
) -> list[float]:
    """Give the rates at which a cell has no run that finished, since they diverged."""
    _, size, codebook = key
    finished = set(cell["learning_rate"])
    return [
        r for s, v, r in diverged if (s, v) == (size, codebook) and r not in finished
    ]


# --- Statistics -----------------------------------------------------------------------


def _best(
    key: Key,
    cell: pd.DataFrame,
    diverged: set[tuple[str, int, float]],
    level: float,
) -> Best:
    width, size, codebook = key
    mean = cell.groupby("learning_rate")["loss"].mean()
    tries, losses = mean.index.to_numpy(float), mean.to_numpy(float)
    lost = dict.fromkeys(_lost(key, cell, diverged), math.nan)
    tried = float(tries[losses.argmin()])
    rate, reason = best_rate(tries, losses, level)
    if reason == HIGH and any(r > tried for r in lost):
        reason = UNSTABLE
    return Best(
        size=size,
        width=width,
        codebook=codebook,
        tokens=int(cell["budget"].max()),
        losses=dict(
            sorted([*zip(tries.tolist(), losses.tolist(), strict=True), *lost.items()])
        ),
        tried=tried,
        rate=rate,
        reason=reason,
    )


def best_rate(
    rates: Array, losses: Array, level: float = LEVEL
) -> tuple[Estimate | None, str]:
    """Find the rate of lowest loss by a parabola in its logarithm.

    Parameters
    ----------
    rates, losses : array, shape (n,)
        Learning rates, all different, in increasing order, and their losses.

    Returns
    -------
    Estimate or None, str
        The rate, its interval NaN where three rates leave no scatter; or None, and why.

    >>> best_rate(np.array([1e-3, 2e-3, 4e-3]), np.array([2.1, 2.0, 2.1]))[0].value
    0.002
    """
    k = int(np.argmin(losses))
    if k in (0, len(rates) - 1):
        return None, LOW if k == 0 else HIGH
    near = np.abs(np.log(rates / rates[k])) <= math.log(NEAR)
    near[k - 1 : k + 2] = True
    x = np.log(rates[near] / rates[k])
    found = minimum(x, losses[near])
    if found.reason:
        return None, "no minimum: the parabola's lies at the edge, or it has none"
    with np.errstate(invalid="ignore"):
        half = found.se * float(stdtrit(max(len(x) - 3, 1), 0.5 + level / 2))
    place = math.exp(found.x) * float(rates[k])
    return _times(place, half), ""


def _times(value: float, half: float) -> Estimate:
    """Give an interval that is symmetric in the logarithm."""
    return Estimate(
        value=float(f"{value:.12g}"),
        low=value * math.exp(-half),
        high=value * math.exp(half),
    )


def rule_of(cells: Sequence[Best], level: float = LEVEL) -> Rule | None:
    """Fit the rule over widths to the cells that have a minimum."""
    found = [cell for cell in cells if cell.rate]
    x = np.array([math.log(WIDTH / cell.width) for cell in found])
    y = np.array([math.log(cell.rate.value) for cell in found if cell.rate])
    if len(set(x)) < 2:
        return None
    X = np.column_stack([np.ones_like(x), x])
    (base, exponent), *_ = np.linalg.lstsq(X, y, rcond=None)
    degrees, residual = len(x) - 2, y - X @ (base, exponent)
    s2 = float(residual @ residual) / degrees if degrees else math.nan
    half = np.sqrt(s2 * np.diag(np.linalg.inv(X.T @ X)))
    half *= stdtrit(max(degrees, 1), 0.5 + level / 2)
    ends = float(exponent - half[1]), float(exponent + half[1])
    return Rule(
        base=_times(math.exp(base), float(half[0])),
        exponent=Estimate(value=float(exponent), low=ends[0], high=ends[1]),
        cells=len(found),
    )
