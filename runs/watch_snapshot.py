"""A study at one moment, as `scaling watch` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from scaling.runs.status import JobState

WORDS = ("done", "running", "waiting", "failed", "stopped")
"""What jobs are counted by; `stopped`: begun, and nobody works on them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a job is that is at work."""

    job: str
    """Folder."""
    owner: str | None
    """Who works on it, host:pid."""
    step: int | None
    """Steps done at its last checkpoint or evaluation."""
    steps: int | None
    """Steps in all."""
    share: float | None
    """Part of its own work that is done, 0 to 1."""
    tokens_per_second: float | None
    """Over its last minute of training; transformers only."""
    normalised_loss: float | None
    """L_u at its last evaluation, nats per token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """The evaluations of a run."""

    job: str
    """Folder."""
    status: str
    """`running`, or how it ended."""
    normalised_loss: tuple[float, ...]
    """L_u of each, nats per token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """A job that did not go as it should."""

    job: str
    """Folder."""
    status: str
    """`failed`, `diverged` or `stale`."""
    said: str
    """Why, in a line."""
    advice: str
    """What to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A study at one moment."""

    study: str
    """Its name."""
    out: str
    """Folder of the store."""
    counts: Mapping[str, int]
    """Jobs of the grid by `WORDS`."""
    share: float
    """Part that is done, 0 to 1."""
    share_of: Literal["compute", "jobs"] = "compute"
    """Of what: training FLOPs, or jobs where no run is planned."""
    running: tuple[Progress, ...] = ()
    """Jobs at work."""
    curves: tuple[Curve, ...] = ()
    """Of the runs of the lowest loss, that first; then of those at work."""
    tokens_per_second: float | None = None
    """Of all runs together over the last two minutes."""
    seconds_left: float | None = None
    """Until the last job ends; None where nothing tells."""
    basis: str = ""
    """What the time left rests on, or why there is none."""
    troubles: tuple[Trouble, ...] = ()
    """What went wrong."""
    ended: tuple[JobState, ...] = ()
    """Jobs that ended since the look before."""
    stuck: bool = False
    """Whether nothing runs, and all that is left failed or needs what failed."""

    @property
    def jobs(self) -> int:
        """Jobs of the grid."""
        return sum(self.counts.values())

    @property
    def over(self) -> bool:
        """Whether all jobs are done."""
        return self.counts["done"] == self.jobs

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "jobs": self.jobs, "over": self.over}
