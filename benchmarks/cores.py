"""Throughput of k runs on k cores over k times that of one run on one core.

    python benchmarks/cores.py [--cores K] [--rounds N]

Each round does the same training step in one process and then in k processes at once,
all of one thread, forked and prepared as the launcher's are; the ratio of the round is
what counts. A neighbour that takes a core away lengthens the step and not the
processor time of it, so both ratios are given; a loop of Python, which shares nothing
but the cores, shows what the machine has to give, and a copy of 128 MiB how far its
memory's bandwidth is from serving k. `given back`: as the C library does by default;
`kept`: as workers do (`runs/allocator.py`).
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import NamedTuple

import torch

from scaling.models.sizes import size
from scaling.models.transformer import PrefixTransformer, TransformerConfig
from scaling.runs import allocator, eager
from scaling.runs.data import Sampler
from scaling.runs.forkserver import forkserver
from scaling.runs.timing import TransformerStep, rows_like

SECONDS, WARM = 1.5, 5

MODELS = (("2x4x64", 256, 8), ("4x4x128", 1024, 32))
"""Size, codebook and rows of a batch."""

CONTESTANTS = {
    "loop of Python": ("loop", False),
    "copy of 128 MiB": ("copy", False),
    **{
        f"{name} V={V} x {rows}, memory {memory}": ((name, V, rows), memory == "kept")
        for name, V, rows in MODELS
        for memory in ("given back", "kept")
    },
}


class Measured(NamedTuple):
    """What a step took."""

    wall: float
    """Seconds, the median of the steps."""
    processor: float
    """Seconds of the processor."""
    faults: float
    """Pages faulted in."""


def main() -> None:
    """Time all, round by round."""
    parser = argparse.ArgumentParser(description=__doc__)
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--cores", type=int, default=cores)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    k, found = arguments.cores, {name: [] for name in CONTESTANTS}
    for _ in range(arguments.rounds):
        for name, (work, kept) in CONTESTANTS.items():
            found[name].append([_together(work, kept, n) for n in (1, k)])
    print(
        f"| step | one run, ms | pages | {k} runs on {k} cores | by processor time |\n"
        "|---|---|---|---|---|"
    )
    for name, rounds in found.items():
        one = statistics.median(alone.wall for alone, _ in rounds)
        pages = statistics.median(alone.faults for alone, _ in rounds)
        wall = _ratios([alone.wall / many.wall for alone, many in rounds])
        own = _ratios([alone.processor / many.processor for alone, many in rounds])
        print(f"| {name} | {1000 * one:.1f} | {pages:.0f} | {wall} | {own} |")
    for name, V, rows in MODELS:
        back, kept = (
            found[f"{name} V={V} x {rows}, memory {memory}"]
            for memory in ("given back", "kept")
        )
        gains = [a[0].wall / b[0].wall for a, b in zip(back, kept, strict=True)]
        print(f"{name}: one run that keeps its memory is {_ratios(gains)} x as fast")


def _ratios(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _together(work: object, kept: bool, processes: int) -> Measured:
    """Do a step in so many processes at once; the median process counts."""
    context, running = forkserver(1), []
    for _ in range(processes):
        ours, theirs = context.Pipe()
        process = context.Process(target=_child, args=(work, kept, theirs))
        process.start()
        running.append((process, ours))
    for _, end in running:
        end.recv()
    for _, end in running:
        end.send(None)
    found = [end.recv() for _, end in running]
    for process, _ in running:
        process.join()
    return Measured(*map(statistics.median, zip(*found, strict=True)))


def _child(work: object, kept: bool, parent: Connection) -> None:
    torch.set_num_threads(1)
    eager.repeat_bit_by_bit()
    if kept:
        allocator.keep_freed_memory()
    step = _step(work)
    for _ in range(WARM):
        step()
    parent.send(None)
    parent.recv()
    times: list[float] = []
    before = resource.getrusage(resource.RUSAGE_SELF)
    while sum(times) < SECONDS:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    faults = after.ru_minflt - before.ru_minflt
    n = len(times)
    parent.send(Measured(statistics.median(times), spent / n, faults / n))


def _step(work: object) -> Callable[[], object]:
    match work:
        case "loop":
            return lambda: sum(number for number in range(200_000))
        case "copy":
            source, target = torch.randn(32 << 20), torch.empty(32 << 20)
            return lambda: target.copy_(source)
        case (str(name), int(V), int(rows)):
            return _training(name, V, rows)
    raise AssertionError(work)


def _training(name: str, codebook: int, rows: int) -> Callable[[], object]:
    config = TransformerConfig(
        size=size(name), codebook_size=codebook, text_vocab_size=512
    )
    model = PrefixTransformer(config)
    model.init_weights(torch.Generator().manual_seed(0))
    like = TransformerStep(config=config, rows=rows, codes=34, pieces=24)
    sampler, numbers = Sampler(rows_like(like), rows, seed=0), iter(range(1_000_000))
    optimizer = eager.AdamW(model.parameters(), lr=0.0)

    def step() -> None:
        batch = sampler.batch(next(numbers))
        optimizer.zero_grad()
        (model.loss(batch) / batch.num_targets).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
