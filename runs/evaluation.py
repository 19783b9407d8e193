"""Evaluation: which runs are scored by which evaluator, and the table that results.

The scores themselves are jobs (`score.py`), done over the slots of the machine like
those of a grid; what is scored already is not scored again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from scaling.errors import ScalingError
from scaling.files import jsonable, read_json
from scaling.record import CONFIG, MEASURES, RESULT, Row, ended, status
from scaling.runs import corpora
from scaling.runs.board import Board
from scaling.runs.calibrate import estimate
from scaling.runs.evaluator import require_corpus
from scaling.runs.extent import of_frames
from scaling.runs.jobs import EvaluatorJob, Job, ScoreJob
from scaling.runs.launch import jobs_done, work
from scaling.runs.plan import evaluator_job, score_job
from scaling.runs.score import open_evaluator
from scaling.runs.sections import Evaluator, Scoring
from scaling.runs.slots import Slot
from scaling.runs.store import GRID, write_csv
from scaling.runs.worker import Place
from scaling.version import code_version

SCORED = ("transformer", "tokenizer")
"""Kinds of jobs that are scored."""

TABLE = "scores.csv"
"""Table 4 in a run store: the real motions, then each run."""

TELLING = 0.3
"""R-precision at 3 of the real motions, below which an evaluator is of no use; that of
the published one is 0.8."""

HEADS = {
    "fid": "FID",
    "r_precision_1": "R@1",
    "r_precision_2": "R@2",
    "r_precision_3": "R@3",
    "matching_score": "matching",
    "diversity": "diversity",
    "multimodality": "multimodality",
}
"""Columns of the printed table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What is to be scored."""

    out: Path
    """The run store."""
    corpus: str
    """Folder of the corpus."""
    jobs: tuple[Job, ...]
    """An evaluator where one is to be trained, and the scores."""
    left_out: tuple[str, ...]
    """Runs and tokenizers of a store that did not finish, and how they stand."""

    @property
    def scores(self) -> tuple[ScoreJob, ...]:
        """The scores alone."""
        return tuple(job for job in self.jobs if isinstance(job, ScoreJob))


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """Scores of runs and tokenizers beside those of the real motions."""

    path: Path
    """Where the table lies."""
    evaluator: str
    """Who scored."""
    note: str
    """What a reader should know."""
    runs: Mapping[str, Row]
    """Results of the score jobs of runs, by run."""
    tokenizers: Mapping[str, Row]
    """The same of tokenizers, which have an FID alone."""

    @property
    def real(self) -> Mapping[str, Row]:
        """Scores of the real motions, by name; of each run's repetitions the same."""
        scores: Mapping[str, Row] = next(iter(self.runs.values()), {}).get("real", {})
        return scores

    def rows(self) -> list[Row]:
        """One row for the real motions, and one for each run and tokenizer."""
        made = {run: result["intervals"] for run, result in self.runs.items()}
        table = [{"run": "real", **_flat(self.real)}] if self.real else []
        table += [
            {"run": run, **_flat(scores), "scored_clips": self._clips(run)}
            for run, scores in made.items()
        ]
        return table + [
            {"run": name, "fid": row["metrics"]["fid"], "scored_clips": _count(row)}
            for name, row in self.tokenizers.items()
        ]

    def _clips(self, run: str) -> int:
        return _count(self.runs[run])

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        found: dict[str, Any] = jsonable(
            {
                "evaluator": self.evaluator,
                "note": self.note,
                "real": self.real,
                "runs": self.runs,
                "tokenizers": self.tokenizers,
            }
        )
        return found

    def table(self) -> str:
        """Lay the scores out as ScaMo's Table 4 has them, each with its interval."""
        blocks = []
        if self.runs:
            lines = [["run", "clips", *HEADS.values()]]
            lines.append(["real motion", "", *_cells(self.real)])
            for run, result in self.runs.items():
                cells = _cells(result["intervals"])
                lines.append([run, str(self._clips(run)), *cells])
            blocks.append(_aligned(lines))
        if self.tokenizers:
            lines = [["tokenizer", "clips", "FID of reconstructions"]]
            for name, row in self.tokenizers.items():
                fid = f"{row['metrics']['fid']:.3f}"
                lines.append([name, str(_count(row)), fid])
            blocks.append(_aligned(lines))
        return "\n\n".join(blocks)


def prepare(
    paths: Sequence[Path],
    judge: Path | None,
    section: Scoring,
    *,
    force: bool = False,
) -> Task:
    """Find what is to be scored, and who scores it.

    Parameters
    ----------
    paths : sequence of Path
        Runs, tokenizers, or a run store; all of one store.
    judge : Path, optional
        Folder of an evaluator; by default the store's, trained where there is none.
    section : Scoring
        How to score.
    force : bool
        Whether an evaluator of another corpus will do.

    Raises
    ------
    ScalingError
        If a path is no run, a run is not finished, or the evaluator knows another
        corpus.
    """
    targets = list(dict.fromkeys(target for path in paths for target in _targets(path)))
    corpus, out = _one("corpora", (_corpus(x) for x in targets)), targets[0].parent
    _one("run stores", (str(target.parent) for target in targets))
    first: list[Job] = []
    if judge is None:
        found = _evaluators(out, corpus)
        if found:
            name = found[-1]
        else:
            trained = evaluator_job(corpus, Evaluator())
            name, first = trained.folder, [trained]
    else:
        require_corpus(open_evaluator(judge, out / corpus), corpus, force=force)
        name = judge.name if judge.parent.samefile(out) else str(judge.resolve())
    jobs = [
        # a tokenizer's reconstructions are not drawn: one score serves all settings
        score_job(x.name, name, Scoring() if _kind(x) == "tokenizer" else section)
        for x in targets
    ]
    left_out = tuple(
        f"{folder.name} is {status(folder)}"
        for path in paths
        if (path / GRID).exists()
        for folder in _scorable(path)
        if status(folder) != "finished"
    )
    return Task(out=out, corpus=corpus, jobs=(*first, *jobs), left_out=left_out)


