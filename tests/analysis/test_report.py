"""The report without a browser: what it is made of, how large, always the same."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scaling.analysis import report_data
from scaling.analysis.gallery import NAMES, gallery
from scaling.analysis.lines import lines_of
from scaling.analysis.material import Material
from scaling.analysis.outlook import outlook
from scaling.analysis.records import read
from scaling.analysis.report import MARK, page
from scaling.analysis.report_data import (
    best_of_runs,
    evaluations,
    runs_json,
    table_download,
    thinned,
)
from scaling.analysis.report_figures import pictures
from scaling.analysis.report_flops import accounting
from scaling.analysis.report_text import TITLES, formulas
from scaling.analysis.study import fit
from scaling.analysis.verdict import verdict
from scaling.analysis.verification import write_verification
from scaling.errors import ScalingError
from scaling.models.flops import CONVENTIONS, Architecture
from scaling.models.sizes import PAPER_SIZES
from tests.analysis.conftest import isoflop_table, small_table
from tests.analysis.verification_kit import ended, foretold, written

MOST = 3_000_000
COMMAND = ["scaling", "report", "small losses.csv"]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    path = tmp_path_factory.mktemp("report") / "small.csv"
    small_table().to_csv(path, index=False)
    return Material(sources=[path])


@pytest.fixture(scope="module")
def html(material: Material) -> str:
    return page(material, command=COMMAND)


def data_of(html: str) -> dict[str, dict[str, object]]:
    """Read what the page gives to its script."""
    found = re.search('<script type="application/json" id="data">(.*?)</script>', html)
    assert found is not None
    return dict(json.loads(found[1]))


def content(source: str) -> bytes:
    return base64.b64decode(source.partition(";base64,")[2])


# --- The page -----------------------------------------------------------------------


def test_the_same_material_gives_the_same_page(material: Material, html: str) -> None:
    assert page(Material(sources=material.sources), command=COMMAND) == html
    assert MARK in html[:2000]
    assert len(html.encode()) < MOST


def test_the_verdict_comes_first_and_all_else_in_order(
    material: Material, html: str
) -> None:
    names = re.findall('<section id="([a-z]+)"', html)
    assert names == [
        *("verdict", "outlook", "runs", "figures", "flops", "laws", "again"),
        *("symbols", "missing"),
    ]
    found = verdict(material)
    for said in (found.headline, *found.answers, *found.reasons, *found.warnings):
        assert formulas(said) in html
    assert "scaling report &#39;small losses.csv&#39;" in html
    assert html.index(formulas(found.headline)) < html.index("In numbers")


def test_nothing_on_the_page_leads_out_of_it(html: str) -> None:
    leads = re.findall(r"\b(?:src|href)=\"([^\"]{0,12})", html)
    assert len(leads) > 15
    assert {lead[:5] for lead in leads if lead[0] != "#"} == {"data:"}
    assert "http" not in re.sub(
        'data:[^"]*|http-equiv|http://www.w3.org/2000/svg', "", html
    )


def test_laws_alone_make_a_page_that_says_what_is_missing(
    material: Material, html: str, tmp_path: Path
) -> None:
    material.study.save(tmp_path / "laws.json")
    found = page(Material(sources=[tmp_path / "laws.json"]))
    assert formulas(verdict(material).headline) in found
    shown = data_of(found)["outlook"]
    assert shown == data_of(html)["outlook"]
    missing = found[found.index('id="missing"') :]
    assert "figure2" in missing
    assert "it needs the records, not only the laws" in missing


def test_runs_without_an_answer_still_make_a_page(tmp_path: Path) -> None:
    path = tmp_path / "two.csv"
    path.write_text("flops,loss\n1e10,3\n1e11,2.5\n")
    found = page(Material(sources=[path]))
    assert "These runs give no answer yet" in found
    assert 'id="outlook"' not in found
    assert 'id="runs"' in found


def test_predictions_put_to_the_test_stand_after_the_slider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaling.analysis.gallery.NAMES", ("verification",))
    path = tmp_path / "isoflop.csv"
    isoflop_table().to_csv(path, index=False)
    without = page(Material(sources=[path]))
    frozen = foretold(path, "chinchilla")
    folder = written(tmp_path, frozen)
    waiting = page(Material(sources=[path]))
    write_verification(folder, found := ended(frozen, -4))
    html = page(Material(sources=[path]))
    names = re.findall('<section id="([a-z]+)"', html)
    assert names[:4] == ["verdict", "outlook", "tested", "runs"]
    section = html[html.index('id="tested"') : html.index('id="runs"')]
    assert f"<code>{frozen.digest[:12]}</code>" in section
    assert formulas(f"{found.measured:.4g}") in section
    assert "<strong>OUTSIDE THE 90 % INTERVAL</strong>" in section
    assert "not trained yet" in waiting
    assert 'id="figure-verification"' in html
    assert 'id="tested"' not in without
    assert "no prediction of this study has been frozen" in without


# --- Numbers ------------------------------------------------------------------------


def test_the_slider_has_the_numbers_of_the_outlook(
    material: Material, html: str
) -> None:
    shown = data_of(html)["outlook"]
    table = outlook(material.laws)
    for name, column in shown["table"].items():  # type: ignore[attr-defined]
        assert column == pytest.approx(table[name], rel=1e-5)
    start = verdict(material).next_run
    assert start is not None
    assert shown["start"] == pytest.approx(start.compute, rel=1e-5)


def test_the_chart_has_the_best_evaluation_of_each_run(
    material: Material, html: str
) -> None:
    shown = data_of(html)["runs"]
    rows = pd.DataFrame(shown["rows"], columns=shown["columns"])  # type: ignore[call-overload]
    minima = material.study.minima.set_index("run")
    assert set(rows["run"]) == set(minima.index)
    for row in rows.itertuples():
        assert row.L_u == minima["L_u"][row.run]
        assert np.isclose(row.C, minima["C"][row.run], rtol=1e-5)


def test_the_download_gives_the_same_laws(material: Material, tmp_path: Path) -> None:
    found = table_download(material)
    (tmp_path / found.name).write_bytes(content(found.source))
    again = read(tmp_path / found.name)
    assert again.data_hash == material.records.data_hash
    assert fit(again).laws == material.study.laws


def test_a_large_download_is_packed_and_a_huge_one_refused(
    material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = content(table_download(material).source)
    monkeypatch.setattr(report_data, "PLAIN_CSV", 100)
    packed = table_download(material)
    assert packed.name == "runs.csv.gz"
    assert gzip.decompress(content(packed.source)) == plain
    monkeypatch.setattr(report_data, "MOST_CSV", 100)
    with pytest.raises(ScalingError, match=r"96 rows take .* MB compressed"):
        table_download(material)


def test_flops_are_those_of_the_conventions() -> None:
    found = accounting(Material(sources=["scamo"]))
    assert (found.used, found.pairs, len(found.counts)) == ("openai", 42, 24)
    for each in found.counts:
        shape = Architecture(size=PAPER_SIZES[each.size], codebook_size=each.codebook)
        assert each.forward == {name: f(shape) for name, f in CONVENTIONS.items()}
    first = found.counts[0]
    assert (first.size, first.codebook) == ("44M", 256)
    assert first.forward["openai"] == 52_242_432


def test_tables_without_sizes_have_no_accounting(tmp_path: Path) -> None:
    path = tmp_path / "isoflop.csv"
    isoflop_table().to_csv(path, index=False)
    with pytest.raises(ScalingError, match="no column codebook_size, size"):
        accounting(Material(sources=[path]))


def test_epochs_are_told_where_the_records_know_them(tmp_path: Path) -> None:
    table = small_table()
    table["unique_tokens"] = 5000
    table["epochs"] = table["tokens"] / 5000
    path = tmp_path / "small.csv"
    table.to_csv(path, index=False)
    html = page(Material(sources=[path]))
    shown = data_of(html)
    runs = pd.DataFrame(shown["runs"]["rows"], columns=shown["runs"]["columns"])  # type: ignore[call-overload]
    assert runs["epochs"].to_numpy() == pytest.approx(runs["D"] / 5000, rel=1e-4)
    assert shown["outlook"]["unique"] == 5000


def test_the_law_of_the_codebook_and_the_source_are_named(
    material: Material, html: str
) -> None:
    law = lines_of(material.study)["V"]
    assert formulas(law.formula()) in html[html.index('id="laws"') :]
    assert f"From data {material.records.data_hash}, by scaling" in html
    assert html.index('id="verdict"') < html.index("<nav") < html.index('id="outlook"')


def test_every_figure_and_table_has_a_title() -> None:
    assert set(NAMES) == set(TITLES)


# --- Many runs ----------------------------------------------------------------------


@given(
    losses=st.lists(st.floats(-5, 5), min_size=1, max_size=60),
    most=st.integers(2, 20),
)
def test_thinning_keeps_the_envelope_and_both_ends(
    losses: list[float], most: int
) -> None:
    best = pd.DataFrame({"C": np.arange(1.0, len(losses) + 1), "L_u": losses})
    kept = thinned(best, most)
    on_envelope = best[best["L_u"] <= best["L_u"].cummin()]
    assert set(on_envelope["C"]) <= set(kept["C"])
    assert {1.0, float(len(losses))} <= set(kept["C"])
    assert kept["C"].is_monotonic_increasing
    assert len(kept) <= min(most + len(on_envelope), len(best))


def many(runs: int) -> pd.DataFrame:
    """Repeat the small study under other names, with other losses."""
    copies = []
    for seed in range(runs // 12 + 1):
        table = small_table(seed)
        copies.append(table.assign(run=table["run"] + f"-d{seed}-0123456789abcdef"))
    return pd.concat(copies, ignore_index=True)


def test_thousands_of_runs_stay_small(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    many(5000).to_csv(path, index=False)
    material = Material(sources=[path])
    shown = runs_json(material)
    assert shown["runs"] > 5000
    assert report_data.MOST_RUNS <= len(shown["rows"]) < shown["runs"]
    assert shown["curves"] is None  # too many to be drawn
    assert len(json.dumps(shown)) < 600_000
    download = len(table_download(material).source)
    best = best_of_runs(evaluations(material))["L_u"].min()
    assert min(row[1] for row in shown["rows"]) == best
    drawn = pictures(gallery(material, ["figure2", "figure3b", "figure8"]).figures)
    figures = sum(len(each.source) for each in drawn)
    assert len(json.dumps(shown)) + download + figures < 0.6 * MOST


# --- Figures ------------------------------------------------------------------------


def test_drawings_are_svg_on_no_ground_until_they_grow_too_large(
    material: Material,
) -> None:
    figures = gallery(material, ["figure3b", "figure8"]).figures
    sharp = pictures(figures)
    for each in sharp:
        svg = content(each.source).decode()
        root = ElementTree.fromstring(svg)
        assert root.tag.endswith("svg")
        ground = re.search('id="patch_1">.*?style="(.*?)"', svg, flags=re.DOTALL)
        assert ground is not None
        assert ground[1] == "fill: none"
        assert "<metadata" not in svg
        assert each.width == round(7.2 * 96)
    largest = max(len(content(each.source)) for each in sharp)
    total = sum(len(content(each.source)) for each in sharp)
    mixed = pictures(figures, total - largest // 2)
    forms = [each.source.partition(";")[0] for each in mixed]
    assert sorted(forms) == ["data:image/png", "data:image/svg+xml"]
    (png,) = (each for each in mixed if "png" in each.source[:20])
    with Image.open(io.BytesIO(content(png.source))) as image:
        corner = image.convert("RGBA").getpixel((1, 1))
        assert image.width == pytest.approx(7.2 * 170, abs=1)
    assert isinstance(corner, tuple)
    assert corner[3] == 0


def test_formulas_are_set_and_options_left_alone() -> None:
    assert formulas("N_nv* ~ C^0.5, -2") == "N<sub>nv</sub>* ~ C<sup>0.5</sup>, −2"
    assert formulas("--columns N_nv=params") == "--columns N_nv=params"
    assert formulas("3x4x96-v256-d1e5") == "3x4x96-v256-d1e5"
    assert formulas("<b>") == "&lt;b&gt;"
