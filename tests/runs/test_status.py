"""What a store's files say of its jobs, and of who is at them."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from scaling.runs.lease import acquire
from scaling.runs.status import read_status, table


@pytest.fixture
def store(tmp_path: Path) -> Path:
    jobs = [f"run-{letter}" for letter in "abcdef"]
    (tmp_path / "grid.json").write_text(json.dumps({"jobs": jobs}))
    for job in jobs[:-1]:
        (tmp_path / job).mkdir()
        (tmp_path / job / "config.json").write_text("{}")
    return tmp_path


def states(store: Path) -> list[str]:
    return [state.status for state in read_status(store)]


def test_each_state_has_its_word(store: Path) -> None:
    (store / "run-a/result.json").write_text('{"status": "finished"}')
    (store / "run-b/result.json").write_text('{"status": "diverged"}')
    (store / "run-c/error.txt").write_text("why")
    running = acquire(store / "run-d")
    assert running is not None
    assert states(store) == [
        *("finished", "diverged", "failed", "running", "unfinished", "waiting")
    ]
    running_job = read_status(store)[3]
    assert running_job.owner == f"{socket.gethostname()}:{os.getpid()}"
    assert table(read_status(store)).splitlines()[3:] == [
        f"run-d  running  by {running_job.owner}",
        "run-e  unfinished",
        "run-f  waiting",
        "2 of 6 jobs done, 1 running, 1 failed",
    ]


@pytest.mark.parametrize(
    ("change", "age", "word"),
    [
        ({"pid": 2**22 + 1}, 0, "stale"),
        ({"machine": "moon"}, 10, "running"),
        ({"machine": "moon"}, 90, "stale"),
        ({"machine": "moon", "ttl": 600}, 90, "running"),
        (None, 10, "running"),
        (None, 90, "stale"),
    ],
)
def test_a_job_whose_owner_is_gone_is_stale(
    store: Path, change: dict[str, object] | None, age: float, word: str
) -> None:
    lease = acquire(store / "run-a")
    assert lease is not None
    owner = json.loads(lease.path.read_text())
    lease.path.write_text("" if change is None else json.dumps({**owner, **change}))
    touched = lease.path.stat().st_mtime - age
    os.utime(lease.path, (touched, touched))
    assert states(store)[0] == word


def test_jobs_beside_the_grid_are_apart(store: Path) -> None:
    (store / "scores-x").mkdir()
    (store / "scores-x/config.json").write_text("{}")
    (store / "scores-x/result.json").write_text('{"status": "finished"}')
    (store / "figures").mkdir()  # no job
    assert [state.in_grid for state in read_status(store)] == [True] * 6 + [False]
    assert table(read_status(store)).splitlines()[-5:] == [
        "",
        "beside the grid:",
        "scores-x  finished",
        "",
        "0 of 6 jobs done",
    ]


@pytest.mark.parametrize("rows", [1, 300])
@pytest.mark.parametrize("torn", ["", '{"step": 9'])
def test_the_end_of_a_log_is_its_last_whole_line(
    store: Path, rows: int, torn: str
) -> None:
    lines = [json.dumps({"step": n, "normalised_loss": -n / 8}) for n in range(rows)]
    (store / "run-a/metrics.jsonl").write_text("\n".join([*lines, torn]))
    state = read_status(store)[0]
    assert (state.step, state.normalised_loss) == (rows - 1, -(rows - 1) / 8)
