"""The command that joins a study: `scaling work`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from scaling.cli_common import (
    device_option,
    jobs_option,
    json_option,
    plain_errors,
    stoppable,
)
from scaling.cli_run import close


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@jobs_option
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Processor threads per process.  [default: the store's]",
)
@device_option
@json_option
@plain_errors
def work(
    out: Path, jobs: int | None, threads: int | None, device: str, as_json: bool
) -> None:
    """Join a study on this or another machine.

    OUT is a run store that `scaling run` began, on a file system that the machines
    share. Any number of these may be started, before that command ends or after, by
    hand, by a job array, over ssh: each job is done once, and those of a machine that
    died are taken over within a minute. It ends when the grid is done.

    \b
    Example:
      scaling work /shared/study
      sbatch --array=1-8 --gres=gpu:1 --wrap "scaling work /shared/study"
      ssh node2 scaling work /shared/study --jobs 4
    """
    from scaling.runs.agent import work_on

    with stoppable(str):
        outcome = work_on(
            out, jobs=jobs, device=device, threads=threads, stream=sys.stderr
        )
    close(outcome, as_json, out=str(out))
