"""The makespan: known schedules, bounds, and thousands of jobs in no time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.runs.jobs import Job
from scaling.runs.makespan import makespan
from scaling.runs.plan import expand
from scaling.runs.sections import Grid


def jobs(**transformers: object) -> tuple[Job, ...]:
    settings = {"sizes": ["1x1x16", "1x2x32"], "tokens": [100, 200], **transformers}
    content = {
        "study": "x",
        "corpus": {"kind": "kinematic"},
        "tokenizers": {"codebooks": [64, 256]},
        "transformers": settings,
    }
    return expand(Grid.model_validate(content)).jobs


@settings(deadline=None)
@given(st.integers(1, 9), st.lists(st.floats(0.1, 99), min_size=11, max_size=11))
def test_it_lies_between_its_bounds(slots: int, times: list[float]) -> None:
    plan = jobs()
    seconds = {job.folder: t for job, t in zip(plan, times, strict=True)}
    total = makespan(plan, seconds, slots)
    chain: dict[str, float] = {}
    for job in plan:
        before = max((chain[folder] for folder in job.needs), default=0.0)
        chain[job.folder] = before + seconds[job.folder]
    longest, work = max(chain.values()), sum(times)
    assert total >= max(longest, work / slots) - 1e-6
    assert total <= longest + (work - longest) / slots + 1e-6  # Graham 1969
    assert makespan(plan, seconds, 1) == pytest.approx(work)


def test_runs_wait_for_their_own_tokenizer_alone() -> None:
    plan = jobs(sizes=["1x1x16"], tokens=[100])
    corpus, one, other, run, last = plan
    assert run.needs == (corpus.folder, one.folder)
    times = {corpus: 1.0, one: 1.0, other: 5.0, run: 5.0, last: 1.0}
    seconds = {job.folder: t for job, t in times.items()}
    # by stages it would be 1 + 5 + 5
    assert makespan(plan, seconds, 2) == 7.0


def test_a_branch_waits_for_its_trunk() -> None:
    plan = jobs(sizes=["1x1x16"], tokens=[100, 200], schedule="wsd")
    seconds = {job.folder: 1.0 for job in plan if job.folder.count("v256")}
    # tokenizer, two segments of trunk, the last branch
    assert makespan(plan, seconds, 8) == 4.0


def test_what_is_done_takes_no_time() -> None:
    plan = jobs()
    assert makespan(plan, {plan[-1].folder: 7.0}, 4) == 7.0
    assert makespan(plan, {}, 4) == 0.0


def test_ten_thousand_jobs_take_no_time() -> None:
    plan = jobs(tokens=list(range(1000, 3500)))
    assert len(plan) > 10_000
    seconds = {job.folder: 1.0 + number % 97 for number, job in enumerate(plan)}
    start = time.process_time()
    makespan(plan, seconds, 8)
    assert time.process_time() - start < 1.0
