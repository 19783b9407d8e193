"""The site builds without a warning and without a network, and its pages are whole.

One build serves all tests of this file: about half a minute on one processor.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("sphinx")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site from a copy: the gallery writes beside its sources."""
    copy = tmp_path_factory.mktemp("repository")
    without = shutil.ignore_patterns("gallery", "__pycache__")
    for folder in ("docs", "examples"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=without)
    for file in ("README.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(ROOT / file, copy)
    words = ["-q", "-W", "--keep-going", "-n", "docs", "build"]
    nowhere = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *words],
        cwd=copy,
        env={**os.environ, **nowhere, "OMP_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return copy / "build"


class Page(HTMLParser):
    """What a built page refers to, and what it can be referred to by."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.undescribed: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids.add(given.get("id", ""))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in ("img", "script") and "src" in given:
            self.loaded.append(given["src"])
        if tag == "link" and given.get("rel") == "stylesheet":
            self.loaded.append(given["href"])
        if tag == "img" and not given.get("alt"):
            self.undescribed.append(given["src"])


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path.resolve(): Page(path) for path in site.rglob("*.html")}


def test_there_are_the_pages_a_reader_looks_for(site: Path) -> None:
    for name in ("index", "csv-to-law", "motion-to-prediction", "flops", "believe"):
        assert (site / f"{name}.html").exists()
    for name in ("modalities", "files", "cli", "api", "scamo", "figures", "changelog"):
        assert (site / f"{name}.html").exists()


def test_every_link_and_anchor_leads_somewhere(pages: dict[Path, Page]) -> None:
    lost = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve()
            target = target if parts.path else path
            anchor = unquote(parts.fragment)
            if not target.exists() or (
                anchor and target in pages and anchor not in pages[target].ids
            ):
                lost.append(f"{path.name}: {link}")
    assert not lost


def test_nothing_is_loaded_from_a_network(pages: dict[Path, Page]) -> None:
    loaded = [each for page in pages.values() for each in page.loaded]
    assert loaded
    assert not [each for each in loaded if re.match(r"(https?:)?//", each)]


def test_every_picture_has_words_in_its_place(pages: dict[Path, Page]) -> None:
    own = {path: page for path, page in pages.items() if "gallery" not in path.parts}
    assert not [each for page in own.values() for each in page.undescribed]


def test_the_names_of_the_package_are_documented(site: Path) -> None:
    import scaling

    ids = Page(site / "api.html").ids
    assert not {f"scaling.{name}" for name in scaling.__all__[1:]} - ids
