"""The grid files of planned runs: the nearest run that can be built, one file for each.

A grid is a product of sizes, codebooks and tokens. Runs of a plan are no product, and
the smallest grid that holds them all would cost several times as much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scaling.analysis.buildable import Configuration, nearest
from scaling.analysis.laws_file import Laws
from scaling.analysis.nextruns import PlannedRun, RunPlan
from scaling.analysis.verify_grid import grid_for
from scaling.errors import ScalingError
from scaling.files import write_text


def write_grids(
    plan: RunPlan, laws: Laws, path: Path, codebook: int | None = None
) -> dict[Path, Configuration]:
    """Write a grid for each run of a plan, which `scaling run` takes.

    Parameters
    ----------
    plan : RunPlan
        The runs.
    laws : Laws
        Where they were planned from, for the settings of the rows' own study.
    path : Path
        The file; of several runs `out.yaml` gives `out-1.yaml`, `out-2.yaml` and so on.
    codebook : int, optional
        Codes of the runs, where the law does not know them.

    Raises
    ------
    ScalingError
        If the law chooses no size, the codebook is not known, or cannot be built.
    """
    built = [_built(run, laws, codebook) for run in plan.runs]
    grids = {
        each: (grid_for(configuration, laws.template, each.stem), configuration)
        for each, configuration in zip(_paths(path, len(built)), built, strict=True)
    }
    for each, (text, _) in grids.items():
        write_text(each, text)
    return {each: configuration for each, (_, configuration) in grids.items()}


def _paths(path: Path, count: int) -> Iterator[Path]:
    if count == 1:
        yield path
        return
    for k in range(1, count + 1):
        yield path.with_name(f"{path.stem}-{k}{path.suffix}")


def _built(run: PlannedRun, laws: Laws, codebook: int | None) -> Configuration:
    """Find what is nearest to a run's counts and pays exactly its compute."""
    wanted = {n: v for n, v in run.inputs.items() if n not in ("C", "U")}
    if not wanted:
        raise ScalingError(
            "the law is one of compute alone and chooses no size; expected a law of "
            "size and data for a grid: leave --grid out, or choose such a law"
        )
    codebook = codebook or laws._only_codebook()
    if codebook is None and not {"V", "N_v"} & set(wanted):
        raise ScalingError(
            "the law does not say which codebook the runs have; expected its number of "
            "codes for a grid: give --codebook V"
        )
    counting = laws._counting(None)
    assert laws.fit is not None
    found = nearest(
        lambda columns: np.zeros(len(columns["D"])),  # the nearest, not the best
        run.compute,
        wanted=wanted,
        convention=counting.convention,
        n_ctx=counting.n_ctx,
        n_prefix=counting.n_prefix,
        text_width=counting.text_width,
        text_vocab_size=counting.text_vocab_size,
        codebook=codebook,
        tokens_per_step=laws.fit.sample.tokens_per_step,
    )
    loss = laws.fit.predict({**run.inputs, **_counts(found)})
    return replace(found, loss=float(loss[0]))


def _counts(built: Configuration) -> Mapping[str, Any]:
    return {
        "N": built.total_params,
        "N_nv": built.non_vocab_params,
        "N_v": built.vocab_params,
        "V": built.codebook_size,
        "D": built.tokens,
        "C": built.flops,
    }
