"""The documentation says what the code says, and its links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from scaling.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli", "grid", "record", "formulas"])
def test_generated_pages_are_up_to_date(generate: ModuleType, name: str) -> None:
    page = (ROOT / "docs" / f"{name}.md").read_text()
    assert page == getattr(generate, f"{name}_page")(), "run `make docs`"


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_is_in_the_readme(name: str) -> None:
    assert f"scaling {name}" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_grid_page_s_example_is_a_grid(tmp_path: Path) -> None:
    from scaling.runs.grid import load_grid

    text = (ROOT / "docs" / "grid.md").read_text()
    example = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    (tmp_path / "mine.yaml").write_text(example.group(1))
    assert load_grid(tmp_path / "mine.yaml").study == "mine"


def test_the_law_of_one_s_own_is_a_law() -> None:
    """The docs promise fewer than 20 lines, and that it works as it stands."""
    import numpy as np
    import pandas as pd

    from scaling import fit_law
    from scaling.analysis.formula import Formula

    text = (ROOT / "docs" / "fit.md").read_text()
    example = re.search(r"```python\n(# my_law.py.*?)```", text, re.DOTALL)
    assert example is not None
    assert len(example.group(1).strip().splitlines()) < 20
    names: dict[str, Formula] = {}
    exec(example.group(1), names)
    N, D, U = np.meshgrid([1e7, 1e8, 1e9], [1e9, 4e9, 2e10], [1e9, 5e9])
    table = pd.DataFrame({"N": N.ravel(), "D": D.ravel(), "U": U.ravel()})
    table["L"] = 1.7 + 400 / table["N"] ** 0.35 + 2000 / table["D"] ** 0.37
    table["L"] += 0.01 * table["D"] / table["U"]
    found = fit_law(table, names["LAW"])
    assert found.value("K") == pytest.approx(0.01, rel=1e-4)
    assert found.value("alpha") == pytest.approx(0.35, rel=1e-4)
