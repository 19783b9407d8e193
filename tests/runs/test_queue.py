"""The order of jobs: what they need first, then what holds up most."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.runs.queue import Queue


@dataclass(frozen=True)
class Work:
    """All that the queue asks of a job."""

    folder: str
    needs: tuple[str, ...] = ()


def queue(jobs: list[Work], seconds: dict[str, float]) -> Queue:
    queued: Any = jobs
    return Queue(queued, seconds)


def popped(waiting: Queue) -> list[str]:
    """Do one job at a time to the end."""
    order = []
    while (job := waiting.pop()) is not None:
        order.append(job.folder)
        waiting.ended(job.folder)
    return order


def test_the_longest_comes_first_and_ties_keep_the_plan_s_order() -> None:
    jobs = [Work(name) for name in "abcd"]
    assert popped(queue(jobs, {"a": 1, "b": 3, "c": 3, "d": 2})) == list("bcda")


def test_a_short_job_that_holds_up_much_comes_before_a_long_one() -> None:
    jobs = [Work("long"), Work("short"), Work("behind", ("short",))]
    seconds = {"long": 10.0, "short": 1.0, "behind": 9.5}
    assert popped(queue(jobs, seconds)) == ["short", "long", "behind"]


def test_needs_that_are_not_in_the_queue_are_done() -> None:
    assert popped(queue([Work("a", ("done-before",))], {})) == ["a"]


def test_what_failed_holds_back_what_needs_it() -> None:
    waiting = queue([Work("a"), Work("b", ("a",)), Work("c")], {"a": 2, "b": 1, "c": 1})
    first = waiting.pop()
    assert first is not None
    assert first.folder == "a"  # and is never said to have ended
    assert popped(waiting) == ["c"]
    assert not waiting


def test_a_rest_is_kept() -> None:
    waiting = queue([Work("a")], {})
    job = waiting.pop()
    assert job is not None
    waiting.rest(job, 0.05)
    assert waiting.pop() is None
    assert waiting
    assert 0 < waiting.pause() <= 0.05
    time.sleep(0.06)
    assert waiting.pop() is job
    assert waiting.pause() == float("inf")


@given(st.integers(0, 30), st.integers(0, 2**32))
def test_every_job_comes_once_after_all_that_it_needs(size: int, seed: int) -> None:
    chance = random.Random(seed)
    jobs: list[Work] = []
    for number in range(size):
        needs = chance.sample(jobs, min(len(jobs), chance.randrange(3)))
        jobs.append(Work(str(number), tuple(job.folder for job in needs)))
    chance.shuffle(seconds := [chance.random() for _ in jobs])
    order = popped(
        queue(jobs, {job.folder: s for job, s in zip(jobs, seconds, strict=True)})
    )
    assert sorted(order) == sorted(job.folder for job in jobs)
    for job in jobs:
        assert all(order.index(need) < order.index(job.folder) for need in job.needs)


@pytest.mark.parametrize("shape", ["wide", "deep"])
def test_ten_thousand_jobs_are_no_work(shape: str) -> None:
    count = 10_000
    wide = [Work("root"), *(Work(str(n), ("root",)) for n in range(count))]
    deep = [Work("0"), *(Work(str(n + 1), (str(n),)) for n in range(count))]
    start = time.process_time()
    assert len(popped(queue(wide if shape == "wide" else deep, {}))) == count + 1
    assert time.process_time() - start < 1.0
