"""How many jobs at a time: what is asked for, what fits, what ends soonest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from scaling.runs import packing
from scaling.runs.claim import kept_threads
from scaling.runs.extent import Extent, extent_of
from scaling.runs.group import ONE, Parallel
from scaling.runs.jobs import Job
from scaling.runs.memory import job_bytes
from scaling.runs.packing import Wish, memory_of, pack
from scaling.runs.plan import expand
from scaling.runs.sections import Grid, KinematicCorpus
from scaling.runs.slots import Slot

EXTENT = extent_of(KinematicCorpus())


def jobs(count: int) -> tuple[Job, ...]:
    content = {
        "study": "x",
        "corpus": {"kind": "kinematic"},
        "tokenizers": {"codebooks": [64], "width": 32},
        "transformers": {"sizes": ["1x1x16"], "tokens": list(range(1, count + 1))},
    }
    return expand(Grid.model_validate(content)).jobs[2:]


@pytest.fixture(autouse=True)
def eight_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 8 processors; 4 threads are twice as fast as 1 at a job of 8 s."""
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))

    def estimate(
        jobs: Sequence[Job], extent: Extent, slots: Sequence[Slot]
    ) -> dict[str, float]:
        return {job.folder: 8.0 / slots[0].threads ** 0.5 for job in jobs}

    monkeypatch.setattr(packing, "estimate", estimate)


def room_for(monkeypatch: pytest.MonkeyPatch, size: float) -> None:
    monkeypatch.setattr(packing, "memory_of", lambda device: round(size))


@pytest.mark.parametrize(
    ("wish", "slots", "says"),
    [
        (Wish(devices=("cpu",)), 8, "8 at a time, 1 thread each: one per processor"),
        (
            Wish(devices=("cpu",), jobs=3),
            3,
            "3 at a time, 1 thread each: as asked for",
        ),
        (
            Wish(devices=("cpu",), threads=4),
            2,
            "2 at a time, 4 threads each: all processors",
        ),
    ],
)
def test_what_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, wish: Wish, slots: int, says: str
) -> None:
    room_for(monkeypatch, 1e12)
    packed = pack(jobs(9), EXTENT, wish)
    assert len(packed.slots) == slots
    assert packed.describe() == says


@pytest.mark.parametrize(("count", "threads"), [(1, 8), (2, 4), (16, 1)])
def test_threads_are_chosen_by_when_the_grid_ends(
    monkeypatch: pytest.MonkeyPatch, count: int, threads: int
) -> None:
    room_for(monkeypatch, 1e12)
    packed = pack(jobs(count), EXTENT, Wish(devices=("cpu",), threads=None))
    assert {slot.threads for slot in packed.slots} == {threads}
    assert packed.makespan == pytest.approx(
        8 / threads**0.5 * -(-count // (8 // threads))
    )
    assert packed.why.startswith("the soonest of 8 x 1 in ")


def test_no_more_jobs_than_the_memory_has_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = jobs(9)
    largest = max(job_bytes(job, EXTENT) for job in plan)
    room_for(monkeypatch, 2.2 * largest)
    packed = pack(plan, EXTENT, Wish(devices=("cpu",), jobs=8))
    assert 2 <= len(packed.slots) < 8
    assert "more would not fit into memory, 0.5 GB a job of " in packed.why
    room_for(monkeypatch, 0.5 * largest)
    packed = pack(plan, EXTENT, Wish(devices=("cpu",)))
    assert len(packed.slots) == 1
    assert packed.why == "A JOB TAKES 0.5 GB AND THERE ARE 0.2 GB OF MEMORY"


def test_the_processes_of_a_run_share_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = jobs(9)
    room_for(monkeypatch, 4.5 * max(job_bytes(job, EXTENT) for job in plan))
    two = Wish(devices=("cpu",), jobs=4, parallel=Parallel(processes=2))
    assert len(pack(plan, EXTENT, replace(two, parallel=ONE)).slots) == 4
    assert len(pack(plan, EXTENT, two).slots) == 2


def test_a_container_s_limit_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(packing, "CGROUP", limit)
    machine = memory_of("cpu")
    limit.write_text("123456789\n")
    assert memory_of("cpu") == 123456789
    limit.write_text("max\n")
    assert memory_of("cpu") == machine > 1e9


def test_nothing_to_do_needs_no_room() -> None:
    packed = pack([], EXTENT, Wish(devices=("cpu",)))
    assert packed.makespan == 0
    assert packed.seconds == {}


def test_a_store_keeps_its_threads(tmp_path: Path) -> None:
    assert kept_threads(tmp_path) is None
    (tmp_path / "grid.json").write_text(json.dumps({"study": "x", "threads": 4}))
    assert kept_threads(tmp_path) == 4
