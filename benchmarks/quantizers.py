"""Time FSQ, codes and indices of a million vectors, against vector-quantize-pytorch.

    python benchmarks/quantizers.py

The rival is installed into `.rivals/quantizers`, for the torch that is there. Both run
in one process on one thread, by turns: times are medians over the turns, the ratio is
the median of theirs to ours within a turn, with its range. Both must find the same
codes and indices, but for those within a last bit of a boundary between levels.

What bounds both: a vector of c float32 channels is read and written once and its index
written, 8 c + 8 bytes at the speed of a copy, and c hyperbolic tangents are taken. Both
are measured in the same run and printed. On the processor that this was written on, a
tangent took 2.5 ns and a channel's bytes 0.3 ns: a million vectors of 4 channels cannot
take less than about 11 ms, of 6 about 17 ms. What can be saved are the passes over
memory around the tangent, and loops over no more than a handful of channels.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import click
import torch

from scaling.models.fsq import FSQ
from scaling.models.levels import levels_of

RIVAL = ("vector-quantize-pytorch==1.32.0", "torch-einops-utils==0.2.0")
NEEDS = ("einops==0.8.2", "einx==0.4.3", "frozendict==2.4.7", "loguru==0.7.3")
LEVELS = tuple(levels_of(2**bits) for bits in (8, 9, 10, 11, 12, 14, 16))
COLUMNS = ("levels", "gradient", "ours", "theirs", "ratio", "tanh alone", "bytes alone")


def rival(folder: Path) -> type[torch.nn.Module]:
    """Install the rival, unless it is there; give its FSQ."""
    if not (folder / "vector_quantize_pytorch").exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--target", str(folder), *RIVAL, *NEEDS], check=True)
    sys.path.append(str(folder))
    import vector_quantize_pytorch

    return vector_quantize_pytorch.FSQ


def milliseconds(call: Callable[[], object]) -> float:
    """Time one call, without the release of what it returns."""
    start = time.perf_counter()
    kept = call()
    end = time.perf_counter()
    del kept
    return 1000 * (end - start)


def by_turns(turns: int, *calls: Callable[[], object]) -> list[list[float]]:
    """Give the times of each call, the first turn left out."""
    rounds = [[milliseconds(call) for call in calls] for _ in range(turns + 1)]
    return [list(times) for times in zip(*rounds[1:], strict=True)]


def compared(
    ours: FSQ, theirs: torch.nn.Module, z: torch.Tensor, turns: int
) -> list[str]:
    """Check that both agree, time them, and write the times down."""
    for found, expected in zip(ours(z), theirs(z), strict=True):
        # a tangent's last bit depends on where its vector lies, and may cross a level
        assert (found != expected).double().mean() < 1e-6
    limits = [partial(torch.tanh, z.detach()), z.detach().clone]
    us, them, tanh, copy = by_turns(
        turns, partial(ours, z), partial(theirs, z), *limits
    )
    ratios = [b / a for a, b in zip(us, them, strict=True)]
    ratio = f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
    index = 1 + 1 / z.shape[-1]  # its 8 bytes beside the 8 of each channel
    times = [f"{median(times):.1f} ms" for times in (us, them)]
    bounds = [f"{median(tanh):.1f} ms", f"{index * median(copy):.1f} ms"]
    return [*times, ratio, *bounds]


@click.command()
@click.option("--vectors", default=1_000_000, show_default=True, help="How many.")
@click.option("--turns", default=25, show_default=True, help="Times to take turns.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path(".rivals/quantizers"),
    show_default=True,
    help="Where the rival is, or is to be.",
)
def main(vectors: int, turns: int, folder: Path) -> None:
    """Compare our FSQ with vector-quantize-pytorch's."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    theirs = rival(folder)
    for cells in (COLUMNS, ["---"] * len(COLUMNS)):
        click.echo(f"| {' | '.join(cells)} |")
    for levels in LEVELS:
        for gradient in (False, True):
            z = torch.randn(1, vectors, len(levels), requires_grad=gradient)
            with torch.set_grad_enabled(gradient):
                times = compared(FSQ(levels), theirs(levels), z, turns)
            cells = [" ".join(map(str, levels)), "yes" if gradient else "no", *times]
            click.echo(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
