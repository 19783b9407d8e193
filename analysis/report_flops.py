"""How the compute of a study was counted, beside how it could have been.

The conventions are those of `scaling.models.flops`; here they are evaluated for the
sizes and codebooks of the study at hand, next to what its records say a token cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from scaling.analysis.material import Material
from scaling.analysis.verify_grid import counting_of, find_template
from scaling.errors import ScalingError
from scaling.models.flops import CONVENTIONS, TRAINING_FACTOR, Architecture
from scaling.models.sizes import Size, size

MOST_ROWS = 24
"""Pairs of size and codebook that a page counts."""

FORMULAS = {
    "openai": "4 d + 6 L d² + 2 L n d + 2 L d² + 16 L d² + 2 d V: embedding, "
    "query-key-value, attention scores, output projection, a feed-forward of ratio 4, "
    "de-embedding (ScaMo's own; V is the nominal power of two)",
    "matmul": "every matrix product that the modules run: SwiGLU's three matrices, "
    "scores and weighted sum of attention, text projection, head",
    "6nd": "2 (N_nv + N_v), so that C = 6 N D",
}
"""Forward FLOPs per token by convention, in symbols."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """What a token of one size and codebook costs."""

    size: str
    """Transformer size, as the study names it."""
    codebook: int
    """V, real number of codes."""
    forward: Mapping[str, int]
    """Forward FLOPs per token by convention."""
    recorded: float
    """C / (3 D) of the records, median."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Accounting:
    """How compute was counted."""

    counts: tuple[Count, ...]
    """By size, then codebook."""
    pairs: int
    """Pairs of size and codebook in the study; only some are counted if many."""
    positions: int
    """Positions that attention is counted over."""
    used: str
    """Convention of the records; empty where they do not say."""


def accounting(material: Material) -> Accounting:
    """Count what tokens cost, by every convention.

    Raises
    ------
    ScalingError
        If the records do not tell layers, widths and codebooks.
    """
    table = _pairs(material)
    shown = table.iloc[_spaced(len(table))]
    example = _architecture(material, size("1x1x16"), 1)
    return Accounting(
        counts=tuple(_count(material, row) for _, row in shown.iterrows()),
        pairs=len(table),
        positions=example.n_ctx,
        used=_convention(material),
    )


def template_of(material: Material) -> dict[str, Any] | None:
    """Find the grid that the rows came from, if one of the sources keeps it."""
    found = (find_template(path) for path in material.paths if path.exists())
    return next((grid for grid in found if grid is not None), None)


def _pairs(material: Material) -> pd.DataFrame:
    """Give each size and codebook once, with the median of C / (3 D)."""
    frame = material.records.frame
    lacking = {"size", "codebook_size", "tokens", "flops"} - set(frame.columns)
    if material.records.sources == ("scamo",):
        lacking -= {"tokens"}  # as plotted they are no token counts
        frame = frame.assign(tokens=np.nan)
    if lacking:
        raise ScalingError(
            f"the records have no column {', '.join(sorted(lacking))}, of which FLOPs "
            "per token are counted"
        )
    nominal = frame.get("nominal_codebook_size", frame["codebook_size"])
    per_token = frame["flops"] / frame["tokens"] / TRAINING_FACTOR
    rows = frame[["size", "codebook_size"]].assign(nominal=nominal, recorded=per_token)
    keys = ["size", "codebook_size", "nominal"]
    pairs = rows.groupby(keys, sort=False, as_index=False).median()
    shapes = {name: size(str(name)) for name in pairs["size"].unique()}
    width = pairs["size"].map(lambda s: shapes[s].n_layers * shapes[s].d_model ** 2)
    order = pairs.assign(width=width).sort_values(["width", "codebook_size"])
    return order.reset_index(drop=True)


def _spaced(count: int) -> list[int]:
    places = np.linspace(0, count - 1, min(count, MOST_ROWS)).round().astype(int)
    return list(dict.fromkeys(places.tolist()))


def _architecture(material: Material, shape: Size, codes: int) -> Architecture:
    """Put a size into the study's own settings; without a grid into the paper's."""
    grid = template_of(material)
    if grid is None:
        return Architecture(size=shape, codebook_size=codes)
    return counting_of(grid).architecture(shape, codes)


def _count(material: Material, row: pd.Series) -> Count:
    codes = {name: int(row["codebook_size"]) for name in CONVENTIONS}
    codes["openai"] = int(row["nominal"])
    shape = size(str(row["size"]))
    return Count(
        size=shape.name,
        codebook=int(row["codebook_size"]),
        forward={
            name: count(_architecture(material, shape, codes[name]))
            for name, count in CONVENTIONS.items()
        },
        recorded=float(row["recorded"]),
    )


def _convention(material: Material) -> str:
    named = material.records.frame.get("flops_convention")
    if named is None:
        return "openai" if material.records.sources == ("scamo",) else ""
    return ", ".join(sorted(set(named.dropna().astype(str))))
