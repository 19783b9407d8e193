"""Seen and read in Python: `figures` as `scaling plot` has them, `report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.errors import ScalingError
from scaling.files import require_own, write_text

if TYPE_CHECKING:
    from scaling.analysis.gallery import Gallery
    from scaling.analysis.material import Material
    from scaling.analysis.report import Motions
    from scaling.api_laws import Given

REPORT = "report.html"
"""Name of the page, unless it is given another."""


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

    Raises
    ------
    ScalingError
        If a source cannot be read, or `out` is a file that is no report.
    """
    from scaling.analysis.material import Material
    from scaling.analysis.report import MARK, page
    from scaling.analysis.report_data import evaluations

    named = [sources] if isinstance(sources, str | Path) else sources
    material = Material(
        sources=list(map(str, named)),
        columns=columns or {},
        law=law,
        holdout=holdout,
    )
    alone = len(named) == 1 and material.stores
    path = Path(out or (Path(named[0], REPORT) if alone else REPORT))
    require_own(path, named, MARK)
    evaluations(material)  # what cannot be read makes no report
    shown, reason = _motions(material.stores) if motions else (None, "--no-motions")
    html = page(
        material,
        motions=shown,
        missing={} if shown else {"Motions": reason},
        command=_command(named, columns or {}, law, holdout, motions=motions),
    )
    write_text(path, html)
    return path


def _motions(stores: Sequence[Path]) -> tuple[Motions | None, str]:
    """Let the first store's best run answer; or say why there is nothing to see."""
    from scaling.analysis.player import Motion
    from scaling.analysis.report import Motions
    from scaling.runs.showcase import showcase

    if not stores:
        return None, "no source is a run store, with a model that could be asked"
    try:
        found = showcase(stores[0])
    except (OSError, ScalingError) as error:
        return None, str(error)
    groups = [
        [
            Motion(joints=motion.joints, caption=motion.caption, label=label)
            for label, motion in answer.visible.items()
        ]
        for answer in found.answers
    ]
    notes = [
        f"For “{answer.generated.caption}” the model ended at once: there is no motion."
        for answer in found.answers
        if not len(answer.generated.joints)
    ]
    return Motions(run=found.run, groups=groups, notes=notes), ""


def _command(
    sources: Sequence[str | Path],
    columns: Mapping[str, str],
    law: str | None,
    holdout: float | None,
    *,
    motions: bool,
) -> list[str]:
    """Spell the command line that writes this report."""
    named = ",".join(f"{name}={column}" for name, column in columns.items())
    options = {
        "--columns": named or None,
        "--law": law,
        "--holdout": None if holdout is None else f"{holdout:g}",
    }
    given = [word for pair in options.items() if pair[1] for word in pair]
    quiet = [] if motions else ["--no-motions"]
    return ["scaling", "report", *map(str, sources), *map(str, given), *quiet]
