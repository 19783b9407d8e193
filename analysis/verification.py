"""A prediction frozen before its run was trained, and what came of it: two files.

A folder of a verification holds `prediction.json`, written once before any training and
sealed by a digest of its content, and after training `verification.json`, which names
that digest. Whoever has both can check that the prediction came first and that neither
was touched.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from scaling.analysis.laws_file import Laws, laws_of
from scaling.errors import ScalingError
from scaling.files import jsonable, read_json, write_json

SCHEMA = 1
PREDICTION, VERIFICATION = "prediction.json", "verification.json"
"""Files of a verification's folder: what was foretold, and what came of it."""
PREFIX = "verify-"
"""How the folders of verifications begin."""
KIND, KIND_AFTER = "frozen-prediction", "verification"
ENVELOPE = "envelope"
"""What the laws of the envelope are called among the names of laws."""
LEVELS = (0.5, 0.9)
"""Coverage of the two intervals of everything that is frozen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """Where a number is expected; an end that is not known is infinite."""

    low: float
    """Lower end."""
    high: float
    """Upper end."""

    def holds(self, value: float) -> bool:
        """Whether a value lies within, ends included."""
        return self.low <= value <= self.high


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """A number as it was foretold."""

    value: float
    """What the law says."""
    fifty: Interval
    """Where it lies with a probability of one half."""
    ninety: Interval
    """Where it lies with a probability of nine tenths."""

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON holds it."""
        ends = {"50": asdict(self.fifty), "90": asdict(self.ninety)}
        return {"value": self.value, **ends}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Expected:
        """Rebuild it from `to_dict`."""
        fifty, ninety = (_interval(given[level]) for level in ("50", "90"))
        return cls(value=given["value"], fifty=fifty, ninety=ninety)


