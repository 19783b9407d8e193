"""A prediction on trial: frozen in a file, its run trained, the two compared.

Each step finds what earlier calls have done, and goes on from there.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.errors import ScalingError
from scaling.trial_laws import Asked, Given, foretell, read_given

if TYPE_CHECKING:
    from scaling.analysis.verification import Frozen, Verification
    from scaling.runs.forecast import Forecast
    from scaling.runs.plan import Plan
    from scaling.trial_laws import Fitted

SLACK = 0.05
"""Of the third digit of a budget: rows of 1.00001e22 FLOPs ask for 1e23, no more."""
MANY_PASSES = 4.0
"""Passes over a corpus from which data is worth less (Muennighoff et al. 2023)."""
GRID = "verify.yaml"
"""The grid of the run that is foretold, beside the prediction."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Trial:
    """A prediction that is put to the test."""

    folder: Path
    """Where its files lie; a run store, once its run is launched."""
    frozen: Frozen
    """The prediction."""
    verification: Verification | None = None
    """What came of it; None while that is not known."""

    @property
    def plan(self) -> Plan:
        """The run that was foretold, with all that it needs."""
        return _plan(self.frozen)

    @property
    def to_train(self) -> bool:
        """Whether its run can be trained here, and is not verified yet."""
        return self.verification is None and self.frozen.grid is not None

    @property
    def stores(self) -> list[Path]:
        """Run stores of the study, which may hold what the run needs."""
        from scaling.analysis.verify_grid import STORE_GRID

        sources = (self.folder.parent, *map(Path, self.frozen.sources))
        near = [path for source in sources for path in (source, source.parent)]
        return [path for path in dict.fromkeys(near) if (path / STORE_GRID).is_file()]

    def files(self) -> dict[str, str]:
        """Give the paths of what is there, by what it is."""
        from scaling.analysis.verification import PREDICTION, VERIFICATION

        names = {
            "prediction": PREDICTION,
            "verification": VERIFICATION,
            "grid": GRID,
            "table": "runs.csv",
            "figure": "verification.png",
        }
        paths = {what: self.folder / name for what, name in names.items()}
        return {what: str(path) for what, path in paths.items() if path.exists()}

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON holds it: what came of it, or else what is foretold."""
        fields = (self.verification or self.frozen).to_dict()
        fields.pop("laws", None)  # which the file holds
        return {**fields, "paths": self.files()}

    def __repr__(self) -> str:
        from scaling.analysis.render_verification import verification_text

        return verification_text(self.frozen, self.verification)


# --- Foretelling --------------------------------------------------------------------


def begin(
    study: Fitted,
    asked: Asked,
    columns: Mapping[str, str] | None = None,
    *,
    uncooled: bool = False,
    write: bool = True,
    measured: float | None = None,
) -> Trial:
    """Freeze a prediction, or find the one that was frozen before.

    Parameters
    ----------
    study, columns
        As for `scaling.verify`.
    asked : Asked
        What is to be foretold.
    uncooled : bool
        As for `scaling.read`.
    write : bool
        Whether files are written.
    measured : float, optional
        A loss that was measured elsewhere, for which the prediction must be there.

    Raises
    ------
    ScalingError
        If nothing can be foretold, or the rows hold the run that is to verify.
    """
    from scaling.analysis.verification import PREDICTION, verified

    _refuse_folder(study)
    given = read_given(study, columns, uncooled=uncooled)
    folder = _folder(given, asked)
    if (folder / PREDICTION).exists():
        frozen = _earlier(folder, given, asked)
        return Trial(folder=folder, frozen=frozen, verification=verified(folder))
    if measured is not None:
        raise ScalingError(
            f"{folder} holds no prediction; expected one that was frozen before its "
            "run was trained: leave --measured out to freeze it now"
        )
    foretold = _foretold(given, asked, folder)
    frozen = _write(folder, foretold) if write else foretold
    return Trial(folder=folder, frozen=frozen)


def _folder(given: Given, asked: Asked) -> Path:
    """Choose the folder: by the budget; or one that is still to be verified."""
    from scaling.analysis.verification import PREFIX, folders, frozen, verified

    if asked.out is not None:
        return asked.out
    name = f"{PREFIX}{_compute(given, asked):.3g}".replace("+", "")
    if asked.compute is None and not (given.base / name).exists():
        for folder in folders(given.base):
            law = _name(asked.law) or frozen(folder).law
            if verified(folder) is None and frozen(folder).law == law:
                return folder
    return given.base / name


def _compute(given: Given, asked: Asked) -> float:
    """Give the budget: ten times the largest compute of the rows, rounded up."""
    from scaling.analysis.freezing import ENOUGH

    if asked.compute is not None:
        return asked.compute
    least = ENOUGH * given.largest
    unit = 10.0 ** (math.floor(math.log10(least)) - 2)
    return float(f"{math.ceil(least / unit - SLACK) * unit:.3g}")


def _name(law: Any) -> str | None:
    """Give the name of the law that is asked for; None for the best."""
    from scaling.analysis.catalogue import law as find_law
    from scaling.analysis.verification import ENVELOPE

    if law in (None, "auto", ENVELOPE):
        return None if law == "auto" else law
    return find_law(law).name


def _earlier(folder: Path, given: Given, asked: Asked) -> Frozen:
    """Take a prediction that was frozen before; refuse to be asked for another."""
    from scaling.analysis.verification import frozen

    found = frozen(folder)
    built = found.configuration or {}
    for what, wanted, there in (
        ("compute", asked.compute, found.compute),
        ("law", _name(asked.law), found.law),
        ("codebook", asked.codebook, built.get("codebook_size")),
    ):
        if wanted not in (None, there, built.get("nominal")):
            raise ScalingError(
                f"{folder} holds a prediction of {what} {there}, not {wanted}; "
                "expected another folder for another prediction: name one with --out"
            )
    _say(f"frozen {found.frozen}: {folder}; nothing is fitted again")
    if given.data != found.data:
        _say(
            f"the rows have changed since, data {given.data} in place of {found.data}: "
            "the frozen prediction counts"
        )
    return found


def _foretold(given: Given, asked: Asked, folder: Path) -> Frozen:
    """Predict the run that is to be trained, by rows that do not hold it."""
    from scaling.analysis.freezing import ENOUGH
    from scaling.version import code_version

    runs = {name.rpartition(":")[2] for name in given.runs}
    _refuse_runs(runs & _tested(given.base, folder))
    compute = _compute(given, asked)
    if compute <= given.largest:
        raise ScalingError(
            f"{compute:.4g} FLOPs are within the rows, whose largest compute is "
            f"{given.largest:.4g}; expected more, {ENOUGH:g} times as much at best: "
            "leave --compute out, or raise it"
        )
    frozen = foretell(given, asked, compute, code_version())
    _say_what_is_seen_again(given, frozen)
    if frozen.grid is not None:
        (run,) = _plan(frozen).transformers
        _refuse_runs(runs & {run.folder})
        frozen = replace(frozen, run=run.folder)
    if float(f"{frozen.beyond:.3g}") < ENOUGH:
        _say(
            f"{frozen.beyond:.3g} times the largest compute of the rows: {ENOUGH:g} "
            "or more prove more"
        )
    return frozen


def _say_what_is_seen_again(given: Given, frozen: Frozen) -> None:
    """Warn of a run that would see its corpus again and again."""
    points = None if given.records is None else given.records.points()
    if points is None or "U" not in points or frozen.configuration is None:
        return
    passes = frozen.configuration["tokens"] / float(points["U"].max())
    if passes > MANY_PASSES:
        _say(
            f"DATA SEEN AGAIN: the run goes through its corpus {passes:.3g} times, and "
            "the law knows nothing of that: expect it to miss, or enlarge the corpus"
        )


def _refuse_folder(study: Fitted) -> None:
    from scaling.analysis.verification import PREDICTION

    if not isinstance(study, str | Path):
        return
    for folder in (Path(study), Path(study).parent):
        if (folder / PREDICTION).exists():
            raise ScalingError(
                f"{study} is a verification, not a study; expected rows that do not "
                "hold the run that verifies: name the study that it was foretold from"
            )


def _tested(base: Path, folder: Path) -> set[str]:
    """Name the runs of all verifications in a folder, and of one elsewhere."""
    from scaling.analysis.verification import folders, frozen
    from scaling.record import run_folders

    tested = folders(base)
    names = {frozen(each).run or "" for each in tested}
    for each in (*tested, folder):
        names |= {path.name for path, _ in run_folders(each, "transformer", "trunk")}
    return names


def _refuse_runs(shared: Iterable[str]) -> None:
    name = min(shared, default=None)
    if name is not None:
        raise ScalingError(
            f"the rows hold {name}, a run that verifies; expected rows of which no law "
            "has seen it: fit the study without it"
        )


def _write(folder: Path, foretold: Frozen) -> Frozen:
    """Write a prediction and its grid, before there is anything else."""
    from scaling.analysis.verification import PREDICTION, write_frozen
    from scaling.files import ASIDE, write_text

    names = {path.name for path in folder.glob("*")} - {GRID}  # which a kill may leave
    if not all(name.startswith(ASIDE) for name in names):
        raise ScalingError(
            f"{folder} is not empty and holds no {PREDICTION}; expected a new folder: "
            "choose another with --out"
        )
    if foretold.grid is not None:
        write_text(folder / GRID, foretold.grid)
    frozen = write_frozen(folder, foretold)
    _say(f"{folder / PREDICTION}: frozen before any training, SHA-256 {frozen.digest}")
    return frozen


# --- Training -----------------------------------------------------------------------


def _plan(frozen: Frozen) -> Plan:
    import yaml

    from scaling.runs.plan import expand
    from scaling.runs.sections import Grid

    assert frozen.grid is not None
    return expand(Grid.model_validate(yaml.safe_load(frozen.grid)))


def expected(
    trial: Trial, jobs: int | None, threads: int | None, device: str
) -> Forecast:
    """Plan the run for this machine; what the study has made is not made again."""
    from scaling.runs.claim import kept_parallel, kept_threads, require_own
    from scaling.runs.forecast import forecast
    from scaling.runs.launch import jobs_done
    from scaling.runs.packing import Wish
    from scaling.runs.reuse import reusable
    from scaling.runs.slots import find_devices

    plan = trial.plan
    require_own(plan, trial.folder)
    wish = Wish(
        devices=find_devices(device),
        jobs=jobs,
        threads=threads or kept_threads(trial.folder),
        parallel=kept_parallel(trial.folder),
    )
    there = reusable(plan.jobs, trial.stores).keys()
    return forecast(plan, jobs_done(plan.jobs, trial.folder) | there, wish)


def train(trial: Trial, expected: Forecast) -> None:
    """Train the run that was foretold, with the study's own corpus and tokenizers."""
    from scaling.api_run import launch_here
    from scaling.runs.claim import claim
    from scaling.runs.reuse import reuse

    claim(expected.plan, trial.folder, expected.packing.slots[0])
    reuse(expected.plan.jobs, trial.stores, trial.folder)
    launch_here(expected, trial.folder)


