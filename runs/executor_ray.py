"""Agents as detached actors of a Ray cluster.

A task of Ray ends with the program that asked for it. A detached actor goes on when
that leaves, and when its node is lost Ray starts it on another. It runs the agent in a
process of its own, which leaves with it.
"""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.errors import ScalingError
from scaling.runs.executors import GRACE, LOGS, Agent, stop

NAMESPACE = "scaling"
"""Where agents' names are known to Ray."""


class Host:
    """The actor that an agent runs below.

    Parameters
    ----------
    agent : Agent
        What it is told.
    log : str
        File that gets what it says.
    environment : dict
        Variables that it gets.
    """

    def __init__(self, agent: Agent, log: str, environment: dict[str, str]) -> None:
        import ray

        with Path(log).open("ab") as file:
            self.process = agent.start(file, **environment)
        self.myself = ray.get_runtime_context().current_actor
        threading.Thread(target=self._leave_after, daemon=True).start()

    def stop(self) -> None:
        """Have the agent write its workers' states and leave, and this with it."""
        stop(self.process)

    def _leave_after(self) -> None:
        """Give the resources back; leaving in another way, it would be restarted."""
        import ray

        self.process.wait()
        ray.kill(self.myself, no_restart=True)


def _require_answer(address: str | None) -> None:
    """Refuse an address where nobody listens: Ray would try for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not (colon and port.isdigit()):
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise ScalingError(
            f"--address {address}: {error.strerror or error}; expected a Ray cluster "
            "that is up: start it with `ray start --head`, or leave --address out"
        ) from None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ray:
    """A Ray cluster, and what each agent asks of it."""

    address: str | None = None
    """`auto`, `HOST:PORT`, `ray://HOST:PORT`; None: one of our own."""
    cpus: float = 1
    """Processors of an agent."""
    gpus: float = 0
    """GPUs of an agent; a part of one is shared with others."""
    name: str = "ray"
    """How it is called."""

    def __post_init__(self) -> None:
        try:
            import ray
        except ImportError:
            raise ScalingError(
                "ray is not installed; expected it for --executor ray: "
                "pip install 'scaling[ray]'"
            ) from None
        if not ray.is_initialized():
            self._connect()

    def _connect(self) -> None:
        import ray

        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # what it will be in later versions; unset, Ray warns
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        _require_answer(self.address)
        local = {} if self.address else {"include_dashboard": False}
        try:
            ray.init(
                address=self.address or "local",
                namespace=NAMESPACE,
                log_to_driver=False,
                logging_level="error",
                **local,
            )
        except (ConnectionError, ImportError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise ScalingError(
                f"--address {self.address}: {reason}; expected a Ray cluster that is "
                "up: start it with `ray start --head`, or leave --address out"
            ) from None

    def submit(self, agent: Agent, count: int) -> dict[str, Any]:
        """Ask for detached actors.

        Raises
        ------
        ScalingError
            If Ray refuses.
        """
        import ray

        logs = Path(agent.out) / LOGS
        logs.mkdir(exist_ok=True)
        store = hashlib.sha256(agent.out.encode()).hexdigest()[:8]
        ours = {k: v for k, v in os.environ.items() if k.startswith("SCALING_")}
        names = [f"{store}-{number}" for number in range(count)]
        host: Any = ray.remote(Host)
        for name in names:
            host.options(
                name=name,
                namespace=NAMESPACE,
                lifetime="detached",
                max_restarts=-1,
                num_cpus=self.cpus,
                num_gpus=self.gpus,
                scheduling_strategy="SPREAD",
            ).remote(agent, str(logs / f"ray-{name}.log"), ours)
        return {"address": self.address, "agents": names}

    def left(self, ids: Mapping[str, Any]) -> int | None:
        """Count the actors that are queued or running."""
        return len(self._actors(ids))

    def _actors(self, ids: Mapping[str, Any]) -> list[Any]:
        import ray

        found = []
        for name in ids["agents"]:
            try:
                found.append(ray.get_actor(name, namespace=NAMESPACE))
            except ValueError:  # Ray knows none, or none any more
                continue
        return found

    def cancel(self, ids: Mapping[str, Any]) -> None:
        """Stop the agents in order: Ray's kill would be one for their processes too."""
        import ray

        actors = self._actors(ids)
        asked = [actor.stop.remote() for actor in actors]
        if asked:
            ray.wait(asked, num_returns=len(asked), timeout=GRACE + 2)
        for actor in actors:  # those that wait for room have nothing to stop
            ray.kill(actor, no_restart=True)

    def farewell(self, ids: Mapping[str, Any]) -> str:
        """Say how to come back and how to stop the agents; our own go with us."""
        if self.address is None:
            self.cancel(ids)
            return "Ray was started for this command and ends with it; run it again"
        return (
            "the agents go on: run the same command to come back, "
            f"scaling cancel OUT --address {self.address} to stop them"
        )
