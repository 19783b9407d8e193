"""Who joins a study takes its plan from the store, and ends when the grid is done."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest

from scaling.errors import ScalingError
from scaling.runs.agent import read_plan, work_on
from scaling.runs.lease import acquire


@pytest.fixture
def store(straight: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(straight, tmp_path / "out"))


def test_the_plan_is_that_of_the_launcher(straight: Path) -> None:
    jobs = [job.folder for job in read_plan(straight).jobs]
    assert jobs == json.loads((straight / "grid.json").read_text())["jobs"]


def test_a_done_grid_is_left_as_it_is(store: Path, straight: Path) -> None:
    stream = io.StringIO()
    outcome = work_on(store, jobs=1, device="cpu", stream=stream)
    assert (outcome.failed, outcome.waiting) == ({}, 0)
    assert stream.getvalue() == "7 of 7 jobs done\n"
    assert (store / "runs.csv").read_bytes() == (straight / "runs.csv").read_bytes()


def test_a_grid_that_means_other_jobs_here_is_refused(store: Path) -> None:
    grid = json.loads((store / "grid.json").read_text())
    grid["jobs"][-1] = "3x3x3-v16-d1-s0-00000000"
    (store / "grid.json").write_text(json.dumps(grid))
    with pytest.raises(ScalingError, match="its grid means other jobs on this machine"):
        work_on(store, stream=io.StringIO())


def test_a_grid_of_another_version_is_refused(store: Path) -> None:
    grid = json.loads((store / "grid.json").read_text())
    grid["grid"]["transformers"]["rotary"] = True
    (store / "grid.json").write_text(json.dumps(grid))
    with pytest.raises(ScalingError, match="use the version that began the store"):
        work_on(store, stream=io.StringIO())


def test_a_folder_without_a_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ScalingError, match=r"holds no grid\.json; expected a run store"
    ):
        work_on(tmp_path, stream=io.StringIO())


def test_what_fails_elsewhere_meanwhile_counts_as_failed(store: Path) -> None:
    """A job is held by another, who fails; one that failed before is tried again."""
    held, before = sorted(store.glob("1x*"))[:2]
    for folder in (held, before):
        (folder / "result.json").unlink()
    (before / "error.txt").write_text("a full disk, last week")
    other = acquire(held)
    assert other is not None
    stream = io.StringIO()

    def fail() -> None:
        (held / "error.txt").write_text("Traceback\n  ...\nValueError: no such thing\n")
        other.path.rename(other.path.with_name(f"{other.path.name}-free"))

    write = stream.write
    heard: list[str] = []

    def hear(text: str) -> int:
        if "finished" in text and not heard:  # the other job: it is the launcher's turn
            heard.append(text)
            fail()
        return write(text)

    stream.write = hear  # type: ignore[method-assign]
    outcome = work_on(store, jobs=1, device="cpu", stream=stream)
    assert outcome.failed.keys() == {held.name}
    assert outcome.failed[held.name].startswith("ValueError: no such thing (by ")
    assert outcome.waiting == 0
    assert (before / "result.json").exists()
