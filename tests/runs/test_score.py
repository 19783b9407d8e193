"""Scores of a real tiny study: resumable, repeatable, and beside the real motions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scaling.errors import ScalingError
from scaling.files import write_json
from scaling.record import MEASURES, scan
from scaling.runs import corpora, evaluator, score, tokenize
from scaling.runs.evaluation import prepare
from scaling.runs.jobs import EvaluatorJob
from scaling.runs.loop import Reporter
from scaling.runs.plan import evaluator_job
from scaling.runs.scores import fid
from scaling.runs.sections import Evaluator, Scoring

SECTION = Scoring(repetitions=3, multimodality=1)
SILENT = Reporter(progress=lambda done, total: None, say=lambda text: None)


@pytest.fixture(scope="module")
def store(straight: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tiny study, with an evaluator."""
    out = tmp_path_factory.mktemp("scored") / "out"
    shutil.copytree(straight, out)
    (corpus,) = (path.name for path in out.glob("corpus-*"))
    job = evaluator_job(corpus, Evaluator(width=16, steps=4, batch_size=8))
    folder = out / job.folder
    folder.mkdir()
    write_json(folder / "config.json", {"kind": "evaluator", "corpus": corpus})
    result = evaluator.run(job, corpora.load(out / corpus), folder, "cpu", SILENT)
    write_json(folder / "result.json", result)
    return out


def first_run(store: Path) -> Path:
    return store / str(scan(store)[0]["run"])


def scored(store: Path, folder: Path) -> dict[str, object]:
    """Score the first run into a folder, which may hold repetitions already."""
    (job,) = prepare([first_run(store)], None, SECTION).scores
    folder.mkdir(exist_ok=True)
    return score.run(job, store, folder, "cpu", SILENT)


