"""A scaling study: from records to laws, with everything that the laws rest on.

One way through::

    evaluations -> each run's best -> envelope -> laws over C -> held-out error
                                   -> each size's best codebook -> N_v(N_nv)

A `Study` holds the points as well as the laws, so that its JSON file is enough to draw
every figure but the training curves, and to fit again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scaling.analysis.design import warnings_of
from scaling.analysis.envelope import best_codebooks, best_evaluations, envelope
from scaling.analysis.laws import FORM_OF, FORMS, Form, Law, fit_form
from scaling.analysis.laws import fit as fit_law
from scaling.analysis.table import PublishedLaw, Quantity, Records
from scaling.analysis.vocabulary import line
from scaling.errors import ScalingError
from scaling.files import jsonable, write_json

SCHEMA = 1
KIND = "study"
SETTINGS = {
    "selection": "running minimum of each run's best evaluation",
    "objective": "ordinary least squares in log10",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOutError:
    """How far a law misses the points that it was not fitted to."""

    n: int
    """Number of points held out."""
    rmse: float
    """Root of the mean square of y - law, in y (log law) or log10 y (power law)."""
    mean: float
    """Mean of y - law: above 0 where the law is too low."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Holdout:
    """Which points were held out, and how well the laws foretold them."""

    compute: float
    """FLOPs from which on points are held out."""
    errors: Mapping[str, HeldOutError]
    """Error of each law that has points there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A printed law beside ours, on the same points."""

    equation: str
    """Where it is printed."""
    law: str
    """Name of the law."""
    printed_slope: float
    """Slope as printed."""
    printed_intercept: float
    """Intercept as printed."""
    slope: float
    """Our slope, by least squares or by Huber's objective: see the note."""
    intercept: float
    """Our intercept."""
    agrees: bool
    """Whether ours, rounded to the printed digits, are the printed numbers."""
    note: str
    """How the paper came to it."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class Study:
    """The laws of a set of records, with the points behind them."""

    sources: tuple[str, ...]
    """Where the records came from."""
    data_hash: str
    """First 16 hex digits of the SHA-256 of the values used."""
    evaluations: int
    """Number of evaluations read."""
    quantities: Mapping[str, Quantity]
    """Column and axis label of each symbol."""
    laws: Mapping[str, Law]
    """The laws by name; none where the records allow none, see `require_laws`."""
    skipped: Mapping[str, str]
    """The laws that could not be fitted, and why."""
    minima: pd.DataFrame
    """Each run's best evaluation."""
    frontier: pd.DataFrame
    """The envelope of `minima`: the points of the laws over C."""
    best_codebooks: pd.DataFrame
    """Each size's best codebook: the points of N_v(N_nv)."""
    holdout: Holdout | None = None
    """What was held out, if anything."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Number of rows left out, by reason."""
    notes: tuple[str, ...] = ()
    """What was done to the records, and what is odd about them."""
    published: tuple[Comparison, ...] = ()
    """Printed laws beside ours, where the records come from a paper."""
    settings: Mapping[str, str] = field(default_factory=lambda: dict(SETTINGS))
    """How points were selected and what was minimised."""

    def __repr__(self) -> str:
        from scaling.analysis.render import summary  # which knows this class

        return summary(self)

    def _repr_html_(self) -> str:
        from scaling.analysis.render_html import study_html

        return study_html(self)

    def table(self, form: Form) -> pd.DataFrame:
        """Give the points that a form is fitted to, held-out ones included."""
        return self.frontier if form.table == "frontier" else self.best_codebooks

    def held_out(self, table: pd.DataFrame) -> pd.Series[bool]:
        """Mark the rows of a table that the laws were not fitted to."""
        threshold = math.inf if self.holdout is None else self.holdout.compute
        return _held_out(table, threshold)

    def compute_range(self, name: str) -> tuple[float, float]:
        """Give the least and the most compute of the points behind a law, in FLOPs.

        Held-out points, and those of unknown compute, do not count; NaN where none is.
        """
        table = self.table(FORM_OF[name])
        compute = table["C"][~self.held_out(table)]
        return float(compute.min()), float(compute.max())

    def require_laws(self) -> None:
        """Refuse a study without laws, for those who came for them.

        Raises
        ------
        ScalingError
            If not one law could be fitted.
        """
        if not self.laws:
            reason = self.skipped.get("L_u(C)", "the study holds no points")
            raise ScalingError(f"no law can be fitted: {reason}")

    def to_dict(self) -> dict[str, Any]:
        """Give the study as JSON holds it, with full precision."""
        quantities = {s: _without_symbol(q) for s, q in self.quantities.items()}
        return {
            "schema": SCHEMA,
            "kind": KIND,
            "sources": list(self.sources),
            "data_hash": self.data_hash,
            "evaluations": self.evaluations,
            "settings": dict(self.settings),
            "quantities": quantities,
            "laws": {name: self._law_to_dict(law) for name, law in self.laws.items()},
            "skipped": dict(self.skipped),
            "holdout": None if self.holdout is None else asdict(self.holdout),
            "dropped": dict(self.dropped),
            "notes": list(self.notes),
            "published": [asdict(comparison) for comparison in self.published],
            "frontier": _to_rows(self.frontier),
            "best_codebooks": _to_rows(self.best_codebooks),
            "minima": _to_rows(self.minima),
        }

    def _law_to_dict(self, law: Law) -> dict[str, Any]:
        ends = [jsonable(end) for end in self.compute_range(law.name)]
        return {**law.to_dict(), "compute_range": ends}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Study:
        """Rebuild a study from `to_dict`.

        Raises
        ------
        ScalingError
            If the fields are not those of a study of this schema.
        """
        if fields.get("kind", KIND) != KIND:
            raise ScalingError(
                f"it holds a {fields['kind']}, not the laws of the envelope; expected "
                "what `scaling fit --out` writes without --law: fit the records so"
            )
        if fields.get("schema") != SCHEMA:
            raise ScalingError(
                f"schema is {fields.get('schema')!r}; expected {SCHEMA}: "
                "fit the records again with this version"
            )
        try:
            study = cls(
                sources=tuple(fields["sources"]),
                data_hash=fields["data_hash"],
                evaluations=fields["evaluations"],
                settings=fields["settings"],
                quantities={
                    symbol: Quantity(symbol=symbol, **quantity)
                    for symbol, quantity in fields["quantities"].items()
                },
                laws={k: Law.from_dict(law) for k, law in fields["laws"].items()},
                skipped=fields["skipped"],
                holdout=_to_holdout(fields["holdout"]),
                dropped=fields["dropped"],
                notes=tuple(fields["notes"]),
                published=tuple(Comparison(**row) for row in fields["published"]),
                frontier=_to_table(fields["frontier"]),
                best_codebooks=_to_table(fields["best_codebooks"]),
                minima=_to_table(fields["minima"]),
            )
            study._check_shape()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            lack = "has no field" if isinstance(error, KeyError) else "is misshapen:"
            raise ScalingError(
                f"the study {lack} {error}; expected a file that "
                "`scaling fit --out` wrote: fit the records again"
            ) from error
        return study

    def _check_shape(self) -> None:
        """Use what the figures and the text use, so that a wrong shape shows here."""
        self.to_dict()
        self.minima[["run", "C", "L_u"]]
        for law in self.laws.values():
            points = self.table(FORM_OF[law.name])
            law.residuals(points[law.x], points[law.y])
            self.quantities[law.x], self.quantities[law.y]

    def save(self, path: str | Path) -> None:
        """Write the study as JSON; a file already there survives any failure."""
        write_json(Path(path), self.to_dict(), indent=1)

    @classmethod
    def load(cls, path: str | Path) -> Study:
        """Read a study that `save` wrote.

        Raises
        ------
        ScalingError
            If there is no such file, or it holds something else.
        """
        fields = read_fields(path)
        try:
            return cls.from_dict(fields)
        except ScalingError as error:
            raise ScalingError(f"{path}: {error}") from error


