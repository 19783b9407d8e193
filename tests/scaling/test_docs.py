"""The documentation says what the code says, and its links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from scaling.cli import main

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli", "grid", "record", "formulas"])
def test_generated_pages_are_up_to_date(generate: ModuleType, name: str) -> None:
    page = (DOCS / f"{name}.md").read_text()
    assert page == getattr(generate, f"{name}_page")(), "run `make docs`"


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_is_explained_beside_the_reference(name: str) -> None:
    others = [page for page in PAGES if page.name != "cli.md"]
    assert [page for page in others if f"scaling {name}" in page.read_text()]


def prose(page: Path) -> str:
    """Give what a page says outside of its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Give the anchors that a repository view makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {word.strip().replace(" ", "-") for word in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere_in_the_repository(page: Path) -> None:
    for path, _, anchor in re.findall(r"\]\(([^)#]*)(#([^)]*))?\)", prose(page)):
        if not path.startswith("http"):
            target = page.parent / path if path else page
            assert target.exists(), path
            assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


def test_the_check_of_links_finds_a_missing_anchor() -> None:
    assert "when-not-to-believe-it" in anchors(DOCS / "laws.md")
    assert "when-to-believe-it" not in anchors(DOCS / "laws.md")


def test_every_page_is_in_the_contents() -> None:
    text = (DOCS / "index.md").read_text()
    listed = re.findall(r"^```\{toctree\}(.*?)^```", text, re.DOTALL | re.MULTILINE)
    names = set(re.findall(r"^[\w/-]+$", "".join(listed), re.MULTILINE))
    pages = [*DOCS.rglob("*.md"), *DOCS.glob("*.rst")]
    there = {str(page.relative_to(DOCS).with_suffix("")) for page in pages}
    assert names - {"gallery/index"} == there - {"index"}


def test_every_figure_and_table_is_explained() -> None:
    from scaling.analysis.gallery import ALIASES, MAKERS, TABLES

    text = (DOCS / "figures.md").read_text()
    heads = " ".join(re.findall(r"^### (.*):", text, re.MULTILINE))
    assert not set(MAKERS) - set(heads.replace(",", "").split())
    assert not [name for name in TABLES if f"`{name}`" not in text]
    assert not [name for name in ALIASES if name not in text]


def test_pictures_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in DOCS.glob("figures/*.png")}
    assert sizes
    assert max(sizes.values()) <= 60_000, sizes


def test_the_grid_page_s_example_is_a_grid(tmp_path: Path) -> None:
    from scaling.runs.grid import load_grid

    text = (DOCS / "grid.md").read_text()
    example = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    (tmp_path / "mine.yaml").write_text(example.group(1))
    assert load_grid(tmp_path / "mine.yaml").study == "mine"


def test_the_law_of_one_s_own_is_a_law() -> None:
    """The docs promise fewer than 20 lines, and that it works as it stands."""
    import numpy as np
    import pandas as pd

    import scaling
    from scaling.analysis.formula import Formula

    text = (DOCS / "fit.md").read_text()
    example = re.search(r"```python\n(# my_law.py.*?)```", text, re.DOTALL)
    assert example is not None
    assert len(example.group(1).strip().splitlines()) < 20
    names: dict[str, Formula] = {}
    exec(example.group(1), names)
    N, D, U = np.meshgrid([1e7, 1e8, 1e9], [1e9, 4e9, 2e10], [1e9, 5e9])
    table = pd.DataFrame({"N": N.ravel(), "D": D.ravel(), "U": U.ravel()})
    table["L"] = 1.7 + 400 / table["N"] ** 0.35 + 2000 / table["D"] ** 0.37
    table["L"] += 0.01 * table["D"] / table["U"]
    found = scaling.fit(table, names["LAW"]).parameters
    assert found["K"].value == pytest.approx(0.01, rel=1e-4)
    assert found["alpha"].value == pytest.approx(0.35, rel=1e-4)


def test_the_flops_page_has_the_exact_integers() -> None:
    from scaling.models.flops import Architecture, openai
    from scaling.models.sizes import size

    text = (DOCS / "flops.md").read_text()
    rows = re.findall(r"^\| (\d+M|\dB) \| \d+, \d+ \|(.*)\|$", text, re.MULTILINE)
    assert len(rows) == 6
    for name, numbers in rows:
        without, *counted = (int(cell.replace(",", "")) for cell in numbers.split("|"))
        shape = size(name)
        of = [openai(Architecture(size=shape, codebook_size=2**k)) for k in (8, 12, 16)]
        assert counted == of
        assert without == of[0] - 2 * shape.d_model * 256


@pytest.mark.parametrize("kind", ["study", "fit"])
def test_the_page_of_file_formats_has_every_key_of_a_file_of_laws(kind: str) -> None:
    import scaling

    given = ROOT / "examples/isoflops.csv"
    columns = {"N": "params", "D": "tokens", "L": "loss"}
    card = scaling.fit(given, "chinchilla", columns=columns)
    fields = card.to_dict() if kind == "fit" else scaling.fit("scamo").to_dict()
    text = (DOCS / "files.md").read_text()
    part = text[text.index(f'**`"kind": "{kind}"`**') :]
    assert fields["kind"] == kind
    assert not [key for key in fields if f"`{key}`" not in text and key != "schema"]
    assert f"`{'parameters' if kind == 'fit' else 'frontier'}`" in part
