"""Captions of motion files, in a table beside them: CSV with a header, or JSONL.

Columns `name` (a file's, with or without suffix) and `caption`; several captions are
several rows, or in JSONL a list `captions`. Where known: `split`, `fps` (the true
frames per second) and `lead` (frames to drop at the start).
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaling.errors import ScalingError
from scaling.runs.sources import SPLITS, has_words


@dataclass(slots=True)
class Told:
    """What a table says of one file."""

    captions: list[str] = field(default_factory=list)
    """What it shows, in the order of the rows; those without words left out."""
    split: str | None = None
    """`train`, `val` or `test`."""
    fps: float | None = None
    """Its true frames per second."""
    lead: int | None = None
    """Frames to drop at its start."""


def read(path: Path) -> dict[str, Told]:
    """Read a table.

    Returns
    -------
    dict
        What it says of each file, by the file's name without suffix.

    Raises
    ------
    ScalingError
        If it cannot be read or has no names or captions, or a value is not what its
        column holds; with the number of the line.
    """
    told: dict[str, Told] = {}
    for number, row in _rows(path):
        try:
            _add(told.setdefault(_name(row), Told()), row)
        except (TypeError, ValueError) as error:
            raise ScalingError(
                f"{path}:{number}: {error}; expected name, caption and, where known, "
                f"split ({', '.join(SPLITS)}), fps above 0, lead of 0 or more frames: "
                "mend that line"
            ) from None
    return told


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ScalingError(
            f"corpus.captions: {path} cannot be read ({type(error).__name__}); "
            "expected a CSV or JSONL file in UTF-8: name another"
        ) from None
    if path.suffix.lower() in (".jsonl", ".json"):
        for number, line in enumerate(text.split("\n"), 1):  # not at U+2028
            if line.strip():
                yield number, _parsed(line)
        return
    table = csv.DictReader(io.StringIO(text, newline=""))
    missing = {"name", "caption"} - set(table.fieldnames or ())
    if missing:
        raise ScalingError(
            f"{path} has no column {' and no '.join(sorted(missing))}; it has: "
            f"{', '.join(table.fieldnames or ())}. Expected name and caption: rename"
        )
    try:
        for row in table:
            yield table.line_num, row
    except csv.Error as error:
        raise ScalingError(
            f"{path}:{table.line_num}: {error}; expected a quote at a field's end for "
            "each at a beginning: mend the table"
        ) from None


def _parsed(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    return row if isinstance(row, dict) else {}


def _name(row: dict[str, Any]) -> str:
    name = str(row.get("name") or "").strip()
    if not name:
        raise ValueError("no name")
    return name.removesuffix(".bvh").removesuffix(".npz")


def _add(told: Told, row: dict[str, Any]) -> None:
    captions = row.get("captions", [row.get("caption") or ""])
    if not isinstance(captions, list):
        raise ValueError(f"captions {captions!r} are no list")
    told.captions += [text.strip() for text in map(str, captions) if has_words(text)]
    "".join(told.captions).encode()  # JSON can spell what no file can hold
    if row.get("split"):
        told.split = str(row["split"])
        if told.split not in SPLITS:
            raise ValueError(f"split {told.split!r} is unknown")
    if row.get("fps"):
        told.fps = float(row["fps"])
        if not 0 < told.fps < math.inf:
            raise ValueError(f"fps {told.fps:g} is not above 0")
    if row.get("lead"):
        told.lead = int(row["lead"])
        if told.lead < 0:
            raise ValueError(f"lead {told.lead} is below 0")
