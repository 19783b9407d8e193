"""Whatever is killed on the way, a grid ends once, with the same bits."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import CommandLine

KILLS = 5
LONG = ("--set", "tokenizers.steps=100000")

JOIN = """
import sys
from pathlib import Path
from scaling.runs.agent import work_on
outcome = work_on(Path(sys.argv[1]), jobs=1, device="cpu", stream=sys.stderr, ttl=1.5)
sys.exit(bool(outcome.failed))
"""


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something is true; that it never is fails the test."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def children_of(process: int) -> list[int]:
    """List the processes below a process."""
    try:
        listing = Path(f"/proc/{process}/task/{process}/children").read_text()
    except OSError:  # it ended just now
        return []
    children = [int(child) for child in listing.split()]
    return [*children, *(below for child in children for below in children_of(child))]


def gone(process: int) -> bool:
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def holds(process: int, name: str) -> bool:
    """Whether a process has a file of that name open."""
    with suppress(OSError):
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            if os.readlink(descriptor).endswith(name):
                return True
    return False


def workers(launcher: int) -> list[int]:
    """List the processes that do jobs: the children of the forkserver."""
    return [
        worker
        for child in children_of(launcher)
        if "forkserver" in command_of(child)
        for worker in children_of(child)
        if "forkserver" in command_of(worker)
    ]


def forkserver(launcher: int) -> int:
    (server,) = {int(parent_of(worker)) for worker in workers(launcher)}
    return server


def command_of(process: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_text()
    return ""


def parent_of(process: int) -> int:
    stat = Path(f"/proc/{process}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


def trains(out: Path, jobs: int = 1) -> Callable[[], bool]:
    """Say whether so many tokenizers have written a checkpoint."""

    def found() -> bool:
        return len(list(out.glob("tokenizer-*/checkpoint"))) >= jobs

    return found


def join(out: Path) -> subprocess.Popen[str]:
    """Start an agent whose leases last 1.5 s."""
    return subprocess.Popen(
        [sys.executable, "-c", JOIN, str(out)], stderr=subprocess.PIPE, text=True
    )


def steps(folder: Path) -> list[int]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["step"] for line in lines]


def test_killed_at_random_it_ends_with_the_same_bits(
    straight: Path, tmp_path: Path, scaling: CommandLine, tiny: Path
) -> None:
    out = tmp_path / "out"
    chance = random.Random(11)
    for _ in range(KILLS):
        with scaling.start("run", tiny, "--out", out, "--jobs", 2) as launcher:
            time.sleep(chance.uniform(2.5, 7.0))
            family = [launcher.pid, *children_of(launcher.pid)]
            with suppress(ProcessLookupError):
                os.kill(chance.choice(family), signal.SIGKILL)
            time.sleep(chance.uniform(0.0, 1.0))
            launcher.kill()
        wait_for(lambda left=family: all(map(gone, left)), 10.0)
    done = scaling.run("run", tiny, "--out", out, "--jobs", 2)
    assert done.returncode == 0, done.stderr
    for name in ("runs.csv", "tokenizers.csv"):
        assert (out / name).read_bytes() == (straight / name).read_bytes()


def test_a_lost_worker_is_started_again(
    tmp_path: Path, scaling: CommandLine, tiny: Path
) -> None:
    out = tmp_path / "out"
    longer = ("--set", "corpus.sequences=400", "--jobs", 1)
    with scaling.start("run", tiny, "--out", out, *longer) as launcher:

        def writers() -> list[int]:
            below = children_of(launcher.pid)
            return [process for process in below if holds(process, "features.raw")]

        wait_for(writers)
        for process in writers():
            os.kill(process, signal.SIGKILL)
        _, errors = launcher.communicate(timeout=120)
    assert "its process ended with exit code -9; starting it again" in errors
    assert launcher.returncode == 0
    assert "7 of 7 jobs done" in scaling.run("status", out).stdout


def test_interrupted_it_says_how_to_go_on(
    tmp_path: Path, scaling: CommandLine, tiny: Path
) -> None:
    out = tmp_path / "out"
    with scaling.start(
        "run", tiny, "--out", out, "--set", "tokenizers.steps=100000"
    ) as launcher:
        wait_for(lambda: list(out.glob("tokenizer-*/config.json")))
        time.sleep(1.0)
        family = children_of(launcher.pid)
        launcher.send_signal(signal.SIGINT)
        _, errors = launcher.communicate(timeout=30)
    assert launcher.returncode == 130
    last = errors.splitlines()[-1]
    assert last == "stopped; 1 of 7 jobs done; run the same command to go on"
    wait_for(lambda: all(map(gone, family)), 10.0)
    assert list(out.glob("tokenizer-*/checkpoint/*.safetensors"))


def test_launchers_share_a_grid(
    straight: Path, tmp_path: Path, scaling: CommandLine, tiny: Path
) -> None:
    out = tmp_path / "out"
    with (
        scaling.start("run", tiny, "--out", out, "--jobs", 1) as first,
        scaling.start("run", tiny, "--out", out, "--jobs", 1) as second,
    ):
        said = [each.communicate(timeout=120)[1] for each in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), said
    lines = "".join(said).splitlines()
    ours = [line for line in lines if line.endswith(" finished")]
    assert len(ours) == 7  # each job by one of them
    assert set(Counter(line.split()[1] for line in ours).values()) == {1}
    for name in ("runs.csv", "tokenizers.csv"):
        assert (out / name).read_bytes() == (straight / name).read_bytes()
    assert [path.name for path in out.glob("*/.lease*")] == []


def test_another_grid_is_refused_and_a_grown_one_welcome(
    tmp_path: Path, scaling: CommandLine, tiny: Path
) -> None:
    out = tmp_path / "out"
    with scaling.start("run", tiny, *LONG, "--out", out, "--jobs", 1) as first:
        wait_for(trains(out))
        grid = (out / "grid.json").read_bytes()
        other = scaling.run("run", tiny, *LONG, "--out", out, "--set", "corpus.seed=4")
        assert other.returncode == 1
        assert "holds another grid of study tiny" in other.stderr.splitlines()[-1]
        assert (out / "grid.json").read_bytes() == grid
        more = ("--set", "seeds=[0, 1]", "--out", out, "--jobs", 1)
        with scaling.start("run", tiny, *LONG, *more) as second:
            wait_for(trains(out, 2))  # the one that the first is not at
            assert first.poll() is None
            second.send_signal(signal.SIGINT)
            assert second.wait(10) == 130
        first.kill()
    assert len(json.loads((out / "grid.json").read_text())["jobs"]) == 3 + 8


def test_jobs_of_a_launcher_that_was_killed_are_taken_over(
    straight: Path, tmp_path: Path, scaling: CommandLine, tiny: Path
) -> None:
    out = tmp_path / "out"
    with scaling.start("run", tiny, "--out", out, "--jobs", 2) as first:
        wait_for(lambda: list(out.glob("corpus-*/.lease-*")))
        with scaling.start("run", tiny, "--out", out, "--jobs", 1) as second:
            time.sleep(3)
            first.kill()
            _, errors = second.communicate(timeout=120)
    assert second.returncode == 0, errors
    assert (out / "runs.csv").read_bytes() == (straight / "runs.csv").read_bytes()


def test_a_worker_that_stood_still_is_replaced_and_leaves(
    straight: Path, tmp_path: Path
) -> None:
    """SIGSTOP for longer than a lease lasts, then SIGCONT: there is one result."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "grid.json").write_bytes((straight / "grid.json").read_bytes())
    with join(out) as first:
        wait_for(lambda: list(out.glob("[0-9]*/metrics.jsonl")))  # it is at a run
        (frozen,) = workers(first.pid)
        os.kill(frozen, signal.SIGSTOP)
        with join(out) as second:
            wait_for(lambda: len(list(out.glob("*/result.json"))) == 7)
            _, errors = second.communicate(timeout=60)
        before = {path: path.stat().st_mtime_ns for path in out.glob("*/result.json")}
        os.kill(frozen, signal.SIGCONT)
        wait_for(lambda: gone(frozen))
        first.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0), errors
    assert {path: path.stat().st_mtime_ns for path in before} == before
    for folder in out.glob("[0-9]*"):
        assert len(steps(folder)) == len(set(steps(folder))) == 3
    assert (out / "runs.csv").read_bytes() == (straight / "runs.csv").read_bytes()