def _interval(ends: Mapping[str, float | None]) -> Interval:
    low, high = ends["low"], ends["high"]
    return Interval(
        low=-math.inf if low is None else low, high=math.inf if high is None else high
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Frozen:
    """A prediction that can no longer be changed."""

    frozen: str
    """When, in UTC by ISO 8601."""
    code_version: str
    """The version of this program that made it."""
    sources: tuple[str, ...]
    """Where the rows came from that the laws were fitted to."""
    data: str
    """First 16 hex digits of the SHA-256 of these rows, as `scaling fit` prints it."""
    rows: int
    """Their number."""
    runs: int
    """The number of their runs."""
    largest_compute: float
    """The most compute of any of them, in FLOPs."""
    law: str
    """Name of the law that foretells the loss."""
    laws: Mapping[str, Any]
    """The laws as `scaling fit --out` writes them."""
    compute: float
    """The budget in FLOPs."""
    loss_symbol: str
    """How the loss is written: L_u where it is normalised, L, or a column's name."""
    loss: Expected
    """The law's loss of the run that is built, with intervals of the law."""
    new_run: Expected
    """The same loss with intervals of one new run: what a verdict goes by."""
    quantities: Mapping[str, Expected]
    """The best sizes, codebook and data at the budget, by symbol without a star."""
    configuration: Mapping[str, Any] | None
    """The run that is built, as `Configuration.to_dict`; None where none can be here,
    since the study's grid is not at hand."""
    run: str | None
    """Folder name of that run."""
    grid: str | None
    """The grid that trains it, YAML."""
    warnings: tuple[str, ...] = ()
    """What spoke against the prediction when it was made."""
    digest: str = ""
    """SHA-256 over all the above in hex; empty until it is sealed."""

    @property
    def beyond(self) -> float:
        """The budget over the largest compute of the rows."""
        return self.compute / self.largest_compute

    @property
    def predictor(self) -> Laws:
        """The laws, ready to predict from."""
        return laws_of(self.laws)

    def sealed(self) -> Frozen:
        """Give it with its digest."""
        return replace(self, digest=digest_of(self.to_dict()))

    def to_dict(self) -> dict[str, Any]:
        """Give the prediction as JSON holds it."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        found["loss"] = self.loss.to_dict()
        found["new_run"] = self.new_run.to_dict()
        found["quantities"] = {n: e.to_dict() for n, e in self.quantities.items()}
        kind = {"schema": SCHEMA, "kind": KIND, "beyond": self.beyond}
        return dict(jsonable(kind | found))

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Frozen:
        """Rebuild a prediction from `to_dict`; its digest is not looked at."""
        own = {f.name: given[f.name] for f in fields(cls)}
        quantities = {
            name: Expected.from_dict(each) for name, each in given["quantities"].items()
        }
        own |= {name: tuple(given[name]) for name in ("sources", "warnings")}
        own |= {name: Expected.from_dict(given[name]) for name in ("loss", "new_run")}
        return cls(**own | {"quantities": quantities})


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What came of a prediction."""

    prediction: str
    """Digest of the prediction."""
    run: str | None
    """Folder name of the run; None of one that was trained elsewhere."""
    measured: float
    """Its loss at its end."""
    predicted: float
    """The loss that was foretold."""
    error: float
    """Measured less predicted, above 0 where the law was too hopeful."""
    relative_error: float
    """The error over the magnitude of what was foretold."""
    inside_50: bool
    """Whether it lies in the 50 % interval of a new run."""
    inside_90: bool
    """Whether it lies in the 90 % interval of a new run."""
    percentile: float | None = None
    """Percent of new runs that the law expects to have a lower loss."""
    compute: float
    """The budget in FLOPs."""
    flops: float | None
    """What the run cost in FLOPs, where it was trained here."""
    beyond: float
    """The budget over the largest compute of the rows fitted."""
    law: str
    """Name of the law."""
    loss_symbol: str
    """How the loss is written."""
    seconds: float | None
    """How long the run trained."""
    device: str | None
    """On what."""
    code_version: str
    """The version of this program that compared."""
    verdict: str
    """All this in a sentence."""

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON holds it."""
        kind = {"schema": SCHEMA, "kind": KIND_AFTER}
        return dict(jsonable(kind | asdict(self)))


# --- Files --------------------------------------------------------------------------


def frozen(folder: str | Path) -> Frozen:
    """Read the frozen prediction of a verification's folder.

    Raises
    ------
    ScalingError
        If there is none, or it is not as it was written.
    """
    path = Path(folder) / PREDICTION
    if not path.exists():
        raise ScalingError(
            f"{folder} holds no {PREDICTION}; expected the folder of a verification: "
            "scaling verify STUDY makes one"
        )
    try:
        given = read_json(path)
    except ScalingError:  # cut short, say
        given = {}
    if given.get("digest") != digest_of(given):
        raise ScalingError(
            f"{path} was changed after it was frozen: its digest does not hold; "
            "expected the file as it was written: restore it, or begin anew in "
            "another folder with --out"
        )
    _require_kind(path, given, KIND)
    return Frozen.from_dict(given)


def verified(folder: str | Path) -> Verification | None:
    """Read what came of the prediction in a folder; None while that is not known.

    Raises
    ------
    ScalingError
        If it is of another prediction than the one in the folder.
    """
    path = Path(folder) / VERIFICATION
    if not path.exists():
        return None
    given = read_json(path)
    _require_kind(path, given, KIND_AFTER)
    if given.get("prediction") != frozen(folder).digest:
        raise ScalingError(
            f"{path} is not of the prediction beside it; expected the digest of "
            f"{PREDICTION}: remove {VERIFICATION}, and scaling verify compares anew"
        )
    return Verification(**{f.name: given[f.name] for f in fields(Verification)})


def verifications(base: str | Path) -> list[tuple[Frozen, Verification | None]]:
    """Read all verifications below a folder, in the order of their compute."""
    found = [(frozen(folder), verified(folder)) for folder in folders(base)]
    return sorted(found, key=lambda pair: pair[0].compute)


def folders(base: str | Path) -> list[Path]:
    """Find the verifications below a folder, in the order of their names."""
    return [path.parent for path in sorted(Path(base).glob(f"{PREFIX}*/{PREDICTION}"))]


def write_frozen(folder: Path, prediction: Frozen) -> Frozen:
    """Write a prediction where there is none yet; give what the folder then holds."""
    if not (folder / PREDICTION).exists():
        write_json(folder / PREDICTION, prediction.sealed().to_dict(), indent=1)
    return frozen(folder)


def write_verification(folder: Path, verification: Verification) -> None:
    """Write what came of a prediction."""
    write_json(folder / VERIFICATION, verification.to_dict(), indent=1)


def digest_of(given: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON of all fields but the digest, in hex."""
    content = {name: value for name, value in given.items() if name != "digest"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _require_kind(path: Path, given: Mapping[str, Any], kind: str) -> None:
    if (given.get("kind"), given.get("schema")) != (kind, SCHEMA):
        raise ScalingError(
            f"{path} is kind {given.get('kind')!r}, schema {given.get('schema')!r}; "
            f"expected {kind!r}, {SCHEMA}: use the version that wrote it"
        )
