"""`scaling work`: a study is joined from its folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import CommandLine


def test_it_does_the_jobs_of_a_store(
    tiny: Path, tmp_path: Path, scaling: CommandLine
) -> None:
    out = tmp_path / "out"
    failed = scaling.run(
        "run", tiny, "--out", out, "--set", "tokenizers.window=400", "--jobs", 1
    )
    assert failed.returncode == 1
    done = scaling.run("work", out, "--jobs", 1)  # tries what failed again
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "1 of 7 jobs done"
    assert lines[-1].startswith("Error: 2 jobs failed, so that 4 more could not start")
    assert "400 frames are more than any training clip has" in lines[-1]


def test_a_folder_that_is_no_store_is_refused_in_a_line(
    tmp_path: Path, scaling: CommandLine
) -> None:
    done = scaling.run("work", tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: {tmp_path} holds no grid.json; expected a run store: begin one with "
        "scaling run\n"
    )
