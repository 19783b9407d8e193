"""Whatever is killed on the way, a grid ends once, with the same bits."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import CommandLine

KILLS = 5


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


def test_a_second_launcher_is_refused_and_changes_nothing(
    tmp_path: Path, scaling: CommandLine, tiny: Path
) -> None:
    out = tmp_path / "out"
    slow = ("--set", "tokenizers.steps=100000", "--out", out)
    with scaling.start("run", tiny, *slow) as first:
        wait_for(lambda: list(out.glob("corpus-*/config.json")))
        grid = (out / "grid.json").read_bytes()
        second = scaling.run("run", tiny, *slow, "--set", "seeds=[0, 1]")
        first.kill()
    assert second.returncode == 1
    assert (out / "grid.json").read_bytes() == grid
    assert "another launcher works on it; wait for it, or stop it" in second.stderr
