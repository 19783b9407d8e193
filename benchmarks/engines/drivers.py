"""What a user of each orchestrator writes to have all runs of a store done.

    python -m engines.drivers ENGINE OUT [--idle | --restart]

With `--idle` it comes up, writes OUT/.idle and waits. Everything is at the setting that
serves it best here, as far as its documentation says.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from engines import task
from engines.contenders import SLOTS

Ready = Callable[[], None]
"""Called when the engine is up; with `--idle` it does not return."""


def nothing(out: Path, restart: bool, ready: Ready) -> None:
    """No engine at all: forks of a warm process, with the runs dealt out before."""
    from scaling.runs import train  # noqa: F401  # before the first fork

    numbers = task.unfinished(out)
    context = multiprocessing.get_context("fork")
    shares = [
        context.Process(target=_share, args=(task.do, out, k, numbers[k::SLOTS]))
        for k in range(SLOTS)
    ]
    for share in shares:
        share.start()
    for share in shares:
        share.join()


def _share(
    do: Callable[[str, int], int], out: Path, k: int, numbers: list[int]
) -> None:
    start = time.monotonic()
    for number in numbers:
        do(str(out), number)
    (out / f".seconds-{k}").write_text(str(time.monotonic() - start))


def processes(out: Path, restart: bool, ready: Ready) -> None:
    """One `python` per run, four at a time, as `xargs -P 4` does it."""
    numbers = task.unfinished(out)
    ready()
    command = [sys.executable, "-m", "engines.task", str(out)]
    with ThreadPoolExecutor(SLOTS) as pool:
        codes = pool.map(lambda n: subprocess.call([*command, str(n)]), numbers)
    sys.exit(any(codes))


def submitit(out: Path, restart: bool, ready: Ready) -> None:
    """Its local executor has no limit, so the next is submitted when one has ended."""
    import submitit

    executor = submitit.LocalExecutor(out / ".submitit")
    executor.update_parameters(timeout_min=60)
    waiting, failed = task.unfinished(out), 0
    running: list[Any] = []
    ready()
    while waiting or running:
        while waiting and len(running) < SLOTS:
            running.append(executor.submit(task.do, str(out), waiting.pop(0)))
        over = [job for job in running if job.done(force_check=True)]
        failed += sum(job.exception() is not None for job in over)
        running = [job for job in running if job not in over]
        time.sleep(0.05)
    sys.exit(failed > 0)


def dask(out: Path, restart: bool, ready: Ready) -> None:
    """Nannies watch its workers; at a memory limit they would kill them."""
    from distributed import Client, LocalCluster, as_completed

    options: dict[str, Any] = {"memory_limit": 0, "dashboard_address": None}
    failed = 0
    with (
        LocalCluster(n_workers=SLOTS, threads_per_worker=1, **options) as cluster,
        Client(cluster) as client,
    ):
        ready()
        do = partial(task.do, str(out))
        for future in as_completed(client.map(do, task.unfinished(out), pure=False)):
            failed += future.exception() is not None
    sys.exit(failed > 0)


def ray_tune(out: Path, restart: bool, ready: Ready) -> None:
    """Actors are used again; a trial that died is tried again; no logger, no web."""
    import ray
    from ray import tune

    ray.init(
        address="local",  # not a cluster that happens to be there
        num_cpus=SLOTS,
        include_dashboard=False,
        object_store_memory=100 << 20,
        _temp_dir=str(out.parent / "ray"),
        log_to_driver=False,
    )
    ready()

    def trial(config: dict[str, Any]) -> dict[str, int]:
        return {"number": task.do(str(out), config["number"])}

    trainable = tune.with_resources(trial, {"cpu": 1})
    if restart:
        path = str(out / ".tune" / "grid")
        tuner = tune.Tuner.restore(path, trainable, restart_errored=True)
    else:
        tuner = tune.Tuner(
            trainable,
            param_space={"number": tune.grid_search(task.unfinished(out))},
            tune_config=tune.TuneConfig(reuse_actors=True),
            run_config=tune.RunConfig(
                name="grid",
                storage_path=str(out / ".tune"),
                failure_config=tune.FailureConfig(max_failures=3),
                verbose=0,
            ),
        )
    sys.exit(tuner.fit().num_errors > 0)


ENGINES = {
    "nothing": nothing,
    "processes": processes,
    "submitit": submitit,
    "dask": dask,
    "ray": ray_tune,
}


def main(engine: str, out: str, *flags: str) -> None:
    """Do all runs of a store."""
    store = Path(out)

    def ready() -> None:
        if "--idle" in flags:
            (store / ".idle").touch()
            time.sleep(3600)

    ENGINES[engine](store, "--restart" in flags, ready)


if __name__ == "__main__":
    main(*sys.argv[1:])
