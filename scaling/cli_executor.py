"""Where a study runs: the options of `scaling run` for clusters, `scaling cancel`."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from scaling.cli_common import json_option, plain_errors
from scaling.errors import ScalingError

if TYPE_CHECKING:
    from scaling.runs.board import Board
    from scaling.runs.executors import Agent, Engine
    from scaling.runs.launch import Outcome
    from scaling.runs.plan import Plan
    from scaling.runs.slots import Slot


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterOptions:
    """The options that say where a study runs."""

    executor: Literal["local", "slurm", "ray"]
    """This machine, or whose agents."""
    agents: int
    """Agents at work."""
    cpus: int
    """Processors of each."""
    gpus: float
    """GPUs of each."""
    partition: str | None
    """Slurm's partition."""
    time_limit: int
    """Minutes of a Slurm task."""
    array_parallelism: int | None
    """Slurm tasks at a time."""
    sbatch: dict[str, str]
    """More settings of sbatch."""
    address: str | None
    """Ray's address."""

    @property
    def elsewhere(self) -> bool:
        """Whether jobs do not run on this machine."""
        return self.executor != "local"

    def engine(self) -> Engine:
        """Reach the cluster.

        Raises
        ------
        ScalingError
            If it, or what reaches it, is not there.
        """
        if self.executor == "ray":
            from scaling.runs.executor_ray import Ray

            return Ray(address=self.address, cpus=self.cpus, gpus=self.gpus)
        from scaling.runs.executor_slurm import Slurm

        return Slurm(
            partition=self.partition,
            minutes=self.time_limit,
            cpus=self.cpus,
            gpus=int(self.gpus),
            parallelism=self.array_parallelism,
            settings=self.sbatch,
        )

    def agent(self, out: Path, slot: Slot, jobs: int | None, device: str) -> Agent:
        """Say what each agent does: it keeps to what it was given of its node."""
        from scaling.runs.executors import Agent

        if not self.gpus:
            jobs = jobs or max(1, self.cpus // slot.processors)
            device = "cpu" if device == "auto" else device
        where = str(out.resolve())
        return Agent(out=where, jobs=jobs, device=device, threads=slot.threads)

    def launch(
        self,
        plan: Plan,
        out: Path,
        slot: Slot,
        jobs: int | None,
        device: str,
        board: Board,
    ) -> Outcome:
        """Begin the store, start agents or find those of before, and wait for them.

        Raises
        ------
        ScalingError
            If the cluster refuses, or its agents are gone before the jobs are done.
        KeyboardInterrupt
            After a word on what becomes of the agents.
        """
        from scaling.runs.claim import claim
        from scaling.runs.executors import run_on

        engine = self.engine()
        claim(plan, out, slot)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        agent = self.agent(out, slot, jobs, device)
        return run_on(engine, agent, self.agents, board)


def executor_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of `ClusterOptions`, passed on as `cluster`."""

    @wraps(command)
    def gathered(
        *args: Any,
        executor: Any,
        agents: int,
        cpus_per_agent: int,
        gpus_per_agent: float,
        partition: str | None,
        time_limit: int | None,
        array_parallelism: int | None,
        sbatch: tuple[str, ...],
        address: str | None,
        **kwargs: Any,
    ) -> Any:
        slurm = {
            "--partition": partition,
            "--time-limit": time_limit,
            "--array-parallelism": array_parallelism,
            "--sbatch": sbatch or None,
        }
        _refuse(executor, "slurm", slurm)
        _refuse(executor, "ray", {"--address": address})
        if executor == "slurm" and gpus_per_agent % 1:
            raise click.UsageError(
                f"--gpus-per-agent {gpus_per_agent}: Slurm gives whole GPUs; a part of "
                "one belongs to --executor ray"
            )
        cluster = ClusterOptions(
            executor=executor,
            agents=agents,
            cpus=cpus_per_agent,
            gpus=gpus_per_agent,
            partition=partition,
            time_limit=time_limit or 60,
            array_parallelism=array_parallelism,
            sbatch=_settings(sbatch),
            address=address,
        )
        return command(*args, cluster=cluster, **kwargs)

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered


def _refuse(executor: str, owner: str, options: Mapping[str, object]) -> None:
    """Refuse options of an executor that is not the one in use."""
    given = [name for name, value in options.items() if value is not None]
    if given and executor != owner:
        raise click.UsageError(
            f"{given[0]} belongs to --executor {owner}: give that as well"
        )


def _settings(texts: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise click.BadParameter(
                f"{text!r} is not NAME=VALUE", param_hint="--sbatch"
            )
        found[name.removeprefix("--")] = value
    return found


_OPTIONS = (
    click.option(
        "--executor",
        type=click.Choice(["local", "slurm", "ray"]),
        default="local",
        show_default=True,
        help="Where jobs run: here, or by agents that a cluster starts.",
    ),
    click.option(
        "--agents",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Agents that a cluster starts; each works as `scaling work` does.",
    ),
    click.option(
        "--cpus-per-agent",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Processors of an agent; --jobs is that many unless given.",
    ),
    click.option(
        "--gpus-per-agent",
        type=click.FloatRange(min=0),
        default=0,
        show_default=True,
        help="GPUs of an agent; a part of one with --executor ray.",
    ),
    click.option("--partition", help="Slurm partition.  [default: the cluster's]"),
    click.option(
        "--time-limit",
        type=click.IntRange(min=1),
        metavar="MINUTES",
        help="Slurm time limit; an agent that reaches it is queued again.  "
        "[default: 60]",
    ),
    click.option(
        "--array-parallelism",
        type=click.IntRange(min=1),
        help="Agents of the Slurm array that may run at a time.  [default: all]",
    ),
    click.option(
        "--sbatch",
        multiple=True,
        metavar="NAME=VALUE",
        help="Another setting of sbatch (account, qos, mem); may be repeated.",
    ),
    click.option(
        "--address",
        help="Ray cluster: auto, HOST:PORT, ray://HOST:PORT.  [default: one is "
        "started here for as long as the command runs]",
    ),
)


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--address", help="Ray cluster; as for scaling run.")
@json_option
@plain_errors
def cancel(out: Path, address: str | None, as_json: bool) -> None:
    """Stop the agents that a cluster runs for a study.

    Their jobs write checkpoints first; scaling run goes on from there.

    \b
    Example:
      scaling cancel /shared/study
      scaling cancel /shared/study --address auto
    """
    from scaling.runs import executors

    known = executors.engines_of(out)
    if not known:
        raise ScalingError(
            f"{out}: no cluster was given agents of it; expected a run store of "
            "scaling run --executor slurm or ray"
        )
    if "ray" in known and address is None and "slurm" not in known:
        raise ScalingError("expected --address of the Ray cluster: give it")
    name = "ray" if address else "slurm"
    executors.cancel(_engine(name, address), out)
    click.echo(f"{name}: the agents of {out} stop", err=True)
    if as_json:
        click.echo(json.dumps({"out": str(out), "executor": name, "cancelled": True}))


def _engine(name: str, address: str | None) -> Engine:
    if name == "ray":
        from scaling.runs.executor_ray import Ray

        return Ray(address=address)
    from scaling.runs.executor_slurm import Slurm

    return Slurm()
