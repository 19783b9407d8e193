"""Time and memory of a large codebook's head and cross-entropy, against the plain ways.

    python benchmarks/large_codebooks.py [--pairs N] [--quick]

`ours` is `scaling.models.cross_entropy`, on the positions that are scored. The others:

    scored      F.cross_entropy(F.linear(...)) on the same positions
    every       the same on text and padding too, of which a target says "ignore", as in
                ScaMo's code: 2.2 positions for one that is scored, as in batches of the
                built-in corpus in random order
    torch's     torch.nn.functional.linear_cross_entropy in chunks, where torch has it

All make the loss and its gradients by the hidden states and by the head. They take
turns in one process on one thread; a ratio is the median of the pairs' (theirs to
ours), with the range. Memory is the most that a fresh process held meanwhile, beyond
what it held before and the head's gradient (Linux). `error` is the largest difference
of a gradient from that in float64, as a share of the largest gradient.

What bounds all are three products, 6 N V d operations; `of peak` is the time that they
take at the speed of a product of 1,024^3, measured in the same run, to the time taken.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from scaling.models.cross_entropy import linear_cross_entropy

CASES = [(65_536, 256), (65_536, 512), (8_192, 256), (16_384, 256)]
"""V and d."""

SCORED = (512, 2_048)
"""Scored positions of a batch: of 16 and of 64 rows, about."""

EVERY = 2.2
"""Positions of a padded batch for one that is scored."""

IGNORED = -100
COLUMNS = ("V", "d", "N", "way", "ms", "of peak", "to ours", "range", "MiB", "error")

Inputs = tuple[Tensor, Tensor, Tensor]
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def ours(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """Sum the losses a slice at a time."""
    return linear_cross_entropy(hidden, head, targets)[0]


def plain(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """Sum the losses of all logits at once."""
    return F.cross_entropy(F.linear(hidden, head), targets, reduction="sum")


def chunked(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """Sum the losses as torch does in chunks of its own choice."""
    options = torch.nn.LinearCrossEntropyOptions()
    loss: Tensor = F.linear_cross_entropy(
        hidden, head, targets, reduction="sum", options=options
    )
    return loss


WAYS: dict[str, Loss] = {"ours": ours, "scored": plain, "every": plain}
if hasattr(torch.nn, "LinearCrossEntropyOptions"):
    WAYS["torch's"] = chunked


def inputs(way: str, V: int, d: int, N: int) -> Inputs:
    """Draw hidden states, head and targets: the same for all ways, but for padding."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(N, d, generator=generator)
    head = torch.randn(V, d, generator=generator) / d**0.5
    targets = torch.randint(0, V, (N,), generator=generator)
    if way == "every":
        more = round(EVERY * N) - N
        hidden = torch.cat([hidden, torch.randn(more, d, generator=generator)])
        targets = torch.cat([targets, targets.new_full((more,), IGNORED)])
    return hidden.requires_grad_(), head.requires_grad_(), targets


def differentiated(way: str, drawn: Inputs) -> tuple[Tensor, Tensor]:
    """Compute the gradients by the hidden states and by the head."""
    hidden, head, _ = drawn
    hidden.grad = head.grad = None
    WAYS[way](*drawn).backward()  # type: ignore[no-untyped-call]
    assert hidden.grad is not None
    assert head.grad is not None
    return hidden.grad, head.grad


def exact(drawn: Inputs, at_once: int = 64) -> tuple[Tensor, Tensor]:
    """Compute the gradients in float64, some positions at a time."""
    hidden, head, targets = drawn
    hidden = hidden.detach().double().requires_grad_()
    head = head.detach().double().requires_grad_()
    for first in range(0, len(targets), at_once):
        here = slice(first, first + at_once)
        plain(hidden[here], head, targets[here]).backward()  # type: ignore[no-untyped-call]
    assert hidden.grad is not None
    assert head.grad is not None
    return hidden.grad, head.grad


def seconds(call: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def peak_rate(size: int = 1024, times: int = 10) -> float:
    """Operations per second of a product of matrices, the best of some."""
    a, b = torch.randn(2, size, size)
    return 2 * size**3 / min(seconds(lambda: a @ b) for _ in range(times))


def _status(key: str) -> int:
    """Bytes that /proc says this process holds (VmRSS) or held at most (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return 1024 * int(line.split()[1])
    raise KeyError(key)


def memory(way: str, V: int, d: int, N: int) -> int:
    """Bytes at most beyond the inputs and the head's gradient; in a fresh process."""
    torch.set_num_threads(1)
    differentiated(way, inputs(way, 256, d, 64))  # what libraries allocate for good
    drawn = inputs(way, V, d, N)
    Path("/proc/self/clear_refs").write_text("5")  # the most so far is forgotten
    before = _status("VmRSS")
    differentiated(way, drawn)
    return _status("VmHWM") - before - 4 * V * d


def errors(way: str, V: int, d: int, N: int) -> float:
    """Largest difference of a gradient from the exact one, to the largest gradient."""
    expected = exact(inputs("ours", V, d, N))
    found = differentiated(way, inputs(way, V, d, N))
    return max(
        float((mine[: len(true)] - true).abs().max() / true.abs().max())
        for mine, true in zip(found, expected, strict=True)
    )


def fresh(measure: Callable[..., float], *arguments: object) -> float:
    """Call a function in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, arguments)


def compared(V: int, d: int, N: int, pairs: int) -> list[list[str]]:
    """Measure all ways at one shape; a row of the table each."""
    drawn = {way: inputs(way, V, d, N) for way in WAYS}
    turns = [
        {way: seconds(partial(differentiated, way, drawn[way])) for way in WAYS}
        for _ in range(pairs + 1)
    ][1:]
    least, rows = 6 * N * V * d / peak_rate(), []
    for way in WAYS:
        took = median(turn[way] for turn in turns)
        ratios = [turn[way] / turn["ours"] for turn in turns]
        held, error = fresh(memory, way, V, d, N), errors(way, V, d, N)
        times = [f"{1000 * took:.0f}", f"{least / took:.0%}", f"{median(ratios):.2f}"]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        rest = [spread, f"{held / 2**20:.0f}", f"{error:.0e}"]
        rows.append([f"{V:,}", f"{d}", f"{N:,}", way, *times, *rest])
    return rows


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="fewest positions only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    scored = SCORED[:1] if arguments.quick else SCORED
    for cells in (COLUMNS, ["---"] * len(COLUMNS)):
        print(f"| {' | '.join(cells)} |", flush=True)
    for (V, d), N in product(CASES, scored):
        for row in compared(V, d, N, arguments.pairs):
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
