"""Memory that stays a process' own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from scaling.runs.allocator import keep_freed_memory

FAULTS = """
import resource, sys
import numpy as np
from scaling.runs.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def work():
    parts = [np.ones(500_000) for _ in range(8)]
work(), work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc has these thresholds"
)


def faults(how: str) -> int:
    python = [sys.executable, "-c", FAULTS, how]
    found = subprocess.run(python, capture_output=True, text=True, check=True)
    return int(found.stdout)


@glibc
def test_what_was_freed_is_not_faulted_in_again() -> None:
    assert faults("kept") < 100 < faults("given back")


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
