"""What a person sees: honest shares and times, a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import time

import pytest

from scaling.runs import board as board_module
from scaling.runs.board import Board


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
