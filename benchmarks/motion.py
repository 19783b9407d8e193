"""Time features, generation and pictures of motion, each beside a slower way.

    python benchmarks/motion.py

- features: frames a second of the 263-dim representation, on the built-in corpus
- generation: with the KV cache and without, 50 tokens of every row, same tokens
- pictures: a GIF of 196 frames by `scaling.analysis.stick`, and by matplotlib's own 3D
  animation of the same body

All on one thread; medians over the turns, the ratio within a turn. What bounds them: a
token read with the cache costs one position's matrix products, 2 N FLOPs and the bytes
of N weights, where reading the row anew costs all its positions'; a GIF frame costs its
pixels' drawing, once, and their compression.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

import click
import numpy as np
import torch

from scaling.analysis.player import Motion
from scaling.analysis.stick import gif
from scaling.models.generation import GREEDY, generate
from scaling.models.motion import features
from scaling.models.sizes import size
from scaling.models.skeleton import FPS, PARENTS
from scaling.models.transformer import PrefixTransformer, TransformerConfig
from scaling.runs import kinematic

TOKENS, TEXT = 50, 12
"""Tokens generated of each row, and pieces of its caption."""

SHAPES = (("4x4x128", 1), ("4x4x128", 32), ("44M", 1), ("44M", 32))
"""Sizes and rows at once."""

FRAMES = 196


def seconds(call: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def by_turns(turns: int, *calls: Callable[[], object]) -> list[list[float]]:
    """Give the times of each call, the first turn left out."""
    rounds = [[seconds(call) for call in calls] for _ in range(turns + 1)]
    return [list(times) for times in zip(*rounds[1:], strict=True)]


def feature_rows(turns: int) -> Iterator[list[str]]:
    """Time the features of a hundred clips."""
    clips = [kinematic.sequence(index, 0).joints for index in range(100)]
    frames = sum(map(len, clips))
    (ours,) = by_turns(turns, lambda: [features(joints) for joints in clips])
    yield ["features", "", f"{frames / median(ours):,.0f} frames/s", "", ""]


def generation_rows(turns: int) -> Iterator[list[str]]:
    """Time generation with and without the cache, at several shapes."""
    for name, rows in SHAPES:
        config = TransformerConfig(
            size=size(name), codebook_size=1000, text_vocab_size=300
        )
        model = PrefixTransformer(config)
        model.init_weights(torch.Generator().manual_seed(0))
        torch.nn.init.normal_(model.head.weight)
        texts = [np.arange(TEXT) + row for row in range(rows)]
        ways = [
            partial(
                generate,
                model,
                texts,
                sampling=GREEDY,
                max_tokens=TOKENS,
                min_tokens=TOKENS,
                cached=cached,
            )
            for cached in (True, False)
        ]
        with_cache, without = (way() for way in ways)
        same = all(map(np.array_equal, with_cache, without))
        assert same, "the cache changed a token"
        times = by_turns(turns if name != "44M" else 1, *ways)
        yield _compared(f"generation, {name}, {rows} rows", "no cache", *times)


def picture_rows(turns: int) -> Iterator[list[str]]:
    """Time a GIF by Pillow against matplotlib's."""
    joints = np.concatenate([kinematic.sequence(n, 0).joints for n in range(4)])
    motion = Motion(joints=joints[:FRAMES], caption="a person walks")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "motion.gif"
        (ours,) = by_turns(turns, lambda: gif([motion], path))
        theirs = [seconds(lambda: by_matplotlib(motion, path))]
    yield _compared(f"GIF of {FRAMES} frames", "matplotlib", ours, theirs * len(ours))


def by_matplotlib(motion: Motion, path: Path) -> None:
    """Draw the same stick figure by matplotlib's 3D axes and Pillow writer."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.animation import FuncAnimation, PillowWriter

    figure = plt.figure(figsize=(3.2, 3.2))
    axes = figure.add_subplot(projection="3d")
    bones = [axes.plot([], [], [])[0] for _ in PARENTS[1:]]
    low, high = motion.joints.min((0, 1)), motion.joints.max((0, 1))
    axes.set(xlim=(low[0], high[0]), ylim=(low[2], high[2]), zlim=(low[1], high[1]))

    def draw(frame: int) -> list[object]:
        for joint, bone in enumerate(bones, 1):
            ends = motion.joints[frame, [joint, PARENTS[joint]]]
            bone.set_data_3d(ends[:, 0], ends[:, 2], ends[:, 1])
        return list(bones)

    animation = FuncAnimation(figure, draw, frames=len(motion.joints))
    animation.save(path, writer=PillowWriter(fps=FPS))
    plt.close(figure)


def _compared(
    what: str, other: str, ours: list[float], theirs: list[float]
) -> list[str]:
    ratio = median(b / a for a, b in zip(ours, theirs, strict=True))
    times = [f"{1000 * median(each):,.0f} ms" for each in (ours, theirs)]
    return [what, other, *times, f"{ratio:.1f}"]


@click.command()
@click.option("--turns", default=5, show_default=True, help="Times to take turns.")
def main(turns: int) -> None:
    """Print one table."""
    torch.set_num_threads(1)
    columns = ["what", "beside", "ours", "the other", "ratio"]
    for cells in (columns, ["---"] * len(columns)):
        click.echo(f"| {' | '.join(cells)} |")
    for rows in (feature_rows, generation_rows, picture_rows):
        for cells in rows(turns):
            click.echo(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
