"""The worker: one process that does one job in its folder and tells its launcher."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Literal

import torch

from scaling.errors import ScalingError, plain
from scaling.exit_codes import STOPPED
from scaling.files import ASIDE, read_json, write_json, write_text
from scaling.record import CONFIG, RESULT, Row, ended, status
from scaling.runs import (
    allocator,
    corpora,
    distributed,
    eager,
    lease,
    shared,
    tokenize,
    train,
)
from scaling.runs.jobs import (
    CorpusJob,
    EvaluatorJob,
    Job,
    ScoreJob,
    TextJob,
    TokenizerJob,
    TransformerJob,
    describe,
)
from scaling.runs.loop import Reporter, StoppedError
from scaling.runs.slots import Slot, hardware
from scaling.runs.store import ERROR

TELL_EVERY = 0.2
"""Seconds between two reports of progress."""

LAST_WORDS = 5.0
"""Seconds that a worker has to write its state when its launcher is gone."""


@dataclass(frozen=True, slots=True)
class Message:
    """What a worker tells its launcher."""

    kind: Literal["progress", "said", "finished", "failed", "stopped", "held"]
    """What happened; `held`: another process works on the job."""
    text: str = ""
    """Sentence, status or reason."""
    done: int = 0
    """Steps done."""
    total: int = 0
    """Steps in all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """What all jobs of a launch share."""

    out: Path
    """The run store."""
    code_version: str
    """Version of this program."""
    ttl: float = lease.TTL
    """Seconds without a sign of life after which a job is taken over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Task:
    """One job on one slot."""

    job: Job
    place: Place
    slot: Slot

    @property
    def folder(self) -> Path:
        return self.place.out / self.job.folder

    @property
    def device(self) -> str:
        return self.slot.device


def main(job: Job, place: Place, slot: Slot, over: int, launcher: Connection) -> None:
    """Do a job; the exit code is 0, 1 after a failure, or `STOPPED`.

    Parameters
    ----------
    job, place, slot
        What to do, where, and with what.
    over : int
        The job's lease whose owner the launcher found gone.
    launcher : Connection
        Told how it goes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the launcher decides
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))
    _die_with_launcher()
    try:
        message = _leased(_Task(job=job, place=place, slot=slot), over, launcher)
    except (OSError, ScalingError) as error:
        message = Message("failed", plain(error))
    except SystemExit:
        message = Message("stopped")
    _tell(launcher, message)
    sys.exit({"failed": 1, "stopped": STOPPED}.get(message.kind, 0))


def _tell(launcher: Connection, message: Message) -> None:
    with suppress(BrokenPipeError):  # it is gone; the state is written all the same
        launcher.send(message)


def _leased(task: _Task, over: int, launcher: Connection) -> Message:
    """Do a job unless another process does it, or has done it."""
    task.folder.mkdir(exist_ok=True)
    held = lease.acquire(task.folder, task.place.ttl, over)
    if held is None:
        return Message("held")
    with held:
        if ended(task.folder):
            return Message("finished", f"{status(task.folder)} elsewhere")
        _prepare(task.slot)
        return _attempt(task, launcher)


def _prepare(slot: Slot) -> None:
    """Keep to the slot's device and threads, and to what repeats bit by bit."""
    allocator.keep_freed_memory()
    torch.set_num_threads(slot.threads)
    if slot.device.startswith("cuda:"):
        torch.cuda.set_device(slot.device)  # or the first one would hold a context too
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # it would take every processor
    eager.repeat_bit_by_bit()


def _attempt(task: _Task, launcher: Connection) -> Message:
    """Do a job; leave the reason in its folder when it fails."""
    try:
        return Message("finished", _do(task, launcher))
    except StoppedError:
        return Message("stopped")
    except (OSError, ScalingError) as error:
        reason = report = plain(error)
    except Exception as error:  # the launcher's other jobs go on
        report = traceback.format_exc()
        reason = f"{type(error).__name__}: {error}; see {task.job.folder}/{ERROR}"
    lease.guard()
    with suppress(OSError):  # the disk may be full
        write_text(task.folder / ERROR, report)
    return Message("failed", reason)


