"""Processes as `/proc` shows them: who belongs to a trial, their memory, their time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

MARK = "SCALING_BENCHMARK"
"""Environment variable by which everything that a trial started is known again, also
what has left its parent."""

PROC = Path("/proc")


def _read(process: int, name: str) -> bytes:
    """Read a file of a process; nothing where it has ended or is another's."""
    try:
        return (PROC / str(process) / name).read_bytes()
    except OSError:
        return b""


def marked(mark: str, sessions: Collection[int] = ()) -> set[int]:
    """Find all live processes that carry a mark, or are of some sessions.

    A process that writes its own title, as Ray's do, may lose its mark with it.
    """
    wanted = f"{MARK}={mark}"
    numbers = (int(path.name) for path in PROC.iterdir() if path.name.isdecimal())
    return {
        number
        for number in numbers
        if carries(number, wanted)
        or (_session(number) in sessions and _stat(number)[0] != b"Z")
    }


def carries(process: int, variable: str) -> bool:
    """Whether a process has NAME=VALUE in its environment."""
    return variable.encode() in _read(process, "environ").split(b"\0")


def _stat(process: int) -> list[bytes]:
    """Read what stands after a process's name, from its state on."""
    return _read(process, "stat").rpartition(b")")[2].split() or [b"Z"]


def _session(process: int) -> int:
    return int([*_stat(process), *[b"0"] * 4][3])


def parent(process: int) -> int:
    """Parent of a process, 0 where it has ended."""
    return int([*_stat(process), b"0"][1])


def cpu_seconds(process: int) -> float:
    """Processor seconds that a process has used."""
    ticks = map(int, _stat(process)[11:13])
    return sum(ticks) / os.sysconf("SC_CLK_TCK")


def arguments(process: int) -> list[str]:
    """Command line of a process, word by word."""
    words = _read(process, "cmdline").rstrip(b"\0").split(b"\0")
    return [word.decode(errors="replace") for word in words]


def command(process: int) -> str:
    """Command line of a process."""
    return " ".join(arguments(process))


def descendants(process: int) -> list[int]:
    """List the processes below a process."""
    listing = _read(process, f"task/{process}/children").split()
    return [
        each for child in map(int, listing) for each in (child, *descendants(child))
    ]


def pss(processes: Iterable[int]) -> float:
    """Memory of processes in MB, shared pages divided among those that share them."""
    lines = (
        line
        for process in processes
        for line in _read(process, "smaps_rollup").splitlines()
        if line.startswith(b"Pss:")
    )
    return sum(int(line.split()[1]) for line in lines) / 1024


def busiest(processes: Iterable[int], seconds: float = 0.5) -> int:
    """Find the process that used the processor most in a while."""
    before = {process: cpu_seconds(process) for process in processes}
    time.sleep(seconds)
    return max(before, key=lambda process: cpu_seconds(process) - before[process])


def send(process: int, number: int) -> bool:
    """Send a signal; whether the process was still there."""
    with suppress(ProcessLookupError):
        os.kill(process, number)
        return True
    return False


def sweep(mark: str, sessions: Collection[int] = ()) -> None:
    """End all processes that carry a mark, or are of some sessions."""
    while left := marked(mark, sessions):
        for process in left:
            send(process, signal.SIGKILL)
        time.sleep(0.1)
