"""Agents of a real Ray, its two nodes on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import CommandLine

SCRIPT = Path(__file__).parents[2] / "examples/cluster/ray-on-one-machine.sh"
RAY = ("--executor", "ray", "--address", "auto")
SLOW = ("--set", "tokenizers.steps=400")

pytestmark = pytest.mark.skipif(
    find_spec("ray") is None, reason="no ray here: pip install 'scaling[ray]'"
)


@pytest.fixture
def cluster(tmp_path: Path, scaling: CommandLine) -> Iterator[CommandLine]:
    """Give the command line on a cluster of two nodes of one processor each."""
    nodes = tmp_path / "ray"
    own = {**os.environ, "RAY": str(Path(sys.executable).with_name("ray"))}
    start = [SCRIPT, "start", nodes, "2", "1"]
    before = dict(scaling.environment)
    try:
        said = subprocess.run(
            start, env=own, check=True, stdout=subprocess.PIPE, text=True, timeout=180
        ).stdout
        words = said.replace("export ", "").split()
        scaling.environment.update(word.split("=", 1) for word in words)
        yield scaling
    finally:
        scaling.environment = before
        subprocess.run([SCRIPT, "stop", nodes], check=False)


def wait_for(condition: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait until something is true; that it never is fails the test."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def trains(out: Path) -> list[Path]:
    """List the leases of tokenizers that are being trained."""
    return [
        path
        for path in out.glob("tokenizer-*/.lease-*")
        if (path.parent / "config.json").exists() and "free" not in path.name
    ]


def hosts(out: Path) -> dict[int, int]:
    """Find the node that each agent runs on: group of processes by group."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
            if b"scaling.runs.executors" in words and str(out).encode() in words[3]:
                agent = int(path.parent.name)
                stat = (path.parent / "stat").read_text().rpartition(")")[2].split()
                found[agent] = os.getpgid(int(stat[1]))
        except (OSError, IndexError):
            continue
    return found


def same(out: Path, straight: Path) -> None:
    """Compare tables, and see that no evaluation was logged twice."""
    for name in ("runs.csv", "tokenizers.csv"):
        assert (out / name).read_bytes() == (straight / name).read_bytes()
    for log in out.glob("*/metrics.jsonl"):
        steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
        assert steps == sorted(set(steps))


def kill_node(number: int, nodes: Path) -> None:
    """Kill all processes of a node at once, as a power cut does."""
    session = (nodes / f"node-{number}.pid").read_text().strip()
    family = subprocess.run(
        ["pgrep", "--session", session], capture_output=True, text=True, check=True
    )
    for process in family.stdout.split():
        os.kill(int(process), signal.SIGKILL)


def test_a_lost_node_loses_nothing(
    tmp_path: Path, scaling: CommandLine, cluster: CommandLine, tiny: Path
) -> None:
    straight, out = tmp_path / "straight", tmp_path / "out"
    assert scaling.run("run", tiny, *SLOW, "--out", straight).returncode == 0
    two = ("--out", out, *RAY, "--agents", 2)
    with cluster.start("run", tiny, *SLOW, *two) as waiting:
        wait_for(lambda: len(trains(out)) == 2)
        before = hosts(out)
        kill_node(1, tmp_path / "ray")
        wait_for(lambda: hosts(out).keys() != before.keys())
        _, errors = waiting.communicate(timeout=240)
    assert len(before) == 2
    assert waiting.returncode == 0, errors
    same(out, straight)


def test_left_and_come_back_to_then_cancelled(
    tmp_path: Path, cluster: CommandLine, tiny: Path
) -> None:
    out = tmp_path / "out"
    endless = ("run", tiny, "--set", "tokenizers.steps=1000000", "--out", out, *RAY)
    with cluster.start(*endless) as waiting:
        wait_for(lambda: trains(out))
        waiting.send_signal(signal.SIGINT)
        _, errors = waiting.communicate(timeout=60)
    assert waiting.returncode == 130
    assert "the agents go on: run the same command to come back" in errors
    agents = hosts(out).keys()
    assert len(agents) == 1
    with cluster.start(*endless) as waiting:
        assert waiting.stderr is not None
        wait_for(lambda: "following them" in waiting.stderr.readline())
        assert hosts(out).keys() == agents
        stopped = cluster.run("cancel", out, "--address", "auto")
        assert stopped.returncode == 0, stopped.stderr
        _, errors = waiting.communicate(timeout=120)
    assert waiting.returncode == 1
    assert "all ray agents are gone; 1 of 7 jobs done" in errors
    wait_for(lambda: not hosts(out))
    assert list(out.glob("tokenizer-*/checkpoint/*"))
    assert not trains(out)


def test_a_cluster_of_its_own_ends_with_the_command(
    straight: Path, tmp_path: Path, scaling: CommandLine, tiny: Path
) -> None:
    out = tmp_path / "out"
    done = scaling.run("run", tiny, "--out", out, "--executor", "ray")
    assert done.returncode == 0, done.stderr
    same(out, straight)
    wait_for(lambda: not hosts(out), 20.0)


def test_where_nobody_listens_one_line_says_so(
    tmp_path: Path, scaling: CommandLine, tiny: Path
) -> None:
    out = tmp_path / "out"
    nobody = ("--executor", "ray", "--address", "127.0.0.1:9")
    done = scaling.run("run", tiny, "--out", out, *nobody)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "Error: --address 127.0.0.1:9: Connection refused; expected a Ray cluster"
    )
    assert not out.exists()
