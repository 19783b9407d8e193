"""Slots: the places of a machine that run one job at a time each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from scaling.errors import ScalingError
from scaling.runs.group import ONE, Parallel

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Where a container's share of the processors stands: microseconds in a period of so
many, or `max`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """One place for one job."""

    device: str
    """`cpu`, `cuda:0`, `cuda:1`."""
    threads: int = 1
    """Processor threads of each of its processes."""
    parallel: Parallel = ONE
    """Processes of a transformer run; on GPUs its own and those that follow it."""

    @property
    def processors(self) -> int:
        """Processors that a job keeps busy."""
        return self.threads * self.parallel.processes


def find_device(name: str) -> str:
    """Settle on one device: `auto` is a GPU where there is one.

    Raises
    ------
    ScalingError
        If the device is not there.
    """
    gpus = torch.cuda.device_count()
    if name == "auto":
        return "cuda" if gpus else "cpu"
    try:
        if torch.device(name).type not in ("cpu", "cuda"):
            raise RuntimeError("no device to train on")
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError):
        there = f"cpu and {gpus} cuda devices" if gpus else "cpu alone"
        raise ScalingError(
            f"--device {name!r} is not there; this machine has {there}: name one of "
            "them, or leave the option out"
        ) from None
    return name


def find_devices(name: str) -> tuple[str, ...]:
    """Settle on the devices to use: `auto` is all GPUs where there are any."""
    gpus = torch.cuda.device_count()
    if name == "auto" and gpus:
        return tuple(f"cuda:{index}" for index in range(gpus))
    device = find_device(name)
    return ("cuda:0",) if device == "cuda" else (device,)


def hardware(device: str) -> str:
    """Name what a device is, for the record: its bits depend on the kind."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def processors() -> int:
    """Count the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota, _, period = (QUOTA.read_text() if QUOTA.exists() else "max").partition(" ")
    return min(count, max(1, int(quota) // int(period))) if quota.isdigit() else count


def slots_of(
    devices: tuple[str, ...],
    jobs: int | None,
    threads: int,
    parallel: Parallel = ONE,
) -> tuple[Slot, ...]:
    """Spread jobs over devices in turn.

    Parameters
    ----------
    devices : tuple of str
        As `find_devices` gives them.
    jobs : int or None
        Jobs at a time; None: one per GPU, or as many as the processors have room for.
    threads : int
        Processor threads of each of their processes.
    parallel : Parallel
        Processes of a run.

    Raises
    ------
    ScalingError
        If a run has more processes than there are GPUs.

    >>> [slot.device for slot in slots_of(("cuda:0", "cuda:1"), 3, 1)]
    ['cuda:0', 'cuda:1', 'cuda:0']
    """
    each = parallel.processes
    if devices != ("cpu",):
        if each > len(devices):
            raise ScalingError(
                f"--processes-per-run {each}: there are {len(devices)} GPUs to use; "
                "expected no more processes than that: lower it"
            )
        devices = devices[: len(devices) // each * each : each]
    if jobs is None:
        room = max(1, processors() // (threads * each))
        jobs = room if devices == ("cpu",) else len(devices)
    return tuple(
        Slot(device=devices[index % len(devices)], threads=threads, parallel=parallel)
        for index in range(jobs)
    )
