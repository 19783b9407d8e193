"""A run on several processes: torchrun starts them, and the worker speaks for them.

The worker that does the job starts torchrun, which starts `python -m
scaling.runs.distributed ORDER` so many times. The processes say how it goes as lines of
JSON on their standard output, and hold on to their standard input: when it ends, the
worker is gone, however it went, and so are they.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist

from scaling.errors import ScalingError, plain
from scaling.exit_codes import LOST, STOPPED
from scaling.record import Row
from scaling.runs import eager, shared, tokenize, train
from scaling.runs.group import Group, Parallel
from scaling.runs.jobs import TransformerJob
from scaling.runs.loop import Reporter, ShortOfMemoryError, StoppedError, halved

SAID = "processes.txt"
"""What the processes wrote to their standard error; not `error.txt`, which would say
that the job failed, to launchers that are to try it again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What the processes of a run are to do."""

    job: TransformerJob
    """The run."""
    out: Path
    """The run store."""
    device: str
    """The first process's device; a GPU is followed by the GPUs after it."""
    threads: int
    """Processor threads of each process."""
    parallel: Parallel
    """How many they are."""
    rows: int | None = None
    """Rows that a process may see at once; None: its share of a batch."""

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.out / self.job.folder


# --- The worker's side ---


def run(order: Order, reporter: Reporter) -> Row:
    """Train a run on several processes; return its result.

    Where memory is short all of them start again from the last checkpoint, with half
    the rows at once. When one of them is lost the worker goes without a word, as one
    that was lost itself, for its launcher to try again.

    Raises
    ------
    StoppedError
        If the processes were asked to stop, and have written their state.
    ScalingError
        If they say that the run cannot go on.
    """
    while True:
        try:
            return _attempt(order, reporter)
        except ShortOfMemoryError as error:
            order = replace(order, rows=halved(error.rows))
            reporter.say(
                f"out of memory with {error.rows} rows at once per process; going on "
                f"with {order.rows}, and the same batches"
            )


def _attempt(order: Order, reporter: Reporter) -> Row:
    with TemporaryDirectory() as folder, _torchrun(order, Path(folder)) as torchrun:
        assert torchrun.stdout is not None
        for line in torchrun.stdout:
            result = _hear(line, reporter)
            if result is not None:
                torchrun.wait()
                return result
        torchrun.wait()
    size = order.parallel.processes
    reporter.say(f"one of its {size} processes was lost; see {SAID}")
    os._exit(LOST)


@contextmanager
def _torchrun(order: Order, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the processes; when the block ends, so do they."""
    path, processes = folder / "order", order.parallel.processes
    path.write_bytes(pickle.dumps(order))
    torchrun = [
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={processes}",
    ]
    with (
        (order.folder / SAID).open("wb") as said,
        subprocess.Popen(
            [sys.executable, "-m", *torchrun, "-m", __name__, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env={**os.environ, "OMP_NUM_THREADS": str(order.threads)},
            start_new_session=True,  # a terminal's Ctrl-C is for the launcher alone
        ) as started,
    ):
        assert started.stdin is not None
        try:
            yield started
        except SystemExit:  # SIGTERM, which torchrun passes on, and waits
            started.terminate()
            started.wait()
            raise
        finally:
            started.stdin.close()
            started.wait()


def _hear(line: bytes, reporter: Reporter) -> Row | None:
    """Pass on what a process says; return the run's result when that is it."""
    try:
        said = json.loads(line)
        kind, content = said["kind"], said["content"]
    except (ValueError, TypeError, KeyError):  # some library's chatter
        return None
    match kind:
        case "progress":
            reporter.progress(*content)
        case "said":
            reporter.say(content)
        case "failed":
            raise ScalingError(content)
        case "memory":
            raise ShortOfMemoryError(content)
        case "stopped":
            raise StoppedError
        case "finished":
            result: Row = content
            return result
    return None


# --- The processes' side ---


def main(path: Path) -> None:
    """Do one process's share of a run; the exit code is 0, 1 or `STOPPED`."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))
    _die_with_worker()
    order: Order = pickle.loads(path.read_bytes())  # which the worker wrote
    try:
        _share(order)
    except StoppedError:
        if os.environ["RANK"] == "0":  # which has written the state
            _say("stopped")
        sys.exit(STOPPED)
    except ShortOfMemoryError as error:
        _say("memory", error.rows)
    except (OSError, ScalingError) as error:
        _say("failed", plain(error))
    except Exception:
        traceback.print_exc()
    else:
        return
    os._exit(1)  # at once, for the others may wait for this process


def _share(order: Order) -> None:
    """Train as one process of the group."""
    job, group = order.job, Group.join(order.parallel.kind)
    device = device_of(int(os.environ["LOCAL_RANK"]), order.device)
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    torch.set_num_threads(order.threads)
    eager.repeat_bit_by_bit()
    index = shared.Index(order.out / job.corpus)
    codes = tokenize.read_tokens(order.out / job.tokenizer)
    captions, text_vocab_size = shared.captions_of(job, index, order.out)
    model = train.build_model(job, text_vocab_size)
    splits = shared.splits_of(job, index, codes, captions)
    reporter = Reporter(
        progress=lambda done, total: _say_first(group, "progress", (done, total)),
        say=lambda text: _say_first(group, "said", text),
    )
    amount = index.amount("test")
    result = train.run(
        job, model, splits, amount, order.folder, device, reporter, group, order.rows
    )
    _say_first(group, "finished", result)
    dist.destroy_process_group()


def device_of(rank: int, first: str) -> str:
    """Name a process's device, where the first one has that.

    >>> [device_of(1, first) for first in ("cpu", "cuda", "cuda:2")]
    ['cpu', 'cuda:1', 'cuda:3']
    """
    name = torch.device(first)
    return first if name.type == "cpu" else f"{name.type}:{(name.index or 0) + rank}"


def _say_first(group: Group, kind: str, content: Any) -> None:
    if group.is_first:
        _say(kind, content)


def _say(kind: str, content: Any = None) -> None:
    """Write one line at once, so that those of several processes do not mix."""
    line = json.dumps({"kind": kind, "content": content}) + "\n"
    os.write(sys.stdout.fileno(), line.encode())


def _die_with_worker() -> None:
    """Leave at once when the worker is gone."""

    def watch() -> None:
        os.read(sys.stdin.fileno(), 1)  # nothing ever comes but the end
        os._exit(STOPPED)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