def evaluate(task: Task, slots: Sequence[Slot], stream: TextIO) -> Evaluation:
    """Do what is not done yet, and write the table.

    Raises
    ------
    ScalingError
        If a job failed.
    """
    for name in task.left_out:
        stream.write(f"{name}, and is left out\n")
    done = jobs_done(task.jobs, task.out)
    for folder in done:  # what was asked for last stands in the record
        (task.out / folder / RESULT).touch()
    to_do = [job for job in task.jobs if job.folder not in done]
    frames = len(corpora.load(task.out / task.corpus).features)
    seconds = estimate(to_do, of_frames(frames), slots)
    if any(isinstance(job, EvaluatorJob) for job in to_do):
        stream.write("the store holds no evaluator of its corpus; one is trained\n")
    place = Place(out=task.out, code_version=code_version())
    board = Board(seconds, len(done), len(slots), stream)
    outcome = work(task.jobs, place, slots, board)
    if outcome.failed:
        job, reason = next(iter(outcome.failed.items()))
        raise ScalingError(f"{job}: {reason}; what was scored is kept")
    evaluation = _collect(task)
    write_csv(evaluation.path, evaluation.rows())
    return evaluation


def _collect(task: Task) -> Evaluation:
    out = task.out
    results = {job.target: read_json(out / job.folder / RESULT) for job in task.scores}
    judge = open_evaluator(out / task.scores[0].evaluator, out / task.corpus)
    runs = {name: row for name, row in results.items() if "intervals" in row}
    tokenizers = {name: row for name, row in results.items() if name not in runs}
    return Evaluation(
        path=out / TABLE,
        evaluator=judge.name,
        note=f"{judge.note}{_doubt(runs)}",
        runs=runs,
        tokenizers=tokenizers,
    )


def _doubt(runs: Mapping[str, Row]) -> str:
    """Say that the evaluator cannot tell the real motions apart, where it cannot."""
    real = next(iter(runs.values()), {}).get("real", {})
    found = real["r_precision_3"]["mean"] if real else 1.0
    if found >= TELLING:
        return ""
    return (
        f"; THE EVALUATOR CANNOT TELL MOTIONS APART: it finds {found:.0%} of the real "
        "ones among the nearest three, so that its scores mean little: train it "
        "longer, by the grid's evaluator section"
    )


def _targets(path: Path) -> list[Path]:
    """Folders that a path stands for: itself, or all finished ones of a store."""
    if (path / GRID).exists():
        found = [x for x in _scorable(path) if status(x) == "finished"]
        if not found:
            raise ScalingError(
                f"{path} holds no finished run or tokenizer; run its grid first"
            )
        return found
    if _kind(path) not in SCORED:
        raise ScalingError(
            f"{path} is no run; expected the folder of a run or a tokenizer, or a run "
            "store: scaling status OUT lists what a store holds"
        )
    if status(path) != "finished":
        raise ScalingError(
            f"{path} is {status(path)}; expected a finished run: run its grid to the "
            "end, or name another"
        )
    return [path]


def _scorable(store: Path) -> list[Path]:
    return [path for path in sorted(store.iterdir()) if _kind(path) in SCORED]


def _kind(folder: Path) -> str | None:
    config = folder / CONFIG
    return read_json(config).get("kind") if config.exists() else None


def _corpus(folder: Path) -> str:
    return str(read_json(folder / CONFIG)["corpus"])


def _one(what: str, values: Iterable[str]) -> str:
    found = list(dict.fromkeys(values))
    if len(found) > 1:
        raise ScalingError(
            f"the runs are of {len(found)} {what}: {', '.join(found)}; expected one: "
            "evaluate them apart"
        )
    return found[0]


def _evaluators(out: Path, corpus: str) -> list[str]:
    """Finished evaluators of a corpus in its store, the newest last."""
    found = [
        folder
        for folder in out.glob("evaluator-*")
        if ended(folder) and _corpus(folder) == corpus
    ]
    found.sort(key=lambda folder: (folder / RESULT).stat().st_mtime_ns)
    return [folder.name for folder in found]


def _flat(scores: Mapping[str, Row]) -> Row:
    """Mean and interval of each score, in columns."""
    columns: Row = {}
    for name in MEASURES:
        if name in scores:
            columns[name] = scores[name]["mean"]
            columns[f"{name}_low"] = scores[name]["low"]
            columns[f"{name}_high"] = scores[name]["high"]
    return columns


def _cells(scores: Mapping[str, Row]) -> list[str]:
    return [_cell(scores[name]) if name in scores else "" for name in HEADS]


def _cell(score: Row) -> str:
    return f"{score['mean']:.3f} ± {score['high'] - score['mean']:.3f}"


def _count(result: Row) -> int:
    return int(result["metrics"]["scored_clips"])


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    """Lay cells out in columns, the first to the left, without empty columns."""
    columns = [column for column in zip(*lines, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    rows = zip(*columns, strict=True)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
