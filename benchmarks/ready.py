"""Seconds until a run trains: from the command, and from a slot that became free.

    python benchmarks/ready.py [--rounds N] [--store FOLDER]

Makes two stores, of the quickstart's corpus and of 100,000 rows of random tokens with
captions, unless they are there. Then, round by round:

- `slot`: the launcher's own loop trains four (three) small runs one after another;
  counted from one run's `result.json` to the word of the next one's first step.
- `launch`: `scaling run` on the finished store of which one run is missing, from the
  start of its process to the word of the first step.
- the peers: `python -c` that imports torch and does the same step, once, of the same
  model; the same function in a process that multiprocessing spawns.

and where the time of a run goes from its fork, beside the plain way to its rows: the
clips read from JSON, the vocabulary learnt, the captions encoded.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

QUICKSTART = [
    str(ROOT / "examples" / "quickstart.yaml"),
    *("--set", "tokenizers.steps=30", "--set", "tokenizers.codebooks=[256]"),
    *("--set", "transformers.tokens=[3000]", "--set", "transformers.evaluations=1"),
]

BIG = """\
study: big
corpus: {{kind: tokens, path: "{folder}/big.npz"}}
tokenizers: {{codebooks: [256]}}
transformers:
  {{sizes: [1x1x16, 1x2x32, 2x4x64], tokens: [3000], batch_size: 8, evaluations: 1}}
"""

WATCHED = """
import sys, time
from scaling.runs.board import Board
told = Board.progress
def progress(self, folder, done, total):
    if not folder.startswith(("corpus", "tokenizer")):
        print("first step", time.time(), flush=True)
        Board.progress = told
    told(self, folder, done, total)
Board.progress = progress
from scaling.cli import main
main()
"""
"""`scaling`, which says when it hears of a run's first step."""

PEER = "import sys; sys.path.insert(0, {folder!r}); import ready; ready.plain_step()"


def main() -> None:
    """Time all and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--store", type=Path, help="folder to keep the stores in")
    arguments = parser.parse_args()
    folder = arguments.store or Path(mkdtemp())
    os.environ["OMP_NUM_THREADS"] = "1"
    commands = _stores(folder)
    found: dict[str, list[float]] = {}
    for _ in range(arguments.rounds):
        for name, command in commands.items():
            out = folder / name
            found.setdefault(f"{name}: launch", []).append(_launch(command, out))
            found.setdefault(f"{name}: slot", []).extend(_slot(out))
        found.setdefault("peer: python -c", []).append(_subprocess())
        found.setdefault("peer: spawn", []).append(_spawned())
    _print("until the first step", found)
    for name in commands:
        _print(f"{name}: from the fork", _shares(folder / name, arguments.rounds))


def _print(title: str, found: dict[str, list[float]]) -> None:
    print(f"\n| {title} | median, s | range, s |\n|---|---|---|")
    for name, seconds in found.items():
        low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
        print(f"| {name} | {middle:.3f} | {low:.3f} to {high:.3f} |")


# --- The stores ---


def _stores(folder: Path) -> dict[str, list[str]]:
    """Make what is not there; give the commands that made them."""
    folder.mkdir(parents=True, exist_ok=True)
    grid = folder / "big.yaml"
    grid.write_text(BIG.format(folder=folder.resolve()))
    if not (folder / "big.npz").exists():
        _write_rows(folder / "big.npz")
    commands = {"quickstart": QUICKSTART, "100,000 clips": [str(grid)]}
    for name, grid_and_settings in commands.items():
        out = ["--out", str(folder / name), "--jobs", "1"]
        commands[name] = ["run", *grid_and_settings, *out]
        scaling = [sys.executable, "-m", "scaling", *commands[name]]
        subprocess.run(scaling, check=True, capture_output=True)
    return commands


def _write_rows(path: Path, rows: int = 100_000) -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    lengths = rng.integers(20, 60, rows)
    verbs, ways = ("walks", "runs", "jumps", "turns"), ("slowly", "fast", "twice")
    words = [(rng.choice(verbs), rng.choice(ways), n % 5000) for n in range(rows)]
    np.savez(
        path,
        codes=rng.integers(0, 256, lengths.sum()).astype(np.uint16),
        lengths=lengths,
        caption=np.array([f"a person {v} {w} and then no. {n}" for v, w, n in words]),
    )


# --- The contestants ---


def _launch(command: list[str], out: Path) -> float:
    shutil.rmtree(next(out.glob("1x2x32-*")))
    start = time.time()
    scaling = [sys.executable, "-c", WATCHED, *command]
    done = subprocess.run(scaling, check=True, capture_output=True, text=True)
    (line,) = (x for x in done.stdout.splitlines() if x.startswith("first step"))
    return float(line.split()[-1]) - start


def _slot(out: Path) -> Iterable[float]:
    from scaling.runs.agent import read_plan
    from scaling.runs.board import Board
    from scaling.runs.launch import code_version, work
    from scaling.runs.slots import Slot
    from scaling.runs.worker import Place

    began: dict[str, float] = {}

    class Watching(Board):
        def progress(self, folder: str, done: int, total: int) -> None:
            began.setdefault(folder, time.time())
            super().progress(folder, done, total)

    plan = read_plan(out)
    for job in plan.transformers:
        shutil.rmtree(out / job.folder, ignore_errors=True)
    place = Place(out=out, code_version=code_version())
    board = Watching({}, 0, 1, io.StringIO())
    work(plan.jobs, place, [Slot(device="cpu")], board)
    first, *others = sorted(began, key=lambda folder: began[folder])
    for folder in others:
        yield began[folder] - (out / first / "result.json").stat().st_mtime
        first = folder


def _subprocess() -> float:
    start = time.time()
    peer = PEER.format(folder=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", peer], check=True, capture_output=True, text=True
    )
    return float(done.stdout) - start


def _spawned() -> float:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    start = time.time()
    process = context.Process(target=plain_step, args=(theirs,))
    process.start()
    end: float = ours.recv()
    process.join()
    return end - start


def plain_step(parent: Connection | None = None) -> None:
    """Import torch, build a model and do a step; tell when it is done."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    layer = nn.TransformerEncoderLayer(32, 2, 128, batch_first=True)
    model = nn.Sequential(nn.Embedding(257, 32), layer, nn.Linear(32, 257))
    optimizer = torch.optim.AdamW(model.parameters())
    codes = torch.randint(257, (8, 58))
    loss = nn.functional.cross_entropy(model(codes).flatten(0, 1), codes.flatten())
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    if parent is None:
        print(time.time())
    else:
        parent.send(time.time())


