"""Useful motion tokens per second of our training step, beside the steps of others.

    python benchmarks/training_step.py --part real [--data kinematic|cmu] [--compile]
    python benchmarks/training_step.py --part equal [--compile]
    python benchmarks/training_step.py --part shares

Needs `transformers`. Who is timed, and how each is batched, `contestants.py` says.
A step takes the next batch from the contestant's own loader, goes forward and backward,
clips, updates and writes the loss as a line of JSON. Contestants have a process of one
thread each and take turns of so many steps; a ratio is the median of ours to theirs
within a turn, with the range.

`real`: rows as long as the built-in corpus has them (its captions, a token for four
frames; the codes themselves are drawn at random), or as the CMU pack in $SCALING_DATA
has. Text, padding and what is scored on text count for nothing.

`equal`: every row has 64 positions, all scored, 1,024 a step.

`shares`: where the time of our step goes, by torch.profiler: backward operations count
with the forward ones that they belong to.

What bounds all are products of matrices: `of limit` is the tokens per second to those
that a step would reach if it ran nothing but the products that its useful positions
need, at the speed of a product of 1,024^3, the best of the same turns.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from contestants import CONTESTANTS, Case, Contestant, ours
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

from scaling.models import transformer
from scaling.models.flops import TRAINING_FACTOR, Architecture, matmul_step
from scaling.models.sizes import size
from scaling.models.text import train_caption_encoder
from scaling.runs import kinematic
from scaling.runs.data import Rows
from scaling.runs.kinematic_captions import captions
from scaling.runs.kinematic_script import write_script
from scaling.runs.pack import recordings
from scaling.runs.sections import Transformers

SIZES = {"1M": "4x4x128", "10M": "8x4x256", "44M": "44M"}
EQUAL = {"1M": 1024, "10M": 8192, "44M": 8192}
"""Codebooks at equal shapes."""

POSITIONS, STEP = 64, 1024
FRAMES_PER_TOKEN = 4
DEFAULTS = Transformers(sizes=("44M",), tokens=(1,))
"""The grid's defaults."""

COLUMNS = ("data", "size", "V", "who", "tokens/s", "of limit", "ours to it", "range")

Clip = tuple[Sequence[str], int]
"""Captions, and frames of features."""


# --- what is trained on ---


def kinematic_clips(sequences: int = 2_000) -> list[Clip]:
    """Write the built-in corpus' captions; nothing is acted out for its length."""
    clips: list[Clip] = []
    for index in range(sequences):
        for_script, for_captions, _ = kinematic.streams(index, 0)
        script = write_script(for_script)
        clips.append((captions(script, for_captions), script.frames - 1))
    return clips


def cmu_clips() -> list[Clip]:
    """Read the clips of the CMU pack."""
    found = recordings(Path(os.environ["SCALING_DATA"]) / "motion" / "cmu_subset")
    return [(r.captions, end - first - 1) for r in found for first, end in r.clips]


DATA = {"kinematic": kinematic_clips, "cmu": cmu_clips}


