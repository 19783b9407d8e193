"""What one store has made already, for another that needs the very same.

A folder's name tells all that determines what is in it, so an equal name is an equal
corpus or tokenizer. To make one anew takes time, and on another machine or with other
threads a tokenizer could round differently: the loss would then be of other tokens.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from scaling.files import ASIDE
from scaling.record import ended
from scaling.runs import lease
from scaling.runs.jobs import Job

KINDS = ("corpus", "evaluator", "tokenizer", "text")
"""Jobs whose results are taken over: what runs are made of, never runs."""


def reusable(jobs: Iterable[Job], stores: Sequence[Path]) -> dict[str, Path]:
    """Find the folders that stores have finished, by job."""
    found = {}
    for job in jobs:
        there = (store / job.folder for store in stores)
        folder = next((each for each in there if ended(each)), None)
        if job.kind in KINDS and folder is not None:
            found[job.folder] = folder
    return found


def reuse(jobs: Iterable[Job], stores: Sequence[Path], out: Path) -> None:
    """Take over into a store what others have finished, whole or not at all.

    Files are linked where the file system can, and copied where not. Nobody writes
    into a finished folder's files, so that a link is as good as a copy.
    """
    for name, folder in reusable(jobs, stores).items():
        if (out / name).exists():  # somebody is at it, or it is done
            continue
        with TemporaryDirectory(prefix=ASIDE, dir=out) as aside:
            copy = Path(aside) / name
            ignored = shutil.ignore_patterns(f"{lease.PREFIX}*", f"{ASIDE}*")
            shutil.copytree(folder, copy, ignore=ignored, copy_function=_link)
            with suppress(OSError):  # another process was faster
                copy.rename(out / name)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)