# --- Where a run's time goes ---


def _shares(out: Path, rounds: int) -> dict[str, list[float]]:
    from scaling.runs.agent import read_plan
    from scaling.runs.forkserver import forkserver

    job = next(j for j in read_plan(out).transformers if j.size.name == "1x2x32")
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        context = forkserver(1)
        ours, theirs = context.Pipe()
        process = context.Process(target=_timed, args=(job, out, time.time(), theirs))
        process.start()
        for name, seconds in ours.recv().items():
            found.setdefault(name, []).append(seconds)
        process.join()
    return found


def _timed(job: Any, out: Path, start: float, parent: Connection) -> None:
    """Do what a worker does, part by part, and then the plain way to its rows."""
    from scaling.runs import corpora, shared, tokenize, train, worker
    from scaling.runs.course import Course
    from scaling.runs.eager import AdamW
    from scaling.runs.slots import Slot
    from scaling.runs.unigram import Unigram

    told = {"fork": time.time() - start}

    def timed(name: str, part: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        result = part()
        told[name] = time.perf_counter() - begin
        return result

    timed("threads, memory", lambda: worker._prepare(Slot(device="cpu")))
    index = timed("index", lambda: shared.Index(out / job.corpus))
    captions, size = timed(
        "captions, mapped", lambda: shared.captions_of(job, index, out)
    )
    codes = timed("tokens, mapped", lambda: tokenize.read_tokens(out / job.tokenizer))
    model = timed("model", lambda: train.build_model(job, size))
    splits = timed("rows", lambda: shared.splits_of(job, index, codes, captions))
    course = timed("course", lambda: Course.of(job, splits["train"]))
    timed("unigram", lambda: Unigram.of(splits["train"]))
    optimizer = timed("optimizer", lambda: AdamW(model.parameters()))

    def step() -> None:
        batch = course.sampler.batch(0)
        (model.loss(batch) / batch.num_targets).backward()
        optimizer.step()

    timed("first step", step)
    told["all"] = time.time() - start
    timed("another step", step)
    corpus = timed("plain: clips", lambda: corpora.opened(out / job.corpus))
    learnt = timed("plain: vocabulary", lambda: _learnt(job, corpus))
    timed("plain: rows", lambda: _plain_rows(job, corpus, list(codes), learnt))
    parent.send(told)


# --- The plain way to a run's rows ---


def _learnt(job: Any, corpus: Any) -> Any:
    from scaling.models.text import train_caption_encoder

    return train_caption_encoder(
        corpus.captions("train"),
        vocab_size=job.section.text_vocab_size,
        max_length=job.section.text_length,
    )


def _plain_rows(job: Any, corpus: Any, codes: list[Any], learnt: Any) -> None:
    from scaling.runs.data import Rows, require_context

    for split in ("train", "test"):
        pairs = zip(corpus.clips, codes, strict=True)
        kept = [(c, row) for c, row in pairs if c.split == split and len(row)]
        wordings = sorted({text for clip, _ in kept for text in clip.captions})
        encoded = dict(zip(wordings, learnt.encode(wordings), strict=True))
        texts = [[encoded[text] for text in clip.captions] for clip, _ in kept]
        rows = Rows([row for _, row in kept], texts, job.quantization.codebook_size)
        require_context(job.section.context, rows)


if __name__ == "__main__":
    main()
