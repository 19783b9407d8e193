"""A run on two processes is the run on one, to rounding, and ends as one does."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from scaling.errors import ScalingError
from scaling.files import write_json
from scaling.record import METRICS, RESULT, Row, read_metrics
from scaling.runs import corpora, distributed, tokenize, train
from scaling.runs.distributed import Order
from scaling.runs.grid import load_grid
from scaling.runs.group import Kind, Parallel
from scaling.runs.jobs import CorpusJob, TokenizerJob, TransformerJob
from scaling.runs.loop import Reporter
from scaling.runs.plan import expand
from scaling.runs.shared import Index, captions_of, splits_of
from scaling.runs.store import ERROR

GRID = """\
study: shared
corpus: {kind: kinematic, sequences: 40, seed: 3}
tokenizers: {codebooks: [16], width: 16, depth: 1, steps: 6, batch_size: 4}
transformers:
  sizes: [2x2x32]
  batch_size: 8
  evaluations: 4
  schedule: wsd
  tokens: [2000, 4000, 6000]
"""
SILENT = Reporter(progress=lambda done, total: None, say=lambda text: None)


@pytest.fixture(scope="module")
def store(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, list[TransformerJob]]:
    """A corpus and its tokens, and the runs of a grid on them, in order."""
    out = tmp_path_factory.mktemp("shared") / "out"
    grid = out.with_name("grid.yaml")
    grid.write_text(GRID)
    jobs: list[TransformerJob] = []
    for job in expand(load_grid(grid)).jobs:
        folder = out / job.folder
        folder.mkdir(parents=True)
        match job:
            case CorpusJob():
                corpora.build(job.section, folder, SILENT.progress)
            case TokenizerJob():
                corpus = corpora.opened(out / job.corpus)
                tokenize.run(job, corpus, folder, "cpu", SILENT)
            case TransformerJob():
                jobs.append(job)
    return out, jobs


def alone(job: TransformerJob, out: Path) -> Row:
    index = Index(out / job.corpus)
    codes = tokenize.read_tokens(out / job.tokenizer)
    captions, text_vocab_size = captions_of(job, index, out)
    model = train.build_model(job, text_vocab_size)
    splits = splits_of(job, index, codes, captions)
    amount = index.amount("test")
    return train.run(job, model, splits, amount, out / job.folder, "cpu", SILENT)


def shared(job: TransformerJob, out: Path, kind: Kind) -> Order:
    parallel = Parallel(processes=2, kind=kind)
    return Order(job=job, out=out, device="cpu", threads=2, parallel=parallel)


def rows(folder: Path) -> list[Row]:
    return list(read_metrics(folder / METRICS).rows)


def test_at_any_number_of_processes_a_run_goes_on_to_rounding(
    store: tuple[Path, list[TransformerJob]], tmp_path: Path
) -> None:
    """A trunk in three segments, two of them shared, and the branch at its end.

    The first is fully sharded; in the third each process sees its rows in two parts.
    """
    one, many = tmp_path / "one", tmp_path / "many"
    for out in (one, many):
        shutil.copytree(store[0], out)
    jobs = [job for job in store[1] if job.kind == "trunk" or job.tokens == 6000]
    orders = [
        shared(jobs[0], many, "fsdp"),
        None,
        replace(shared(jobs[2], many, "ddp"), rows=3),
        None,
    ]
    worst = 0.0
    for job, order in zip(jobs, orders, strict=True):
        expected = alone(job, one)
        found = distributed.run(order, SILENT) if order else alone(job, many)
        assert found.pop("micro_batch", None) == (3 if job in jobs[2:] else None)
        assert found == expected
        for out in (one, many):
            write_json(out / job.folder / RESULT, found)
        logs = rows(one / job.folder), rows(many / job.folder)
        for a, b in zip(*logs, strict=True):
            assert {k: b[k] for k in ("step", "tokens", "cooled")} == {
                k: a[k] for k in ("step", "tokens", "cooled")
            }
            worst = max(worst, *(abs(a[k] - b[k]) for k in ("loss", "train_loss")))
        states = [
            sorted((out / job.folder).glob("*/*.safetensors")) for out in (one, many)
        ]
        assert states[0][-1].name == states[1][-1].name
        a, b = (load_file(paths[-1]) for paths in states)
        assert a.keys() == b.keys()
        # one rounding of a gradient near 0 turns a whole step of Adam
        torch.testing.assert_close(a, b, rtol=0, atol=1e-4)
    print(f"largest difference of a loss: {worst:.1e} nats")
    assert worst < 1e-6


def test_what_the_processes_refuse_is_said_in_their_words(
    store: tuple[Path, list[TransformerJob]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(store[0], out)
    job = store[1][0]
    odd = replace(job, section=job.section.model_copy(update={"batch_size": 7}))
    with pytest.raises(ScalingError, match="7 sequences cannot be shared evenly by 2"):
        distributed.run(shared(odd, out, "ddp"), SILENT)


# --- However it ends, all processes end ---

WORKER = """
import pickle, signal, sys
from pathlib import Path
from scaling.runs import distributed
from scaling.runs.loop import Reporter, StoppedError
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
def tell(*what): print(*what, flush=True)
try:
    distributed.run(pickle.loads(Path(sys.argv[1]).read_bytes()), Reporter(tell, tell))
