"""Agents as tasks of a Slurm job array, by submitit.

submitit writes the batch script, runs an agent in each task, and queues a task again on
`SIGUSR2`, which it has Slurm send before the time limit. `SIGTERM` comes alone where a
task is pre-empted, queued again by hand or cancelled; only in the first case does Slurm
leave it to the task what becomes of it.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaling.errors import ScalingError
from scaling.exit_codes import STOPPED
from scaling.runs.executors import LOGS, Agent, stop

REQUEUES = 1000
"""Times that a task may run into its time limit; one that finds no job left ends."""

WARNING = 60
"""Seconds before its time limit that a task is told; stopping takes 10 at most."""


class Task:
    """What submitit runs in a task, and asks for a successor when it must leave."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.process: subprocess.Popen[bytes] | None = None
        self.told_to_leave = False

    def __call__(self) -> int:
        """Be an agent's parent; give its exit code."""
        signal.signal(signal.SIGTERM, lambda *_: self._leave())
        self.process = self.agent.start()
        if self.told_to_leave:  # while it started, when there was nobody to tell
            self._leave()
        # asleep, not in wait(): a signal's handler waits for the process as well
        while (code := self.process.poll()) is None:
            time.sleep(0.2)
        if self.told_to_leave:
            if _is_running():  # pre-empted, with some time to leave
                signal.raise_signal(_requeue_signal())
            sys.exit(STOPPED)
        return code

    def checkpoint(self) -> Any:
        """Stop the agent, and give what goes on in its place."""
        from submitit.helpers import DelayedSubmission

        self._leave()
        return DelayedSubmission(Task(self.agent))

    def _leave(self) -> None:
        self.told_to_leave = True
        if self.process is not None:
            stop(self.process)


def _is_running() -> bool:
    """Whether Slurm has not ended this task yet."""
    job = os.environ["SLURM_JOB_ID"]
    asked = ["squeue", "--noheader", "--format=%T", "--jobs", job]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    return answer.stdout.split() == ["RUNNING"]


def _requeue_signal() -> signal.Signals:
    from submitit.core.job_environment import JobEnvironment

    return signal.Signals[f"SIG{JobEnvironment.USR_SIG}"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Slurm:
    """A Slurm cluster, and what each task asks of it."""

    partition: str | None = None
    """Partition; None is the cluster's default."""
    minutes: int = 60
    """Time limit of a task; it is queued again when it reaches it."""
    cpus: int = 1
    """Processors of a task."""
    gpus: int = 0
    """GPUs of a task."""
    parallelism: int | None = None
    """Tasks of the array that may run at a time."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """More settings of sbatch, by their long names: account, qos, mem."""
    name: str = "slurm"
    """How it is called."""

    def __post_init__(self) -> None:
        for program in ("sbatch", "srun", "squeue", "scancel"):
            if shutil.which(program) is None:
                raise ScalingError(
                    f"{program} is not found; expected a machine of a Slurm cluster: "
                    "go to its login node, or leave out --executor slurm"
                )
        try:
            import submitit  # noqa: F401
        except ImportError:
            raise ScalingError(
                "submitit is not installed; Slurm is reached through it: "
                "pip install 'scaling[slurm]'"
            ) from None

    def submit(self, agent: Agent, count: int) -> dict[str, Any]:
        """Queue an array of agents.

        Raises
        ------
        ScalingError
            In sbatch's words, if it refuses.
        """
        import submitit

        executor = submitit.SlurmExecutor(
            Path(agent.out) / LOGS, max_num_timeout=REQUEUES
        )
        executor.update_parameters(**self._parameters())
        tasks = [Task(agent) for _ in range(count)]
        try:  # submitit prints what sbatch says, and we say it as well
            with redirect_stderr(io.StringIO()), executor.batch():
                queued = [executor.submit(task) for task in tasks]
        except submitit.core.utils.FailedJobError as error:
            raise ScalingError(_words(str(error))) from None
        return {"job": queued[0].job_id.partition("_")[0], "agents": count}

    def _parameters(self) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "job_name": "scaling",
            "partition": self.partition,
            "time": self.minutes,
            "cpus_per_task": self.cpus,
            "gpus_per_node": self.gpus or None,
            "array_parallelism": self.parallelism,
            "signal_delay_s": WARNING,
            # srun no longer takes this from its job since 22.05
            "srun_args": [f"--cpus-per-task={self.cpus}"],
            "additional_parameters": {"requeue": True, **self.settings},
        }
        return {name: value for name, value in asked.items() if value is not None}

    def left(self, ids: Mapping[str, Any]) -> int | None:
        """Count the tasks that are queued or running; None if Slurm does not answer."""
        # not sacct: many clusters keep no accounts
        asked = ["squeue", "--noheader", "--array", "--format=%T", "--jobs", ids["job"]]
        answer = subprocess.run(asked, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            return len(answer.stdout.split())
        return 0 if "Invalid job id" in answer.stderr else None

    def cancel(self, ids: Mapping[str, Any]) -> None:
        """Cancel the array."""
        subprocess.run(["scancel", ids["job"]], check=True)

    def farewell(self, ids: Mapping[str, Any]) -> str:
        """Say how to come back and how to stop the array."""
        return (
            f"Slurm job {ids['job']} goes on: run the same command to come back, "
            f"scancel {ids['job']} to stop it"
        )


def _words(report: str) -> str:
    """Find sbatch's own words in submitit's report."""
    lines = [line for line in report.splitlines() if "error: " in line]
    words = [line.partition("error: ")[2].strip() for line in lines]
    return f"sbatch: {'; '.join(words) or report.strip()}"
