"""A prediction put to the test in Python: `verify`, as `scaling verify` does it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaling.analysis.formula import Formula
    from scaling.analysis.objective import Name
    from scaling.api_laws import Rows, Space
    from scaling.trial import Trial
    from scaling.trial_laws import Fitted


def verify(
    study: Fitted,
    *,
    law: str | Formula | None = None,
    compute: float | None = None,
    codebook: int | None = None,
    columns: Mapping[str, str] | None = None,
    out: str | Path | None = None,
    measured: float | None = None,
    jobs: int | None = None,
    threads: int | None = None,
    device: str = "auto",
    dry_run: bool = False,
    objective: Name | None = None,
    delta: float | None = None,
    quantile: float | None = None,
    loss_space: Space | None = None,
    rows: Rows | None = None,
    fix: Mapping[str, float] | None = None,
    tie: Mapping[str, str] | None = None,
    bound: Mapping[str, tuple[float, float]] | None = None,
) -> Trial:
    """Predict a larger run, train it, and compare, as `scaling verify` does.

    The prediction is written before any training and never again; a second call goes
    on where the first was stopped. Progress is written to stderr.

    Parameters
    ----------
    study : Study, Card, str or Path
        A run store, a table, what `fit` gave, or the file that it was saved to.
    law : str or Formula, optional
        The law that foretells, as for `fit`, or `envelope`; by default `auto`.
    compute : float, optional
        Budget in FLOPs; by default ten times the largest compute of the rows.
    codebook : int, optional
        Codes of the run, where the law does not choose them.
    columns : mapping, optional
        As for `fit`.
    out : str or Path, optional
        Folder of the verification; by default `verify-COMPUTE` in the study's.
    measured : float, optional
        The loss of a run that was trained elsewhere, after the prediction was frozen.
    jobs, threads : int, optional
        Jobs at a time, and processor threads of each; by default what ends soonest.
    device : str
        auto, cpu, cuda or cuda:N.
    dry_run : bool
        Predict and check; train nothing, write nothing.
    objective, delta, quantile, loss_space, rows, fix, tie, bound
        How the law is fitted, as for `fit`.

    Returns
    -------
    Trial
        The prediction, `frozen`, and what came of it, `verification`.

    Raises
    ------
    ScalingError
        If no run can be foretold or trained, the rows hold the verifying run, or a
        frozen prediction is not as it was written.
    """
    from scaling.trial import begin, conclude, expected, train
    from scaling.trial_laws import Asked

    how = {
        "objective": objective,
        "delta": delta,
        "quantile": quantile,
        "loss_space": loss_space,
        "rows": None if rows == "uncooled" else rows,
        "fix": fix,
        "tie": tie,
        "bound": bound,
    }
    asked = Asked(
        law=law,
        compute=compute,
        codebook=codebook,
        out=None if out is None else Path(out),
        how=how,
    )
    trial = begin(
        study,
        asked,
        columns,
        uncooled=rows == "uncooled",
        write=not dry_run,
        measured=measured,
    )
    if dry_run:
        return trial
    if measured is None and trial.to_train:
        train(trial, expected(trial, jobs, threads, device))
    return conclude(trial, measured)