def read_fields(path: str | Path) -> dict[str, Any]:
    """Read the JSON object of a file that `scaling fit --out` wrote.

    Raises
    ------
    ScalingError
        If there is no such file, or it holds something else.
    """
    path = Path(path)
    if not path.exists():
        raise ScalingError(
            f"{path} does not exist; expected the laws that `scaling fit --out` writes"
        )
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ScalingError(
            f"{path} is not JSON: {error}; fit the records again"
        ) from error
    if not isinstance(fields, dict):
        raise ScalingError(f"{path} holds no laws; expected a JSON object")
    return fields


def fit(records: Records, holdout: float | None = None) -> Study:
    """Derive the laws of a set of records; those that cannot be are in `skipped`.

    Parameters
    ----------
    records : Records
        What `scaling.analysis.records.read` gives.
    holdout : float, optional
        Points to hold out of the fit and to predict: above 1 a compute in FLOPs from
        which on points are held out; between 0 and 1 the share of the frontier, taken
        at its upper end. The envelope itself is taken over all records.

    Raises
    ------
    ScalingError
        If the holdout cannot be, or leaves or takes no point of the frontier.
    """
    points = records.points()
    minima = best_evaluations(points)
    tables = {"frontier": envelope(minima), "best_codebooks": _codebooks(minima)}
    threshold = _threshold(tables["frontier"]["C"].to_numpy(), holdout)
    laws, skipped, errors = {}, {}, {}
    for form in FORMS:
        table = tables[form.table]
        held = _held_out(table, threshold)
        try:
            _require(form, records)
            law = fit_form(form, table[~held])
            design = warnings_of(form, points, minima, table[~held])
        except ScalingError as reason:
            skipped[form.name] = str(reason)
            continue
        laws[form.name] = replace(law, design=design)
        if held.any():
            errors[form.name] = held_out_error(law, table[held])
    return Study(
        sources=records.sources,
        data_hash=records.data_hash,
        evaluations=len(records.frame),
        quantities=records.quantities,
        laws=laws,
        skipped=skipped,
        minima=minima,
        frontier=tables["frontier"],
        best_codebooks=tables["best_codebooks"],
        holdout=None if holdout is None else Holdout(compute=threshold, errors=errors),
        dropped=records.dropped,
        notes=(*records.suspicions, *records.notes),
        published=tuple(compare(law, tables) for law in records.published),
    )


