"""What figures, tables and verdicts are made of, each part when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from scaling.analysis.fitting import fit_law
from scaling.analysis.intervals import Uncertainty, uncertainty
from scaling.analysis.laws_file import Laws, load_laws
from scaling.analysis.outlook import outlook
from scaling.analysis.records import Source, read
from scaling.analysis.study import Study
from scaling.analysis.study import fit as fit_envelope
from scaling.analysis.table import Records
from scaling.errors import ScalingError
from scaling.record import CONFIG, run_folders

MOST_ROWS = 5_000
"""Rows of one law that are drawn; more would be one blot, and take minutes."""
TOKENIZERS = "tokenizers.csv"
"""A run store's table of its tokenizers."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """What figures are drawn from; every part is made when it is first asked for.

    A part that the data does not allow raises a ScalingError that says why.
    """

    sources: Sequence[Source]
    """As for `scaling.analysis.records.read`, or one file of laws."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Columns of the tables, by symbol."""
    law: str | None = None
    """Law for all rows; by default one that fits the quantities at hand."""
    holdout: float | None = None
    """Points to hold out, as for `scaling.analysis.study.fit`."""
    price: float | None = None
    """Dollars for an hour of the device, for the figure of cost."""

    @cached_property
    def records(self) -> Records:
        """The evaluations."""
        if self.loaded is not None:
            raise ScalingError("it needs the records, not only the laws")
        return read(self.of_runs or self.sources, dict(self.columns))

    @cached_property
    def study(self) -> Study:
        """The laws of the envelope."""
        if self.loaded is None:
            return fit_envelope(self.records, holdout=self.holdout)
        if self.loaded.study is None:
            raise ScalingError("the file holds one law, not those of the envelope")
        return self.loaded.study

    @cached_property
    def uncertain(self) -> Uncertainty:
        """One law fitted to all rows (`.fit`), with its uncertainty."""
        if self.loaded is not None:
            if self.loaded.uncertain is None:
                raise ScalingError("the file holds the laws of the envelope, not one")
            return self.loaded.uncertain
        return uncertainty(fit_law(self.records, self.law or usual_law(self.records)))

    @cached_property
    def drawn(self) -> tuple[Uncertainty, str]:
        """The one law of no more rows than can be drawn, and what that leaves out."""
        taken = self.uncertain.fit.sample
        if taken.n <= MOST_ROWS:
            return self.uncertain, ""
        even = np.linspace(0, taken.n - 1, MOST_ROWS).round().astype(int)
        chosen = np.zeros(taken.n, bool)
        chosen[np.argsort(taken.order, kind="stable")[even]] = True
        said = f" Of, and fitted to, an even {MOST_ROWS:,} of {taken.n:,} evaluations."
        return uncertainty(self.uncertain.fit.refit(rows=chosen)), said

    @cached_property
    def laws(self) -> Laws:
        """What predictions are made by: the law named, else those of the envelope."""
        if self.loaded is not None:
            return self.loaded
        if self.law is None and "N_nv(C)" in self.study.laws:
            return Laws(sources=self.study.sources, study=self.study)
        fit = self.uncertain.fit
        return Laws(
            sources=fit.sample.sources,
            fit=fit,
            uncertain=self.uncertain,
            warnings=fit.certificate.warnings,
        )

    @cached_property
    def outlook(self) -> pd.DataFrame:
        """What the laws predict over budgets."""
        return outlook(self.laws)

    @cached_property
    def loaded(self) -> Laws | None:
        """The laws of the file that was given in place of records, if one was."""
        first = self.sources[0]
        if isinstance(first, str | Path) and str(first).lower().endswith(".json"):
            return load_laws(first)
        return None

    @property
    def of_runs(self) -> list[Source]:
        """The sources that hold runs; a store may hold tokenizers alone."""
        return [source for source in self.sources if not _of_tokenizers(source)]

    @property
    def tokenizers(self) -> list[str]:
        """The sources that say how good tokenizers are."""
        tables = ((path, path / TOKENIZERS) for path in self.paths)
        held = [str(p) for p, t in tables if t.exists() and t.stat().st_size]
        return held or [str(path) for path in self.paths]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The sources that are files or folders."""
        named = [s for s in self.sources if isinstance(s, str | Path)]
        return tuple(Path(source) for source in named)

    @property
    def stores(self) -> tuple[Path, ...]:
        """The sources that are run stores."""
        return tuple(p for p in self.paths if any(p.glob(f"*/{CONFIG}")))


def _of_tokenizers(source: Source) -> bool:
    """Whether a source is a run store of tokenizers, and of no transformers."""
    if not isinstance(source, str | Path) or not (Path(source) / TOKENIZERS).exists():
        return False
    return not any(run_folders(Path(source), "transformer"))


def usual_law(records: Records) -> str:
    """Name the law that is usual for the quantities that the records hold."""
    held = set(records.quantities)
    if {"N_nv", "N_v", "D"} <= held:
        return "codebook"
    if {"N", "D"} <= held:
        return "chinchilla"
    return "power-floor"
