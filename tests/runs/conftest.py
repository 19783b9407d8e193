"""One uninterrupted run of the tiny grid, to look at and to compare with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import CommandLine


@pytest.fixture(scope="session")
def straight(
    tmp_path_factory: pytest.TempPathFactory, scaling: CommandLine, tiny: Path
) -> Path:
    """One uninterrupted run of the tiny grid."""
    out = tmp_path_factory.mktemp("straight") / "out"
    done = scaling.run("run", tiny, "--out", out, "--jobs", 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(out / "runs.csv")]
    return out
