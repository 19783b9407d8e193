"""Slots: jobs are spread over devices, and a device that is not there is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from scaling.errors import ScalingError
from scaling.runs import slots as module
from scaling.runs.slots import find_device, find_devices, processors, slots_of


def test_jobs_are_spread_in_turn() -> None:
    slots = slots_of(("cuda:0", "cuda:1", "cuda:2"), 7, 2)
    counts = [slot.device for slot in slots]
    assert [counts.count(f"cuda:{index}") for index in range(3)] == [3, 2, 2]
    assert {slot.threads for slot in slots} == {2}


def test_by_default_there_is_one_per_gpu() -> None:
    assert len(slots_of(("cuda:0", "cuda:1"), None, 1)) == 2


@pytest.mark.parametrize("threads", [1, 2, 1000])
def test_slots_do_not_fight_for_processors(threads: int) -> None:
    slots = slots_of(("cpu",), None, threads)
    assert len(slots) == max(1, processors() // threads)


def test_a_container_s_share_of_the_processors_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(module, "QUOTA", quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    found = {}
    for text in ("max 100000\n", "250000 100000\n", "50000 100000\n"):
        quota.write_text(text)
        found[text] = processors()
    assert [*found.values()] == [64, 2, 1]
    monkeypatch.delattr(os, "sched_getaffinity")
    assert processors() == 1, "elsewhere than on Linux"


def test_auto_takes_every_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert find_devices("auto") == ("cuda:0", "cuda:1", "cuda:2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert find_devices("auto") == ("cpu",)


@pytest.mark.parametrize("name", ["cuda:99", "meta", "gpu"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ScalingError) as raised:
        find_device(name)
    assert str(raised.value).startswith(f"--device {name!r} is not there; this machine")
    assert "\n" not in str(raised.value)
