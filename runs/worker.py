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
from scaling.files import ASIDE, read_json, write_json, write_text
from scaling.record import CONFIG, RESULT, Row
from scaling.runs import corpora, tokenize, train
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
from scaling.runs.store import ERROR, LOCK, locked

TELL_EVERY = 0.2
"""Seconds between two reports of progress."""

STOPPED = 75
"""Exit code of a worker that was asked to stop and can go on later (EX_TEMPFAIL)."""


@dataclass(frozen=True, slots=True)
class Message:
    """What a worker tells its launcher."""

    kind: Literal["progress", "said", "finished", "failed"]
    """What happened."""
    text: str = ""
    """Sentence, status or reason."""
    done: int = 0
    """Steps done."""
    total: int = 0
    """Steps in all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where and with what a job runs."""

    out: Path
    """The run store."""
    device: str
    """`cpu`, `cuda`, `cuda:1`."""
    threads: int
    """Processor threads of this worker."""
    code_version: str
    """Version of this program."""


def main(job: Job, place: Place, launcher: Connection) -> None:
    """Do a job; the exit code is 0, 1 after a failure, or `STOPPED`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the launcher decides
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))
    _die_with_launcher()
    torch.set_num_threads(place.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # it would take every processor
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    folder = place.out / job.folder
    try:
        folder.mkdir(exist_ok=True)
        with locked(folder / LOCK, "another process works on it"):
            message = _attempt(job, place, folder, launcher)
    except (OSError, ScalingError) as error:
        message = Message("failed", plain(error))
    launcher.send(message)
    sys.exit(message.kind == "failed")


def _attempt(job: Job, place: Place, folder: Path, launcher: Connection) -> Message:
    """Do a job; leave the reason in its folder when it fails."""
    try:
        return Message("finished", _do(job, place, folder, launcher))
    except StoppedError:
        sys.exit(STOPPED)
    except (OSError, ScalingError) as error:
        reason = report = plain(error)
    except Exception as error:  # the launcher's other jobs go on
        report = traceback.format_exc()
        reason = f"{type(error).__name__}: {error}; see {job.folder}/{ERROR}"
    with suppress(OSError):  # the disk may be full
        write_text(folder / ERROR, report)
    return Message("failed", reason)


def _do(job: Job, place: Place, folder: Path, launcher: Connection) -> str:
    for leftover in folder.rglob(f"{ASIDE}*"):
        leftover.unlink()
    (folder / ERROR).unlink(missing_ok=True)

    told = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told > TELL_EVERY:
            told = time.monotonic()
            launcher.send(Message("progress", done=done, total=total))

    def say(text: str) -> None:
        launcher.send(Message("said", text))

    reporter = Reporter(progress=progress, say=say)
    result = _dispatch(job, place, folder, reporter)
    write_json(folder / RESULT, result)
    return str(result["status"])


def _dispatch(job: Job, place: Place, folder: Path, reporter: Reporter) -> Row:
    def configure(record: Row) -> None:
        record = {**record, "code_version": place.code_version}
        _compare(folder / CONFIG, record, reporter)
        write_json(folder / CONFIG, {**describe(job), "record": record})

    match job:
        case CorpusJob():
            configure({})
            summary = corpora.build(job.section, folder, reporter.progress)
            if summary["skipped"]:
                reporter.say(
                    f"{summary['skipped']:g} clips, files or rows are left out; "
                    f"{job.folder}/skipped.json says why"
                )
            return {"status": "finished", **summary}
        case ScoreJob():
            from scaling.runs import score

            configure(score.record(job, place.device))
            return score.run(job, place.out, folder, place.device, reporter)
    corpus = corpora.load(place.out / job.corpus)
    match job:
        case EvaluatorJob():
            from scaling.runs import evaluator

            configure(evaluator.record(job, place.device))
            return evaluator.run(job, corpus, folder, place.device, reporter)
        case TextJob():
            from scaling.runs import text

            configure({})
            return text.run(job, corpus, folder, reporter, place.device)
        case TokenizerJob():
            configure(tokenize.record(job, place.device))
            return tokenize.run(job, corpus, folder, place.device, reporter)
        case TransformerJob():
            return _transformer(job, place, folder, corpus, configure, reporter)


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
    place: Place,
    folder: Path,
    corpus: corpora.Corpus,
    configure: Callable[[Row], None],
    reporter: Reporter,
) -> Row:
    codes = tokenize.read_tokens(place.out / job.tokenizer)
    encode, text_vocab_size = train.caption_texts(job, corpus, place.out)
    model = train.build_model(job, text_vocab_size)
    configure(train.record(job, model, place.device))
    splits = train.splits_of(job, corpus, codes, encode)
    return train.run(job, model, splits, folder, place.device, reporter)


def _die_with_launcher() -> None:
    """Leave at once when the launcher is gone, however it went."""
    launcher = multiprocessing.parent_process()
    if launcher is None:  # called without one, in a test
        return

    def watch() -> None:
        wait([launcher.sentinel])
        os._exit(STOPPED)

    threading.Thread(target=watch, daemon=True).start()
