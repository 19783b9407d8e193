"""The study behind a verification: its rows or its laws, and what they foretell."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from scaling.errors import ScalingError

if TYPE_CHECKING:
    from scaling.analysis.card import Card
    from scaling.analysis.formula import Formula
    from scaling.analysis.laws_file import Laws
    from scaling.analysis.selection import Selection
    from scaling.analysis.study import Study
    from scaling.analysis.table import Records
    from scaling.analysis.verification import Frozen

    Fitted: TypeAlias = str | Path | Study | Card

OWN = ("fix", "tie", "bound")
"""What is said of the parameters of one law."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What is to be foretold; None where that is left open."""

    law: str | Formula | None = None
    """The law that foretells."""
    compute: float | None = None
    """Budget in FLOPs."""
    codebook: int | None = None
    """Codes of the run."""
    out: Path | None = None
    """Folder of the verification."""
    how: Mapping[str, Any] = field(default_factory=dict)
    """Keywords of `scaling.fit` that say how the law is fitted."""

    def __post_init__(self) -> None:
        given = {n: v for n, v in self.how.items() if v is not None and v != {}}
        object.__setattr__(self, "how", given)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Given:
    """A study: its rows, or the laws that were fitted to them before."""

    base: Path
    """The folder that verifications of it lie in."""
    data: str
    """First 16 hex digits of the SHA-256 of its rows."""
    largest: float
    """The most compute of any row, in FLOPs."""
    runs: frozenset[str]
    """Names of its runs."""
    sources: tuple[str, ...]
    """Where its rows came from."""
    records: Records | None = None
    """The rows, or"""
    laws: Mapping[str, Any] | None = None
    """the laws as `scaling fit --out` writes them."""


def read_given(
    study: Fitted, columns: Mapping[str, str] | None, *, uncooled: bool
) -> Given:
    """Read a study from its store, its table or its laws.

    Raises
    ------
    ScalingError
        If there is none, or columns would have no effect.
    """
    from scaling.analysis.study import read_fields

    named = study if isinstance(study, str | Path) else None
    if named is not None and not str(named).lower().endswith(".json"):
        return _of_records(Path(named), columns, uncooled=uncooled)
    if columns or uncooled:
        raise ScalingError(
            "columns and rows are chosen before laws are fitted, and these are; "
            "expected a run store or a table with them: name it, or leave them out"
        )
    if named is not None:
        return _of_laws(Path(named).parent, read_fields(named))
    assert not isinstance(study, str | Path)
    return _of_laws(None, study.to_dict())


def _of_records(
    path: Path, columns: Mapping[str, str] | None, *, uncooled: bool
) -> Given:
    from scaling.analysis.records import read

    records = read(str(path), columns, uncooled=uncooled)
    points = records.points()
    return Given(
        base=path if path.is_dir() else path.parent,
        data=records.data_hash,
        largest=float(points["C"].max()),
        runs=frozenset(points["run"]),
        sources=records.sources,
        records=records,
    )


def _of_laws(base: Path | None, fields: Mapping[str, Any]) -> Given:
    from scaling.analysis.freezing import rows_of
    from scaling.analysis.laws_file import laws_of
    from scaling.analysis.prediction import with_compute

    laws = laws_of(fields)
    if laws.study is not None:
        table = laws.study.minima
    else:
        assert laws.fit is not None
        table = with_compute(laws.fit)
    if "C" not in table:
        raise ScalingError(
            "the compute of the rows is not known; expected laws of C, or of N and D: "
            "fit the records again with --columns C=COLUMN"
        )
    rows = rows_of(laws)
    first = Path(laws.sources[0])
    return Given(
        base=base or (first if first.is_dir() else first.parent),
        data=rows.data,
        largest=float(table["C"].max()),
        runs=rows.runs,
        sources=laws.sources,
        laws=fields,
    )


# --- What they foretell -------------------------------------------------------------