def real_case(clips: Sequence[Clip], **rest: Any) -> Case:
    """Lay out clips with codes drawn at random."""
    rng, V = np.random.default_rng(0), rest["codebook"]
    encoder = train_caption_encoder(
        (text for wordings, _ in clips for text in wordings),
        vocab_size=DEFAULTS.text_vocab_size,
        max_length=DEFAULTS.text_length,
    )
    rows = Rows(
        [rng.integers(0, V, frames // FRAMES_PER_TOKEN) for _, frames in clips],
        [encoder.encode(wordings) for wordings, _ in clips],
        V,
    )
    return Case(rows=rows, pieces=encoder.vocab_size, equal=False, **rest)


def equal_case(codebook: int, **rest: Any) -> Case:
    """Lay out rows of one piece of text and 63 codes: 64 positions, all scored."""
    rng = np.random.default_rng(0)
    codes = list(rng.integers(0, codebook, (512, POSITIONS - 1)))
    rows = Rows(codes, [[np.zeros(1, np.int64)]] * len(codes), codebook)
    batch = STEP // POSITIONS
    return Case(rows=rows, pieces=1, equal=True, codebook=codebook, batch=batch, **rest)


def operations(case: Case) -> float:
    """Operations per scored token: the products of positions that are not padding."""
    texts = np.array([len(texts[0]) for texts in case.rows.texts])
    lengths = texts + case.rows.lengths - 1
    targets = int(case.rows.lengths.sum())
    shape = Architecture(
        size=size(case.size),
        codebook_size=case.codebook,
        text_width=DEFAULTS.text_width,
    )
    forward = matmul_step(
        shape,
        positions=int(lengths.sum()),
        pairs=int((lengths**2).sum()),
        read=targets,
        text=int(texts.sum()),
        targets=targets,
    )
    return TRAINING_FACTOR * forward / targets


# --- turns ---


def _child(name: str, case: Case, parent: Connection) -> None:
    """Do as many steps as asked for; answer with tokens per second."""
    torch.set_num_threads(1)
    try:
        contestant = CONTESTANTS[name](case)
        while steps := parent.recv():
            start = time.perf_counter()
            tokens = sum(contestant.step() for _ in range(steps))
            parent.send(tokens / (time.perf_counter() - start))
    except EOFError:
        return
    except Exception as error:  # it is out, and the others go on
        parent.send(f"{type(error).__name__}: {str(error).splitlines()[0][:80]}")


@contextmanager
def contest(names: Sequence[str], case: Case) -> Iterator[dict[str, Connection]]:
    """Start a process for each contestant; end them all."""
    context, ends, processes = multiprocessing.get_context("spawn"), {}, []
    for name in names:
        ends[name], end = context.Pipe()
        processes.append(context.Process(target=_child, args=(name, case, end)))
        processes[-1].start()
        end.close()
    try:
        yield ends
    finally:
        for process in processes:
            process.terminate()
            process.join()


@dataclass(slots=True)
class Score:
    """One contestant's turns."""

    rates: list[float] = field(default_factory=list)
    """Tokens per second."""
    failure: str = ""
    """Why it did not go on."""


def by_turns(
    names: Sequence[str], case: Case, turns: int, steps: int, warm: int
) -> tuple[dict[str, Score], float]:
    """Let contestants take turns; give their rates, and the limit's."""
    scores, peaks = {name: Score() for name in names}, []
    with contest(names, case) as ends:
        for turn in range(-warm, turns):
            peaks.append(peak_rate())
            for name, score in scores.items():
                if score.failure:
                    continue
                ends[name].send(steps)
                answer = ends[name].recv()
                if isinstance(answer, str):
                    score.failure = answer
                elif turn >= 0:
                    score.rates.append(answer)
    return scores, max(peaks) / operations(case)


def peak_rate(length: int = 1024, times: int = 4) -> float:
    """Operations per second of a product of matrices, the best of some."""
    a, b = torch.randn(2, length, length)
    took = []
    for _ in range(times):
        start = time.perf_counter()
        a @ b
        took.append(time.perf_counter() - start)
    return 2 * length**3 / min(took)


def print_rows(title: str, case: Case, scores: dict[str, Score], limit: float) -> None:
    """Print a contest's rows of the table."""
    mine = scores["ours"].rates
    for name, score in scores.items():
        cells = [title, case.size, f"{case.codebook:,}", name]
        if score.failure:
            cells += [score.failure, "", "", ""]
        else:
            rate = median(score.rates)
            ratios = [a / b for a, b in zip(mine, score.rates, strict=True)]
            cells += [f"{rate:,.0f}", f"{rate / limit:.0%}", f"{median(ratios):.2f}"]
            cells += [f"{min(ratios):.2f} to {max(ratios):.2f}"]
        print_line(cells)


def print_line(cells: Sequence[str]) -> None:
    """Print a row of a table."""
    print(f"| {' | '.join(cells)} |", flush=True)


# --- shares of our step ---

PARTS = ("attention", "feed-forward", "head and loss", "optimizer", "input", "rest")


def labelled(label: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Record a call under a label."""

    def recorded(*arguments: Any, **options: Any) -> Any:
        with record_function(label):
            return call(*arguments, **options)

    return recorded


def label_parts(contestant: Contestant) -> None:
    """Label a model's parts, from outside; what is in none is the rest."""
    for name in ("rotate", "prefix_mask"):
        setattr(transformer, name, labelled("attention", getattr(transformer, name)))
    name = "linear_cross_entropy"
    setattr(transformer, name, labelled("head and loss", getattr(transformer, name)))
    for name, module in contestant.model.named_modules():
        last = name.split(".")[-1]
        if "attention" in name:
            _label(module, "attention")
        elif last.startswith("feed_forward"):
            _label(module, "feed-forward")
        elif "embedding" in last or last == "text_projection":
            _label(module, "input")


def _label(module: nn.Module, label: str) -> None:
    module.forward = labelled(label, module.forward)


def shares(case: Case, steps: int) -> dict[str, float]:
    """Share of each part in the time of some steps."""
    contestant = ours(case)
    label_parts(contestant)
    for _ in range(steps):
        contestant.step()
    with profile(activities=[ProfilerActivity.CPU]) as trace:
        start = time.perf_counter()
        for _ in range(steps):
            contestant.step()
        total = 1e6 * (time.perf_counter() - start)
    spent: defaultdict[str, float] = defaultdict(float)
    owner: dict[int, str] = {}
    events = list(trace.events())
    for event in events:
        label = _label_of(event)
        if label and event.scope == 0 and event.sequence_nr >= 0:
            owner.setdefault(event.sequence_nr, label)
        if event.name in PARTS and _label_of(event.cpu_parent) is None:
            spent[event.name] += event.cpu_time_total
    for event in events:
        if event.name.startswith("autograd::engine::evaluate_function"):
            spent[owner.get(event.sequence_nr, "rest")] += event.cpu_time_total
    spent["rest"] = total - sum(spent[part] for part in PARTS[:-1])
    return {part: spent[part] / total for part in PARTS}


def _label_of(event: Any) -> str | None:
    """Innermost label that an event stands under."""
    while event is not None:
        if event.name in PARTS:
            return str(event.name)
        event = event.cpu_parent
    return None


# --- the parts of this benchmark ---


def real_cases(
    arguments: argparse.Namespace, *, compiled: bool
) -> Iterator[tuple[str, str, Case]]:
    """Lay out rows as they come: their data, the model's size, and the case."""
    for data in arguments.data:
        clips = DATA[data]()
        for name, V in product(arguments.sizes, arguments.codebooks):
            case = real_case(
                clips,
                size=SIZES[name],
                codebook=V,
                batch=arguments.batch,
                compiled=compiled,
            )
            yield data, name, case


def real(arguments: argparse.Namespace) -> None:
    """Time all on rows as they come."""
    print_line(COLUMNS)
    print_line(["---"] * len(COLUMNS))
    names = ["ours", *(arguments.who or list(CONTESTANTS)[1:])]
    for data, name, case in real_cases(arguments, compiled=arguments.compile):
        steps = {"1M": 8, "10M": 4, "44M": 2}[name]
        warm = 4 if arguments.compile else 1
        scores, limit = by_turns(names, case, arguments.turns, steps, warm)
        print_rows(data, case, scores, limit)


def equal(arguments: argparse.Namespace) -> None:
    """Time ours, Llama and a GPT at one shape."""
    print_line(COLUMNS)
    print_line(["---"] * len(COLUMNS))
    names = ["ours", "Llama, by length", "nanoGPT-like"]
    for name in arguments.sizes:
        case = equal_case(EQUAL[name], size=SIZES[name], compiled=arguments.compile)
        scores, limit = by_turns(
            names, case, arguments.turns, {"1M": 8, "10M": 2, "44M": 1}[name], 2
        )
        print_rows("equal", case, scores, limit)


def all_shares(arguments: argparse.Namespace) -> None:
    """Print the shares of our step."""
    print_line(["data", "size", "V", *PARTS])
    print_line(["---"] * (3 + len(PARTS)))
    for data, name, case in real_cases(arguments, compiled=False):
        found = shares(case, arguments.turns)
        parts = [f"{found[part]:.0%}" for part in PARTS]
        print_line([data, name, f"{case.codebook:,}", *parts])


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = {"real": real, "equal": equal, "shares": all_shares}
    parser.add_argument("--part", choices=parts, default="real")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--batch", type=int, default=16, help="rows of a step")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--codebooks", nargs="+", type=int, default=[1024])
    parser.add_argument("--who", nargs="+", choices=CONTESTANTS, help="beside ours")
    parser.add_argument("--data", nargs="+", choices=DATA, default=["kinematic"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    parts[arguments.part](arguments)


if __name__ == "__main__":
    main()
