"""What a study reads: one row per evaluation, and which column holds which quantity.

Files and the record spell quantities as column names (`flops`, `normalised_loss`);
laws and figures spell them as symbols (`C`, `L_u`). `Records.points` is the one place
where the first becomes the second.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.record import COLUMNS

SYMBOLS = ("C", "N", "N_nv", "N_v", "D", "U", "V", "L_u", "weight")
"""What points may hold: the quantities of the laws, and the weight of a row."""

LOSS_NAMES = ("L_u", "L", "normalised_loss", "loss")
"""Columns that a table's loss may stand in, the first of them before the others."""

OWN_RUN = "own_run"
"""Column of a frame: whether a row is a run of its own, its source naming no runs."""

MOST_SIZES = 10_000
"""Distinct counts beyond which no short names are sought."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantity:
    """One quantity of the laws, as the records at hand hold it."""

    symbol: str
    """Spelling in formulas, one of `SYMBOLS`."""
    column: str
    """Column of the record's table that holds it."""
    label: str
    """Axis label with the unit."""

    @classmethod
    def of(cls, symbol: str, column: str) -> Quantity:
        """Name a quantity that the run record knows, or the weight of a row.

        >>> Quantity.of("C", "flops").label
        'Training compute C (FLOPs)'
        """
        label = COLUMNS[column].label if column in COLUMNS else column.capitalize()
        return cls(symbol=symbol, column=column, label=label)

    @property
    def shown(self) -> str:
        """The symbol in formulas; another loss than the normalised is not L_u.

        >>> Quantity.of("L_u", "loss").shown, Quantity.of("L_u", "fid").shown
        ('L', 'fid')
        """
        if self.symbol != "L_u" or self.column == "normalised_loss":
            return self.symbol
        return "L" if self.column == "loss" else self.column


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedLaw:
    """A law as a paper prints it, to be laid beside our own fit."""

    equation: str
    """Where it is printed."""
    law: str
    """Name of our law for the same quantities, such as `N_nv(C)`."""
    slope: str
    """Slope or exponent, with exactly the printed digits."""
    intercept: str
    """Intercept (power law: the exponent of ten), with the printed digits."""
    note: str
    """How the paper came to it, as far as is known."""
    delta: float = math.inf
    """Of Huber's objective in ln y; infinite is least squares."""
    points: tuple[tuple[float, float], ...] = ()
    """The points (x, y) that it rests on, where they are not those of our own rule."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Records:
    """The evaluations of a study, checked, with everything done to them said."""

    frame: pd.DataFrame
    """One row per evaluation, columns spelled as in the run record, and `OWN_RUN`
    (without it all runs are named)."""
    quantities: Mapping[str, Quantity]
    """The quantities that `frame` holds in every row, by symbol."""
    sources: tuple[str, ...]
    """Where the rows came from."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Number of rows left out, by reason."""
    notes: tuple[str, ...] = ()
    """What a reader of the results must know about the rows, in sentences."""
    derived: tuple[str, ...] = ()
    """Symbols that some source lacked and that C = 6 N D gave."""
    suspicions: tuple[str, ...] = ()
    """Doubts about the units of the rows, in sentences that begin in capitals."""
    published: tuple[PublishedLaw, ...] = ()
    """Laws that a paper derived from these rows."""

    def points(self) -> pd.DataFrame:
        """Give the evaluations in the spelling of the formulas.

        Returns
        -------
        DataFrame
            Columns `run`, `size` (as named, or else made from `N_nv` or, without it,
            `N`, or else empty; absent where no row has any) and those of `SYMBOLS`
            that the records hold, the latter as float64.
        """
        points = self.frame[["run"]].astype(str)
        sizes = self._sizes()
        if sizes is not None:
            points["size"] = sizes
        return pd.concat([points, self._values()], axis=1).reset_index(drop=True)

    def _repr_html_(self) -> str:
        from scaling.analysis.render_html import records_html

        return records_html(self)

    def _values(self) -> pd.DataFrame:
        held = [symbol for symbol in SYMBOLS if symbol in self.quantities]
        values = self.frame[[self.quantities[symbol].column for symbol in held]]
        return values.set_axis(held, axis=1).astype("float64")

    def _sizes(self) -> pd.Series[str] | None:
        held = [symbol for symbol in ("N_nv", "N") if symbol in self.quantities]
        made = None
        if held:
            made = _size_of_each(self.frame[self.quantities[held[0]].column])
        if "size" not in self.frame:
            return made
        named = self.frame["size"]
        if blank(named).all():
            return made
        return named.astype(str).mask(blank(named), "" if made is None else made)

    @property
    def data_hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the values used, in any row order.

        Names count where the sources give them, not where they were made here.
        """
        names = {name: _sorted_codes(cells) for name, cells in self._given_names()}
        values = {name: cells.to_numpy() for name, cells in self._values().items()}
        order = _order([*(codes for codes, _ in names.values()), *values.values()])
        digest = hashlib.sha256()
        for name, (codes, texts) in names.items():
            lines = "\n".join(texts[codes[order]])
            digest.update(f"{name}\n{lines}".encode())
        for symbol, column in values.items():
            ordered = column[order].astype("<f8", copy=False)
            digest.update(f"{symbol}\n".encode() + ordered.tobytes())
        return digest.hexdigest()[:16]

    def _given_names(self) -> Iterator[tuple[str, pd.Series[str]]]:
        """Give the columns `run` and `size` with blanks for names that were made."""
        own = self.frame.get(OWN_RUN, pd.Series(False, index=self.frame.index))
        if not own.all():
            yield "run", self.frame["run"].astype(str).mask(own, "")
        if "size" in self.frame and not (nameless := blank(self.frame["size"])).all():
            yield "size", self.frame["size"].astype(str).mask(nameless, "")


def _sorted_codes(
    cells: pd.Series[str],
) -> tuple[NDArray[np.intp], NDArray[np.object_]]:
    """Give each cell's place among the distinct ones in order, and these."""
    codes, distinct = pd.factorize(cells, sort=True)
    return codes, np.asarray(distinct, dtype=object)


