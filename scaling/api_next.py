"""From laws to what to train next in Python: `predict`, `plan` and `rates`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from scaling.errors import ScalingError

if TYPE_CHECKING:
    from scaling.analysis.card import Card
    from scaling.analysis.laws_file import Laws
    from scaling.analysis.nextruns import RunPlan, Shrink
    from scaling.analysis.prediction import Prediction
    from scaling.analysis.rates import Rates
    from scaling.analysis.records import Source
    from scaling.analysis.study import Study

    Fitted: TypeAlias = str | Path | Study | Card


def predict(
    laws: Fitted,
    compute: float | None = None,
    *,
    at: Mapping[str, float] | None = None,
    codebook: int | None = None,
    convention: str | None = None,
    grid: str | Path | None = None,
    unit: Literal["tokens", "seconds"] = "tokens",
    tokens_per_second: float | None = None,
    level: float = 0.95,
) -> Prediction:
    """Predict the best use of a budget, or the loss of a run, as `scaling predict`.

    Parameters
    ----------
    laws : Study, Card, str or Path
        What `fit` gave, or the file that it was saved to.
    compute : float, optional
        Budget to divide, in FLOPs.
    at : mapping, optional
        A given run, such as ``{"N": 7e7, "D": 1.4e9}``. With `compute`, what is not to
        be chosen.
    codebook : int, optional
        Codes of the run to build, where the law does not choose them.
    convention : str, optional
        FLOPs convention of that run; by default that of the laws' runs.
    grid : str or Path, optional
        Write a grid of that run to this file, for `run` to verify the prediction.
    unit : {"tokens", "seconds"}
        Unit of D.
    tokens_per_second : float, optional
        Tokens in a second of data; of motion it is known.
    level : float
        Coverage of the intervals.

    Raises
    ------
    ScalingError
        If there is nothing to predict, or the law cannot.
    """
    from scaling.analysis.verify_grid import HEAD
    from scaling.files import require_own, write_text

    found = _laws(laws)
    if grid is not None:
        require_own(Path(grid), [], HEAD)
    if compute is None:
        if not at:
            raise ScalingError(
                "nothing to predict; expected compute=FLOPS or at={...}: give one"
            )
        _refuse_without("compute", codebook=codebook, convention=convention, grid=grid)
        prediction = found.run(at, level)
    else:
        prediction = found.budget(compute, at, level)
        prediction = found.built(prediction, codebook, convention)
    if unit == "seconds":
        prediction = prediction.in_seconds(found.tokens_per_second(tokens_per_second))
    else:
        _refuse_without('unit="seconds"', tokens_per_second=tokens_per_second)
    if grid is not None:
        if prediction.configuration is None:
            raise ScalingError(f"{grid} is not written: {prediction.not_built}")
        write_text(Path(grid), found.grid(prediction))
    return prediction


def plan(
    laws: Fitted,
    budget: float,
    target: float,
    *,
    runs: int = 12,
    shrink: Shrink = "loss",
    share: float = 0.5,
    at: Mapping[str, float] | None = None,
    grid: str | Path | None = None,
    codebook: int | None = None,
    seed: int = 0,
) -> RunPlan:
    """Choose the next runs, those that narrow a prediction most, as `scaling plan`.

    Parameters
    ----------
    laws : Card, str or Path
        What `fit` gave with a law, or the file that it was saved to.
    budget : float
        FLOPs for all new runs together.
    target : float
        Compute of the prediction in FLOPs, beyond the rows.
    runs : int
        New runs at most.
    shrink : {"loss", "size"}
        What to know better: the loss at the best size, or that size.
    share : float
        Part of the budget that one run may cost.
    at : mapping, optional
        Inputs of the law that are not chosen, such as ``{"U": 1e9}``.
    grid : str or Path, optional
        Write a grid of these runs to this file, which `run` takes.
    codebook : int, optional
        Codes of the runs in that grid, where the law does not know them.
    seed : int
        Of the simulation.

    Raises
    ------
    ScalingError
        If the laws are those of the envelope, or no run can be chosen.
    """
    from scaling.analysis.nextruns import plan_runs, write_grid

    found = _laws(laws)
    if found.fit is None:
        raise ScalingError(
            "the laws of the envelope know no single runs; expected one law: fit the "
            'records with a law, such as law="chinchilla"'
        )
    chosen = plan_runs(
        found.fit,
        budget,
        target,
        runs=runs,
        shrink=shrink,
        share=share,
        given=at,
        seed=seed,
    )
    if grid is not None:
        write_grid(chosen, found, Path(grid), codebook)
    return chosen


def _laws(fitted: Fitted) -> Laws:
    """Give what predictions are made by."""
    from scaling.analysis.laws_file import Laws, load_laws

    if isinstance(fitted, str | Path):
        return load_laws(fitted)
    from scaling.analysis.study import Study

    if isinstance(fitted, Study):
        return Laws(sources=fitted.sources, study=fitted)
    return Laws(
        sources=fitted.fit.sample.sources,
        fit=fitted.fit,
        uncertain=fitted.uncertainty,
        warnings=fitted.warnings,
    )


def _refuse_without(needed: str, **arguments: object) -> None:
    given = [name for name, value in arguments.items() if value is not None]
    if given:
        raise ScalingError(
            f"{', '.join(given)} would have no effect without {needed}; expected both: "
            f"give {needed}, or leave out the rest"
        )


def rates(
    source: Source,
    *,
    columns: Mapping[str, str] | None = None,
    level: float = 0.95,
) -> Rates:
    """Find the best learning rates of a sweep, and their rule over widths.

    Parameters
    ----------
    source : str, Path or DataFrame
        A run store whose grid has several learning rates, or a table of such runs.
    columns : mapping, optional
        As for `fit`.
    level : float
        Coverage of the intervals.
    """
    from scaling.analysis.rates import best_rates

    return best_rates(source, columns, level)