def test_a_score_that_was_interrupted_goes_on_to_the_same_bits(
    store: Path, tmp_path: Path
) -> None:
    whole = scored(store, tmp_path / "whole")
    log = (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines(keepends=True)
    assert len(log) == SECTION.repetitions
    (tmp_path / "again").mkdir()
    torn = log[0] + log[1][: len(log[1]) // 2]
    (tmp_path / "again" / "metrics.jsonl").write_text(torn)
    assert scored(store, tmp_path / "again") == whole
    assert (tmp_path / "again" / "metrics.jsonl").read_text() == "".join(log)


def test_repetitions_differ_and_their_mean_has_an_interval(
    store: Path, tmp_path: Path
) -> None:
    result = scored(store, tmp_path / "scores")
    log = (tmp_path / "scores" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in log]
    intervals, metrics = result["intervals"], result["metrics"]
    assert isinstance(intervals, dict)
    assert isinstance(metrics, dict)
    assert set(intervals) == set(MEASURES)
    values = [row["fid"] for row in rows]
    assert len(set(values)) == len(values)
    half = 1.96 * np.std(values) / np.sqrt(len(values))
    assert metrics["fid"] == pytest.approx(np.mean(values))
    assert intervals["fid"]["high"] - metrics["fid"] == pytest.approx(half)


def test_the_real_motions_are_at_no_distance_from_themselves(
    store: Path, tmp_path: Path
) -> None:
    result = scored(store, tmp_path / "scores")
    real, made = result["real"], result["intervals"]
    assert isinstance(real, dict)
    assert isinstance(made, dict)
    assert real["fid"]["mean"] == pytest.approx(0, abs=1e-9)
    assert "multimodality" not in real  # of which a caption has one motion
    assert made["fid"]["low"] > 0.01


def test_a_tokenizer_s_score_is_the_fid_of_its_reconstructions(store: Path) -> None:
    (folder, *_) = sorted(store.glob("tokenizer-*"))
    (job,) = prepare([folder], None, SECTION).scores
    found = score.run(job, store, store, "cpu", SILENT)["metrics"]
    (corpus_folder,) = store.glob("corpus-*")
    corpus = corpora.load(corpus_folder)
    judge = evaluator.load(store / job.evaluator)
    clips = corpus.split("test")
    drawn = tokenize.reconstruct(tokenize.load(folder), corpus, clips)
    real = [corpus.unnormalised(corpus.motion(clip)) for clip in clips]
    expected = fid(judge.embed_motions(drawn), judge.embed_motions(real))
    assert found["fid"] == pytest.approx(expected, rel=1e-9)
    assert found["scored_clips"] == len(clips)


def test_too_few_test_clips_are_refused(store: Path) -> None:
    (folder,) = store.glob("corpus-*")
    corpus = corpora.load(folder)
    few = replace(corpus, clips=(corpus.split("test")[0], *corpus.split("train")))
    with pytest.raises(ScalingError, match=r"has 1 clips .* at least 2"):
        score.scored_clips(few)


def test_without_an_evaluator_one_is_planned(straight: Path) -> None:
    task = prepare([straight], None, SECTION)
    (first, *others) = task.jobs
    assert isinstance(first, EvaluatorJob)
    assert {job.evaluator for job in task.scores} == {first.folder}
    assert len(others) == 4 + 2  # runs and tokenizers


def test_another_evaluator_s_corpus_is_refused_unless_forced(
    store: Path, tmp_path: Path
) -> None:
    (own,) = store.glob("evaluator-*")
    other = tmp_path / "evaluator-other"
    shutil.copytree(own, other)
    about = json.loads((other / "evaluator.json").read_text())
    write_json(other / "evaluator.json", {**about, "corpus": "corpus-packed-1"})
    run = first_run(store)
    with pytest.raises(ScalingError, match="trained on corpus-packed-1, not on"):
        prepare([run], other, SECTION)
    assert prepare([run], other, SECTION, force=True).scores


def test_the_published_evaluator_scores_as_well(
    store: Path, tmp_path: Path, make_published: Callable[..., Path]
) -> None:
    folder = make_published(tmp_path / "t2m", ["sos", "eos", "unk", "a"])
    run = first_run(store)
    with pytest.raises(ScalingError, match="trained on corpus-humanml3d, not on"):
        prepare([run], folder, SECTION)
    (job,) = prepare([run], folder, SECTION, force=True).scores
    (tmp_path / "scores").mkdir()
    metrics = score.run(job, store, tmp_path / "scores", "cpu", SILENT)["metrics"]
    assert metrics["evaluator"] == "published"
    assert metrics["fid"] > 0


def test_the_published_evaluator_reads_the_tags_of_humanml3d(
    tmp_path: Path, make_published: Callable[..., Path]
) -> None:
    folder = make_published(tmp_path / "t2m", ["sos", "eos", "unk", "walk"])
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "000000.txt").write_text("he walks#walk/VERB#0.0#0.0\n")
    for kind, second in (("humanml3d", 3), ("packed", 2)):  # walk, unknown
        settings = {"kind": kind, "path": str(tmp_path)}
        about = {"kind": "corpus", "settings": settings}
        write_json(tmp_path / "config.json", about)
        (words,) = score.open_evaluator(folder, tmp_path).read(["he walks"])
        assert words[1, 0] == second


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "is no run; expected the folder of a run or a tokenizer"),
        ("corpus", "is no run; expected the folder of a run or a tokenizer"),
        ("unfinished", "is unfinished; expected a finished run: run its grid"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    store: Path, tmp_path: Path, name: str, message: str
) -> None:
    paths = {"nothing": tmp_path, "corpus": next(store.glob("corpus-*"))}
    unfinished = tmp_path / "run"
    shutil.copytree(first_run(store), unfinished)
    (unfinished / "result.json").unlink()
    with pytest.raises(ScalingError, match=message):
        prepare([paths.get(name, unfinished)], None, SECTION)


def test_runs_of_two_stores_are_refused(store: Path, straight: Path) -> None:
    with pytest.raises(ScalingError, match="are of 2 run stores"):
        prepare([first_run(store), first_run(straight)], None, SECTION)
