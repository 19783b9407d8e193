"""Imported first by the forkserver: it leaves with its launcher, and not before.

By itself it would notice only after its imports, which take seconds. Linux alone can
say so; elsewhere those seconds pass. Imports make no garbage worth looking for, which
takes a tenth of their time; `preloaded.py` looks again.
"""

from __future__ import annotations

import ctypes
import gc
import signal
import sys

PR_SET_PDEATHSIG = 1
"""The option of prctl(2) that names the signal to get when the parent dies."""

if any("forkserver" in word for word in sys.orig_argv):
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which is for the launcher
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
