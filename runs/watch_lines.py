"""What `scaling watch` writes where there is no terminal: plain lines, as they come."""

from __future__ import annotations

from collections.abc import Iterator

from scaling.runs.watch_snapshot import Snapshot, Trouble
from scaling.words import duration

EVERY = 20.0
"""Seconds between two summaries, as between a launcher's."""


def summary(shown: Snapshot) -> str:
    """Say in a line how far a study is.

    >>> counts = {"done": 3, "running": 2, "waiting": 1, "failed": 0, "stopped": 0}
    >>> summary(Snapshot(study="a", out="a", counts=counts, share=0.4,
    ...     seconds_left=200.0, basis="now"))
    '3 of 6 jobs done, 2 running, 1 waiting; 40 % of compute; about 3 min left, now'
    """
    parts = [counted(shown), f"{int(100 * shown.share)} % of {shown.share_of}"]
    if shown.tokens_per_second is not None:
        parts.append(f"{shown.tokens_per_second:,.0f} tokens/s")
    return "; ".join([*parts, left(shown)])


def counted(shown: Snapshot) -> str:
    """Count the jobs by what they are at."""
    others = "".join(
        f", {number} {word}"
        for word, number in shown.counts.items()
        if number and word != "done"
    )
    return f"{shown.counts['done']} of {shown.jobs} jobs done{others}"


def left(shown: Snapshot) -> str:
    """Say how much time is left, and what that rests on."""
    if shown.over:
        return "all is done"
    if shown.seconds_left is None:
        return f"time left unknown: {shown.basis}"
    return f"about {duration(shown.seconds_left)} left, {shown.basis}"


def ending(shown: Snapshot) -> str:
    """Say that there is nothing more to watch, and what to do next."""
    if shown.over:
        return (
            f"all {shown.jobs} jobs of {shown.study} are done: scaling fit {shown.out}"
        )
    return (
        f"nothing more runs: {counted(shown)}; what is waiting needs what failed: mend "
        f"that, then scaling work {shown.out}"
    )


class Lines:
    """What is new, in plain lines."""

    def __init__(self) -> None:
        self.said: set[tuple[str, str]] = set()
        self.summed: float | None = None

    def news(self, shown: Snapshot, now: float) -> Iterator[str]:
        """Give a line for each job that ended or went wrong, and now and then a sum."""
        done = shown.counts["done"] - len(shown.ended)
        for number, state in enumerate(shown.ended, done + 1):
            loss = state.normalised_loss
            said = "" if loss is None else f"  L_u {loss:.3f}"
            yield f"[{number}/{shown.jobs}] {state.job} {state.status}{said}"
        for trouble in shown.troubles:
            if (trouble.job, trouble.said) not in self.said:
                self.said.add((trouble.job, trouble.said))
                yield trouble_line(trouble)
        if self.summed is None or now - self.summed >= EVERY:
            self.summed = now
            yield summary(shown)


def trouble_line(trouble: Trouble) -> str:
    """Say what went wrong, and what to do."""
    said = f"{trouble.status.upper()}: {trouble.said}"
    return f"{trouble.job}: {said}; {trouble.advice}"
