"""Answer fitting jobs, one JSON object a line, until the input ends.

    python benchmarks/rivals/work.py MODULE < jobs > answers

`fit_rivals.py` starts one such process per contender, with the interpreter that has
it, and sends the same rows to all. MODULE is a file of this folder with functions

    fit(law, objective, columns, **options) -> Answer
    draws(law, objective, columns, count, **options) -> Answer      (where it has any)

and only what happens inside them is timed: imports and starting Python are not. Time
is the processor's, of all threads together: other work on the machine does not make it
longer, and more threads do not make it shorter.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a contender found."""

    formula: str = ""
    """Its law, in Python, as a function of the columns and of `parameters`."""
    parameters: Mapping[str, float] = field(default_factory=dict)
    """Its parameters, in the units of the columns."""
    share: float = 1.0
    """Part of its work that was done; the time is divided by it."""
    note: str = ""
    """Anything a reader must know."""


def answer(module: Any, job: Mapping[str, Any]) -> dict[str, Any]:
    """Do a job as often as it asks, each time from nothing, and time every time."""
    columns = {name: np.array(rows) for name, rows in job["columns"].items()}
    function = getattr(module, job["task"])
    seconds, elapsed = [], []
    for _ in range(job["repeats"]):
        begun, at = time.process_time(), time.perf_counter()
        found = function(job["law"], job["objective"], columns, **job["options"])
        seconds.append((time.process_time() - begun) / found.share)
        elapsed.append(time.perf_counter() - at)
    return {**asdict(found), "seconds": seconds, "elapsed": elapsed}


def main() -> None:
    """Serve standard input; whatever a contender prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        module = importlib.import_module(sys.argv[1])
    except ImportError as error:
        print(json.dumps({"absent": str(error)}), file=answers, flush=True)
        return
    print(json.dumps({"ready": module.__name__}), file=answers, flush=True)
    for line in sys.stdin:
        try:
            reply = answer(module, json.loads(line))
        except Exception as error:  # a rival's failure is a line of the table
            reply = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=answers, flush=True)


if __name__ == "__main__":
    main()
