"""The rows that a law is fitted to: which evaluations count, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.analysis.envelope import best_evaluations, envelope
from scaling.analysis.formula import Formula
from scaling.analysis.table import LOSS_NAMES, SYMBOLS, Records
from scaling.errors import ScalingError
from scaling.record import COLUMNS

Array = NDArray[np.float64]
Choice = Literal["all", "best", "last", "frontier"]

LOSS = "L_u"
CHOICES: Mapping[Choice, str] = {
    "all": "all evaluations",
    "best": "each run's best evaluation",
    "last": "each run's last evaluation",
    "frontier": "the envelope of the runs",
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sample:
    """Rows ready for a fit."""

    table: pd.DataFrame
    """One row per evaluation that counts, in symbol spelling, loss as `L_u`."""
    rows: Choice
    """Which evaluations of a run count."""
    loss_symbol: str = "L"
    """How the loss is written: L, L_u where it is normalised, or a score's name."""
    sources: tuple[str, ...] = ("table",)
    """Where the rows came from."""
    data_hash: str = ""
    """First 16 hex digits of the SHA-256 of the values read."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Number of rows left out, by reason."""
    notes: tuple[str, ...] = ()
    """What was done to the rows, and what is odd about them."""
    suspicions: tuple[str, ...] = ()
    """Columns whose units look wrong."""
    flops_convention: str | None = None
    """How the rows' compute was counted, where they say so."""
    derived: tuple[str, ...] = ()
    """Columns that C = 6 N D gave, which show nothing of what a token costs."""
    tokens_per_step: float | None = None
    """Training tokens of an optimiser step, where the rows tell: their median."""

    @property
    def loss_unit(self) -> str:
        """Unit of a loss: nats; or another measure's, or its name where it has none."""
        if self.loss_symbol in ("L", "L_u"):
            return "nats"
        column = COLUMNS.get(self.loss_symbol)
        unit = column.unit.partition(" of ")[0] if column else ""
        return unit or self.loss_symbol

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.table)

    @property
    def loss(self) -> Array:
        """Loss of each row in nats per token."""
        return self.table[LOSS].to_numpy()

    @property
    def weight(self) -> Array:
        """Weight of each row, 1 unless the table says otherwise."""
        if "weight" in self.table:
            return self.table["weight"].to_numpy()
        return np.ones(self.n)

    @property
    def runs(self) -> NDArray[np.intp]:
        """Number of each row's run: rows of one run err together."""
        return pd.factorize(self.table["run"])[0]

    @property
    def clusters(self) -> int:
        """Number of runs."""
        return int(self.table["run"].nunique())

    @property
    def order(self) -> Array:
        """What rows are ordered by: compute where it is known."""
        name = next(s for s in ("C", "D", "N", "N_nv", LOSS) if s in self.table)
        return self.table[name].to_numpy()

    def by_name(self, formula: Formula) -> dict[str, Array]:
        """Give the logarithms of a law's inputs by symbol."""
        found = {n: np.log(self.table[n].to_numpy()) for n in formula.inputs}
        return found | {n: self.table[n].to_numpy() for n in formula.arms}

    def log_inputs(self, formula: Formula) -> tuple[Array, ...]:
        """Give the logarithms of a law's inputs in its order."""
        return tuple(self.by_name(formula).values())

    def take(self, rows: NDArray[Any]) -> Sample:
        """Keep some rows, by position or by mask."""
        return replace(self, table=self.table.iloc[rows].reset_index(drop=True))

    def name_of(self, row: int) -> str:
        """Name a row for a message."""
        return str(self.table["run"].iloc[row])


def sample(
    records: Records | pd.DataFrame, formula: Formula, rows: Choice | None = None
) -> Sample:
    """Choose the rows that a law is fitted to.

    Parameters
    ----------
    records : Records or DataFrame
        What `read` gives, or a table in symbol spelling.
    formula : Formula
        The law, which says which columns are needed.
    rows : {"all", "best", "last", "frontier"}, optional
        Every evaluation; of each run its best, or its last; or the envelope: the runs
        whose best beats every cheaper one. By default the envelope for a law of
        compute alone where runs differ in size, since at one compute such a law has
        one loss, and all rows otherwise.

    Raises
    ------
    ScalingError
        If a column is missing, or a value is no positive number.
    """
    if rows is not None and rows not in CHOICES:
        raise ScalingError(
            f"rows is {rows!r}; expected one of {', '.join(CHOICES)}: choose one"
        )
    table, facts = _table(records, formula)
    lacking = [s for s in formula.all_inputs if s not in table]
    if lacking:
        raise ScalingError(
            f"law {formula.name} needs {' and '.join(lacking)}, which the table does "
            f"not hold; it has {', '.join(map(str, table.columns))}: name the column "
            f"with --columns {lacking[0]}=COLUMN, or choose another law"
        )
    rows = rows or _default_rows(table, formula)
    chosen = _choose(table, rows)
    chosen, dropped = _sound(chosen, formula)
    if len(chosen) < len(table) - sum(dropped.values()):
        facts["notes"] = (
            *facts.get("notes", ()),
            f"fitted to {CHOICES[rows]}: {len(chosen)} of {len(table)} rows",
        )
    facts["dropped"] = {**facts.get("dropped", {}), **dropped}
    return Sample(table=chosen.reset_index(drop=True), rows=rows, **facts)


