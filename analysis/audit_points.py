"""The paper's points as the audit needs them: plotted units, real ones, data as seen.

The plotted N_nv and N_v are forward FLOPs per token, and the plotted D is the number of
evaluations so far, times 128,000, times the nominal size of the model over 44 million.
What the model saw is taken to be the same without the last factor, in sequences: an
inference from the points, not a statement of the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from scaling.analysis.envelope import best_codebooks
from scaling.analysis.reference import NOMINAL_PARAMS, load
from scaling.models.flops import (
    PAPER_CONTEXT,
    TRAINING_FACTOR,
    Architecture,
    non_vocab_params,
    vocab_params,
)
from scaling.models.levels import codebook_size, levels_of
from scaling.models.sizes import PAPER_SIZES

PER_EVALUATION = 128_000
"""What lies between two evaluations of a 44M model, on the plotted axis."""
SYMBOLS = {
    "model": "size",
    "vocab": "V",
    "eval_index": "k",
    "Nnv_paper": "N_nv",
    "Nv_paper": "N_v",
    "D_paper": "D",
    "C_digitised": "C",
    "Lu": "L_u",
}
LARGEST = "3B"


def frontier() -> pd.DataFrame:
    """Give the 19 points of Figs. 3b and 7, with what is not plotted beside it."""
    return beyond_the_plot(load("frontier19").rename(columns=SYMBOLS))


def curves() -> pd.DataFrame:
    """Give the evaluations of Fig. 2."""
    return load("fig2_training_curves").rename(columns=SYMBOLS)


def minima() -> pd.DataFrame:
    """Give the lowest loss of all 42 runs, from Fig. 8, with sizes in every unit."""
    table = load("fig8_min_loss").rename(columns=SYMBOLS)
    d, L = _shapes(table["size"])
    plotted = table.assign(
        run=table["size"] + "-" + table["V"].astype(str),
        N_nv=4 * d + 24 * L * d**2 + 2 * L * PAPER_CONTEXT * d,
        N_v=2 * d * table["V"],
    )
    return beyond_the_plot(plotted)


def best() -> pd.DataFrame:
    """Give each size's best codebook: what Fig. 3a says that it shows."""
    return best_codebooks(minima())


def drawn() -> pd.DataFrame:
    """Give the six points that Fig. 3a draws, the star last, with their sizes."""
    points = load("fig3a_nv_vs_nnv").query("kind != 'line'")
    points = points.rename(columns={"Nnv": "N_nv", "Nv": "N_v"})
    points = points.assign(size=list(PAPER_SIZES))
    d, _ = _shapes(points["size"])
    V = 2 ** np.log2(points["N_v"] / (2 * d)).round()
    return beyond_the_plot(points.assign(V=V.astype(int))).reset_index(drop=True)


def beyond_the_plot(table: pd.DataFrame) -> pd.DataFrame:
    """Add width, depth, parameters as defined and as built, and data as seen."""
    d, L = _shapes(table["size"])
    built = [
        _architecture(*pair) for pair in zip(table["size"], table["V"], strict=True)
    ]
    table = table.assign(
        d=d,
        L=L,
        n_nv=12 * L * d**2,
        n_v=d * table["V"],
        built_nv=_each(non_vocab_params, built),
        built_v=_each(vocab_params, built),
    )
    if "k" not in table:
        return table
    seen = PER_EVALUATION * table["k"]
    forward = table["N_nv"] + table["N_v"]
    return table.assign(seen=seen, C_seen=TRAINING_FACTOR * forward * seen)


def data_rule(table: pd.DataFrame) -> pd.Series[float]:
    """Give k x 128,000 x N_nominal / 44e6 for evaluations k of models."""
    scale = table["size"].map(NOMINAL_PARAMS) / NOMINAL_PARAMS["44M"]
    return table["k"] * PER_EVALUATION * scale


def _shapes(sizes: pd.Series[str]) -> tuple[pd.Series[int], pd.Series[int]]:
    width = {name: size.d_model for name, size in PAPER_SIZES.items()}
    depth = {name: size.n_layers for name, size in PAPER_SIZES.items()}
    return sizes.map(width), sizes.map(depth)


def _architecture(size: str, V: int) -> Architecture:
    """Describe a model as it is built: with the codes that its levels really give."""
    codes = codebook_size(levels_of(V))
    return Architecture(size=PAPER_SIZES[size], codebook_size=codes)


def _each(
    count: Callable[[Architecture], int], built: Iterable[Architecture]
) -> list[float]:
    return [float(count(one)) for one in built]
