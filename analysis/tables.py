"""The paper's tables 3 to 6 from any study: tokenizers, scores, corpus, levels.

Of `scamo` they are the paper's own (arXiv 2412.14559, supplementary); of run stores
what those hold; of plain tables of runs only table 4 can be, if scores are in them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scaling.analysis import reference
from scaling.analysis.layout import count
from scaling.analysis.material import Material
from scaling.analysis.tokenizer_figure import read_tokenizers
from scaling.errors import ScalingError
from scaling.files import read_json, write_text
from scaling.models.levels import LEVELS, codebook_size
from scaling.models.skeleton import FPS

SCORES = {
    "fid": "FID",
    "r_precision_1": "R@1",
    "r_precision_2": "R@2",
    "r_precision_3": "R@3",
    "matching_score": "matching score",
    "diversity": "diversity",
    "multimodality": "multimodality",
}
"""Columns of scores of generated motion, and their headings."""
PUBLISHED = "As printed in the paper (arXiv 2412.14559, supplementary)."


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Table:
    """A table of the paper, of a study at hand."""

    name: str
    """Name of its files, `table3` to `table6`."""
    title: str
    """What it holds, in a few words."""
    caption: str
    """What it holds, in sentences."""
    table: pd.DataFrame
    """Its rows, columns headed as shown."""

    def to_frame(self) -> pd.DataFrame:
        """Give its rows."""
        return self.table.copy()

    def cells(self) -> list[list[str]]:
        """Give the headings and the rows as text, numbers rounded to four digits."""
        rows = self.table.astype(object).to_numpy().tolist()
        return [list(self.table.columns), *([_cell(c) for c in row] for row in rows)]

    def markdown(self) -> str:
        """Write it in Markdown, numbers to the right."""
        head, *rows = self.cells()
        number = [pd.api.types.is_numeric_dtype(kind) for kind in self.table.dtypes]
        rule = ["---:" if right else "---" for right in number]
        lines = [" | ".join(line) for line in (head, rule, *rows)]
        return "\n".join(f"| {line} |" for line in lines)

    def _repr_html_(self) -> str:
        return str(self.table.to_html(index=False, border=0))


def _cell(value: object) -> str:
    if isinstance(value, float):
        if pd.isna(value):
            return ""
        return f"{value:,.0f}" if value.is_integer() else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def save_table(table: Table, folder: str | Path) -> list[Path]:
    """Write a table as CSV and as Markdown with its caption; give the paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    csv, markdown = folder / f"{table.name}.csv", folder / f"{table.name}.md"
    write_text(csv, table.table.to_csv(index=False))
    write_text(markdown, f"{table.markdown()}\n\n{table.caption}\n")
    return [csv, markdown]


# --- Which ---------------------------------------------------------------------------


def tokenizers(material: Material) -> Table:
    """Table 3: reconstruction and use of each tokenizer."""
    rows = read_tokenizers(material.tokenizers)
    shown = {
        "corpus": "corpus",
        "series": "quantizer",
        "codebook_size": "V",
        "l1": "L1",
        "mpjpe": "MPJPE (mm)",
        "codebook_utilisation": "utilisation",
        "exponential_entropy": "exponential entropy",
        "fid": "FID",
    }
    return Table(
        name="table3",
        title="Tokenizers: reconstruction and codebook utilisation",
        caption=f"{count(len(rows), 'tokenizer')} on the test split."
        + (f" {PUBLISHED}" if _is_scamo(material) else ""),
        table=_columns(rows, shown),
    )


