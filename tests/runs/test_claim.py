"""A store keeps what changes how sums round, whoever joins it."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling.errors import ScalingError
from scaling.runs.claim import BEFORE, claim, kept_parallel, kept_threads
from scaling.runs.group import ONE, Parallel
from scaling.runs.plan import expand
from scaling.runs.sections import Grid
from scaling.runs.slots import Slot

CONTENT = {
    "study": "x",
    "corpus": {"kind": "kinematic"},
    "tokenizers": {"codebooks": [64]},
    "transformers": {"sizes": ["1x1x16"], "tokens": [100]},
}


def test_the_first_launch_s_threads_and_processes_stay(tmp_path: Path) -> None:
    plan, out = expand(Grid.model_validate(CONTENT)), tmp_path / "out"
    assert (kept_threads(out), kept_parallel(out)) == (None, ONE)
    two = Parallel(processes=2, kind="fsdp")
    claim(plan, out, Slot(device="cpu", threads=4, parallel=two))
    claim(plan, out, Slot(device="cuda:0"))
    assert (kept_threads(out), kept_parallel(out)) == (4, two)


def test_a_folder_that_holds_a_prediction_can_be_taken(tmp_path: Path) -> None:
    plan = expand(Grid.model_validate(CONTENT))
    for name in BEFORE:
        (tmp_path / name).write_text("")
    claim(plan, tmp_path, Slot(device="cpu"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("")
    with pytest.raises(ScalingError, match="is not empty and holds no grid"):
        claim(plan, tmp_path / "other", Slot(device="cpu"))