# --- Comparing ----------------------------------------------------------------------


def conclude(trial: Trial, measured: float | None = None) -> Trial:
    """Compare what was measured with what was foretold, unless that is done.

    Raises
    ------
    ScalingError
        If a loss from elsewhere is not the one that was compared before.
    """
    from scaling.analysis.outcome import Measured, compare, measure
    from scaling.analysis.verification import write_verification
    from scaling.version import code_version

    found = trial.verification
    if found is not None and measured not in (None, found.measured):
        raise ScalingError(
            f"{trial.folder} has been verified by a loss of {found.measured:g}, not "
            f"{measured:g}; expected one run for one prediction: leave --measured out"
        )
    if found is None:
        if measured is None and trial.frozen.run is None:
            return trial
        got = (
            measure(trial.folder, trial.frozen)
            if measured is None
            else Measured(measured)
        )
        found = compare(trial.frozen, got, code_version())
        write_verification(trial.folder, found)
    _draw(trial.folder, trial.frozen, found)
    return replace(trial, verification=found)


def _draw(folder: Path, frozen: Frozen, found: Verification) -> None:
    """Draw the figure, unless it is there."""
    from scaling.analysis.figure import save
    from scaling.analysis.verification_figure import verification_figure

    if not (folder / "verification.png").exists():
        save(verification_figure(frozen, found), folder)


def _say(text: str) -> None:
    print(text, file=sys.stderr)
