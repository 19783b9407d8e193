"""What the tutorials show is what the commands print."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pytest

from scaling.cli import main

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
GAP = "..."
"""Stands for lines that a page leaves out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A command on a page, and what the page says that it prints."""

    command: str
    """As it is typed."""
    lines: tuple[str, ...]
    """What it prints; a line of three dots for any number of lines."""


def shown(page: str) -> Iterator[Shown]:
    """Give the commands of a page's console blocks, in order."""
    text = (DOCS / f"{page}.md").read_text()
    for block in re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = part.replace("\\\n", " ").splitlines()
            yield Shown(command=command, lines=tuple(lines))


def agrees(printed: list[str], wanted: tuple[str, ...]) -> bool:
    """Tell whether lines are those of a page, gaps apart."""
    pieces = (r"(?:.*\n)*" if w == GAP else re.escape(w) + r"\n" for w in wanted)
    text = "".join(f"{line.rstrip()}\n" for line in printed)
    return re.fullmatch("".join(pieces), text) is not None


@pytest.mark.parametrize(
    ("wanted", "same"),
    [
        (("a", "b", "c"), True),
        (("a", "..."), True),
        (("...", "b", "..."), True),
        (("a", "c"), False),
        (("...", "d", "..."), False),
        (("a", "b", "C"), False),
    ],
)
def test_the_comparison_tells_pages_from_output(
    wanted: tuple[str, ...], *, same: bool
) -> None:
    assert agrees(["a", "b", "c"], wanted) is same


def execute(command: str, folder: Path) -> list[str]:
    """Run a command of a page as it is typed; what it prints on stdout."""
    words = shlex.split(command)
    if words[0] == "scaling":
        words[:1] = [sys.executable, "-m", "scaling"]
    done = subprocess.run(
        words, cwd=folder, text=True, capture_output=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("page", ["csv-to-law", "scamo", "flops", "../README"])
def test_commands_print_what_the_page_shows(page: str, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    commands = list(shown(page))
    assert commands
    for each in commands:
        printed = execute(each.command, tmp_path)
        assert agrees(printed, each.lines), f"{each.command}\n" + "\n".join(printed)


@pytest.mark.parametrize(("file", "rows"), [("sound", 600), ("patches", 288)])
def test_tokens_of_one_s_own_are_made_as_shown(
    file: str, rows: int, tmp_path: Path
) -> None:
    """The page's code writes the files, and its grid reads them."""
    from scaling.runs.grid import load_grid

    text = (DOCS / "modalities.md").read_text()
    blocks = re.findall(r"```python\n([^`]*?)```\s*```text\n([^`]*?)```", text)
    code, wanted = next(pair for pair in blocks if f"{file}-{{V}}" in pair[0])
    (tmp_path / "make.py").write_text(code)
    printed = execute(f"{sys.executable} make.py", tmp_path)
    errors, shown_errors = (
        [float(line.split()[-1]) for line in lines]
        for lines in (printed, wanted.splitlines())
    )
    assert errors == pytest.approx(shown_errors, abs=1e-3)
    with np.load(tmp_path / f"{file}-64.npz") as made:
        assert len(made["codes"]) == rows
        assert made["codes"].max() == 63
    own = re.search(r"```yaml\n# sound.yaml\n(.*?)```", text, re.DOTALL)
    assert own is not None
    shipped = (ROOT / "examples/tokens.yaml").read_text()
    grid = tmp_path / "grid.yaml"
    grid.write_text(own.group(1) if file == "sound" else shipped)
    assert load_grid(grid).corpus.path == f"{file}-{{codebook}}.npz"


def typed(page: Path) -> Iterator[str]:
    """Give every command line of a page's shell blocks."""
    blocks = r"^```(?:console|sh)\n(.*?)^```"
    for block in re.findall(blocks, page.read_text(), re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            command = line.removeprefix("$ ").strip()
            command = re.sub(r"^(\w+=\S+ )*(?=scaling )", "", command)
            if command.startswith("scaling "):
                yield command


PAGES = [ROOT / "README.md", *(p for p in DOCS.rglob("*.md") if p.name != "cli.md")]
COMMANDS = sorted({(page, line) for page in PAGES for line in typed(page)})


@pytest.mark.parametrize(
    ("page", "line"), COMMANDS, ids=lambda v: v.stem if isinstance(v, Path) else v
)
def test_every_command_of_every_page_is_one_that_there_is(
    page: Path, line: str
) -> None:
    """Options that were renamed, or never were, are found without running anything."""
    words = shlex.split(line.split(" # ")[0].split(" | ")[0].split(" > ")[0])[1:]
    context = click.Context(main, info_name="scaling")
    command: click.Command = main
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, f"{page.name}: {line}"
        command, words = found, words[1:]
    command.make_context(command.name, list(words), parent=context)