def generation(material: Material) -> Table:
    """Table 4: scores of generated motion by transformer size and codebook."""
    if _is_scamo(material):
        rows = reference.load("table4_generation")
        old = {"model_size": "size"}
        old |= {f"r_precision_top{k}": f"r_precision_{k}" for k in (1, 2, 3)}
        rows, said = rows.rename(columns=old), PUBLISHED
    else:
        rows = material.records.frame
        if "fid" not in rows or rows["fid"].isna().all():
            raise ScalingError(
                "no run has scores of generated motion; scaling evaluate makes them"
            )
        rows = rows.dropna(subset="fid").drop_duplicates("run", keep="last")
        said = "Scores of an evaluator of one's own compare with no published ones."
    shown = {"size": "size", "codebook_size": "V", "normalised_loss": "L_u", **SCORES}
    return Table(
        name="table4",
        title="Generated motion: scores by model and codebook",
        caption=f"{count(len(rows), 'run')}. FID and matching score: less is better; "
        f"R-precision: more. {said}",
        table=_columns(rows, shown),
    )


def corpus(material: Material) -> Table:
    """Table 5: what the corpus is made of."""
    if _is_scamo(material):
        rows = reference.load("table5_motionunion")
        return Table(
            name="table5",
            title="MotionUnion: sequences and frames by source",
            caption=f"{rows['frames'].sum():,} frames of {rows['sequences'].sum():,} "
            f"sequences of {len(rows)} sources. {PUBLISHED}",
            table=rows.rename(columns={"subset": "source"}),
        )
    parts = [_splits(path) for path in _clips(material)]
    if not parts:
        raise ScalingError("no source is a run store with a corpus of its own")
    rows = pd.concat(parts, ignore_index=True)
    return Table(
        name="table5",
        title="The corpus: clips and frames by split",
        caption=f"{rows['frames'].sum():,} frames of {rows['clips'].sum():,} clips.",
        table=rows,
    )


def levels(material: Material) -> Table:
    """Table 6: the levels that stand for each nominal codebook size."""
    rows = _named_levels() if _is_scamo(material) else _used_levels(material)
    return Table(
        name="table6",
        title="FSQ levels by nominal codebook size",
        caption="The product of the levels is the real number of codes."
        + (f" {PUBLISHED}" if _is_scamo(material) else ""),
        table=rows,
    )


def _named_levels() -> pd.DataFrame:
    rows = [(n, " ".join(map(str, L)), codebook_size(L)) for n, L in LEVELS.items()]
    return pd.DataFrame(rows, columns=["nominal V", "levels", "V"])


def _used_levels(material: Material) -> pd.DataFrame:
    rows = read_tokenizers(material.tokenizers)
    if "levels" not in rows or rows["levels"].isna().all():
        raise ScalingError("no tokenizer has levels; FSQ has")
    used = rows.dropna(subset="levels").astype({"codebook_size": int})
    used = used.drop_duplicates("codebook_size").sort_values("codebook_size")
    shown = {"nominal_codebook_size": "nominal V", "levels": "levels"}
    return _columns(used, {**shown, "codebook_size": "V"})


TABLES: dict[str, Callable[[Material], Table]] = {
    "table3": tokenizers,
    "table4": generation,
    "table5": corpus,
    "table6": levels,
}
"""How each table is made."""


# --- Where from ----------------------------------------------------------------------


def _is_scamo(material: Material) -> bool:
    return len(material.sources) == 1 and str(material.sources[0]) == "scamo"


def _clips(material: Material) -> list[Path]:
    return [found for store in material.stores for found in store.glob("*/clips.json")]


def _splits(path: Path) -> pd.DataFrame:
    """Count the clips of a corpus by split."""
    clips = pd.DataFrame(read_json(path)["clips"])
    if "frames" not in clips:
        raise ScalingError(f"{path.parent.name} is no corpus of motion")
    config = read_json(path.with_name("config.json"))
    by_split = clips.groupby("split", sort=False)["frames"].agg(["size", "sum"])
    table = by_split.rename(columns={"size": "clips", "sum": "frames"}).reset_index()
    table.insert(0, "corpus", config.get("settings", config).get("kind", "corpus"))
    return table.assign(hours=(table["frames"] / FPS / 3600).round(3))


def _columns(rows: pd.DataFrame, shown: dict[str, str]) -> pd.DataFrame:
    """Keep the columns that hold anything, under their headings."""
    held = [name for name in shown if name in rows and rows[name].notna().any()]
    return rows[held].rename(columns=shown).reset_index(drop=True)
