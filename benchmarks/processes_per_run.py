"""One run on one process and on two by torch.distributed, side by side.

    python benchmarks/processes_per_run.py --size 4x4x128 --tokens 20000

On processors the processes speak over gloo. Each has one thread, so on k free cores k
processes have k times the arithmetic; what they say to each other is what they lose.
The losses must agree to rounding; exits with 1 when they differ by more than 1e-5 nats.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click
import numpy as np
import torch

from scaling.record import METRICS, Row, read_metrics
from scaling.runs import corpora, distributed, eager, shared, tokenize, train
from scaling.runs.distributed import Order
from scaling.runs.grid import load_grid
from scaling.runs.group import Kind, Parallel
from scaling.runs.jobs import CorpusJob, TokenizerJob, TransformerJob
from scaling.runs.loop import Reporter
from scaling.runs.plan import expand

GRID = """\
study: distributed
corpus: {{kind: kinematic, sequences: 400}}
tokenizers: {{codebooks: [256], width: 32, depth: 1, steps: 50}}
transformers: {{sizes: [{size}], tokens: [{tokens}], batch_size: 32, evaluations: 4}}
"""

ALLOWED = 1e-5
"""Nats, of rounding."""


def prepare(folder: Path, size: str, tokens: int) -> TransformerJob:
    """Build the corpus and its tokens; return the run."""
    grid = folder / "grid.yaml"
    grid.write_text(GRID.format(size=size, tokens=tokens))
    silent = reporter([])
    for job in expand(load_grid(grid)).jobs:
        place = folder / job.folder
        place.mkdir()
        match job:
            case CorpusJob():
                corpora.build(job.section, place, silent.progress)
            case TokenizerJob():
                corpus = corpora.opened(folder / job.corpus)
                tokenize.run(job, corpus, place, "cpu", silent)
            case TransformerJob():
                return job
    raise AssertionError("a grid has runs")


def reporter(said: list[str]) -> Reporter:
    """Note what a run says."""
    return Reporter(progress=lambda done, total: None, say=said.append)


def alone(job: TransformerJob, out: Path) -> None:
    """Train on this process."""
    index = shared.Index(out / job.corpus)
    captions, text_vocab_size = shared.captions_of(job, index, out)
    model = train.build_model(job, text_vocab_size)
    codes = tokenize.read_tokens(out / job.tokenizer)
    splits = shared.splits_of(job, index, codes, captions)
    amount = index.amount("test")
    train.run(job, model, splits, amount, out / job.folder, "cpu", reporter([]))


def rows(out: Path, job: TransformerJob, name: str) -> list[Row]:
    """Read a run's evaluations, and put them aside for the next run."""
    folder = out / job.folder
    found = list(read_metrics(folder / METRICS).rows)
    folder.rename(folder.with_name(name))
    folder.mkdir()
    return found


def seconds(found: list[Row]) -> float:
    """Time from the first evaluation to the last; the start is not the run's."""
    return float(found[-1]["seconds"] - found[0]["seconds"])


@click.command()
@click.option("--size", default="4x4x128", show_default=True, help="Transformer.")
@click.option("--tokens", default=20_000, show_default=True, help="Trained on.")
@click.option("--processes", default=2, show_default=True, help="Of the second run.")
def main(size: str, tokens: int, processes: int) -> None:
    """Compare one process with several."""
    torch.set_num_threads(1)
    eager.repeat_bit_by_bit()
    folder = Path(tempfile.mkdtemp(prefix="distributed-"))
    job = prepare(folder, size, tokens)
    alone(job, folder)
    one = rows(folder, job, "one")
    click.echo("processes  kind  " + "  ".join(f"loss {r['step']:>6}" for r in one))
    click.echo("        1  -     " + "  ".join(f"{r['loss']:.9f}" for r in one))
    worst = 0.0
    kinds: tuple[Kind, ...] = ("ddp", "fsdp")
    for kind in kinds:
        parallel = Parallel(processes=processes, kind=kind)
        distributed.run(
            Order(
                job=job, out=folder, device="cpu", threads=processes, parallel=parallel
            ),
            reporter([]),
        )
        many = rows(folder, job, kind)
        losses = "  ".join(f"{row['loss']:.9f}" for row in many)
        click.echo(f"{processes:9}  {kind:4}  {losses}")
        apart = [abs(a["loss"] - b["loss"]) for a, b in zip(one, many, strict=True)]
        worst = max(worst, *apart)
        click.echo(
            f"           largest difference {np.max(apart):.1e} nats, "
            f"{seconds(one) / seconds(many):.2f} x the speed of one process"
        )
    if worst > ALLOWED:
        click.echo(f"the losses differ by {worst:.1e} nats, more than {ALLOWED:g}")
        sys.exit(1)


if __name__ == "__main__":
    main()
