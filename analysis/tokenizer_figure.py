"""Tokenizers by codebook size: ScaMo's Fig. 6, and a bound that the paper leaves out.

One row of panels per corpus: L1 and MPJPE of the reconstructions, codes used, the
codes' exponential entropy, and FID where it is known. Of V codes, T test tokens use
min(V, T) at most, and the entropy is bounded by the same: near the line at T both
measure the number of tokens, and no longer the codebook.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from scaling.analysis import reference
from scaling.analysis.figure import Figure
from scaling.analysis.layout import count
from scaling.analysis.reading import read_file
from scaling.analysis.tokenizer_drawing import (
    COUNTED,
    PANELS,
    STYLES,
    any_dotted,
    draw,
    known,
    token_counts,
)
from scaling.errors import ScalingError

MEASURED = ("l1", "mpjpe", "codebook_utilisation", "exponential_entropy", "fid")
"""Columns of a table that hold measures."""

ALIASES = {
    "dataset": "corpus",
    "l1_loss": "l1",
    "nominal_codebook_size": "codebook_size",
}
"""Other names of columns, for tables that lack the first name."""

BOUNDED = (
    "Codes used (utilisation x V) and exponential entropy cannot exceed V, nor the "
    "number of test tokens: where V comes near that, they measure the tokens, no "
    "longer the codebook."
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TokenizerFigure(Figure):
    """A row of panels per corpus, a line per quantizer: means, and what they are of.

    One row of the table per tokenizer; `codes_used` is utilisation x V.
    """

    def _draw(self, ax: Axes | None) -> Axes:
        return draw(self.table, ax)


def tokenizer_figure(sources: str | Path | Sequence[str | Path]) -> TokenizerFigure:
    """Make the figure of the tokenizers of run stores or tables.

    Parameters
    ----------
    sources : str, Path or sequence of them
        Run stores, which hold `tokenizers.csv`; CSV, Parquet or JSONL files; or the
        word `scamo`, the paper's Table 3. Columns are `quantizer`, `codebook_size`,
        some of `l1`, `mpjpe` (millimetres), `codebook_utilisation` (a share),
        `exponential_entropy` and `fid`, and, where known, `corpus`, `stages` and
        `test_tokens`.

    Raises
    ------
    ScalingError
        If a source is missing, lacks a column, or holds what is no measure.
    """
    given = [sources] if isinstance(sources, str | Path) else sources
    names = [str(source) for source in given]
    table = read_tokenizers(names)
    if not known(table):
        raise ScalingError(
            f"{', '.join(names)} measures nothing; expected some of "
            f"{', '.join(MEASURED)}: name the columns so"
        )
    return TokenizerFigure(
        name="tokenizers",
        title="Tokenizers by codebook size",
        caption=_caption(table, "scamo" in names),
        table=table,
    )


# --- The table ----------------------------------------------------------------------


def read_tokenizers(sources: Sequence[str]) -> pd.DataFrame:
    """Read the tokenizers of run stores or tables, columns as the figure has them."""
    if not sources:
        raise ScalingError("a table in memory names no run store, which has tokenizers")
    table = pd.concat([_read(source) for source in sources], ignore_index=True)
    return table.assign(corpus=_corpus_names(table)).drop(columns="source")


def _read(source: str) -> pd.DataFrame:
    if source == "scamo":
        return _checked(_published(), source).assign(source=source)
    path = Path(source)
    name = _study(path) if path.is_dir() else path.stem
    if path.is_dir():
        path = path / "tokenizers.csv"
    if not path.exists():
        raise ScalingError(
            f"{path} does not exist; expected a run store with tokenizers, a table of "
            "them, or the word scamo"
        )
    return _checked(read_file(path, []), str(path)).assign(source=name)


def _study(store: Path) -> str:
    """Give the name of a store's study, or else of its folder."""
    plan = store / "grid.json"
    named = json.loads(plan.read_text("utf-8")).get("study") if plan.exists() else None
    return str(named or store.resolve().name)


def _published() -> pd.DataFrame:
    """Give Table 3 with all distances in millimetres; HumanML3D's are in metres."""
    table = reference.load("table3_tokenizers")
    metres = table["dataset"] == "HumanML3D"
    return table.assign(mpjpe=table["mpjpe"].where(~metres, 1000 * table["mpjpe"]))


