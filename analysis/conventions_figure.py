"""What the convention of counting FLOPs does: to a token's cost, and to the laws.

`openai`, `matmul` and `6nd` (see `scaling.models.flops`) count other things. A law of
compute changes with them wherever their ratio changes with the model's size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from scaling.analysis.conventions_drawing import draw
from scaling.analysis.figure import Figure
from scaling.analysis.histories import told
from scaling.analysis.layout import count
from scaling.analysis.prediction import LEVEL
from scaling.analysis.study import fit
from scaling.analysis.table import Quantity, Records
from scaling.errors import ScalingError
from scaling.models.flops import (
    CONVENTIONS,
    PAPER_CONTEXT,
    PAPER_TEXT_WIDTH,
    Architecture,
)
from scaling.models.sizes import PAPER_SIZES, Size
from scaling.record import Row

SHAPE = ("n_layers", "d_model")
ABOUT = {"n_ctx": PAPER_CONTEXT, "n_prefix": 0, "text_width": PAPER_TEXT_WIDTH}
"""What an architecture needs that only stores hold, and what stands for it."""
LAWS = ("L_u(C)", "N_nv(C)", "N_v(C)", "D(C)")
"""Laws whose slopes are compared, where they can be fitted."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ConventionsFigure(Figure):
    """FLOPs per token by convention, and the slopes of the laws by convention.

    The table's `kind` is `model`, with the forward `flops` of a token and their `ratio`
    to `openai`; or `law`, with the `slope` of each and its interval.
    """

    quantities: Mapping[str, Quantity]
    """Axis labels."""

    def _draw(self, ax: Axes | None) -> Axes:
        return draw(self.table, self.quantities, ax)


def conventions_figure(
    records: Records, stores: Sequence[Path] = ()
) -> ConventionsFigure:
    """Count a study's FLOPs by every convention.

    Parameters
    ----------
    records : Records
        With the shape of each model: columns `n_layers`, `d_model` and a codebook, or
        sizes that have the paper's names.
    stores : sequence of Path
        The run stores that the records came from: they hold context and text too.

    Raises
    ------
    ScalingError
        If the shape of the models is not known.
    """
    known = told(records, stores)
    models = _models(records, known)
    counts = models.assign(**_counts(models))
    laws, lacking = _laws(records, counts)
    return ConventionsFigure(
        name="conventions",
        title="FLOPs conventions side by side, and what they do to the laws",
        caption=" ".join(_sentences(counts, laws, known, records, lacking)),
        table=pd.concat([_ratios(counts, records), laws], ignore_index=True),
        quantities=records.quantities,
    )


# --- FLOPs of a token ---------------------------------------------------------------


def _models(records: Records, known: Mapping[str, Row]) -> pd.DataFrame:
    """Give what an architecture needs, one row per run, by the run's name."""
    frame = records.frame.drop_duplicates("run").set_index("run")
    whole = {*SHAPE, "codebook_size"} <= {*frame}
    shapes = frame[list(SHAPE)] if whole else _named_shapes(frame)
    frame = frame.drop(columns=[name for name in SHAPE if name in frame]).join(shapes)
    nominal = frame.get("nominal_codebook_size", frame["codebook_size"])
    facts = {
        name: [known[str(run)][name] for run in frame.index] if known else default
        for name, default in ABOUT.items()
    }
    needed = frame.assign(nominal=nominal, **facts)
    return needed.dropna(subset=[*SHAPE, "nominal", "codebook_size"])


def _named_shapes(frame: pd.DataFrame) -> pd.DataFrame:
    named = frame.get("size", pd.Series(dtype=object)).isin(PAPER_SIZES)
    if "codebook_size" not in frame or named.empty or not named.all():
        raise ScalingError(
            "the shape of the models is not known; expected columns n_layers, d_model "
            f"and codebook_size, or sizes called {', '.join(PAPER_SIZES)}: add them"
        )
    sizes = [PAPER_SIZES[name] for name in frame["size"]]
    shape = {name: [getattr(size, name) for size in sizes] for name in SHAPE}
    return pd.DataFrame(shape, index=frame.index)


def _counts(models: pd.DataFrame) -> dict[str, list[float]]:
    """Count the forward FLOPs of a token of each model, in every convention."""
    rows = models.to_dict("records")
    return {
        name: [float(convention(_architecture(row, name))) for row in rows]
        for name, convention in CONVENTIONS.items()
    }