@pytest.mark.parametrize("victim", ["launcher", "forkserver and launcher"])
def test_no_process_outlives_its_launcher(
    tmp_path: Path, scaling: CommandLine, tiny: Path, victim: str
) -> None:
    out = tmp_path / "out"
    wide = ("--set", "tokenizers.codebooks=[16, 64, 256]", "--jobs", 3)
    with scaling.start("run", tiny, *LONG, *wide, "--out", out) as launcher:
        wait_for(trains(out, 3))
        family = children_of(launcher.pid)
        assert len(workers(launcher.pid)) == 3
        if victim != "launcher":
            os.kill(forkserver(launcher.pid), signal.SIGKILL)
        launcher.kill()
    wait_for(lambda: all(map(gone, family)), 5.0)


def test_a_grid_goes_on_when_its_forkserver_is_killed(
    straight: Path, tmp_path: Path, scaling: CommandLine, tiny: Path
) -> None:
    out = tmp_path / "out"
    with scaling.start("run", tiny, "--out", out, "--jobs", 2) as launcher:
        wait_for(lambda: list(out.glob("tokenizer-*")))
        os.kill(forkserver(launcher.pid), signal.SIGKILL)
        _, errors = launcher.communicate(timeout=120)
    assert launcher.returncode == 0, errors
    assert (out / "runs.csv").read_bytes() == (straight / "runs.csv").read_bytes()


