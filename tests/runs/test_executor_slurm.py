"""Agents of a real Slurm, its two nodes on this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import CommandLine

SCRIPT = Path(__file__).parents[2] / "examples/cluster/slurm-on-one-machine.sh"
SLURM = ("--executor", "slurm")
SLOW = ("--set", "tokenizers.steps=400")

pytest.importorskip("submitit")
pytestmark = pytest.mark.skipif(
    shutil.which("slurmctld", path=f"{os.environ['PATH']}:/usr/sbin") is None,
    reason="no slurmctld here: apt-get install munge slurm-wlm",
)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start a cluster of two nodes; it is found by SLURM_CONF."""
    folder = tmp_path_factory.mktemp("slurm")
    with pytest.MonkeyPatch.context() as patch:
        try:
            subprocess.run([SCRIPT, "start", folder, "2", "1"], check=True)
            patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
            yield folder
        finally:
            subprocess.run([SCRIPT, "stop", folder], check=False)


@pytest.fixture
def cluster(slurm: Path, scaling: CommandLine) -> Iterator[CommandLine]:
    """Give the command line on the cluster, idle before and after."""
    scaling.environment["SLURM_CONF"] = str(slurm / "slurm.conf")
    yield scaling
    del scaling.environment["SLURM_CONF"]
    subprocess.run(["scancel", "--user", str(os.getuid())], check=True)
    wait_for(lambda: not ask("squeue", "--noheader"))


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def wait_for(condition: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait until something is true; that it never is fails the test."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def trains(out: Path) -> Callable[[], list[Path]]:
    """Tell whether a tokenizer is being trained."""
    return lambda: [
        path
        for path in out.glob("tokenizer-*/.lease-*")
        if (path.parent / "config.json").exists() and "free" not in path.name
    ]


def tasks() -> list[str]:
    return ask("squeue", "--noheader", "--array", "--format=%i").split()


def same(out: Path, straight: Path) -> None:
    """Compare tables, and see that no evaluation was logged twice."""
    for name in ("runs.csv", "tokenizers.csv"):
        assert (out / name).read_bytes() == (straight / name).read_bytes()
    for log in out.glob("*/metrics.jsonl"):
        steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
        assert steps == sorted(set(steps))


@pytest.fixture(scope="module")
def straight_slow(
    tmp_path_factory: pytest.TempPathFactory, scaling: CommandLine, tiny: Path
) -> Path:
    """One uninterrupted run here, long enough to be interrupted elsewhere."""
    out = tmp_path_factory.mktemp("slow") / "out"
    done = scaling.run("run", tiny, *SLOW, "--out", out, "--jobs", 2)
    assert done.returncode == 0, done.stderr
    return out


def test_two_nodes_give_the_bits_of_one_machine(
    straight: Path, tmp_path: Path, cluster: CommandLine, tiny: Path
) -> None:
    out = tmp_path / "out"
    done = cluster.run("run", tiny, "--out", out, *SLURM, "--agents", 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(out / "runs.csv")]
    assert "slurm: 2 agents queued" in done.stderr
    same(out, straight)


@pytest.mark.parametrize("how", ["requeue", "time-out", "pre-emption"])
def test_a_task_that_must_leave_comes_back(
    how: str, straight_slow: Path, tmp_path: Path, cluster: CommandLine, tiny: Path
) -> None:
    out = tmp_path / "out"
    with cluster.start("run", tiny, *SLOW, "--out", out, *SLURM) as waiting:
        wait_for(trains(out))
        (task,) = tasks()
        if how == "requeue":
            ask("scontrol", "requeue", task)
        elif how == "time-out":
            ask("scancel", "--signal=USR2", task)
        else:
            node = ask("squeue", "--noheader", "--format=%N").strip()
            urgent = ("--partition=urgent", f"--nodelist={node}", "--output=/dev/null")
            ask("sbatch", *urgent, "--wrap", "sleep 1")
        _, errors = waiting.communicate(timeout=240)
    assert waiting.returncode == 0, errors
    assert "Restarts=1 " in ask("scontrol", "show", "job", task)
    same(out, straight_slow)


def test_a_lost_node_loses_nothing(
    straight_slow: Path, tmp_path: Path, slurm: Path, cluster: CommandLine, tiny: Path
) -> None:
    out = tmp_path / "out"
    two = ("--agents", 2)
    with cluster.start("run", tiny, *SLOW, "--out", out, *SLURM, *two) as waiting:
        wait_for(lambda: len(trains(out)()) == 2)
        daemon = int((slurm / "slurmd-node1.pid").read_text())
        steps = steps_on("node1")
        for process in [daemon, *steps]:
            os.kill(process, signal.SIGKILL)
        _, errors = waiting.communicate(timeout=240)
    assert steps
    assert waiting.returncode == 0, errors
    same(out, straight_slow)
    subprocess.run(["slurmd", "-N", "node1"], check=True)


def steps_on(node: str) -> list[int]:
    """List what runs on a node: its steps' daemons and all below them."""
    listing = ask("ps", "-eo", "pid=,ppid=,args=").splitlines()
    rows = [line.split(None, 2) for line in listing]
    jobs = ask("squeue", "--noheader", f"--nodelist={node}", "--format=%A").split()
    names = tuple(f"slurmstepd: [{job}." for job in jobs)
    found = [pid for pid, _, name in rows if name.startswith(names)]
    for process in found:
        found += [pid for pid, parent, _ in rows if parent == process]
    return [int(process) for process in found]


def test_left_and_come_back_to_then_cancelled(
    tmp_path: Path, cluster: CommandLine, tiny: Path
) -> None:
    out = tmp_path / "out"
    endless = ("run", tiny, "--set", "tokenizers.steps=1000000", "--out", out, *SLURM)
    with cluster.start(*endless) as waiting:
        wait_for(trains(out))
        (task,) = tasks()
        waiting.send_signal(signal.SIGINT)
        _, errors = waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    assert f"Slurm job {task} goes on" in errors
    with cluster.start(*endless) as waiting:
        assert waiting.stderr is not None
        wait_for(lambda: "following them" in waiting.stderr.readline())
        assert tasks() == [task]
        ask("scancel", task)
        _, errors = waiting.communicate(timeout=120)
    assert waiting.returncode == 1
    assert "all slurm agents are gone; 1 of 7 jobs done" in errors
    assert list(out.glob("tokenizer-*/checkpoint/*"))
    assert not trains(out)()


def test_sbatch_is_quoted_in_one_line(
    tmp_path: Path, cluster: CommandLine, tiny: Path
) -> None:
    wrong = ("--partition", "nope")
    done = cluster.run("run", tiny, "--out", tmp_path / "out", *SLURM, *wrong)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "Error: sbatch: invalid partition specified: nope; Batch job submission "
        "failed: Invalid partition name specified"
    )


def test_without_slurm_one_line_says_so(
    tmp_path: Path, scaling: CommandLine, tiny: Path
) -> None:
    out = tmp_path / "out"
    bare = {**scaling.environment, "PATH": str(tmp_path)}
    done = scaling.run("run", tiny, "--out", out, *SLURM, env=bare)
    assert done.returncode == 1
    assert "sbatch is not found; expected a machine of a Slurm cl" in done.stderr
    assert not out.exists()
