"""A store keeps what changes how sums round, whoever joins it."""

from __future__ import annotations

from pathlib import Path

from scaling.runs.claim import claim, kept_parallel, kept_threads
from scaling.runs.group import ONE, Parallel
from scaling.runs.plan import expand
from scaling.runs.sections import Grid
from scaling.runs.slots import Slot


def test_the_first_launch_s_threads_and_processes_stay(tmp_path: Path) -> None:
    content = {
        "study": "x",
        "corpus": {"kind": "kinematic"},
        "tokenizers": {"codebooks": [64]},
        "transformers": {"sizes": ["1x1x16"], "tokens": [100]},
    }
    plan, out = expand(Grid.model_validate(content)), tmp_path / "out"
    assert (kept_threads(out), kept_parallel(out)) == (None, ONE)
    two = Parallel(processes=2, kind="fsdp")
    claim(plan, out, Slot(device="cpu", threads=4, parallel=two))
    claim(plan, out, Slot(device="cuda:0"))
    assert (kept_threads(out), kept_parallel(out)) == (4, two)
