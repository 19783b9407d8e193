"""Time the training of a tokenizer against T2M-GPT's, and the tokenizing of a corpus.

    python benchmarks/motion_tokenizers.py [--pairs N] [--peer FOLDER]

T2M-GPT's repository is cloned into `.rivals/T2M-GPT`, and its own model, loss and data
loader are run as its train_vq.py does: smooth L1, velocity and commitment losses,
AdamW, averages printed every 200 steps. Ours is `scaling.runs.loop.train`, with the
batches, clipping and log of a run; neither writes checkpoints meanwhile. Both have one
thread, in a process each, and take turns: step by step, on windows of the same corpus
and convolutions of the same shape. The ratio is the median of the pairs', with their
range.

What bounds both is the product of matrices, measured in the same run. T2M-GPT's takes
the multiplications of the definition of a convolution (two operations each) and is near
that bound; ours takes fewer, so its rate, counted as if it did all, may exceed it.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import click
import numpy as np
import torch
from torch import nn

from scaling.models.levels import levels_of
from scaling.models.quantization import Quantization
from scaling.models.skeleton import FPS
from scaling.models.tokenizer import MotionTokenizer, TokenizerConfig
from scaling.runs import corpora, loop
from scaling.runs.corpora import Corpus
from scaling.runs.loop import Reporter, train
from scaling.runs.sections import KinematicCorpus, Tokenizers
from scaling.runs.tokenize import encode, training

REPOSITORY = "https://github.com/Mael-zys/T2M-GPT"
COMMIT = "b1446f1239f0fce579f922b5b10dd1b1103669cc"
META = "checkpoints/t2m/VQVAEV3_CB1024_CMT_H1024_NRES3/meta"
"""Where T2M-GPT looks for the mean and the deviation."""

TRAINING = (
    *("quantiser", "batch x width x depth", "our frames/s", "T2M-GPT's", "ratio"),
    *("our GFLOP/s", "T2M-GPT's", "of a matrix product"),
)
TOKENIZING = ("width x depth", "corpus", "times real time")

WINDOW = 64
QUANTIZATIONS = {
    "VQ 512": Quantization(method="vq", codes=512),
    "FSQ 2^10": Quantization(levels=levels_of(1024)),
}


def cloned(folder: Path) -> Path:
    """Get T2M-GPT, unless it is there."""
    if not (folder / "train_vq.py").exists():
        git = ["git", "-c", "advice.detachedHead=false"]
        subprocess.run([*git, "clone", "--quiet", REPOSITORY, folder], check=True)
        subprocess.run([*git, "-C", folder, "checkout", "-q", COMMIT], check=True)
    return folder.resolve()


def lay_out(corpus: Corpus, folder: Path) -> None:
    """Write the training split as T2M-GPT reads it."""
    vectors, meta = folder / "dataset/HumanML3D/new_joint_vecs", folder / META
    for each in (vectors, meta):
        each.mkdir(parents=True)
    for clip in corpus.split("train"):
        np.save(vectors / f"{clip.name}.npy", corpus.unnormalised(corpus.motion(clip)))
    names = "\n".join(clip.name for clip in corpus.split("train"))
    (vectors.parent / "train.txt").write_text(names)
    np.save(meta / "mean.npy", corpus.mean)
    np.save(meta / "std.npy", corpus.std)


def peer(
    pipe: Connection, code: Path, data: Path, batch: int, width: int, depth: int
) -> None:
    """Do a step of T2M-GPT's whenever asked, and say how long it took."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random.seed(0)
    sys.path.insert(0, str(code))
    os.chdir(data)
    # its modules ask for a GPU by this name alone; its arithmetic is not touched
    torch.Tensor.cuda = lambda self: self  # type: ignore
    vqvae, losses, loader = map(
        import_module, ("models.vqvae", "utils.losses", "dataset.dataset_VQ")
    )
    args = SimpleNamespace(dataname="t2m", quantizer="ema_reset", mu=0.99)
    net = vqvae.HumanVQVAE(args, 512, width, width, 2, 2, width, depth, 3, "relu", None)
    optimizer = torch.optim.AdamW(
        net.train().parameters(), lr=2e-4, betas=(0.9, 0.99), weight_decay=0.0
    )
    loss_of = losses.ReConsLoss("l1_smooth", 22)
    batches = loader.cycle(
        loader.DATALoader("t2m", batch, num_workers=0, window_size=WINDOW)
    )
    sums, done = np.zeros(3), 0
    pipe.send(sum(weight.numel() for weight in net.parameters()))
    while pipe.recv():
        start = time.perf_counter()
        motion = next(batches).float()
        drawn, commitment, perplexity = net(motion)
        parts = loss_of(drawn, motion), loss_of.forward_vel(drawn, motion)
        loss = parts[0] + 0.02 * commitment + 0.5 * parts[1]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        sums += [parts[0].item(), perplexity.item(), commitment.item()]
        done += 1
        if done % 200 == 0:
            print(sums / 200)
            sums[:] = 0
        pipe.send(time.perf_counter() - start)