except StoppedError:
    sys.exit(75)
""".replace("Reporter(tell, tell)", "Reporter(progress=tell, say=tell)")


@contextmanager
def long_run(
    store: tuple[Path, list[TransformerJob]], tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[str], list[int], Path]]:
    """A worker whose run would take very long, in the middle of it."""
    out = tmp_path / "out"
    shutil.copytree(store[0], out)
    job = replace(store[1][0], tokens=10_000_000)
    order = tmp_path / "order"
    order.write_bytes(pickle.dumps(shared(job, out, "fsdp")))
    command = [sys.executable, "-c", WORKER, str(order)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        for line in worker.stdout:
            if line.startswith("30 "):
                break
        family = below(worker.pid)
        assert len(family) == 3, "torchrun and two processes"
        yield worker, family, out / job.folder
        worker.kill()


def below(process: int) -> list[int]:
    listing = Path(f"/proc/{process}/task/{process}/children")
    children = [int(child) for child in listing.read_text().split()]
    return [*children, *(each for child in children for each in below(child))]


def gone(process: int) -> bool:
    with suppress(OSError):
        stat = Path(f"/proc/{process}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "Z"
    return True


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_sigterm_writes_the_state_and_all_leave(
    store: tuple[Path, list[TransformerJob]], tmp_path: Path
) -> None:
    with long_run(store, tmp_path) as (worker, family, folder):
        start = time.monotonic()
        worker.terminate()
        worker.communicate(timeout=30)
        assert time.monotonic() - start < 10.0
        assert worker.returncode == distributed.STOPPED
        assert all(map(gone, family))
        last = max(path.stem for path in folder.glob("checkpoint/*.json"))
        assert int(last.removeprefix("step-")) >= 30


def test_a_worker_that_is_killed_takes_its_processes_with_it(
    store: tuple[Path, list[TransformerJob]], tmp_path: Path
) -> None:
    with long_run(store, tmp_path) as (worker, family, _):
        worker.kill()
        wait_for(lambda: all(map(gone, family)))
        assert worker.wait() == -signal.SIGKILL


def test_a_process_that_is_killed_takes_the_worker_with_it(
    store: tuple[Path, list[TransformerJob]], tmp_path: Path
) -> None:
    with long_run(store, tmp_path) as (worker, family, folder):
        os.kill(family[-1], signal.SIGKILL)
        said, _ = worker.communicate(timeout=60)
        assert worker.returncode == distributed.LOST
        assert said.splitlines()[-1] == (
            "one of its 2 processes was lost; see processes.txt"
        )
        assert "SIGKILL" in (folder / "processes.txt").read_text()
        assert not (folder / ERROR).exists(), "launchers would take it for failed"
        assert all(map(gone, family))