def _architecture(row: Mapping[Any, Any], convention: str) -> Architecture:
    """Describe a model; `openai` counts the nominal codebook, as the paper does."""
    shape = {name: int(row[name]) for name in SHAPE}
    codes = row["nominal"] if convention == "openai" else row["codebook_size"]
    about = {name: int(row[name]) for name in ABOUT}
    size = Size(name="", n_heads=1, **shape)
    return Architecture(size=size, codebook_size=int(codes), **about)


def _ratios(counts: pd.DataFrame, records: Records) -> pd.DataFrame:
    points = records.points().drop_duplicates("run").set_index("run")
    by = next((name for name in ("N_nv", "N") if name in points), None)
    size = points[by] if by else counts["n_layers"] * counts["d_model"] ** 2 * 12
    models = counts.assign(N=size, V=counts["codebook_size"])
    parts = [
        models[["N", "V"]].assign(
            kind="model",
            convention=name,
            flops=counts[name],
            ratio=counts[name] / counts["openai"],
        )
        for name in CONVENTIONS
    ]
    return pd.concat(parts).drop_duplicates()


# --- Laws ---------------------------------------------------------------------------


def _laws(records: Records, counts: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Fit the laws of the envelope with the compute of each convention.

    The compute of the records counts as their own convention's, and is scaled by what a
    token costs in the others.
    """
    runs = records.frame["run"]
    frame = records.frame[runs.isin(counts.index)]
    costs = counts.loc[frame["run"], list(CONVENTIONS)].reset_index(drop=True)
    own = [list(CONVENTIONS).index(name) for name in _own(records, frame)]
    tokens = frame["flops"] / costs.to_numpy()[np.arange(len(costs)), own]
    rows, lacking = [], ""
    for name in CONVENTIONS:
        flops = tokens * costs[name].to_numpy()
        converted = replace(records, frame=frame.assign(flops=flops))
        try:
            study = fit(converted)
        except ScalingError as reason:
            lacking = str(reason)
            continue
        if not study.laws:
            lacking = next(iter(study.skipped.values()), "")
        for law in LAWS:
            if law in study.laws:
                low, high = study.laws[law].slope_interval(LEVEL)
                slope, n = study.laws[law].slope, study.laws[law].n
                at = {"slope": slope, "low": low, "high": high, "n": n}
                rows.append({"kind": "law", "convention": name, "law": law, **at})
    return pd.DataFrame(rows), lacking


def _own(records: Records, frame: pd.DataFrame) -> list[str]:
    """Name the convention that each row's compute is of."""
    if "C" in records.derived:
        return ["6nd"] * len(frame)
    if "flops_convention" not in frame:
        return ["openai"] * len(frame)
    named = frame["flops_convention"]
    return list(named.where(named.isin(CONVENTIONS), "openai"))


# --- The caption --------------------------------------------------------------------


def _sentences(
    counts: pd.DataFrame,
    laws: pd.DataFrame,
    known: Mapping[str, Row],
    records: Records,
    lacking: str,
) -> Iterator[str]:
    shapes = counts.drop_duplicates([*SHAPE, "codebook_size"])
    yield (
        "How much more or less compute the other ways of counting find than openai "
        "(ScaMo's), by model: matmul counts the matrix products of the real modules, "
        "6nd is 2 N per token. Forward FLOPs per token of "
        f"{count(len(shapes), 'model')}."
    )
    if not known:
        yield (
            f"The records hold no context: {PAPER_CONTEXT} positions and no text are "
            "assumed."
        )
    if len(laws):
        yield (
            "Below, what that does to the laws of the envelope: their slopes with the "
            "compute of each convention, refitted each time to n = "
            f"{_range(laws['n'])} points, with {100 * LEVEL:g} % intervals (Student's "
            "t); L_u is per decade of compute."
        )
        yield from _moves(laws)
    if lacking:
        yield f"Laws are lacking: {lacking}."
    if "C" in records.derived:
        yield "The compute of the records was made as 6 N D."
    elif "flops_convention" not in records.frame and records.sources != ("scamo",):
        yield "The records name no convention: openai is taken for theirs."


def _range(n: pd.Series[int]) -> str:
    low, high = int(n.min()), int(n.max())
    return f"{low}" if low == high else f"{low} to {high}"


def _moves(laws: pd.DataFrame) -> Iterator[str]:
    """Say how far the choice moves each slope."""
    for name, of in laws.groupby("law", sort=False):
        low, high = of["slope"].min(), of["slope"].max()
        width = (of["high"] - of["low"]).median()
        yield (
            f"{name}: {low:.3f} to {high:.3f}, {100 * (high - low) / width:.0f} % of "
            "an interval's width."
        )
