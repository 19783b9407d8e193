"""The run that all orchestrators do: one of ours, as a plain function.

It keeps its state in its folder as `scaling run` has it: a checkpoint a second, from
which it goes on, and a result, after which there is nothing to do. What only the
training needs is imported with it, so that no engine's launcher need hold torch.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from scaling.files import read_json, write_json
from scaling.runs.jobs import TransformerJob, describe
from scaling.runs.plan import expand
from scaling.runs.sections import Grid


def runs_of(out: Path) -> list[TransformerJob]:
    """Read the runs of a store."""
    plan = expand(Grid.model_validate(read_json(out / "grid.json")["grid"]))
    return [job for job in plan.jobs if isinstance(job, TransformerJob)]


def unfinished(out: Path) -> list[int]:
    """List the numbers of the runs that have no result."""
    return [
        number
        for number, job in enumerate(runs_of(out))
        if not (out / job.folder / "result.json").exists()
    ]


def do(out: str, number: int) -> int:
    """Train one run of a store to its end; return its number."""
    import torch

    from scaling.runs import allocator, eager, shared, tokenize, train
    from scaling.runs.loop import Reporter

    _tolerate_threads()
    allocator.keep_freed_memory()
    torch.set_num_threads(1)
    eager.repeat_bit_by_bit()
    store = Path(out)
    job = runs_of(store)[number]
    folder = store / job.folder
    if (folder / "result.json").exists():
        return number
    folder.mkdir(exist_ok=True)
    codes = tokenize.read_tokens(store / job.tokenizer)
    index = shared.Index(store / job.corpus)
    captions, vocabulary = shared.captions_of(job, index, store)
    model = train.build_model(job, vocabulary)
    record = train.record(job, model, "cpu")
    write_json(folder / "config.json", {**describe(job), "record": record})
    splits = shared.splits_of(job, index, codes, captions)
    reporter = Reporter(progress=lambda done, total: None, say=lambda text: None)
    amount = index.amount("test")
    result = train.run(job, model, splits, amount, folder, "cpu", reporter)
    write_json(folder / "result.json", result)
    return number


def _tolerate_threads() -> None:
    """Take no signals in a thread, where dask and Tune call functions."""
    if threading.current_thread() is not threading.main_thread():
        signal.signal = lambda *_: None


if __name__ == "__main__":
    do(sys.argv[1], int(sys.argv[2]))
