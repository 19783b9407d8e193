"""The report in a real browser: what moves on it, who can read it, whom it asks."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
import pytest

from scaling.analysis.material import Material
from scaling.analysis.outlook import outlook
from scaling.analysis.player import Motion
from scaling.analysis.report import Motions, page
from scaling.runs import kinematic
from tests.analysis.conftest import isoflop_table, small_table

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome"
)
HOSTILE = '</script><script>hurt = 1</script>"><img src="x" onerror="hurt = 1">'
KINDS = ["study", "isoflop", "scamo", "hostile"]


class Report(NamedTuple):
    """A page, and what it was made of."""

    path: Path
    material: Material


def _material(kind: str, folder: Path) -> Material:
    if kind == "scamo":
        return Material(sources=["scamo"])
    table = isoflop_table() if kind == "isoflop" else small_table()
    if kind == "hostile":
        table["run"] = table["run"].str.replace("w16", HOSTILE, regex=False)
        table["size"] = "<b>" + table["size"]
    path = folder / f"{kind}.csv"
    table.to_csv(path, index=False)
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


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    return Reports(tmp_path_factory.mktemp("reports"))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Page]:
    """A window; no page may say a word, err, or ask anyone for anything."""
    tab, heard = chromium.new_page(viewport={"width": 1100, "height": 800}), []

    def ask(url: str) -> None:
        if not url.startswith("data:") and url != tab.url.partition("#")[0]:
            heard.append(url)

    tab.on("console", lambda message: heard.append(message.text))
    tab.on("pageerror", lambda error: heard.append(str(error)))
    tab.on("requestfinished", lambda request: ask(request.url))
    tab.on("requestfailed", lambda request: ask(request.url))
    yield tab
    assert heard == []
    tab.close()


@pytest.fixture(params=KINDS)
def report(request: pytest.FixtureRequest, reports: Reports) -> Report:
    return reports[request.param]


def show(tab: Page, report: Report) -> pd.DataFrame:
    """Open a report; give the outlook that its slider should tell."""
    tab.goto(report.path.as_uri())
    tab.wait_for_load_state("networkidle")
    return outlook(report.material.laws)


def number(text: str) -> float:
    """Read what the page wrote: 1.25M, 1,600, 3×10¹², −2.298."""
    plain = text.replace(",", "").replace("−", "-")
    digits = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
    plain = re.sub("×10([⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)", lambda m: "e" + m[1].translate(digits), plain)
    return float(
        re.sub("[kMB]", lambda m: {"k": "e3", "M": "e6", "B": "e9"}[m[0]], plain)
    )


def answers(tab: Page) -> list[list[float]]:
    """Read the slider's table: value, low, high of each quantity, then of the loss."""
    rows = tab.locator("#answers tr").all()
    cells = [row.locator("td").all_inner_texts() for row in rows]
    return [[number(x) for x in (best, *ends.split(" to "))] for best, ends in cells]


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


# --- It opens, for everyone ---------------------------------------------------------