def test_a_worker_that_is_preempted_saves_and_goes_on(
    tmp_path: Path, scaling: CommandLine, tiny: Path
) -> None:
    out = tmp_path / "out"
    with scaling.start("run", tiny, *LONG, "--out", out, "--jobs", 1) as launcher:
        for _ in range(4):  # more often than a lost worker is started again
            wait_for(lambda: workers(launcher.pid) and trains(out)())
            (worker,) = workers(launcher.pid)
            time.sleep(0.3)
            os.kill(worker, signal.SIGTERM)
            wait_for(lambda gone_one=worker: gone(gone_one))
        wait_for(lambda: workers(launcher.pid))
        launcher.send_signal(signal.SIGINT)
        _, errors = launcher.communicate(timeout=15)
    assert errors.count(": stopped; starting it again") == 4
    assert "FAILED" not in errors


def test_a_worker_that_is_lost_again_and_again_fails(
    tmp_path: Path, scaling: CommandLine, tiny: Path
) -> None:
    out = tmp_path / "out"
    alone = ("--set", "tokenizers.codebooks=[16]", "--jobs", 1)
    times = []
    with scaling.start("run", tiny, *LONG, *alone, "--out", out) as launcher:
        for attempt in range(1, 4):
            lease = f"tokenizer-*/.lease-{attempt:06d}"
            wait_for(lambda name=lease: list(out.glob(name)))
            times.append(time.monotonic())
            (worker,) = workers(launcher.pid)
            os.kill(worker, signal.SIGKILL)
        _, errors = launcher.communicate(timeout=60)
    assert launcher.returncode == 1
    assert errors.count("its process ended with exit code -9; starting it again") == 2
    assert "FAILED: its process ended with exit code -9" in errors
    assert times[1] - times[0] > 1.0
    assert times[2] - times[1] > 2.0


@pytest.mark.parametrize("signals", ["SIGTERM", "SIGTERM to the group", "twice SIGINT"])
def test_a_launcher_that_is_told_to_stop_leaves_within_10_s(
    tmp_path: Path, scaling: CommandLine, tiny: Path, signals: str
) -> None:
    out = tmp_path / "out"
    command = scaling.command("run", tiny, *LONG, "--out", out, "--jobs", 2)
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as launcher:
        wait_for(trains(out, 2))
        family = children_of(launcher.pid)
        before = {path: newest(path) for path in out.glob("tokenizer-*")}
        start = time.monotonic()
        if signals == "SIGTERM":
            launcher.send_signal(signal.SIGTERM)
        elif signals == "SIGTERM to the group":  # as Slurm does
            os.killpg(launcher.pid, signal.SIGTERM)
        else:
            for worker in workers(launcher.pid):
                os.kill(worker, signal.SIGSTOP)  # they cannot leave
            launcher.send_signal(signal.SIGINT)
            time.sleep(0.5)
            launcher.send_signal(signal.SIGINT)
        launcher.communicate(timeout=10)
    assert time.monotonic() - start < (6.0 if "twice" in signals else 10.0)
    assert launcher.returncode == 130
    wait_for(lambda: all(map(gone, family)), 2.0)
    if "twice" not in signals:  # they have written their states
        assert all(newest(path) > step for path, step in before.items())
        assert not list(out.glob("*/.lease-??????"))


def newest(folder: Path) -> str:
    return max((path.name for path in folder.glob("checkpoint/*.json")), default="")
