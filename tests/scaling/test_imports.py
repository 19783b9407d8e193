"""Importing is light: the command line answers before anything heavy is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scaling.cli import COMMANDS

SLOW = ("torch", "tokenizers", "safetensors", "matplotlib", "sympy")
"""What no law of the envelope needs, beside scipy.stats, scipy.optimize and others."""

HEAVY = ("torch", "pandas", "scipy", "matplotlib", "seaborn", "numpy")

LOADED = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps([name for name in sys.argv[2:] if name in sys.modules]))
"""

HELP = """
import json, sys
from scaling.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    json.dump(list(sys.modules), sys.stderr)
"""


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("scaling", HEAVY),
        ("scaling.cli", (*HEAVY, "tokenizers", "pydantic", "yaml")),
        ("scaling.record", HEAVY),
        ("scaling.models.flops", HEAVY),
        ("scaling.analysis.study", (*SLOW, "scipy.stats", "scipy.optimize")),
        ("scaling.analysis.records", (*SLOW, "scipy.stats", "scipy.interpolate")),
        ("scaling.runs.plan", ("torch",)),
    ],
)
def test_import_leaves_out(
    module: str, unwanted: tuple[str, ...], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", LOADED, module, *unwanted]
    found = subprocess.run(
        command, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert found.stdout == "[]\n"
    assert found.stderr == ""


def test_the_question_would_notice() -> None:
    command = [sys.executable, "-c", LOADED, "numpy", "numpy", "torch"]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    assert found.stdout == '["numpy"]\n'


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_the_commands(option: str, tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "scaling", option]
    found = subprocess.run(
        command, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert found.stdout.startswith("Usage: ")
    listed = [line.split()[0] for line in found.stdout.splitlines() if line.strip()]
    assert {"run", "status", "fit", "plot", "flops"} <= set(listed)
    imported = {line.rpartition("|")[2].strip() for line in found.stderr.splitlines()}
    assert "click" in imported
    assert imported.isdisjoint(HEAVY)


@pytest.mark.parametrize("name", [None, "fit", "run", "status"])
def test_help_reads_the_file_of_its_command_alone(
    name: str | None, tmp_path: Path
) -> None:
    arguments = ["--help"] if name is None else [name, "--help"]
    command = [sys.executable, "-c", HELP, *arguments]
    found = subprocess.run(
        command, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    loaded = set(json.loads(found.stderr))
    files = {f"scaling.{file}" for file, _ in COMMANDS.values()}
    own = set() if name is None else {f"scaling.{COMMANDS[name][0]}"}
    more = {"scaling.cli_executor"} if name == "run" else set()  # whose options it has
    assert loaded & files == own | more
    assert loaded.isdisjoint({*HEAVY, "pydantic", "yaml"})


def test_installed_command_is_there(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("scaling")
    found = subprocess.run(
        [command, "--help"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert found.stdout.startswith("Usage: scaling ")
