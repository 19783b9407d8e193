"""Reports of several materials for tests in a browser, and how numbers are read."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from scaling.analysis.material import Material
from scaling.analysis.player import Motion
from scaling.analysis.report import Motions, page
from scaling.runs import kinematic
from tests.analysis.conftest import isoflop_table, small_table
from tests.analysis.verification_kit import foretold, written

HOSTILE = '</script><script>hurt = 1</script>"><img src="x" onerror="hurt = 1">'


class Report(NamedTuple):
    """A page, and what it was made of."""

    path: Path
    material: Material


def _material(kind: str, folder: Path) -> Material:
    if kind == "scamo":
        return Material(sources=["scamo"])
    table = isoflop_table() if kind in ("isoflop", "tested") else small_table()
    if kind == "hostile":
        table["run"] = table["run"].str.replace("w16", HOSTILE, regex=False)
        table["size"] = "<b>" + table["size"]
    path = folder / f"{kind}.csv"
    table.to_csv(path, index=False)
    if kind == "tested":
        for times, share in ((10, 0.1), (30, -4), (100, None)):
            written(folder, foretold(path, "chinchilla", times), share)
    return Material(sources=[path])


class Reports(dict[str, Report]):
    """Reports by kind, each written when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __missing__(self, kind: str) -> Report:
        material = _material(kind, self.folder)
        motion = Motion(joints=kinematic.sequence(0, 7).joints[:40], caption=HOSTILE)
        motions = Motions(run="best", groups=[[motion]]) if kind == "study" else None
        path = self.folder / f"{kind}.html"
        path.write_text(
            page(material, motions=motions, missing={"Motions": HOSTILE}),
            encoding="utf-8",
        )
        self[kind] = Report(path, material)
        return self[kind]


def number(text: str) -> float:
    """Read what the page wrote: 1.25M, 1,600, 3×10¹², −2.298."""
    plain = text.replace(",", "").replace("−", "-")
    digits = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
    plain = re.sub("×10([⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)", lambda m: "e" + m[1].translate(digits), plain)
    return float(
        re.sub("[kMB]", lambda m: {"k": "e3", "M": "e6", "B": "e9"}[m[0]], plain)
    )


def expected(row: pd.Series[float]) -> list[list[float]]:
    names = [name for name in ("N", "N_nv", "N_v", "V", "D") if name in row]
    sizes = [[row[n], row[f"{n}_low"], row[f"{n}_high"]] for n in names]
    loss = [[row["loss"], row[f"{n}_low"], row[f"{n}_high"]] for n in ("loss", "new")]
    return [*sizes, *loss]


def same(shown: list[list[float]], wanted: list[list[float]]) -> bool:
    """Whether numbers agree as far as they are written: 3 digits, 3 decimals."""
    flat = (chain.from_iterable(rows) for rows in (shown, wanted))
    pairs = zip(*flat, strict=True)
    return all(a == pytest.approx(b, rel=5.1e-3, abs=5.1e-4) for a, b in pairs)
