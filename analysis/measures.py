"""Other measures in the place of a loss: what may be fitted, and how.

A loss per byte or per second is comparable across tokenizers, of text or of motion.
`--columns L=fid` asks for a law of FID. A law falls with compute, so R-precision,
which rises, is fitted as its miss rate, 1 - R@k.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from scaling.analysis.table import LOSS_NAMES, Quantity
from scaling.errors import ScalingError
from scaling.record import COLUMNS, MEASURES

PER_UNIT = ("bits_per_byte", "bits_per_second")
"""The test loss per unit of data, at every evaluation."""

FALLING = ("fid", "kid", "matching_score", *PER_UNIT)
"""Measures of which less is better."""

MISSES = {f"r_precision_{k}": f"miss_rate_{k}" for k in (1, 2, 3)}
"""Scores of which more is better, and the share that is left of each."""


def asked(columns: Mapping[str, str]) -> tuple[str | None, dict[str, str]]:
    """Part the score that is to be the loss, if one is, from the other columns.

    Raises
    ------
    ScalingError
        If it is a score that neither falls nor rises with compute.
    """
    key = next(
        (key for key in LOSS_NAMES if columns.get(key) in (*MEASURES, *PER_UNIT)), None
    )
    if key is None:
        return None, dict(columns)
    if columns[key] not in (*FALLING, *MISSES):
        raise ScalingError(
            f"--columns {key}={columns[key]}: no law falls with it, since the real "
            f"motions' is best; expected one of {', '.join((*FALLING, *MISSES))}: "
            "choose one"
        )
    return columns[key], {name: x for name, x in columns.items() if name != key}


def refuse_other_losses(columns: Mapping[str, str]) -> None:
    """Refuse to name a loss for sources that bring their own.

    Raises
    ------
    ScalingError
        If `columns` does.
    """
    scores = ", ".join((*FALLING, *MISSES))
    for key in LOSS_NAMES:
        if key in columns:
            raise ScalingError(
                f"--columns {key}={columns[key]}: run stores and scamo have a loss of "
                f"their own; expected one of {scores}: choose one, or leave it out"
            )


def unscored(source: str, score: str) -> str:
    """Say that a source lacks a score."""
    if score in PER_UNIT:
        unit = COLUMNS[score].unit.removeprefix("bits per ")
        return (
            f"{source} holds no {score}; expected a corpus with {unit}, which its own "
            "has not: choose another measure"
        )
    return (
        f"{source} holds no {score}; expected a score at the end of a run: "
        "scaling evaluate takes it"
    )


def as_loss(
    tables: Mapping[str, pd.DataFrame], score: str, notes: list[str]
) -> tuple[dict[str, pd.DataFrame], Quantity]:
    """Keep the evaluations that were scored; give the quantity that a law falls with.

    Raises
    ------
    ScalingError
        If a source holds no such score.
    """
    column = MISSES.get(score, score)
    kept = {}
    for source, table in tables.items():
        if table[score].isna().all():
            raise ScalingError(unscored(source, score))
        scored = table[table[score].notna()]
        kept[source] = scored.assign(
            **{column: 1 - scored[score] if score in MISSES else scored[score]}
        )
        if len(scored) < len(table):
            without = f"{len(table) - len(scored)} of {len(table)} evaluations"
            notes.append(f"{source}: {without} hold no {score}, and are left out")
    label = COLUMNS[score].label
    if score in MISSES:
        label = f"Miss rate, 1 - {label[0].lower()}{label[1:]}"
        label = label.replace("r-precision", "R-precision")
    return kept, Quantity(symbol="L_u", column=column, label=label)
