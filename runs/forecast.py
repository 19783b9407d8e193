"""The forecast: what a plan will take, job by job and in all, before it starts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from scaling.models.flops import non_vocab_params, vocab_params
from scaling.runs.extent import extent_of
from scaling.runs.jobs import Job, TransformerJob
from scaling.runs.memory import device_bytes, job_bytes
from scaling.runs.packing import Packing, Wish, pack
from scaling.runs.plan import Plan

HOUR = 3600


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """A plan with its time, memory and cost."""

    plan: Plan
    """The study."""
    packing: Packing
    """Where its jobs run, and for how long; those that are done have no seconds."""
    memory: Mapping[str, int]
    """Most bytes that each job takes, of its GPU or of the machine, by folder."""
    price: float | None
    """Dollars for an hour of a GPU, or of the machine where jobs run on processors."""

    @property
    def devices(self) -> int:
        """What is paid for: GPUs, or one machine."""
        return len({slot.device for slot in self.packing.slots})

    @property
    def cost(self) -> float | None:
        """Dollars until the last job ends, for slots that idle at the end too."""
        return self._dollars(self.packing.makespan * self.devices)

    def cost_of(self, job: Job) -> float | None:
        """Dollars of a job: its slot's share of the device while it runs."""
        seconds = self.packing.seconds.get(job.folder, 0.0)
        return self._dollars(seconds * self.devices / len(self.packing.slots))

    def _dollars(self, seconds: float) -> float | None:
        return None if self.price is None else self.price * seconds / HOUR

    def state(self, job: Job) -> str:
        """`done` or `to do`."""
        return "to do" if job.folder in self.packing.seconds else "done"

    @property
    def done(self) -> int:
        """Jobs that are done already."""
        return len(self.plan.jobs) - len(self.packing.seconds)

    @property
    def flops(self) -> int:
        """Training FLOPs of all transformers and trunks, each counted once."""
        return sum(job.flops_to_spend for job in _trained(self.plan))

    @property
    def flops_apart(self) -> int:
        """Training FLOPs of the same points with one run each, from its first step."""
        return sum(job.flops for job in self.plan.transformers)

    def to_dict(self) -> dict[str, Any]:
        """As one JSON object: all jobs, and the sums."""
        packing = self.packing
        return {
            "study": self.plan.grid.study,
            "jobs": [self._job(job) for job in self.plan.jobs],
            "slots": [
                {"device": slot.device, "threads": slot.threads}
                for slot in packing.slots
            ],
            "packing": packing.describe(),
            "flops_to_spend": self.flops,
            "flops_of_one_run_per_point": self.flops_apart,
            "seconds": packing.makespan,
            "cost": self.cost,
        }

    def _job(self, job: Job) -> dict[str, Any]:
        row: dict[str, Any] = {
            "job": job.folder,
            "kind": job.kind,
            "needs": list(job.needs),
            "state": self.state(job),
            "seconds": self.packing.seconds.get(job.folder, 0.0),
            "memory": self.memory[job.folder],
            "cost": self.cost_of(job),
        }
        if isinstance(job, TransformerJob):
            row |= {
                "size": job.size.name,
                "non_vocab_params": non_vocab_params(job.architecture),
                "vocab_params": vocab_params(job.architecture),
                "codebook_size": job.quantization.codebook_size,
                "tokens": job.tokens,
                "seed": job.seed,
                "flops": job.flops,
                "flops_to_spend": job.flops_to_spend,
            }
        return row


def forecast(
    plan: Plan, done: Collection[str], wish: Wish, price: float | None = None
) -> Forecast:
    """Find out what a plan will take, by a short calibration.

    Parameters
    ----------
    plan : Plan
        The study.
    done : collection of str
        Folders of the jobs that are done already.
    wish : Wish
        On what it is to run.
    price : float, optional
        Dollars for an hour of a GPU, or of the machine where there is none.
    """
    extent = extent_of(plan.grid.corpus)
    packing = pack([job for job in plan.jobs if job.folder not in done], extent, wish)
    of = job_bytes if packing.slots[0].device == "cpu" else device_bytes
    memory = {job.folder: of(job, extent) for job in plan.jobs}
    return Forecast(plan=plan, packing=packing, memory=memory, price=price)


def _trained(plan: Plan) -> list[TransformerJob]:
    return [job for job in plan.jobs if isinstance(job, TransformerJob)]
