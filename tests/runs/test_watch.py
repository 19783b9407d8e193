"""A study watched from outside: exact counts, honest speeds, pictures that fit."""

from __future__ import annotations

import io
import json
import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from scaling.record import read_metrics, scan
from scaling.runs.lease import acquire
from scaling.runs.watch import Watcher
from scaling.runs.watch_lines import Lines, summary
from scaling.runs.watch_pace import extent_of, seconds_per_token, throughput, time_left
from scaling.runs.watch_screen import Screen, sparkline
from scaling.runs.watch_snapshot import Curve, Progress, Snapshot, Trouble
from scaling.runs.watch_track import Track


@pytest.fixture
def store(straight: Path, tmp_path: Path) -> Path:
    """A finished study, to be undone in part."""
    return Path(shutil.copytree(straight, tmp_path / "out"))


def runs_of(store: Path) -> list[str]:
    jobs = json.loads((store / "grid.json").read_text())["jobs"]
    return [job for job in jobs if job[0].isdigit()]


def undo(folder: Path, rows: int) -> None:
    """Take a run back to where it had so many evaluations."""
    (folder / "result.json").unlink()
    shutil.rmtree(folder / "checkpoint")
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text("".join(lines[:rows]))


def signs(folder: Path) -> dict[str, tuple[int, int]]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in found}


# --- What is seen ---


def test_a_finished_study_is_over_and_only_read(store: Path) -> None:
    before = signs(store)
    shown = Watcher(store).look()
    assert shown.over
    assert (shown.study, shown.jobs, shown.share) == ("tiny", 7, 1.0)
    assert (shown.seconds_left, shown.basis) == (0.0, "all is done")
    assert shown.counts == {
        **{"done": 7, "running": 0, "waiting": 0, "failed": 0, "stopped": 0}
    }
    assert (shown.running, shown.troubles) == ((), ())
    last = {row["run"]: row["normalised_loss"] for row in scan(store)}
    best = sorted(last, key=lambda run: last[run])
    assert [curve.job for curve in shown.curves] == best
    assert [curve.normalised_loss[-1] for curve in shown.curves] == sorted(
        last.values()
    )
    assert signs(store) == before


def test_a_tokenizer_at_work_is_as_fast_as_those_before(store: Path) -> None:
    tokenizer = next(store.glob("tokenizer-v16-*"))
    other = next(store.glob("tokenizer-v64-*"))
    (tokenizer / "result.json").unlink()
    (tokenizer / "metrics.jsonl").unlink()
    shutil.rmtree(tokenizer / "checkpoint")
    assert acquire(tokenizer) is not None
    shown = Watcher(store).look()
    (job,) = shown.running
    assert (job.job, job.step, job.steps, job.share) == (tokenizer.name, None, 6, 0.0)
    seconds = read_metrics(other / "metrics.jsonl").rows[-1]["seconds"]
    assert shown.seconds_left == pytest.approx(seconds)


def test_a_job_at_work_is_measured_by_its_own_log(store: Path) -> None:
    first, second, *_ = runs_of(store)
    undo(store / first, rows=2)
    assert acquire(store / first) is not None
    shutil.rmtree(store / second)
    shown = Watcher(store).look()
    assert (shown.counts["running"], shown.counts["waiting"]) == (1, 1)
    (job,) = shown.running
    rows = read_metrics(store / first / "metrics.jsonl").rows
    config = json.loads((store / first / "config.json").read_text())
    assert job.job == first
    assert job.step == rows[1]["step"]
    assert job.share == pytest.approx(rows[1]["tokens"] / config["tokens"])
    speed = rows[1]["tokens"] / rows[1]["seconds"]
    assert job.tokens_per_second == pytest.approx(speed)
    assert job.normalised_loss == rows[1]["normalised_loss"]
    assert job.owner is not None
    assert job.owner.endswith(f":{os.getpid()}")
    assert 0.3 < shown.share < 1.0
    assert shown.seconds_left is not None
    assert shown.seconds_left > (config["tokens"] - rows[1]["tokens"]) / speed
    assert shown.tokens_per_second is not None
    assert not shown.over


def test_a_checkpoint_tells_between_evaluations(store: Path) -> None:
    first, *_ = runs_of(store)
    undo(store / first, rows=1)
    row = read_metrics(store / first / "metrics.jsonl").rows[0]
    lease = acquire(store / first)
    assert lease is not None
    watcher = Watcher(store)
    assert watcher.look().running[0].step == row["step"]
    (store / first / "checkpoint").mkdir()
    head = {"step": row["step"] + 3, "seconds": row["seconds"] + 1.5}
    path = store / first / "checkpoint" / f"step-{head['step']:08d}.json"
    path.write_text(json.dumps(head))
    (job,) = watcher.look().running
    assert job.step == head["step"]
    assert job.tokens_per_second == pytest.approx(
        head["step"] * row["tokens"] / row["step"] / head["seconds"]
    )


