"""The process that jobs are forked from: it imports what takes seconds, once."""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import os
from typing import Any


def forkserver(threads: int) -> Any:
    """Prepare workers' imports once: torch and the first optimiser take seconds.

    Parameters
    ----------
    threads : int
        Processor threads of a worker; what the first call said stays.
    """
    for library in ("OMP", "MKL", "OPENBLAS"):  # read at the import, so set before it
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    context = multiprocessing.get_context("forkserver")
    first, last = "scaling.runs.preload", "scaling.runs.preloaded"
    context.set_forkserver_preload([first, "scaling.runs.worker", last])
    return context


def begin(threads: int) -> None:
    """Let the imports begin, beside this process' own."""
    forkserver(threads)
    multiprocessing.forkserver.ensure_running()
