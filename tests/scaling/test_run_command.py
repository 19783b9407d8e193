"""`scaling run` before anything runs: the plan as JSON, its price, threads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import CommandLine


def test_the_plan_is_one_json_object(
    tiny: Path, tmp_path: Path, scaling: CommandLine
) -> None:
    options = ("--dry-run", "--json", "--price", 2, "--jobs", 2)
    done = scaling.run("run", tiny, "--out", tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    plan = json.loads(done.stdout)
    assert len(plan["jobs"]) == 7
    assert all(job["state"] == "to do" and job["seconds"] > 0 for job in plan["jobs"])
    # slots are paid for until the last job ends, idle or not
    assert plan["cost"] == pytest.approx(2 * plan["seconds"] / 3600)
    assert plan["cost"] >= sum(job["cost"] for job in plan["jobs"])
    assert max(job["memory"] for job in plan["jobs"]) < 1e9
    assert not (tmp_path / "out").exists()


def test_threads_are_chosen(tiny: Path, tmp_path: Path, scaling: CommandLine) -> None:
    options = ("--dry-run", "--threads", "auto", "--jobs", 1)
    done = scaling.run("run", tiny, "--out", tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr
    assert "; 1 at a time, " in done.stdout
    assert " each: " in done.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--threads", "0"], "0 is not in the range x>=1"),
        (["--threads", "many"], "'many' is not a valid"),
        (["--price", "-1", "--dry-run"], "-1.0 is not in the range x>=0"),
    ],
)
def test_mistakes(
    tiny: Path, scaling: CommandLine, options: list[str], says: str
) -> None:
    done = scaling.run("run", tiny, *options)
    assert done.returncode == 2
    assert says in done.stderr