def held_out_error(law: Law, points: pd.DataFrame) -> HeldOutError:
    """Measure how far a law misses points that it was not fitted to."""
    residuals = law.residuals(points[law.x], points[law.y])
    return HeldOutError(
        n=len(points),
        rmse=float(np.sqrt(np.mean(residuals**2))),
        mean=float(np.mean(residuals)),
    )


def compare(printed: PublishedLaw, tables: Mapping[str, pd.DataFrame]) -> Comparison:
    """Lay a printed law beside ours, on all points whether held out or not."""
    form = FORM_OF[printed.law]
    if printed.points:
        x, y = zip(*printed.points, strict=True)
        law = fit_law(form.name, form.kind, x, y)
    elif math.isfinite(printed.delta):
        points = tables[form.table]
        law = line(form.name, points[form.x], points[form.y], delta=printed.delta)
    else:
        law = fit_form(form, tables[form.table])
    return Comparison(
        equation=printed.equation,
        law=printed.law,
        printed_slope=float(printed.slope),
        printed_intercept=float(printed.intercept),
        slope=law.slope,
        intercept=law.intercept,
        agrees=_same_digits(law.slope, printed.slope)
        and _same_digits(law.intercept, printed.intercept),
        note=printed.note,
    )


def _same_digits(value: float, printed: str) -> bool:
    """Whether a value, rounded to as many places as are printed, is what is printed."""
    return Decimal(value).quantize(Decimal(printed)) == Decimal(printed)


def _codebooks(minima: pd.DataFrame) -> pd.DataFrame:
    known = {"size", "N_nv", "N_v"} <= set(minima.columns)
    return best_codebooks(minima) if known else minima.head(0)


def _require(form: Form, records: Records) -> None:
    lacking = [s for s in (form.x, form.y) if s not in records.quantities]
    if lacking:
        raise ScalingError(
            f"needs {' and '.join(lacking)}, which the records do not hold: "
            f"name the column with --columns {lacking[0]}=COLUMN"
        )


# --- Hold-out -----------------------------------------------------------------------


def _held_out(table: pd.DataFrame, threshold: float) -> pd.Series[bool]:
    return table["C"] >= threshold


def _threshold(compute: np.ndarray[Any, Any], holdout: float | None) -> float:
    """Turn a compute or a share of the frontier into the FLOPs to hold out from."""
    if holdout is None:
        return math.inf
    if holdout > 1 and math.isfinite(holdout):
        threshold = holdout
    elif 0 < holdout < 1:
        # At least one point: a share too small to hold anything out tests nothing.
        threshold = float(compute[-max(1, round(holdout * len(compute)))])
    else:
        raise ScalingError(
            f"holdout is {holdout:g}; expected a compute in FLOPs above 1, or a share "
            "of the frontier between 0 and 1"
        )
    held = int(np.sum(compute >= threshold))
    if held == 0:
        raise ScalingError(
            f"no frontier point lies at or above {threshold:.3g} FLOPs, the highest is "
            f"at {compute[-1]:.3g}: hold out from a lower compute"
        )
    if len(compute) - held < 2:
        raise ScalingError(
            f"holding out from {threshold:.3g} FLOPs leaves {len(compute) - held} of "
            f"{len(compute)} frontier points; a law needs at least 2: hold out fewer"
        )
    return threshold


# --- JSON ---------------------------------------------------------------------------


def _without_symbol(quantity: Quantity) -> dict[str, str]:
    return {"column": quantity.column, "label": quantity.label}


def _to_holdout(fields: Mapping[str, Any] | None) -> Holdout | None:
    if fields is None:
        return None
    errors = {name: HeldOutError(**error) for name, error in fields["errors"].items()}
    return Holdout(compute=fields["compute"], errors=errors)


def _to_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows = table.to_dict(orient="records")
    return [{str(key): jsonable(value) for key, value in row.items()} for row in rows]


def _to_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    names = [name for name in table.columns if name not in ("run", "size")]
    return table.astype(dict.fromkeys(names, "float64"))
