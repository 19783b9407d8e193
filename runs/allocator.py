"""Memory that a worker freed stays its own, so that a step finds its pages there.

glibc gives what is freed back to the kernel: a block of more than 128 KiB (or of the
largest freed so far) at once, and the top of the heap when it exceeds twice that. A
step frees nearly all that it allocates, so the next one faults the pages in again, each
filled with zeros under a lock of the process. Measured (`benchmarks/cores.py`): at V =
16,384 a step faults in 12 pages and not 9,500, and takes 0.93 of the processor time; at
V = 1024, 1,000 and not 3,400, and 0.96; less is lost in the noise.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Options of mallopt(3)."""

LARGEST = 32 << 20
"""Bytes from which a block is mapped by itself; glibc takes no more."""

KEPT, AHEAD = 1 << 30, 64 << 20
"""Bytes at the heap's top that are kept, and asked for at once."""


def keep_freed_memory() -> bool:
    """Set glibc's thresholds; elsewhere nothing happens, and False says so."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl has none
        return False
    options = {
        M_MMAP_THRESHOLD: LARGEST,
        M_TRIM_THRESHOLD: KEPT,
        M_TOP_PAD: AHEAD,
    }
    return all(mallopt(option, value) == 1 for option, value in options.items())
