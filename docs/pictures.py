"""Draw the pictures of `docs/figures.md` anew: `python docs/pictures.py`.

Each is what `scaling plot` draws of data in this repository, small enough to be kept
beside the page. `cost` needs times, which a run store alone holds, and `report`, the
picture of the README, its page: `--store OUT`, after `scaling report OUT`.
"""

from __future__ import annotations

import argparse
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

import scaling
from scaling.analysis.axes import house_style
from scaling.analysis.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
DOTS, COLOURS, FEW, GAP = 110, 64, 24, 24

RUNS = {
    "sources": ROOT / "examples/isoflops.csv",
    "columns": {"N": "params", "D": "tokens", "L": "loss"},
    "law": "chinchilla",
}
MOTION = {"sources": ROOT / "docs/first-light/runs.csv"}
TOKENIZERS = [ROOT / f"docs/tokenizers/{name}.csv" for name in ("bandai_namco", "cmu")]

PAPER = {"sources": "scamo"}
DRAWN_OF: tuple[tuple[dict[str, Any], tuple[str, ...]], ...] = (
    (PAPER, ("figure2", "figure3a", "figure3b", "figure7b", "figure8", "data")),
    (PAPER, ("surface", "optima")),
    (RUNS, ("isoflop", "fit", "residuals", "extrapolation", "profiles")),
    (MOTION, ("conventions", "learning")),
    ({"sources": TOKENIZERS}, ("tokenizers",)),
)
"""What the pictures are drawn of."""


def small(figure: Figure, path: Path, colours: int = COLOURS) -> None:
    """Write a figure as a PNG of few colours."""
    drawn = BytesIO()
    with house_style():
        figure.page().savefig(drawn, format="png", dpi=DOTS)
    with Image.open(drawn) as picture:
        few = picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def report_picture(page: Path, path: Path) -> None:
    """Write what a report begins with, and its slider, as a PNG of few colours."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        tab = browser.new_page(viewport={"width": 860, "height": 900})
        tab.goto(page.resolve().as_uri())
        box = tab.locator("#verdict").bounding_box()
        below = tab.locator("#verdict h3").nth(1).bounding_box()
        assert box is not None
        assert below is not None
        top = {**box, "height": below["y"] - box["y"] - 12}
        parts = [
            tab.screenshot(clip=top, full_page=True),
            tab.locator("#outlook").screenshot(),
        ]
        browser.close()
    pictures = [Image.open(BytesIO(part)).convert("RGB") for part in parts]
    height = sum(picture.height for picture in pictures) + GAP
    sheet = Image.new("RGB", (pictures[0].width, height), "white")
    sheet.paste(pictures[0], (0, 0))
    sheet.paste(pictures[1], (0, pictures[0].height + GAP))
    sheet.quantize(FEW, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--store", type=Path, help="a run store, for `cost`")
    store = options.parse_args().store
    (ROOT / "docs/figures").mkdir(exist_ok=True)
    for given, names in (*DRAWN_OF, ({"sources": store}, ("cost",) if store else ())):
        for name in names:
            figure = scaling.figures(only=name, **given)[name]
            small(figure, ROOT / f"docs/figures/{name}.png")
    if store:
        report_picture(store / "report.html", ROOT / "docs/figures/report.png")