def _checked(table: pd.DataFrame, source: str) -> pd.DataFrame:
    aliases = {old: new for old, new in ALIASES.items() if new not in table}
    table = table.rename(columns=aliases)
    if "levels" in table:  # version 0.1 had FSQ alone, and did not name it
        named = table.get("quantizer", pd.Series(index=table.index, dtype=object))
        unnamed = named.isna() & table["levels"].notna()
        table = table.assign(quantizer=named.mask(unnamed, "fsq"))
    for name in ("quantizer", "codebook_size"):
        if name not in table:
            raise ScalingError(
                f"{source} has no column {name!r}; expected a table of tokenizers: "
                "name the column so"
            )
    for name in ("codebook_size", "stages", "test_tokens", *MEASURED):
        if name in table:
            table = table.assign(**{name: _numbers(table, name, source)})
    if "codebook_utilisation" in table:
        used = table["codebook_utilisation"] * table["codebook_size"]
        table = table.assign(codes_used=used)
    return table.assign(series=_series(table))


def _corpus_names(table: pd.DataFrame) -> pd.Series[str]:
    """Name each corpus; one that a store made by its kind, if that tells it apart."""
    named = table.get("corpus", pd.Series(index=table.index, dtype=object))
    corpora = named.fillna(table["source"]).astype(str)
    whole = pd.Series(corpora.unique(), corpora.unique())
    kinds = whole.str.replace(r"^corpus-(.+)-\w+$", r"\1", regex=True)
    return corpora.map(kinds.where(~kinds.duplicated(keep=False), whole))


def _numbers(table: pd.DataFrame, name: str, source: str) -> pd.Series[float]:
    """Make a column float64; blanks are NaN, and what cannot be is refused."""
    found = pd.to_numeric(table[name], errors="coerce").astype("float64")
    least = 0 if name in MEASURED else 1
    most = 1 if name == "codebook_utilisation" else np.inf
    bad = (found < least) | (found > most) | np.isinf(found)
    bad |= found.isna() & (table[name].notna() | (name == "codebook_size"))
    if bad.any():
        row = int(np.argmax(bad))
        upper = " to 1" if most == 1 else " upwards"
        raise ScalingError(
            f"{name} is {str(table[name].iloc[row])!r} in row {row + 1} of {source}; "
            f"expected a number from {least}{upper}: correct it or remove the row"
        )
    return found


def _series(table: pd.DataFrame) -> pd.Series[str]:
    """Name the quantizer of each row, with its stages where it has several."""
    names = table["quantizer"].fillna("unnamed").astype(str).str.strip()
    spelled = {key: label for key, (label, *_) in STYLES.items()}
    labels = names.str.lower().map(spelled).fillna(names)
    if "stages" not in table:
        return labels
    stages = table["stages"].fillna(1).astype(int).astype(str)
    return labels.where(stages == "1", labels + ", " + stages + " stages")


# --- The caption --------------------------------------------------------------------


def _caption(table: pd.DataFrame, published: bool) -> str:
    panels = known(table)
    partly = [PANELS[name] for name in panels if table[name].isna().any()]
    repeated = table.duplicated(["corpus", "series", "codebook_size"]).any()
    sentences = {
        "What a larger codebook V brings: errors should fall, and codes in use should "
        f"follow the grey line of all codes. {'; '.join(_corpora(table))}.": True,
        "L1 is that of normalised features.": "l1" in panels,
        "MPJPE is taken with pelvises aligned.": "mpjpe" in panels,
        BOUNDED: any(name in panels for name in COUNTED),
        "Dotted: the number of test tokens.": any_dotted(table),
        "FID is by evaluators of one's own, which compares with no published one.": (
            "fid" in panels and "evaluator" in table
        ),
        "Small points are single tokenizers, large ones the mean of a codebook's.": (
            repeated
        ),
        f"Not known for all: {', '.join(partly)}.": bool(partly),
        "scamo is Table 3 of the paper (arXiv 2412.14559), which does not give the "
        "number of test tokens, and gives V as named, not the products of the "
        "levels.": published,
    }
    return " ".join(sentence for sentence, holds in sentences.items() if holds)


def _corpora(table: pd.DataFrame) -> list[str]:
    """Say of each corpus how many tokenizers it has, and how many tokens they made."""
    found = []
    for corpus, rows in table.groupby("corpus", sort=False):
        tokens = " or ".join(f"{n:,.0f}" for n in token_counts(rows))
        known_of = f" ({tokens} test tokens)" * bool(tokens)
        found.append(f"{count(len(rows), 'tokenizer')} on {corpus}{known_of}")
    return found
