"""The public rows that laws are fitted to, all contenders to the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rivals.contenders import TWO_INPUTS

Columns = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A set of rows."""

    name: str
    """Where it is from."""
    columns: Columns
    """Inputs and loss by symbol, the loss as `L_u`."""
    laws: tuple[str, ...] = TWO_INPUTS
    """Laws that it is used for."""

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.columns["L_u"])


ISOFLOPS = {
    "chinchilla": "ml_scalefit__massivetext__chinchilla",
    "llama_3 raw": "llama_3__raw_loss",
    "llama_3 exp": "llama_3__exp_loss",
    "comma": "marin_202603__comma__llama_2",
    "dclm": "marin_202603__dclm__llama_2",
    "nemotron": "marin_202603__nemotron__llama_2",
    "misfitting": "misfitting__fineweb_c4__transformer",
}
"""Experiments of the Open-Athena table; all of their rows, flagged as outliers or not,
as in the objectives that its authors publish."""


def epoch_rows(data: Path) -> Rows:
    """Read the replication's 245 runs, less the five of the highest loss."""
    table = pd.read_csv(data / "epoch_chinchilla" / "svg_extracted_data.csv")
    table = table.nsmallest(len(table) - 5, "loss").sort_index()
    N, C = table["Model Size"], table["Training FLOP"]
    return Rows(name="epoch", columns=_arrays(N=N, D=C / (6 * N), L_u=table["loss"]))


def isoflop_rows(data: Path) -> Iterator[Rows]:
    """Read the isoFLOP sets, and of each the lowest loss per budget."""
    table = pd.read_csv(data / "open_athena_isoflops" / "isoflops.csv")
    for name, experiment in ISOFLOPS.items():
        rows = table[table["experiment"] == experiment]
        columns = _arrays(N=rows["params"], D=rows["tokens"], L_u=rows["loss"])
        yield Rows(name=name, columns=columns)
        lowest = rows.loc[rows.groupby("budget")["loss"].idxmin()]
        columns = _arrays(C=lowest["budget"], L_u=lowest["loss"])
        laws = ("power-floor", "bnsl") if len(lowest) > 6 else ("power-floor",)
        yield Rows(name=f"{name}, lowest", columns=columns, laws=laws)


def vocabulary_rows(data: Path) -> Iterator[Rows]:
    """Read the vocabulary runs from 2.18e17 FLOPs on.

    Once with the data in tokens, and once as in the authors' fit, which takes V / 1000
    for V where it turns characters into tokens.
    """
    table = pd.read_csv(data / "sail_vocab" / "exp_data.csv")
    table = table[table["FLOPs"] >= 2.18e17]
    V, H = table["vocab_size"], table["num_characters"]
    N_nv, N_v = table["Non_vocab_parameters"], V * table["embed_dim"]
    for name, size in (("sail", V), ("sail, V / 1000", V / 1000)):
        log = np.log(size)
        D = H * (0.00639222 * log**2 - 0.15811069 * log + 1.20470122)
        columns = _arrays(N_nv=N_nv, N_v=N_v, D=D, L_u=table["Lossu"])
        yield Rows(name=name, columns=columns, laws=("codebook", "codebook-tied"))


def _arrays(**columns: pd.Series[Any]) -> Columns:
    return {name: column.to_numpy(float) for name, column in columns.items()}
