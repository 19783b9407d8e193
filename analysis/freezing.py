"""From laws to a prediction that can be frozen: the run that a budget buys, its loss.

The loss is that of the run as it can be built, at its own N, V, D and C, not that of
the best real numbers; so what is measured later differs by the law's error alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from scaling.analysis.buildable import Configuration
from scaling.analysis.laws_file import Laws, laws_of
from scaling.analysis.prediction import Estimate, Prediction
from scaling.analysis.verification import (
    ENVELOPE,
    LEVELS,
    Expected,
    Frozen,
    Interval,
)
from scaling.analysis.verify_grid import codebooks_of
from scaling.errors import ScalingError

ENOUGH = 10.0
"""Times the largest compute of the rows from which a verification proves much."""


KEPT = (
    "CODEBOOK KEPT: {:,.0f} codes would be best, more than any of the study's; the run "
    "has its largest"
)


class Rows(NamedTuple):
    """What laws were fitted to."""

    data: str
    """First 16 hex digits of the SHA-256 of the values."""
    number: int
    """Number of rows."""
    runs: frozenset[str]
    """Names of their runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A run that was chosen for a budget, and by which laws."""

    by: Laws
    """The laws that chose it."""
    found: Prediction
    """What they predict for the budget."""
    configuration: Configuration | None
    """The run; None where the study's grid is not at hand."""


def freeze(
    given: Mapping[str, Any],
    compute: float,
    largest: float,
    *,
    codebook: int | None = None,
    envelope: Laws | None = None,
    more_sources: tuple[str, ...] = (),
    code_version: str = "",
) -> Frozen:
    """Predict a run that is still to be trained.

    Parameters
    ----------
    given : mapping
        The laws, as `scaling fit --out` writes them.
    compute : float
        Budget in FLOPs.
    largest : float
        The most compute of the rows that the laws were fitted to, in FLOPs.
    codebook : int, optional
        Codes of the run, where the law does not choose them.
    envelope : Laws, optional
        What chooses the run where the law cannot: the laws of the envelope.
    more_sources : tuple of str
        Where the study's grid may lie besides the sources of the laws.
    code_version : str
        Version of this program.

    Raises
    ------
    ScalingError
        If no run can be chosen for the budget, or the law has no interval for a new
        run. The run's folder name is left open.
    """
    laws = laws_of(given)
    laws = replace(laws, sources=(*laws.sources, *more_sources))
    chosen = choose(laws, compute, codebook, envelope)
    built = chosen.configuration
    run = None if built is None else built.to_dict()
    losses = [foretell(laws, run, compute, level) for level in LEVELS]
    loss = _expected(*(each.loss for each in losses))
    new_run = _expected(*(_new_run(each) for each in losses))
    if not math.isfinite(new_run.ninety.high - new_run.ninety.low):
        raise ScalingError(
            f"law {_name(laws)} gives no interval for one new run, so that nothing "
            "could be verified; expected more points, or another objective than "
            "asymmetric: add runs, or choose another --law"
        )
    rows = rows_of(laws)
    return Frozen(
        frozen=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=code_version,
        sources=laws_of(given).sources,
        data=rows.data,
        rows=rows.number,
        runs=len(rows.runs),
        largest_compute=largest,
        law=_name(laws),
        laws=given,
        compute=compute,
        loss_symbol=losses[0].loss_symbol,
        loss=loss,
        new_run=new_run,
        quantities=_quantities(chosen.by, compute),
        configuration=run and {**run, "loss": loss.value},
        run=None,
        grid=_grid(laws, chosen, new_run),
        warnings=tuple(dict.fromkeys((*chosen.found.warnings, *losses[0].warnings))),
    )


def _grid(laws: Laws, chosen: Choice, new_run: Expected) -> str | None:
    """Write the grid that trains a run, its loss as it is foretold."""
    if chosen.configuration is None:
        return None
    shown = replace(
        chosen.found,
        configuration=replace(chosen.configuration, loss=new_run.value),
        new_run=(new_run.ninety.low, new_run.ninety.high),
        level=LEVELS[1],
    )
    return laws.grid(shown)