def test_a_report_fits_a_phone_and_has_no_id_twice(tab: Page, report: Report) -> None:
    for width in (360, 1400):
        tab.set_viewport_size({"width": width, "height": 700})
        show(tab, report)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
    ids = tab.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(set(ids)) == len(ids) > 10
    assert tab.evaluate("typeof hurt") == "undefined"
    assert all(tab.evaluate("[...document.images].map((e) => e.naturalWidth > 0)"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(tab: Page, report: Report, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    show(tab, report)
    tab.focus("#cloud")
    for key in ("Home", "Enter"):  # a run is chosen
        tab.keyboard.press(key)
    tab.evaluate("document.querySelectorAll('details').forEach((e) => (e.open = true))")
    found = Axe().run(tab)
    assert found.violations_count == 0, found.generate_report()


def test_the_dark_page_is_dark_and_its_figures_are_turned(
    tab: Page, reports: Reports
) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        show(tab, reports["study"])
        style = "getComputedStyle(document.querySelector('{}')).{}"
        seen[scheme] = (
            tab.evaluate(style.format("body", "backgroundColor")),
            tab.evaluate(style.format("figure img", "filter")),
        )
    assert seen["light"] == ("rgb(255, 255, 255)", "none")
    assert seen["dark"] == ("rgb(21, 25, 31)", "invert(1) hue-rotate(180deg)")


def test_paper_shows_the_verdict_and_no_controls(tab: Page, reports: Reports) -> None:
    tab.emulate_media(color_scheme="dark")
    show(tab, reports["study"])
    tab.emulate_media(media="print", color_scheme="dark")
    assert tab.locator(".headline").is_visible()
    assert not any(
        tab.locator(name).first.is_visible() for name in ("nav", "#compute", "#filter")
    )
    ink = "getComputedStyle(document.body).color"
    assert tab.evaluate(ink) == "rgb(31, 39, 51)"  # as on a light page
    assert tab.pdf().startswith(b"%PDF")


# --- The slider ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["study", "isoflop", "scamo"])
def test_the_slider_says_what_the_outlook_says(
    tab: Page, reports: Reports, kind: str
) -> None:
    table = show(tab, reports[kind])
    where, last = tab.locator("#where"), len(table) - 1
    assert same(answers(tab), expected(table.iloc[last]))  # it opens at the next run
    assert "OUTSIDE" in where.inner_text()
    tab.focus("#compute")
    tab.keyboard.press("Home")
    assert same(answers(tab), expected(table.iloc[0]))
    assert "inside the fitted range" in where.inner_text()
    for k in (1, last // 2, last - 1):
        tab.fill("#typed", f"{table['C'][k]:.6g}")
        tab.keyboard.press("Enter")
        assert same(answers(tab), expected(table.iloc[k]))
        assert ("OUTSIDE" in where.inner_text()) == table["extrapolated"][k]
    between = outlook(
        reports[kind].material.laws, [(table["C"][3] * table["C"][4]) ** 0.5]
    )
    tab.fill("#typed", f"{between['C'][0]:.6g}")
    tab.keyboard.press("Tab")
    assert same(answers(tab), expected(between.iloc[0]))


def test_mouse_and_arrow_keys_move_the_slider(tab: Page, reports: Reports) -> None:
    show(tab, reports["study"])
    marker = tab.locator("#band .marker")
    seen = [(answers(tab), marker.get_attribute("cx"))]
    tab.click("#compute")
    seen.append((answers(tab), marker.get_attribute("cx")))
    for _ in range(10):
        tab.keyboard.press("ArrowLeft")
    seen.append((answers(tab), marker.get_attribute("cx")))
    assert seen[0][0][0][0] > seen[1][0][0][0] > seen[2][0][0][0]  # N_nv* falls
    assert float(seen[0][1]) > float(seen[1][1]) > float(seen[2][1])
    tab.fill("#typed", "nonsense")
    tab.keyboard.press("Enter")
    assert answers(tab) == seen[2][0]
    label = tab.locator("#band text").first
    for symbol in ("N_nv", "D", "loss"):
        tab.select_option("#drawn", symbol)
        assert tab.locator("#band .band").count() == 1
        assert tab.locator("#band .wide").count() == (symbol == "loss")
    assert label.is_visible()


# --- The runs -----------------------------------------------------------------------


def column(tab: Page, place: int) -> list[str]:
    cells = tab.locator(f"#table tbody tr > :nth-child({place + 1})")
    return cells.all_inner_texts()


def test_the_table_sorts_and_filters(tab: Page, reports: Reports) -> None:
    show(tab, reports["study"])
    heads = tab.locator("#table thead th")
    names = heads.all_inner_texts()
    for name in ("C", "V", "D"):
        place = names.index(name)
        for order, sign in (("ascending", 1), ("descending", -1)):
            heads.nth(place).locator("button").click()
            assert heads.nth(place).get_attribute("aria-sort") == order
            shown = [sign * number(cell) for cell in column(tab, place)]
            assert shown == sorted(shown)
            assert len(shown) == 12
    heads.nth(0).locator("button").focus()
    tab.keyboard.press("Enter")
    runs = column(tab, 0)
    assert (runs[0], runs[-1]) == ("w16-v64", "w128-v1024")  # numbers as numbers
    tab.fill("#filter", "w32 V64")
    assert column(tab, 0) == ["w32-v64"]
    assert tab.inner_text("#count") == "1 of 12 runs"
    tab.fill("#filter", "none such")
    assert column(tab, 0) == []


def test_pages_of_many_runs_turn(tab: Page, reports: Reports) -> None:
    show(tab, reports["scamo"])
    first = column(tab, 0)
    assert (len(first), tab.inner_text("#page")) == (25, "Page 1 of 2")
    assert tab.is_disabled("#previous")
    tab.click("#next")
    second = column(tab, 0)
    assert len(second) == 42 - 25
    assert not set(first) & set(second)
    assert tab.is_disabled("#next")


def test_a_run_is_told_where_the_mouse_is(tab: Page, reports: Reports) -> None:
    show(tab, reports["study"])
    best = reports["study"].material.study.minima.sort_values("L_u").iloc[0]
    point = tab.locator("#cloud circle:not(.chosen)").last
    point.scroll_into_view_if_needed()
    tab.locator("#cloud").hover(position={"x": 5, "y": 5})
    far = tab.inner_text("#readout")
    box = point.bounding_box()
    assert box is not None
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    told = tab.inner_text("#readout")
    dearest = reports["study"].material.study.minima.sort_values("C").iloc[-1]
    assert told != far
    assert told.startswith(dearest["run"])
    for symbol in ("V", "D"):
        assert f"{dearest[symbol]:,.0f}" in told
    assert tab.locator("#table tr.chosen th").all_inner_texts() == [dearest["run"]]
    tab.mouse.down()
    tab.mouse.up()
    assert tab.evaluate("document.activeElement.textContent") == dearest["run"]
    assert best["run"] in column(tab, 0)


def test_arrow_keys_step_through_the_runs_by_compute(
    tab: Page, reports: Reports
) -> None:
    show(tab, reports["study"])
    order = reports["study"].material.study.minima.sort_values("C")["run"].tolist()
    tab.focus("#cloud")
    told = []
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowLeft", "End"):
        tab.keyboard.press(key)
        told.append(tab.inner_text("#readout b"))
    assert told == [order[k] for k in (0, 1, 2, 1, -1)]
    tab.fill("#filter", order[0])  # which hides the run that is chosen
    tab.focus("#cloud")
    tab.keyboard.press("Enter")
    assert tab.input_value("#filter") == ""
    assert tab.locator("#table tr[aria-current=true] th").inner_text() == order[-1]
    assert tab.evaluate("document.activeElement.textContent") == order[-1]


def test_hostile_names_stay_text(tab: Page, reports: Reports) -> None:
    show(tab, reports["hostile"])
    assert any(HOSTILE in run for run in column(tab, 0))
    assert all(size.startswith("<b>") for size in column(tab, 3))
    tab.focus("#cloud")
    tab.keyboard.press("Home")
    assert HOSTILE in tab.inner_text("#readout")
    assert HOSTILE in tab.inner_text("#missing")
    assert tab.evaluate("typeof hurt") == "undefined"
