"""The report in a real browser: what moves on it, who can read it, whom it asks."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from scaling.analysis.outlook import outlook
from tests.analysis.report_kit import (
    HOSTILE,
    Report,
    Reports,
    expected,
    number,
    same,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome"
)
KINDS = ["study", "isoflop", "scamo", "hostile"]


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


def answers(tab: Page) -> list[list[float]]:
    """Read the slider's table: value, low, high of each quantity, then of the loss."""
    rows = tab.locator("#answers tr").all()
    cells = [row.locator("td").all_inner_texts() for row in rows]
    return [[number(x) for x in (best, *ends.split(" to "))] for best, ends in cells]


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


def test_predictions_put_to_the_test_can_be_read_by_all(
    tab: Page, reports: Reports
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    tab.set_viewport_size({"width": 360, "height": 700})
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        show(tab, reports["tested"])
        found = Axe().run(tab)
        assert found.violations_count == 0, found.generate_report()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    rows = [row.inner_text() for row in tab.locator("#tested tbody tr").all()]
    times = [re.findall(r"(\d+) times the fit", row) for row in rows]
    assert times == [["10"], ["30"], ["100"]]
    inside, outside, waiting = rows
    assert "inside the 50 % interval" in inside
    assert "OUTSIDE THE 90 % INTERVAL" in outside
    assert "not trained yet" in waiting


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
        tab.locator(name).first.is_visible()
        for name in ("nav", "#compute", "#filter", ".motion-player .controls")
    )
    ink = "getComputedStyle(document.body).color"
    assert tab.evaluate(ink) == "rgb(31, 39, 51)"  # as on a light page
    assert tab.pdf().startswith(b"%PDF")


def test_a_figure_opens_at_full_size_and_closes(tab: Page, reports: Reports) -> None:
    tab.set_viewport_size({"width": 390, "height": 800})
    show(tab, reports["study"])
    figure, large = tab.locator(".enlarge").first, tab.locator("#large img")
    small = figure.bounding_box()
    assert small is not None
    assert small["x"] + small["width"] <= 390
    for close in (
        "Escape",
        "Enter",
    ):  # which presses Close
        figure.click()
        box = large.bounding_box()
        assert box is not None
        assert box["width"] > 2 * small["width"]
        assert large.get_attribute("src") == figure.locator("img").get_attribute("src")
        tab.keyboard.press(close)
        assert large.is_hidden()


def test_without_a_script_there_are_no_blank_boxes(
    chromium: Browser, reports: Reports
) -> None:
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(reports["study"].path.as_uri())
    for name in ("#cloud", "#band", "canvas", "#compute", "#filter", "#table"):
        assert tab.locator(name).first.is_hidden()
    assert tab.locator(".headline").is_visible()
    assert tab.locator("#motions noscript").inner_text()
    context.close()


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


def typed(tab: Page, text: str) -> str:
    """Type a budget; give what the page says of it."""
    tab.fill("#typed", text)
    tab.keyboard.press("Enter")
    return tab.inner_text("#where")


def test_both_ends_of_the_slider_are_those_of_the_table(
    tab: Page, reports: Reports
) -> None:
    table = show(tab, reports["study"])
    opened = (answers(tab), tab.inner_text("#where"))
    tab.focus("#compute")
    for key, row in (("Home", 0), ("End", -1)):
        tab.keyboard.press(key)
        assert same(answers(tab), expected(table.iloc[row]))
    assert (answers(tab), tab.inner_text("#where")) == opened


@pytest.mark.parametrize(
    "text",
    ["1,300,000,000,000", "1.3*10^12", "1.3×10¹²", "1.3e+12 flops", "13E11"],
)
def test_budgets_are_read_as_people_write_them(
    tab: Page, reports: Reports, text: str
) -> None:
    table = show(tab, reports["study"])
    assert table["C"].min() < 1.3e12 < table["C"].max()
    assert typed(tab, text).startswith("1.3×10¹² FLOPs: ")
    wanted = outlook(reports["study"].material.laws, [1.3e12])
    assert same(answers(tab), expected(wanted.iloc[0]))


def test_what_is_no_budget_is_told_and_changes_nothing(
    tab: Page, reports: Reports
) -> None:
    show(tab, reports["study"])
    before = (answers(tab), tab.input_value("#typed"))
    for text in ("abc", "0", "-3", "", "1,2", "1e999", "3e"):
        assert typed(tab, text).startswith(f"“{text}” is no number of FLOPs")
        assert (answers(tab), tab.input_value("#typed")) == before
    assert tab.get_attribute("#where", "aria-live") == "polite"


def test_past_its_ends_the_slider_says_what_it_shows(
    tab: Page, reports: Reports
) -> None:
    table = show(tab, reports["study"])
    laws, end = reports["study"].material.laws, table["C"].iloc[-1]
    assert "what the laws are asked" not in typed(tab, f"{1.04 * end:.6g}")
    assert same(answers(tab), expected(outlook(laws, [1.04 * end]).iloc[0]))
    assert "is beyond what the laws are asked; shown at" in typed(tab, "9e20")
    assert same(answers(tab), expected(table.iloc[-1]))
    assert "is below what the laws are asked; shown at" in typed(tab, "5")
    most = end / 10
    assert "inside the fitted range" in typed(tab, f"{most:.2e}")  # as it is written
    assert "OUTSIDE" in typed(tab, f"{1.05 * most:.6g}")
    assert "just past its largest" in tab.inner_text("#where")
    assert "2 times its largest" in typed(tab, f"{2 * most:.6g}")


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
    assert tab.locator("#cloud circle.dim").count() == 11
    tab.fill("#filter", "none such")
    assert column(tab, 0) == []
    assert tab.inner_text("#count") == "No run matches “none such”."
    assert tab.locator("#cloud circle.dim").count() == 12


def test_the_filter_finds_numbers_however_they_are_written(
    tab: Page, reports: Reports
) -> None:
    show(tab, reports["study"])
    tab.fill("#filter", "")
    row = tab.locator("#table tbody tr").first.locator("th, td").all_inner_texts()
    loss = next(cell for cell in row if cell.startswith("−"))
    many = next(cell for cell in row if re.fullmatch(r"\d+(,\d{3})+", cell))
    for word in (loss, loss.replace("−", "-"), many, many.replace(",", "")):
        tab.fill("#filter", word)
        assert row[0] in column(tab, 0)
    arrow = "getComputedStyle(document.querySelector('{} button'), '::after').content"
    sorted_by, other = "#table th[aria-sort=ascending]", "#table th[aria-sort=none]"
    assert "▲" in tab.evaluate(arrow.format(sorted_by))
    assert "▲" not in tab.evaluate(arrow.format(other))


def test_a_run_of_the_table_is_shown_where_it_can_be_seen(
    tab: Page, reports: Reports
) -> None:
    show(tab, reports["study"])
    button = tab.locator("#table tbody button").last
    tab.set_viewport_size({"width": 1100, "height": 420})
    button.scroll_into_view_if_needed()
    button.click()
    assert tab.inner_text("#told").startswith(button.inner_text())
    tab.set_viewport_size({"width": 1100, "height": 2400})
    tab.locator("#runs").scroll_into_view_if_needed()
    button.click()
    assert tab.locator("#told").is_hidden()
    assert tab.inner_text("#readout b") == button.inner_text()


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
