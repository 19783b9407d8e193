"""Results as a notebook shows them, against files that a person can read."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scaling.analysis.approaches import approaches
from scaling.analysis.arms import compare_arms
from scaling.analysis.card import card
from scaling.analysis.fitting import fit_law
from scaling.analysis.gallery import gallery
from scaling.analysis.material import Material
from scaling.analysis.nextruns import plan_runs
from scaling.analysis.objective import Objective
from scaling.analysis.prediction import predict_budget
from scaling.analysis.rates import best_rates
from scaling.analysis.records import read
from scaling.analysis.render_html import table, text
from scaling.analysis.selection import compare_laws

GOLDEN = Path(__file__).parent / "golden"


class Page(HTMLParser):
    """Reads a page: its tables as lists of rows, and what is still open at the end."""

    VOID = ("br", "img")

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.attributes.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and {"th", "td"} & set(self.open):
            self.tables[-1][-1][-1] += data


@pytest.fixture(scope="module")
def doubtful(isoflops):
    """Sixteen rows at 20 tokens per parameter: N and D cannot be told apart."""
    rows = isoflops.assign(tokens=20 * isoflops["total_params"], flops=float("nan"))
    rows = rows.drop(columns="flops").iloc[::2]
    records = replace(read(rows), sources=("collinear.csv",))
    return card(fit_law(records, "chinchilla", objective=Objective(name="lsq")))


@pytest.fixture(scope="module")
def results(law_fit, small, small_study, isoflops, doubtful, sweep):
    """One of each, all small."""
    good = card(law_fit, holdout=0.2)
    records = replace(read(isoflops), sources=("isoflops.csv",))
    return {
        "records": replace(small, sources=("small.csv",)),
        "study": replace(small_study, sources=("small.csv",)),
        "card": good,
        "doubtful": doubtful,
        "selection": compare_laws(records, ["chinchilla", "power"]),
        "approaches": approaches(records),
        "prediction": predict_budget(law_fit, good.uncertainty, 1e24),
        "plan": plan_runs(law_fit, 1e22, 1e24, runs=3, simulations=200),
        "arms": compare_arms(records, records, "power-floor"),
        "rates": best_rates(sweep),
    }


@pytest.fixture(scope="module")
def sweep():
    rows = [
        {
            "d_model": width,
            "size": f"2x2x{width}",
            "learning_rate": rate,
            "tokens": 60_000,
            "flops": 1e12 * width,
            "codebook_size": 256,
            "normalised_loss": -1 + (k - best) ** 2 / 10,
            "run": f"{width}-{rate}",
        }
        for width, best in ((16, 2.6), (32, 1.9), (64, 1.3))
        for k, rate in enumerate((0.004, 0.008, 0.016, 0.032, 0.064))
    ]
    return pd.DataFrame(rows)


NAMES = (
    "records",
    "study",
    "card",
    "doubtful",
    "selection",
    "approaches",
    "prediction",
    "plan",
    "arms",
    "rates",
)


@pytest.mark.parametrize("name", NAMES)
def test_every_result_is_a_sound_page(results, name):
    page = Page(results[name]._repr_html_())
    assert page.open == []
    assert page.tables
    for rows in page.tables:
        assert len({len(row) for row in rows}) == 1
    for tag, named in page.attributes:
        if tag == "th":
            assert named["scope"] in ("row", "col")
        assert "color" not in (named.get("style") or "")


@pytest.mark.parametrize("name", ["records", "study", "card", "prediction"])
def test_pages_are_as_in_the_golden_files(results, name):
    found = without_printed(results[name]._repr_html_())
    expected = (GOLDEN / f"{name}.html").read_text(encoding="utf-8")
    assert blurred(found) == blurred(expected)


def without_printed(page: str) -> str:
    """Leave out the text of the terminal, which has golden files of its own."""
    return re.sub(r"<details>.*</details>\n", "", page, flags=re.DOTALL) + "\n"


def blurred(page: str) -> str:
    """Round numbers to three digits: libraries differ in the last ones."""
    return re.sub(r"\d+\.?\d*(e[+-]\d+)?", lambda found: f"{float(found[0]):.3g}", page)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("records", "arms")])
def test_what_is_printed_can_be_unfolded(results, name):
    if name == "rates":
        assert "learning_rate:" in results[name]._repr_html_()
        return
    found = re.search(r"<pre>(.*)</pre>", results[name]._repr_html_(), re.DOTALL)
    assert found is not None
    printed = found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    if name != "selection":
        assert printed == repr(results[name])


def test_a_table_has_the_printed_cells(results):
    (rows,) = Page(results["prediction"]._repr_html_()).tables
    for row in rows[1:]:
        assert all(cell in repr(results["prediction"]) for cell in row)


def test_the_first_rows_of_records_are_those_of_their_points(results):
    (rows,) = Page(results["records"]._repr_html_()).tables
    points = results["records"].points()
    assert rows[0] == list(points)
    assert [row[0] for row in rows[1:]] == points["run"].head().tolist()
    assert "96 evaluations of 12 runs" in results["records"]._repr_html_()
    assert "and 91 rows more" in results["records"]._repr_html_()


def test_bad_states_are_bold_and_good_ones_are_not(results):
    assert "<b>DOUBTFUL</b>" in results["doubtful"]._repr_html_()
    assert "DOUBTFUL" not in results["card"]._repr_html_()
    assert "<b>FAR EXTRAPOLATION</b>" in results["prediction"]._repr_html_()


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("HELD-OUT ROWS MISSED: 60 %", "<b>HELD-OUT ROWS MISSED</b>: 60 %"),
        ("0.1, NOT DETERMINED", "0.1, <b>NOT DETERMINED</b>"),
        ("N_v(C): LOW R2 0.3", "N_v(C): <b>LOW R2</b> 0.3"),
        ("C = 6 N D in FLOPs of FSQ; AICc 3", "C = 6 N D in FLOPs of FSQ; AICc 3"),
    ],
)
def test_which_words_stand_for_a_bad_state(words, shown):
    assert text(words) == shown


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), min_size=1, max_size=4))
def test_any_text_survives_in_a_table(rows):
    (found,) = Page(table(rows)).tables
    expected = [["".join(cell.split("\n")) for cell in row] for row in rows]
    assert [[*map(plain, row)] for row in found] == [
        [*map(plain, row)] for row in expected
    ]


def plain(cell: str) -> str:
    """Take the ends of lines as parsers do."""
    return cell.replace("\r", "").replace("\x00", "")


def test_a_name_cannot_become_markup(results):
    good = results["card"]
    named = replace(good.fit.formula, name="<b>&")
    page = replace(good, fit=replace(good.fit, formula=named))._repr_html_()
    assert "Law &lt;b&gt;&amp;:" in page


def test_a_figure_is_shown_with_its_caption():
    found = gallery(Material(sources=["scamo"]), ["figure3b"])
    page = found["figure3b"]._repr_html_()
    (image,) = (named for tag, named in Page(page).attributes if tag == "img")
    assert image["alt"] == found["figure3b"].title
    encoded = image["src"].removeprefix("data:image/png;base64,")
    picture = Image.open(BytesIO(base64.b64decode(encoded)))
    assert picture.width == pytest.approx(2 * int(image["width"]), rel=0.01)
    assert f"<figcaption>{found['figure3b'].caption}" in page
    assert page == found["figure3b"]._repr_html_()


def test_a_gallery_shows_all_and_says_what_is_missing(isoflops):
    found = gallery(Material(sources=[isoflops]))
    page = found._repr_html_()
    assert page.count("<img ") == len(found.figures) > 0
    assert found.missing
    for name in found.missing:
        assert f"<li>{name}: " in page