def test_what_ended_since_is_told_once(store: Path) -> None:
    first, *_ = runs_of(store)
    result = (store / first / "result.json").read_text()
    (store / first / "result.json").unlink()
    watcher = Watcher(store)
    before = watcher.look()
    assert before.counts["stopped"] == 1
    assert before.basis == f"nothing is running; scaling work {store} goes on"
    (store / first / "result.json").write_text(result)
    shown = watcher.look()
    assert [state.job for state in shown.ended] == [first]
    assert watcher.look().ended == ()


def test_what_needs_a_failed_job_cannot_go_on(store: Path) -> None:
    tokenizer = next(store.glob("tokenizer-v16-*"))
    (tokenizer / "result.json").unlink()
    (tokenizer / "error.txt").write_text("Traceback\nValueError: no room\n")
    needing = [run for run in runs_of(store) if "-v16-" in run]
    for run in needing:
        shutil.rmtree(store / run)
    shown = Watcher(store).look()
    assert shown.stuck
    assert (shown.seconds_left, shown.basis) == (None, "the rest needs what failed")
    assert shown.counts["waiting"] == len(needing) == 2
    (trouble,) = shown.troubles
    assert (trouble.job, trouble.said) == (tokenizer.name, "ValueError: no room")
    assert f"scaling work {store}" in trouble.advice


def test_a_run_that_diverged_says_why(store: Path) -> None:
    first, *_ = runs_of(store)
    result = {"status": "diverged", "reason": "the loss of step 3 is not finite"}
    (store / first / "result.json").write_text(json.dumps(result))
    (trouble,) = Watcher(store).look().troubles
    assert (trouble.status, trouble.said) == ("diverged", result["reason"])


def test_a_grid_that_means_nothing_here_is_watched_without_an_estimate(
    store: Path,
) -> None:
    first, *_ = runs_of(store)
    undo(store / first, rows=1)
    assert acquire(store / first) is not None
    grid = json.loads((store / "grid.json").read_text())
    grid["grid"]["corpus"]["sequences"] = "of another version"
    (store / "grid.json").write_text(json.dumps(grid))
    shown = Watcher(store).look()
    assert (shown.counts["done"], shown.counts["running"]) == (6, 1)
    assert shown.seconds_left is None
    assert shown.basis == "this machine cannot expand its grid"


# --- Speed and time ---

speeds = st.lists(st.floats(1.0, 1e6), min_size=1, max_size=6)


@given(rates=speeds, lasted=st.floats(1.0, 1e4), window=st.floats(1.0, 1e3))
def test_constant_speeds_add_up(
    rates: list[float], lasted: float, window: float
) -> None:
    tracks = [
        Track.of([(lasted * k / 7, rate * lasted * k / 7) for k in range(8)], 1e9)
        for rate in rates
    ]
    assert throughput(tracks, 1e9, window) == pytest.approx(sum(rates), rel=1e-3)


def test_a_run_that_ended_counts_for_its_part_of_the_window() -> None:
    track = Track(points=((0.0, 0.0), (30.0, 600.0)), touched=1000.0)
    assert throughput([track.stopped], 1060.0, 120.0) == pytest.approx(600 / 90)
    assert throughput([track.stopped], 1060.0, 60.0) == pytest.approx(0.0)
    assert throughput([], 1060.0, 60.0) is None


def test_what_a_kill_undid_is_not_counted_twice() -> None:
    track = Track.of([(0.0, 0.0), (5.0, 50.0), (4.0, 40.0), (6.0, 60.0)], 9.0)
    assert track.points == ((0.0, 0.0), (5.0, 50.0), (6.0, 60.0))
    assert track.rate == pytest.approx(10.0)


@given(flops=st.floats(1e3, 1e15))
def test_a_measured_speed_is_kept_and_more_work_never_takes_less(flops: float) -> None:
    measured = {1e6: 1e-5, 1e9: 2e-3, 1e11: 1e-1}
    for known, seconds in measured.items():
        assert seconds_per_token(known, measured) == pytest.approx(seconds)
    now, more = (seconds_per_token(f, measured) for f in (flops, 1.1 * flops))
    assert now < more