def _order(keys: Sequence[NDArray[Any]]) -> NDArray[np.intp]:
    """Sort rows by the first key, where equal by the next, and so on.

    Keys are taken until no two rows are equal in them: what rows have in common comes
    first, runs and sizes, and then C, by which all rows of a run differ.
    """
    rank = np.zeros(len(keys[0]), int)
    for key in keys:
        key = np.where(np.isnan(key), np.inf, key)  # NaN would not equal itself
        order = np.lexsort([key, rank])
        last, each = order[:-1], order[1:]
        differ = (rank[each] != rank[last]) | (key[each] != key[last])
        if differ.all():
            break
        rank[each] = np.cumsum(differ)
        rank[order[:1]] = 0
    return order


def _size_of_each(counts: pd.Series[Any]) -> pd.Series[str]:
    codes, distinct = pd.factorize(counts, use_na_sentinel=False)
    names = np.array(list(size_names(distinct.tolist()).values()), dtype=object)
    return pd.Series(names[codes], index=counts.index)


def blank(cells: pd.Series[Any]) -> pd.Series[bool]:
    """Mark the cells that are missing, or nothing but blanks.

    >>> blank(pd.Series(["44M", None, " "])).tolist()
    [False, True, True]
    """
    return cells.isna() | ask_each(cells, lambda texts: texts.str.strip() == "")


def ask_each(
    cells: pd.Series[Any], ask: Callable[[pd.Series[str]], pd.Series[bool]]
) -> pd.Series[bool]:
    """Ask something of the text of cells, of equal ones once.

    >>> ask_each(pd.Series(["a", "b", "a"]), lambda texts: texts == "a").tolist()
    [True, False, True]
    """
    plain = cells.astype(str) if cells.dtype == object else cells  # lists, for one
    codes, distinct = pd.factorize(plain, use_na_sentinel=False)
    answers = ask(pd.Series(distinct).astype(str)).to_numpy(bool)
    return pd.Series(answers[codes], index=cells.index)


def size_names(counts: Iterable[float]) -> dict[float, str]:
    """Name transformer sizes by their parameter counts, all different.

    >>> size_names([44e6, 1.1e9])
    {44000000.0: '44M', 1100000000.0: '1.1B'}
    >>> size_names([1_210_000, 1_240_000])
    {1210000: '1.21M', 1240000: '1.24M'}
    """
    counts = list(counts)
    for digits in range(2, 16 if len(counts) <= MOST_SIZES else 2):
        names = {count: _short(count, digits) for count in counts}
        if len(set(names.values())) == len(names):
            return names
    return dict(zip(counts, map(repr, counts), strict=True))


def _short(count: float, digits: int) -> str:
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            scaled = float(f"{count / unit:.{digits}g}")
            return f"{scaled:.15g}{letter}"
    return f"{count:.{digits}g}"
