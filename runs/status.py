"""The state of every job of a run store, read from its files alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scaling.errors import ScalingError
from scaling.files import read_json
from scaling.record import METRICS, read_metrics, status
from scaling.runs.store import ERROR, GRID, LOCK, is_locked


@dataclass(frozen=True, kw_only=True, slots=True)
class JobState:
    """Where one job stands."""

    job: str
    """Folder."""
    status: str
    """`finished`, `diverged`, `failed`, `running`, `unfinished` or `waiting`."""
    step: int | None
    """Steps at the last evaluation."""
    normalised_loss: float | None
    """L_u at the last evaluation, nats per token; transformers only."""

    @property
    def ended(self) -> bool:
        """Whether launching again would leave it alone."""
        return self.status in ("finished", "diverged")

    def describe(self) -> str:
        """Say it in a line.

        >>> state = JobState(job="a", status="waiting", step=7, normalised_loss=-1)
        >>> state.describe()
        'waiting  step 7  L_u -1.000'
        """
        parts = [self.status]
        if self.step is not None:
            parts.append(f"step {self.step}")
        if self.normalised_loss is not None:
            parts.append(f"L_u {self.normalised_loss:.3f}")
        return "  ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def read_status(out: Path) -> list[JobState]:
    """Read the state of every job of a grid, in the order of its plan.

    Raises
    ------
    ScalingError
        If the folder is no run store.
    """
    grid = out / GRID
    if not grid.exists():
        raise ScalingError(
            f"{out} holds no {GRID}; name a folder that scaling run wrote"
        )
    return [_state(out / job) for job in read_json(grid)["jobs"]]


def _state(folder: Path) -> JobState:
    metrics = folder / METRICS
    rows = read_metrics(metrics).rows if metrics.exists() else ()
    last = rows[-1] if rows else {}
    return JobState(
        job=folder.name,
        status=_word(folder),
        step=last.get("step"),
        normalised_loss=last.get("normalised_loss"),
    )


def _word(folder: Path) -> str:
    if not folder.exists():
        return "waiting"
    if is_locked(folder / LOCK):
        return "running"
    if (folder / ERROR).exists():
        return "failed"
    return status(folder)