def choose(
    laws: Laws, compute: float, codebook: int | None, envelope: Laws | None
) -> Choice:
    """Choose the run that a budget buys: by the law, or else by the envelope.

    Raises
    ------
    ScalingError
        If neither chooses one.
    """
    codebook = codebook or _only_codebook(laws)
    found = laws.budget(compute, unique_data(laws))
    if laws.template is None:  # it cannot be trained here: the best numbers stand
        return Choice(by=laws, found=found, configuration=None)
    found = _built(laws, found, codebook)
    if found.configuration is not None:
        return Choice(by=laws, found=found, configuration=found.configuration)
    by = _by_envelope(envelope, compute, codebook)
    if by is None:
        raise ScalingError(
            f"law {_name(laws)} chooses no run ({found.not_built}), nor do the laws of "
            "the envelope; expected a size, a codebook and data: name a law of them, "
            "such as --law codebook, or --codebook V"
        )
    assert by.configuration is not None
    if {"N", "N_nv"} & set(found.quantities):  # only the codebook is lacking
        found = laws.built(found, by.configuration.codebook_size, None)
        said = "CODEBOOK BY THE ENVELOPE: the law does not choose one"
        found = replace(found, warnings=(*found.warnings, said))
        return Choice(by=laws, found=found, configuration=found.configuration)
    said = "SIZES BY THE ENVELOPE: the law of compute alone does not choose them"
    warnings = (*found.warnings, said, *by.found.warnings)
    found = replace(found, warnings=warnings)
    return Choice(by=by.by, found=found, configuration=by.configuration)


def _built(laws: Laws, found: Prediction, codebook: int | None) -> Prediction:
    """Build the run, of a codebook that the study had unless another is asked for.

    A verification goes beyond the rows in compute; beyond them in the codebook too, it
    would be a test of something else.
    """
    own = [book.codes for book in codebooks_of(laws.template or {})]
    wanted = found.quantities.get("V")
    if codebook or wanted is None or not own or wanted.value <= max(own):
        return laws.built(found, codebook, None)
    kept = replace(found, warnings=(*found.warnings, KEPT.format(wanted.value)))
    return laws.built(kept, max(own), None)


def _by_envelope(
    envelope: Laws | None, compute: float, codebook: int | None
) -> Choice | None:
    """Let the laws of the envelope choose, where they stand."""
    if envelope is None:
        return None
    try:
        found = _built(envelope, envelope.budget(compute), codebook)
    except ScalingError:
        return None
    if found.configuration is None:
        return None
    return Choice(by=envelope, found=found, configuration=found.configuration)


def foretell(
    laws: Laws, built: Mapping[str, Any] | None, compute: float, level: float
) -> Prediction:
    """Predict the loss of the run that is built, or of the best where none is."""
    if built is None:
        return laws.budget(compute, unique_data(laws), level)
    if laws.fit is None:
        return laws.budget(built["flops"], level=level)
    known = {
        "N": built["total_params"],
        "N_nv": built["non_vocab_params"],
        "N_v": built["vocab_params"],
        "V": built["codebook_size"],
        "D": built["tokens"],
        "C": built["flops"],
        **unique_data(laws),
    }
    at = {name: known[name] for name in (*laws.fit.formula.inputs, "C")}
    return laws.run(at, level)


def unique_data(laws: Laws) -> dict[str, float]:
    """Give U to a law that asks for it: all unique data that any row had."""
    if laws.fit is None or "U" not in laws.fit.formula.inputs:
        return {}
    return {"U": float(laws.fit.sample.table["U"].max())}


def _only_codebook(laws: Laws) -> int | None:
    """Give the codebook of the rows, where they have one."""
    if laws.study is not None:
        table = laws.study.minima
    else:
        assert laws.fit is not None
        table = laws.fit.sample.table
    sizes = set(table["V"].dropna()) if "V" in table else set()
    return int(sizes.pop()) if len(sizes) == 1 else None


def rows_of(laws: Laws) -> Rows:
    """Say what laws were fitted to."""
    if laws.study is not None:
        names = frozenset(laws.study.minima["run"].astype(str))
        return Rows(laws.study.data_hash, laws.study.evaluations, names)
    assert laws.fit is not None
    sample = laws.fit.sample
    return Rows(sample.data_hash, sample.n, frozenset(sample.table["run"].astype(str)))


def _name(laws: Laws) -> str:
    return laws.fit.formula.name if laws.fit else ENVELOPE


def _new_run(found: Prediction) -> Estimate:
    low, high = found.new_run
    return Estimate(value=found.loss.value, low=low, high=high)


def _expected(fifty: Estimate, ninety: Estimate) -> Expected:
    return Expected(
        value=fifty.value,
        fifty=Interval(low=fifty.low, high=fifty.high),
        ninety=Interval(low=ninety.low, high=ninety.high),
    )


def _quantities(laws: Laws, compute: float) -> dict[str, Expected]:
    fifty, ninety = (
        laws.budget(compute, unique_data(laws), p).quantities for p in LEVELS
    )
    return {name: _expected(fifty[name], ninety[name]) for name in fifty}
