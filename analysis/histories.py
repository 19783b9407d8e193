"""What runs went through: all their evaluations, and what their stores say of them.

Laws rest on the evaluations that have cooled down; learning curves and costs are of all
of them, the trunks' included. A branch starts where its trunk stands: what it shows and
costs of its own begins there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from scaling.analysis.stores import read_store
from scaling.analysis.table import Records
from scaling.models.flops import PAPER_CONTEXT, PAPER_TEXT_WIDTH
from scaling.record import Row, run_folders, status

SYMBOLS = {"C": "flops", "D": "tokens", "V": "codebook_size"}
TEXTS = ("size", "status", "schedule", "precision", "device")
NUMBERS = ("seed", "seconds", "learning_rate")


def told(records: Records, stores: Sequence[Path]) -> dict[str, Row]:
    """Give the facts of all runs, or none where some did not come from stores."""
    return {
        prefix + run: known
        for prefix, store in _prefixed(records, stores)
        for run, known in facts(store).items()
    }


def _prefixed(records: Records, stores: Sequence[Path]) -> list[tuple[str, Path]]:
    """Give each store with what the records set before the names of its runs."""
    if len(stores) != len(records.sources):
        return []
    names = records.frame["run"].astype(str)
    prefixes = (f"{source}:" for source in records.sources)
    return [
        (prefix if names.str.startswith(prefix).any() else "", store)
        for prefix, store in zip(prefixes, stores, strict=True)
    ]


def histories(records: Records, stores: Sequence[Path] = ()) -> pd.DataFrame:
    """Give all evaluations of the runs.

    Parameters
    ----------
    records : Records
        Whose evaluations stand for the runs where they are not all in stores.
    stores : sequence of Path
        The run stores that the records came from.

    Returns
    -------
    DataFrame
        One row per evaluation, in order: `run`, `size`, `N_nv` or `N`, `L_u`, and
        where known `C`, `D`, `V`, `cooled`, `seed`, `seconds`, `status`, `schedule`,
        `learning_rate` (peak), `device`, `precision`; of stores also `parent`, the
        trunk that a run goes on from, or blank.
    """
    frames = [_of_store(*each) for each in _prefixed(records, stores)]
    frame = pd.concat(frames) if frames else records.frame
    wanted = {symbol: each.column for symbol, each in records.quantities.items()}
    wanted = {**SYMBOLS, **wanted}
    found = {"run": frame["run"].astype(str)}
    points = {symbol: column for symbol, column in wanted.items() if column in frame}
    numbers = {**points, **{n: n for n in NUMBERS if n in frame}}
    for symbol, column in numbers.items():
        found[symbol] = pd.to_numeric(frame[column], errors="coerce")
    for name in (*TEXTS, "parent", "cooled"):
        if name in frame:
            found[name] = frame[name]
    table = pd.DataFrame(found)
    if "size" not in table or table["size"].isna().all():
        table = table.assign(size=_sizes(records, table["run"]))
    by = ["run", *(n for n in ("D", "C") if n in table)]
    return table.sort_values(by, kind="stable").reset_index(drop=True)


def _of_store(prefix: str, store: Path) -> pd.DataFrame:
    frame = read_store(store, store.name, [])
    known = facts(store)
    parents = [known[run]["parent"] for run in frame["run"]]
    return frame.assign(
        run=prefix + frame["run"],
        parent=[parent and prefix + parent for parent in parents],
    )


def _sizes(records: Records, runs: pd.Series[str]) -> pd.Series[str]:
    points = records.points()
    if "size" not in points:
        return pd.Series("", index=runs.index)
    return runs.map(points.drop_duplicates("run").set_index("run")["size"])


def facts(store: Path) -> dict[str, Row]:
    """Read what the configs of a store's runs say of how they were trained.

    Returns
    -------
    dict
        By run: `parent`, `start` (tokens of the trunk before it), `tokens` (the budget,
        NaN in stores of version 0.2 or before), `warmup` (tokens, or a share of the
        budget), `cools`, `schedule`, `peak`, `status`, and what an `Architecture` needs
        that tables lack.
    """
    return {
        folder.name: {**_facts(config), "status": status(folder)}
        for folder, config in run_folders(store, "transformer", "trunk")
    }


def _facts(config: Row) -> Row:
    settings, record = config.get("settings", config), config["record"]
    tokens, context = config.get("tokens"), settings.get("context", PAPER_CONTEXT)
    return {
        "parent": config.get("trunk") or "",
        "start": float(config.get("trunk_tokens") or 0),
        "tokens": float(tokens) if isinstance(tokens, int | float) else math.nan,
        "warmup": float(config.get("warmup_tokens") or settings.get("warmup") or 0),
        "cools": config["kind"] == "transformer",
        "schedule": record.get("schedule", ""),
        "peak": record.get("learning_rate", math.nan),
        "n_ctx": context,
        "n_prefix": min(settings.get("text_length") or 0, context - 1),
        "text_width": settings.get("text_width", PAPER_TEXT_WIDTH),
    }
