"""The board: what a person sees of a grid while it runs.

On a terminal one bar; elsewhere plain lines, when a job ends and from time to time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TextIO

from scaling.words import duration

CLEAR = "\r\x1b[K"
"""Moves a terminal to the start of the line and clears it."""

BAR = 24
"""Characters of the bar."""

REDRAW, PLAIN_EVERY = 0.2, 20.0
"""Seconds between two drawings of the bar, and between two plain lines."""


class Board:
    """Progress of a launch over all its jobs.

    Parameters
    ----------
    seconds : mapping
        Estimated seconds of each job that is still to be done, by folder.
    done : int
        Jobs that were done before.
    slots : int
        Jobs at a time.
    stream : TextIO
        Where to write; a terminal gets the bar.
    """

    def __init__(
        self, seconds: Mapping[str, float], done: int, slots: int, stream: TextIO
    ) -> None:
        self.seconds = seconds
        self.share = dict.fromkeys(seconds, 0.0)
        self.jobs = done + len(seconds)
        self.done = done
        self.slots = slots
        self.stream = stream
        self.start = self.drawn = time.monotonic()
        self.inherited: dict[str, float] = {}
        self.terminal = stream.isatty()

    def progress(self, folder: str, done: int, total: int) -> None:
        """Take note of a job's steps; an earlier launch's are no speed of ours."""
        share = done / total
        self.inherited.setdefault(folder, share - 1 / total)
        self.share[folder] = share

    def finished(self, folder: str, status: str) -> None:
        """Say that a job ended."""
        self.share[folder] = 1.0
        self.done += 1
        self.say(f"[{self.done}/{self.jobs}] {folder} {status}")

    def say(self, text: str) -> None:
        """Write a line, over the bar where there is one."""
        self.stream.write(f"{CLEAR if self.terminal else ''}{text}\n")
        self.stream.flush()

    def tick(self, running: int) -> None:
        """Redraw the bar, or write a plain line, when it is time."""
        now = time.monotonic()
        if now - self.drawn < (REDRAW if self.terminal else PLAIN_EVERY):
            return
        self.drawn = now
        if self.terminal:
            self.stream.write(f"{CLEAR}{self._status(running)}")
            self.stream.flush()
        else:
            self.say(self._status(running))

    def close(self) -> None:
        """Clear the bar."""
        if self.terminal:
            self.stream.write(CLEAR)
            self.stream.flush()

    def fraction(self) -> float:
        """Share of the estimated work that is done."""
        total = sum(self.seconds.values())
        return self._work(self.share) / total if total else 1.0

    def remaining(self) -> float:
        """Seconds to go, at the speed of this launch once it has one."""
        total = sum(self.seconds.values())
        elapsed = time.monotonic() - self.start
        ours = self._work(self.share) - self._work(self.inherited)
        left = total - self._work(self.share)
        speed = ours / elapsed if ours > 0.05 * total else self.slots
        return left / speed

    def _work(self, share: Mapping[str, float]) -> float:
        return sum(self.seconds.get(job, 0.0) * part for job, part in share.items())

    def _status(self, running: int) -> str:
        fraction = min(1.0, self.fraction())
        filled = round(BAR * fraction)
        bar = f"{'#' * filled}{'.' * (BAR - filled)} " if self.terminal else ""
        left = duration(self.remaining())
        return (
            f"{bar}{fraction:4.0%}  {self.done} of {self.jobs} jobs done, "
            f"{running} running, about {left} left"
        )