def _table(
    records: Records | pd.DataFrame, formula: Formula
) -> tuple[pd.DataFrame, dict[str, Any]]:
    if isinstance(records, Records):
        shown = records.quantities[LOSS].shown
        facts = {
            "loss_symbol": shown,
            "sources": records.sources,
            "data_hash": records.data_hash,
            "dropped": dict(records.dropped),
            "notes": records.notes,
            "suspicions": records.suspicions,
            "flops_convention": _convention(records),
            "derived": records.derived,
            "tokens_per_step": _tokens_per_step(records),
        }
        return records.points(), facts
    if not isinstance(records, pd.DataFrame):
        raise ScalingError(
            f"rows are given as {type(records).__name__}; expected what scaling.read "
            "gives, or a table (pandas DataFrame)"
        )
    table = records.copy()
    twice = sorted({str(c) for c in table.columns if list(table.columns).count(c) > 1})
    if twice:
        raise ScalingError(
            f"the table has two columns {', '.join(twice)}; expected each name once: "
            "rename or remove one"
        )
    name = next((name for name in LOSS_NAMES if name in table), None)
    if name is None:
        raise ScalingError(
            f"the table holds no loss; it has {', '.join(map(str, table.columns))}: "
            "name its loss L, or L_u where it is normalised"
        )
    own = pd.Series([f"row {n}" for n in range(1, len(table) + 1)], table.index)
    table["run"] = (
        table["run"].where(table["run"].notna(), own) if "run" in table else own
    )
    for column in (name, *(c for c in SYMBOLS if c in table and c != LOSS)):
        table[column] = _numbers(table[column])
    table = table.rename(columns={name: LOSS})
    known = ["run", "size", *SYMBOLS, *formula.arms]
    table = table[[column for column in table if column in known]]
    symbol = "L_u" if name in ("L_u", "normalised_loss") else "L"
    return table, {"loss_symbol": symbol}


def _numbers(column: pd.Series[Any]) -> pd.Series[float]:
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    words = column[numbers.isna() & column.notna()]
    if len(words):
        raise ScalingError(
            f"{column.name} is {words.iloc[0]!r} in row {words.index[0]}; expected a "
            "number: correct the row or remove it"
        )
    return numbers


def _convention(records: Records) -> str | None:
    """Give the FLOPs convention of the rows, if they have one and the same."""
    if "flops_convention" not in records.frame:
        return None
    named = records.frame["flops_convention"].dropna().unique()
    return str(named[0]) if len(named) == 1 else None


def _tokens_per_step(records: Records) -> float | None:
    if not {"tokens", "step"} <= set(records.frame):
        return None
    rate = records.frame["tokens"] / records.frame["step"]
    return float(rate.median()) if np.isfinite(rate).all() else None


def _default_rows(table: pd.DataFrame, formula: Formula) -> Choice:
    sizes = table[[s for s in ("N", "N_nv", "V") if s in table]]
    several = bool((sizes.max() > sizes.min()).any())
    return "frontier" if formula.inputs == ("C",) and several else "all"


def _choose(table: pd.DataFrame, rows: Choice) -> pd.DataFrame:
    if rows == "all":
        return table
    if rows == "last":
        last = table.assign(_place=range(len(table)))
        by = [s for s in ("D", "C") if s in table] + ["_place"]
        last = last.sort_values(by, kind="stable").drop_duplicates("run", keep="last")
        return last.sort_values("_place").drop(columns="_place")
    if rows == "frontier" and "C" not in table:
        raise ScalingError(
            "rows frontier needs C, which the table does not hold: name the column "
            "with --columns C=COLUMN, or take the best evaluations"
        )
    best = best_evaluations(table if "C" in table else table.assign(C=np.nan))
    return envelope(best) if rows == "frontier" else best[list(table.columns)]


def _sound(
    table: pd.DataFrame, formula: Formula
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Drop rows without a value or a weight, counted; refuse what is no quantity."""
    dropped = {}
    for name in (*formula.all_inputs, LOSS):
        unknown = table[name].isna()
        if unknown.any():
            dropped[f"{name} is not known"] = int(unknown.sum())
            table = table[~unknown]
    for name in formula.inputs:
        _refuse(table, name, ~(np.isfinite(table[name]) & (table[name] > 0)))
    _refuse(table, LOSS, ~np.isfinite(table[LOSS]), "loss is", "a finite loss")
    if "weight" in table:
        sound = np.isfinite(table["weight"]) & (table["weight"] >= 0)
        _refuse(table, "weight", ~sound, expected="a number of at least 0")
        without = table["weight"] == 0
        if without.any():
            dropped["weight is 0"] = int(without.sum())
            table = table[~without]
    return table, dropped


def _refuse(
    table: pd.DataFrame,
    name: str,
    bad: pd.Series[bool],
    what: str = "",
    expected: str = "a positive number",
) -> None:
    if bad.any():
        raise ScalingError(
            f"{what or f'{name} is'} {table[name][bad].iloc[0]:g} in "
            f"{table['run'][bad].iloc[0]}; expected {expected}: correct the row or "
            "remove it"
        )