def foretell(given: Given, asked: Asked, compute: float, code_version: str) -> Frozen:
    """Fit the law that is asked for, if that is to be done, and predict the run.

    Raises
    ------
    ScalingError
        If no law can be fitted, or none chooses a run.
    """
    from scaling.analysis.freezing import freeze

    to_frozen = partial(
        freeze,
        compute=compute,
        largest=given.largest,
        codebook=asked.codebook,
        envelope=_envelope(given),
        more_sources=(str(given.base),),
        code_version=code_version,
    )
    if given.records is None:
        assert given.laws is not None
        if asked.law is not None or asked.how:
            raise ScalingError(
                "the laws are fitted already, so that a law, and how it is fitted, "
                "would have no effect; expected a run store or a table with them: "
                "name it, or leave them out"
            )
        return to_frozen(given.laws)
    return _fitted(given.records, asked, to_frozen)


def _fitted(
    records: Records, asked: Asked, to_frozen: Callable[[Mapping[str, Any]], Frozen]
) -> Frozen:
    from scaling.analysis.verification import ENVELOPE
    from scaling.api_laws import fit, objective_of

    if asked.law == ENVELOPE:
        return to_frozen(_study(records, asked.how).to_dict())
    if asked.law is not None and asked.law != "auto":
        return to_frozen(fit(records, asked.law, **asked.how).to_dict())
    from scaling.analysis.selection import compare_laws

    held = [name for name in OWN if asked.how.get(name)]
    if held:
        raise ScalingError(
            f"{', '.join(held)}: they name the parameters of one law; expected its "
            "name in place of auto: give it with --law, or leave them out"
        )
    how = dict.fromkeys(("objective", "delta", "quantile", "loss_space"))
    chosen = compare_laws(
        records,
        objective=objective_of(records, **{**how, **asked.how}),
        rows=asked.how.get("rows"),
        report=_say,
    )
    return _best(chosen, to_frozen)


def _study(records: Records, how: Mapping[str, Any]) -> Study:
    """Fit the laws of the envelope, which heed no options of one law."""
    from scaling.api_laws import fit

    if how:
        raise ScalingError(
            f"{', '.join(how)} would have no effect on the laws of the envelope; "
            "expected one law with them: name it with --law, or leave them out"
        )
    return fit(records)


def _best(
    chosen: Selection, to_frozen: Callable[[Mapping[str, Any]], Frozen]
) -> Frozen:
    """Freeze by the law that predicts best of those that choose a run."""
    from scaling.analysis.card import card

    _say(chosen.sentence())
    dividing = [c for c in chosen.candidates if c.window and _divides(c.formula)]
    if not dividing:  # then the laws of the envelope may choose the run
        return to_frozen(card(chosen.fit).to_dict())
    left, reasons = replace(chosen, candidates=tuple(dividing)), []
    while left.candidates:
        best = left.best
        try:
            frozen = to_frozen(card(left.fit).to_dict())
        except ScalingError as reason:
            reasons.append(f"{best.name}: {reason}")
            others = tuple(c for c in left.candidates if c is not best)
            left = replace(left, candidates=others)
            continue
        if best.name != chosen.best.name:
            why = "; ".join(reasons) or "it divides no budget between size and data"
            _say(f"{best.name} foretells, not {chosen.best.name}: {why}")
        return frozen
    raise ScalingError(reasons[0])


def _divides(formula: Formula) -> bool:
    return "D" in formula.inputs and bool({"N", "N_nv"} & set(formula.inputs))


def _envelope(given: Given) -> Laws | None:
    """Fit the laws of the envelope to the very rows, where these are at hand."""
    from scaling.analysis.laws_file import Laws
    from scaling.analysis.records import read
    from scaling.analysis.study import fit

    try:
        records = given.records or read(given.sources)
    except (OSError, ScalingError):
        return None
    if records.data_hash != given.data:  # others have come, or some are gone
        return None
    sources = (*given.sources, str(given.base))
    return Laws(sources=sources, study=fit(records))


def _say(text: str) -> None:
    print(text, file=sys.stderr)
