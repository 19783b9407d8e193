"""What a person sees: honest shares and times, a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.runs import board as board_module
from scaling.runs.board import Board
from scaling.runs.calibrate import makespan
from scaling.runs.plan import Plan, expand
from scaling.runs.sections import Grid, Tokenizers, Transformers


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_elsewhere_lines_are_plain() -> None:
    stream = io.StringIO()
    board = Board({"a": 30.0, "b": 10.0}, done=3, slots=2, stream=stream)
    board.progress("a", 1, 2)
    board.finished("b", "finished")
    board.say("a: something happened")
    board.close()
    assert stream.getvalue() == "[4/5] b finished\na: something happened\n"
    assert board.fraction() == pytest.approx((15 + 10) / 40)


def test_a_terminal_gets_one_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "REDRAW", 0.0)
    stream = Terminal()
    board = Board({"a": 30.0}, done=0, slots=1, stream=stream)
    board.progress("a", 1, 2)
    board.tick(1)
    board.finished("a", "finished")
    board.close()
    drawn = stream.getvalue()
    assert "############............  50%  0 of 1 jobs done, 1 running" in drawn
    assert drawn.endswith("\r\x1b[K[1/1] a finished\n\r\x1b[K")


def test_time_left_follows_the_speed_of_this_launch() -> None:
    board = Board({"a": 100.0}, done=0, slots=1, stream=io.StringIO())
    board.progress("a", 50, 100)  # the first report: 49 steps are an earlier launch's
    assert board.remaining() == pytest.approx(50.0, rel=0.05)
    board.start = time.monotonic() - 10.0
    board.progress("a", 60, 100)  # 11 estimated seconds done in 10
    assert board.remaining() == pytest.approx(40 / 1.1, rel=0.05)


def plan() -> Plan:
    tokenizers = Tokenizers(codebooks=(64, 256))
    transformers = Transformers(sizes=("1x1x16", "1x2x32"), tokens=(10, 20))
    grid = Grid.model_validate(
        {
            "study": "x",
            "corpus": {"kind": "kinematic"},
            "tokenizers": tokenizers,
            "transformers": transformers,
        }
    )
    return expand(grid)


@given(st.integers(1, 9))
def test_the_makespan_lies_between_its_bounds(slots: int) -> None:
    jobs = plan().jobs
    seconds = {job.folder: 1.0 + number for number, job in enumerate(jobs)}
    total = makespan(jobs, seconds, slots)
    assert total >= sum(seconds.values()) / slots - 1e-9
    assert total <= sum(seconds.values()) + 1e-9
    assert makespan(jobs, seconds, 1) == pytest.approx(sum(seconds.values()))


def test_what_is_done_takes_no_time() -> None:
    jobs = plan().jobs
    assert makespan(jobs, {jobs[-1].folder: 7.0}, 4) == 7.0
    assert makespan(jobs, {}, 4) == 0.0
