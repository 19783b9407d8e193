"""Seen and read in Python: `figures` as `scaling plot` has them, `report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling.analysis.gallery import Gallery
    from scaling.analysis.material import Material
    from scaling.api_laws import Given


def figures(
    sources: Given,
    only: str | Sequence[str] | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    law: str | None = None,
    holdout: float | None = None,
    price: float | None = None,
) -> Gallery:
    """Make the figures and tables of a study, as `scaling plot` does.

    Parameters
    ----------
    sources : str, Path, DataFrame, a sequence of them, or Records
        As for `fit`; or one file of laws.
    only : str or sequence of str, optional
        Names of those wanted, such as `3b`; by default all that the data allows.
    columns, holdout
        As for `fit`.
    law : str, optional
        The law for all rows; by default one that fits the quantities at hand.
    price : float, optional
        Dollars for an hour of the device, for the figure of cost.

    Returns
    -------
    Gallery
        The figures and tables, which a notebook shows and `save` writes; `missing` says
        why there are no more. ``figures(...)["3b"]`` is one of them.
    """
    from scaling.analysis.gallery import gallery

    wanted = [only] if isinstance(only, str) else only
    how = {"law": law, "holdout": holdout, "price": price}
    return gallery(_material(sources, columns, how), wanted)


def _material(
    sources: Given, columns: Mapping[str, str] | None, how: Mapping[str, Any]
) -> Material:
    from scaling.analysis.material import Material
    from scaling.analysis.records import Source
    from scaling.analysis.table import Records
    from scaling.api_laws import records_of

    if isinstance(sources, Records):
        read = records_of(sources, columns)
        material = Material(sources=read.sources, **how)
        vars(material)["records"] = read  # which it would read from the sources
        return material
    named = [sources] if isinstance(sources, Source) else sources
    return Material(sources=named, columns=columns or {}, **how)


def report(
    sources: str | Path | Sequence[str | Path],
    out: str | Path | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    law: str | None = None,
    holdout: float | None = None,
    motions: bool = True,
) -> Path:
    """Write one page of all that a study says, as `scaling report` does.

    Parameters
    ----------
    sources : str or Path, or a sequence of them
        Run stores and tables, or one file of laws.
    out : str or Path, optional
        The page; by default `report.html` in the one run store, or else here.
    columns, law, holdout
        As for `figures`.
    motions : bool
        Whether the best run of a store of motion shows what it can do.

    Returns
    -------
    Path
        The page: one file, which needs no network.
    """
    from scaling.cli_report import write_report

    return write_report(
        [sources] if isinstance(sources, str | Path) else sources,
        None if out is None else Path(out),
        columns=columns,
        law=law,
        holdout=holdout,
        motions=motions,
    )
