"""The examples run as they stand, without a warning, and leave nothing behind."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "python"
SCRIPTS = sorted(FOLDER.glob("*.py"))
SECONDS = 120
"""Several times what any takes alone, for a machine that is busy with other things."""


def test_there_are_examples() -> None:
    assert len(SCRIPTS) >= 4


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_runs_and_shows_its_results(script: Path, tmp_path: Path) -> None:
    before = sorted(FOLDER.iterdir())
    shown = tmp_path / script.name
    shown.write_text("\n".join(map(_shown, cells(script))))
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", shown],
        cwd=FOLDER,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert done.stdout.count("<table>") + done.stdout.count("<img ") >= 2
    assert sorted(FOLDER.iterdir()) == before


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_is_a_page(script: Path) -> None:
    """Sphinx-gallery wants a title under which cells follow."""
    source = script.read_text()
    title, rule, *_ = (ast.get_docstring(ast.parse(source)) or "").splitlines()
    assert rule == "=" * len(title)
    assert len(cells(script)) >= 3
    assert max(map(len, source.splitlines())) <= 88


def cells(script: Path) -> list[str]:
    return re.split(r"^# %%$", script.read_text(), flags=re.MULTILINE)


def _shown(cell: str) -> str:
    """Print what a notebook would show of the value that a cell ends with."""
    tree = ast.parse(cell)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr) or isinstance(last.value, ast.Constant):
        return cell
    value = ast.unparse(last)
    said = f"print(getattr(({value}), '_repr_html_', str)())"
    return ast.unparse([*tree.body[:-1], *ast.parse(said).body])