def _do(task: _Task, launcher: Connection) -> str:
    for leftover in task.folder.rglob(f"{ASIDE}*"):
        leftover.unlink()
    (task.folder / ERROR).unlink(missing_ok=True)

    told = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal told
        lease.guard()
        if time.monotonic() - told > TELL_EVERY:
            told = time.monotonic()
            _tell(launcher, Message("progress", done=done, total=total))

    def say(text: str) -> None:
        _tell(launcher, Message("said", text))

    reporter = Reporter(progress=progress, say=say)
    result = _dispatch(task, reporter)
    lease.guard()
    write_json(task.folder / RESULT, result)
    return str(result["status"])


def _dispatch(task: _Task, reporter: Reporter) -> Row:
    job, out, folder, device = task.job, task.place.out, task.folder, task.device

    def configure(record: Row) -> None:
        if "device" in record:
            record = {**record, "device": hardware(device)}
        record = {**record, "code_version": task.place.code_version}
        _compare(folder / CONFIG, record, reporter)
        write_json(folder / CONFIG, {**describe(job), "record": record})

    match job:
        case CorpusJob():
            configure({})
            summary = corpora.build(job.section, folder, reporter.progress)
            shared.Index(folder)  # which its runs need
            if summary["skipped"]:
                reporter.say(
                    f"{summary['skipped']:g} clips, files or rows are left out; "
                    f"{job.folder}/skipped.json says why"
                )
            return {"status": "finished", **summary}
        case ScoreJob():
            from scaling.runs import score

            configure(score.record(job, device))
            return score.run(job, out, folder, device, reporter)
        case TransformerJob():
            return _transformer(job, task, configure, reporter)
    if isinstance(job, EvaluatorJob):
        from scaling.runs import evaluator

        configure(evaluator.record(job, device))
        motion = corpora.load(out / job.corpus)
        return evaluator.run(job, motion, folder, device, reporter)
    corpus = corpora.opened(out / job.corpus)
    match job:
        case TextJob():
            from scaling.runs import text

            configure({})
            return text.run(job, corpus, folder, reporter, device)
        case TokenizerJob():
            configure(tokenize.record(job, device))
            return tokenize.run(job, corpus, folder, device, reporter)


def _compare(path: Path, record: Row, reporter: Reporter) -> None:
    """Say when a run goes on where something else began it: bits may differ."""
    if not path.exists():
        return
    earlier = read_json(path).get("record", {})
    for key in ("device", "code_version"):
        if key in earlier and key in record and earlier[key] != record[key]:
            reporter.say(f"began with {key} {earlier[key]}, goes on with {record[key]}")


def _transformer(
    job: TransformerJob,
    task: _Task,
    configure: Callable[[Row], None],
    reporter: Reporter,
) -> Row:
    index = shared.Index(task.place.out / job.corpus)
    captions, text_vocab_size = shared.captions_of(job, index, task.place.out)
    if task.slot.parallel.processes > 1:
        with torch.device("meta"):  # its processes build the model
            model = train.build_model(job, text_vocab_size)
        configure(train.record(job, model, task.device))
        return distributed.run(_order(job, task), reporter)
    codes = tokenize.read_tokens(task.place.out / job.tokenizer)
    model = train.build_model(job, text_vocab_size)
    configure(train.record(job, model, task.device))
    splits = shared.splits_of(job, index, codes, captions)
    amount = index.amount("test")
    return train.run(job, model, splits, amount, task.folder, task.device, reporter)


def _order(job: TransformerJob, task: _Task) -> distributed.Order:
    return distributed.Order(
        job=job,
        out=task.place.out,
        device=task.device,
        threads=task.slot.threads,
        parallel=task.slot.parallel,
    )


def _die_with_launcher() -> None:
    """Leave when the launcher is gone, however it went, with the state written."""
    launcher = multiprocessing.parent_process()
    if launcher is None:  # called without one, in a test
        return

    def watch() -> None:
        wait([launcher.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(LAST_WORDS)
        os._exit(STOPPED)

    threading.Thread(target=watch, daemon=True).start()
