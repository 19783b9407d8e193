"""Predictions frozen from tables, without training, and runs made up to test them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from scaling.analysis.card import card
from scaling.analysis.fitting import fit_law
from scaling.analysis.freezing import freeze
from scaling.analysis.outcome import Measured, compare
from scaling.analysis.outlook import fitted_range
from scaling.analysis.records import read
from scaling.analysis.study import Study
from scaling.analysis.verification import (
    PREFIX,
    Frozen,
    Verification,
    laws_of,
    write_frozen,
    write_verification,
)


def codebook_table(seed: int = 0) -> pd.DataFrame:
    """Train 5 sizes x 4 codebooks x 5 lengths under a law that has best sizes."""
    random = np.random.default_rng(seed)
    N, V, D = (
        axis.ravel()
        for axis in np.meshgrid(
            np.geomspace(1e4, 1e6, 5), 4.0 ** np.arange(3, 7), np.geomspace(3e5, 3e7, 5)
        )
    )
    N_v = V * 16 * (N / 1e4) ** 0.4
    loss = -4 + 18 / N**0.2 + 2.9 / N_v**0.18 + 27 / D**0.26
    return pd.DataFrame(
        {
            "run": [f"run-{k}" for k in range(len(N))],
            "codebook_size": V,
            "non_vocab_params": N,
            "vocab_params": N_v,
            "tokens": D,
            "flops": 6 * (N + N_v) * D,
            "normalised_loss": loss + random.normal(0, 0.01, len(N)),
        }
    )


def foretold(path: Path, law: str, times: float = 10.0) -> Frozen:
    """Fit a law to a table and freeze what it says of a budget beyond it."""
    given = card(fit_law(read([path]), law)).to_dict()
    _, most = fitted_range(laws_of(given))
    return freeze(given, times * most, most).sealed()


def of_study(study: Study) -> Frozen:
    """Freeze what the laws of the envelope say of ten times their compute."""
    _, most = study.compute_range("L_u(C)")
    return freeze(study.to_dict(), 10 * most, most).sealed()


def ended(frozen: Frozen, share: float, flops: float | None = None) -> Verification:
    """Let a run end this share of half its 90 % interval above the prediction."""
    told = frozen.new_run
    loss = told.value + share * (told.ninety.high - told.value)
    return compare(frozen, Measured(loss=loss, flops=flops))


def written(base: Path, frozen: Frozen, share: float | None = None) -> Path:
    """Write a verification where `scaling verify` does; give its folder."""
    folder = base / f"{PREFIX}{frozen.compute:.3g}".replace("+", "")
    folder.mkdir()
    write_frozen(folder, frozen)
    if share is not None:
        write_verification(folder, ended(frozen, share))
    return folder