def by_turns(
    quantization: Quantization,
    corpus: Corpus,
    section: Tokenizers,
    step_of_peer: Callable[[], float],
) -> list[tuple[float, float]]:
    """Train ours, with a step of the peer's after each: seconds of both."""
    torch.manual_seed(0)
    config = TokenizerConfig(
        quantization=quantization, width=section.width, depth=section.depth
    )
    model = MotionTokenizer(config)
    times: list[tuple[float, float]] = []
    since = time.perf_counter()

    def progress(done: int, total: int) -> None:
        nonlocal since
        ours = time.perf_counter() - since
        times.append((ours, step_of_peer()))
        since = time.perf_counter()

    alone = replace(training(section, model, corpus), evaluate_after=frozenset())
    with tempfile.TemporaryDirectory() as folder:
        train(alone, Path(folder), Reporter(progress=progress, say=click.echo))
    return times[1:]  # the first one warms up


def operations(section: Tokenizers) -> float:
    """Operations of one step's convolutions by definition, three of them forward."""
    config = TokenizerConfig(
        quantization=QUANTIZATIONS["VQ 512"], width=section.width, depth=section.depth
    )
    total = 0

    def count(layer: nn.Conv1d, _: object, y: torch.Tensor) -> None:
        nonlocal total
        total += 2 * y.numel() * layer.weight[0].numel()

    with torch.device("meta"), torch.no_grad():
        model = MotionTokenizer(config)
        for layer in model.modules():
            if isinstance(layer, nn.Conv1d):
                layer.register_forward_hook(count)
        motion = torch.empty(section.batch_size, WINDOW, 263)
        model.decoder(model.encoder(motion.transpose(1, 2)))
    return 3.0 * total


def matmul_peak(rows: int = 512, turns: int = 50) -> float:
    """Operations per second of a product of matrices that fit into the cache."""
    a, b = torch.randn(rows, 512), torch.randn(512, 512)
    times = []
    for _ in range(turns):
        start = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - start)
    return 2 * rows * 512 * 512 / median(times)


def compare(corpus: Corpus, code: Path, data: Path, section: Tokenizers) -> None:
    """Print a row per quantiser of ours against T2M-GPT's."""
    shape = (section.batch_size, section.width, section.depth)
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=peer, args=(there, code, data, *shape))
    process.start()
    here.recv()

    def step_of_peer() -> float:
        here.send(True)
        seconds: float = here.recv()
        return seconds

    frames, work = section.batch_size * WINDOW, operations(section)
    for name, quantization in QUANTIZATIONS.items():
        times = by_turns(quantization, corpus, section, step_of_peer)
        ratios = [theirs / ours for ours, theirs in times]
        ours, theirs = (median(each) for each in zip(*times, strict=True))
        row(
            name,
            "x".join(map(str, shape)),
            *(f"{frames / seconds:,.0f}" for seconds in (ours, theirs)),
            f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})",
            *(f"{work / seconds / 1e9:.0f}" for seconds in (ours, theirs)),
            f"{matmul_peak() / 1e9:.0f}",
        )
    here.send(False)
    process.join()


def row(*cells: str) -> None:
    """Print a row of a table."""
    click.echo(f"| {' | '.join(cells)} |")


def header(*columns: str) -> None:
    """Begin a table."""
    click.echo()
    row(*columns)
    row(*["---"] * len(columns))


def tokenizing(corpus: Corpus, width: int, depth: int) -> None:
    """Print how fast a corpus becomes tokens."""
    config = TokenizerConfig(
        quantization=QUANTIZATIONS["FSQ 2^10"], width=width, depth=depth
    )
    model = MotionTokenizer(config)
    seconds = sum(clip.frames for clip in corpus.clips) / FPS
    encode(model, corpus, corpus.clips[:64])
    times = []
    for _ in range(3):
        start = time.perf_counter()
        encode(model, corpus, corpus.clips)
        times.append(time.perf_counter() - start)
    row(f"{width} x {depth}", f"{seconds:,.0f} s", f"{seconds / median(times):,.0f} x")


@click.command()
@click.option("--pairs", default=5, show_default=True, help="Steps of each.")
@click.option("--batch", default=256, show_default=True, help="Windows per step.")
@click.option("--width", default=512, show_default=True, help="Channels.")
@click.option("--depth", default=3, show_default=True, help="Residual blocks.")
@click.option("--sequences", default=600, show_default=True, help="Of the corpus.")
@click.option(
    "--peer",
    "folder",
    type=click.Path(path_type=Path),
    default=Path(".rivals/T2M-GPT"),
    show_default=True,
    help="Where T2M-GPT is, or is to be.",
)
def main(
    pairs: int, batch: int, width: int, depth: int, sequences: int, folder: Path
) -> None:
    """Compare with T2M-GPT, and time the tokenizing of a corpus."""
    torch.set_num_threads(1)
    loop.CHECKPOINT_SECONDS = math.inf  # T2M-GPT writes one with an evaluation
    code = cloned(folder)
    section = Tokenizers(
        codebooks=(512,),
        quantizers=("vq",),
        width=width,
        depth=depth,
        batch_size=batch,
        window=WINDOW,
        steps=pairs + 1,
    )
    with tempfile.TemporaryDirectory() as name:
        home, data = Path(name) / "corpus", Path(name) / "data"
        home.mkdir()
        built = KinematicCorpus(sequences=sequences)
        corpora.build(built, home, lambda done, total: None)
        corpus = corpora.load(home)
        lay_out(corpus, data)
        header(*TRAINING)
        compare(corpus, code, data, section)
        header(*TOKENIZING)
        for shape in ((64, 2), (512, 3)):
            tokenizing(corpus, *shape)


if __name__ == "__main__":
    main()
