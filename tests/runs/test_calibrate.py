"""Times of a plan: what they are proportional to, and that timed processes end."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace

import numpy as np
import pytest

from scaling.models.sizes import size
from scaling.models.transformer import TransformerConfig
from scaling.runs import calibrate, kinematic, timing
from scaling.runs.calibrate import estimate
from scaling.runs.extent import (
    FRAMES_PER_CLIP,
    Extent,
    extent_of,
    of_frames,
)
from scaling.runs.jobs import Job, TransformerJob
from scaling.runs.plan import expand
from scaling.runs.sections import Grid, KinematicCorpus
from scaling.runs.slots import Slot
from scaling.runs.timing import Step, Timing, TransformerStep, timings

SLOT = Slot(device="cpu")
EXTENT = extent_of(KinematicCorpus(sequences=200))
STEP = TransformerStep(
    config=TransformerConfig(
        size=size("1x1x16"), codebook_size=64, text_vocab_size=300
    ),
    rows=4,
    codes=34,
    pieces=24,
)


def jobs(**transformers: object) -> tuple[Job, ...]:
    settings = {"sizes": ["1x1x16", "1x2x32"], "tokens": [10_000], **transformers}
    content = {
        "study": "x",
        "corpus": {"kind": "kinematic", "sequences": 200},
        "tokenizers": {"codebooks": [64], "width": 16, "depth": 1, "steps": 10},
        "transformers": settings,
    }
    return expand(Grid.model_validate(content)).jobs


@pytest.fixture
def one_millisecond(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """Every row takes a millisecond, as does a motion; returns what was timed."""
    timed: list[Step] = []

    def found(steps: list[Step], slots: object, least: int) -> dict[Step, Timing]:
        timed.extend(steps)
        return dict.fromkeys(steps, Timing(step=1e-3, forward=1e-3))

    monkeypatch.setattr(calibrate, "timings", found)
    sample = calibrate._Sample(made=1e-3, read=1e-3, captions=1e-3)
    monkeypatch.setattr(calibrate, "_sample", lambda: sample)
    return timed


def test_steps_are_timed_at_their_own_shape(one_millisecond: list[Step]) -> None:
    estimate(jobs(batch_size=8, text_length=10), EXTENT, [SLOT])
    shapes = [step for step in one_millisecond if isinstance(step, TransformerStep)]
    assert {step.config.size.name for step in shapes} == {"1x1x16", "1x2x32"}
    assert {(step.rows, step.codes, step.pieces) for step in shapes} == {(8, 34, 10)}


def test_a_run_costs_its_tokens_and_its_evaluations(
    one_millisecond: list[Step],
) -> None:
    def of(**transformers: object) -> float:
        run = jobs(sizes=["1x1x16"], **transformers)[-1]
        return estimate([run], EXTENT, [SLOT])[run.folder]

    few = of(tokens=[35_000], evaluations=1)
    more_tokens = of(tokens=[70_000], evaluations=1) - few
    more_evaluations = of(tokens=[35_000], evaluations=11) - few
    assert more_tokens == pytest.approx(1.0, rel=0.05)  # 1000 rows of 35 tokens
    assert more_evaluations == pytest.approx(10 * 30 * 1e-3, rel=0.1)  # of 30 rows


def test_a_branch_costs_what_comes_after_its_trunk(
    one_millisecond: list[Step],
) -> None:
    budgets = {"tokens": [50_000, 100_000], "evaluations": 1}
    plan = jobs(sizes=["1x1x16"], schedule="wsd", **budgets)
    seconds = estimate(plan, EXTENT, [SLOT])
    trained = [job for job in plan if isinstance(job, TransformerJob)]
    assert [job.tokens - job.trunk_tokens for job in trained] == [
        *(40_000, 10_000),
        *(40_000, 20_000),
    ]
    first, branch, second, last = (seconds[job.folder] for job in trained)
    # 35 tokens a row, 30 rows an evaluation, which the parts of a run share
    assert first - second == pytest.approx(0.5 * 30 * 1e-3, rel=0.02)
    assert first - branch == pytest.approx((30_000 / 35 + 0.8 * 30) * 1e-3, rel=0.02)
    assert first - last == pytest.approx((20_000 / 35 + 0.8 * 30) * 1e-3, rel=0.02)


def test_a_model_too_large_to_time_is_scaled_by_its_flops(
    one_millisecond: list[Step],
) -> None:
    plan = jobs(sizes=["111M", "343M"])
    seconds = estimate(plan[2:], EXTENT, [SLOT])
    (timed,) = one_millisecond
    assert isinstance(timed, TransformerStep)
    assert timed.config.size == calibrate.REFERENCE.size
    small, large = (seconds[job.folder] for job in plan[2:])
    assert large / small == pytest.approx(343 / 111, rel=0.25)


def test_of_many_shapes_some_are_timed(one_millisecond: list[Step]) -> None:
    sizes = [f"1x1x{2 * width}" for width in range(8, 40)]
    assert len(estimate(jobs(sizes=sizes), EXTENT, [SLOT])) == 34
    transformers = [s for s in one_millisecond if isinstance(s, TransformerStep)]
    widths = [step.config.size.d_model for step in transformers]
    assert len(widths) == calibrate.POINTS["transformer"]
    assert widths[:2] == [78, 16]  # what lies between them can be left out


def test_between_timed_shapes_time_follows_a_line_of_logarithms() -> None:
    row = Timing(step=1.0, forward=0.5)
    curve = calibrate._Curve([1.0, 100.0], [row, replace(row, step=10.0)])
    assert curve.at(10.0).step == pytest.approx(10**0.5)
    assert curve.at(300.0).step == pytest.approx(30.0)
    assert curve.at(300.0).forward == pytest.approx(1.5)
    assert curve.at(0.1) == row


def test_processes_that_are_timed_together_end() -> None:
    found = timings([STEP], [SLOT] * 2)
    assert 0 < found[STEP].forward < found[STEP].step < 1
    assert multiprocessing.active_children() == []


def test_what_there_is_no_time_for_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timing, "PATIENCE", 0.0)
    other = replace(STEP, rows=2)
    assert timings([STEP, other], [SLOT]).keys() == {STEP}
    assert timings([STEP, other], [SLOT], least=2).keys() == {STEP, other}


def test_nothing_takes_no_time() -> None:
    assert estimate([], EXTENT, [SLOT]) == {}


def test_the_typical_motion_is_that_of_the_built_in_corpus() -> None:
    lengths = [len(kinematic.sequence(index, 0).joints) for index in range(120)]
    assert np.mean(lengths) == pytest.approx(FRAMES_PER_CLIP, rel=0.1)


def test_an_extent_counts_codes() -> None:
    fsq, rfsq = (
        expand(
            Grid.model_validate(
                {
                    "study": "x",
                    "corpus": {"kind": "kinematic"},
                    "tokenizers": {"codebooks": [64], "quantizers": [method]},
                    "transformers": "none",
                    "evaluator": "none",
                }
            )
        ).jobs[1]
        for method in ("fsq", "rfsq")
    )
    extent: Extent = of_frames(1000.0, per_clip=100)
    assert extent.clips == 10
    assert extent.test_clips == 1.5
    assert extent.codes(fsq.quantization) == 25  # type: ignore[union-attr]
    assert extent.codes(rfsq.quantization) == 50  # type: ignore[union-attr]