def test_time_left_is_that_of_the_slots(store: Path) -> None:
    from scaling.runs.agent import read_plan

    runs = list(read_plan(store).transformers)
    kinds = {float(job.forward_flops): 1e-3 for job in runs}
    measured = {"transformer": kinds}
    waiting = [(job, Track()) for job in runs]
    alone = sum(extent_of(job)[1] * 1e-3 for job in runs)
    assert time_left(waiting, measured, 1)[0] == pytest.approx(alone)
    assert time_left(waiting, measured, 2)[0] == pytest.approx(alone / 2)
    assert time_left(waiting, measured, 4)[0] == pytest.approx(alone / 4)
    assert time_left(waiting, {}, 1)[0] is None


# --- Pictures and lines ---


def busy(jobs: int) -> Snapshot:
    """A study in which everything happens at once."""
    name = "12x12x768-v65536-d123456789-s10-{:08x}"
    return Snapshot(
        study="a study of a rather long name",
        out="/shared/folders/of/a/long/name/study",
        counts={"done": 7, "running": jobs, "waiting": 9, "failed": jobs, "stopped": 1},
        share=0.999,
        running=tuple(
            Progress(
                job=name.format(n),
                owner="a-node-with-a-name:12345",
                step=None if n == 1 else 123_456,
                steps=1_234_567,
                share=None if n == 1 else 0.1,
                tokens_per_second=None if n == 1 else 1_234_567.0,
                normalised_loss=None if n == 1 else -1.234,
            )
            for n in range(jobs)
        ),
        curves=tuple(
            Curve(
                job=name.format(n),
                status="running",
                normalised_loss=tuple(-k / 9 for k in range(n * 9)),
            )
            for n in range(jobs)
        ),
        tokens_per_second=1e9,
        seconds_left=1e6,
        basis="64 at a time, at the speed measured so far",
        troubles=tuple(
            Trouble(
                job=name.format(n), status="failed", said="why " * 60, advice="mend"
            )
            for n in range(jobs)
        ),
    )


def drawn(shown: Snapshot, width: int, height: int | None, foot: str = "") -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width).print(Screen(shown, height, foot))
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [20, 40, 60, 84, 200])
@pytest.mark.parametrize("height", [18, 24, 50])
@pytest.mark.parametrize("jobs", [0, 1, 3, 1000])
def test_the_screen_fits(width: int, height: int, jobs: int) -> None:
    lines = drawn(busy(jobs), width, height, "q leaves")
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert lines[-1].rstrip() == "q leaves"
    assert "99 % " in "".join(lines)  # 100 only when all is done


def test_a_page_shows_all_that_went_wrong_in_full() -> None:
    text = " ".join("".join(drawn(busy(3), 100, None)).split())
    assert text.count("why " * 20) >= 3
    assert text.count("-> mend") == 1


def test_curves_share_one_scale() -> None:
    assert sparkline([0.0, -1.0], -2.0, 0.0, 9) == "█▅"
    assert sparkline([1.0, 1.0], 1.0, 1.0, 9) == "▁▁"
    assert sparkline([], 0.0, 0.0, 9) == ""
    assert len(sparkline([0.1 * n for n in range(1000)], 0.0, 99.9, 32)) == 32


def test_a_terminal_without_unicode_gets_none() -> None:
    written = io.BytesIO()
    file = io.TextIOWrapper(written, encoding="ascii")
    Console(file=file, width=80).print(Screen(busy(2), 24))
    file.flush()
    assert b"jobs" in written.getvalue()


def test_lines_tell_each_thing_once() -> None:
    shown, lines = busy(1), Lines()
    first = list(lines.news(shown, now=0.0))
    assert first == [
        f"{shown.troubles[0].job}: FAILED: {'why ' * 60}; mend",
        summary(shown),
    ]
    assert list(lines.news(shown, now=19.0)) == []
    assert list(lines.news(shown, now=20.0)) == [summary(shown)]


def test_a_look_at_thousands_of_jobs_is_cheap(tmp_path: Path) -> None:
    """What has ended is not read again: a second look lists the folder alone."""
    jobs = [f"1x1x16-v16-d1-s{n}-00000000" for n in range(2000)]
    (tmp_path / "grid.json").write_text(json.dumps({"study": "many", "jobs": jobs}))
    for job in jobs:
        (tmp_path / job).mkdir()
        (tmp_path / job / "result.json").write_text('{"status": "finished"}')
    watcher = Watcher(tmp_path)
    watcher.look()
    start = time.process_time()
    assert watcher.look().over
    assert time.process_time() - start < 0.2
