"""The evaluator job: batches of its step, a resume of the same bits, embeddings."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.files import write_json
from scaling.record import METRICS, RESULT, Row
from scaling.runs import corpora, evaluator
from scaling.runs.corpora import Clip, Corpus
from scaling.runs.evaluator import (
    LoadedEvaluator,
    Pairs,
    ground_truth,
    load,
    record,
    require_corpus,
    run,
)
from scaling.runs.jobs import EvaluatorJob
from scaling.runs.loop import Reporter, StoppedError
from scaling.runs.sections import Evaluator, KinematicCorpus, PackedCorpus
from scaling.runs.store import MetricsLog

DATA = os.environ.get("SCALING_DATA")

STEPS = 10


def reporter(stop_after: int = -1) -> Reporter:
    """Report to nobody; optionally ask for a stop."""

    def progress(done: int, total: int) -> None:
        if done == stop_after:
            os.kill(os.getpid(), signal.SIGTERM)

    return Reporter(progress=progress, say=lambda sentence: None)


def job(**changes: Any) -> EvaluatorJob:
    settings = {"width": 8, "steps": STEPS, "batch_size": 6, "learning_rate": 1e-3}
    section = Evaluator.model_validate({**settings, **changes})
    return EvaluatorJob(folder="evaluator-0", corpus="corpus-1", section=section)


def finish(job: EvaluatorJob, corpus: Corpus, folder: Path) -> Row:
    """Run a job to its end, as a worker does."""
    folder.mkdir(exist_ok=True)
    result = run(job, corpus, folder, "cpu", reporter())
    write_json(folder / RESULT, result)
    return result


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    corpora.build(KinematicCorpus(sequences=40), folder, lambda done, total: None)
    return corpora.load(folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, corpus: Corpus) -> Path:
    folder = tmp_path_factory.mktemp("out") / "evaluator-0"
    finish(job(), corpus, folder)
    return folder


@pytest.fixture(scope="module")
def loaded(trained: Path) -> LoadedEvaluator:
    return load(trained)


def pairs(corpus: Corpus, seed: int = 0) -> Pairs:
    return Pairs(corpus=corpus, clips=corpus.split("train"), batch_size=16, seed=seed)


def raw(corpus: Corpus) -> list[NDArray[np.float32]]:
    return [corpus.unnormalised(corpus.motion(clip)) for clip in corpus.clips]


def test_a_batch_depends_on_its_step_and_seed_alone(corpus: Corpus) -> None:
    motions, captions = pairs(corpus).batch(3)
    again, same = pairs(corpus).batch(3)
    assert captions == same
    assert all(map(np.array_equal, motions, again))
    assert pairs(corpus).batch(4)[1] != captions
    assert pairs(corpus, seed=1).batch(3)[1] != captions


def test_pairs_are_cuts_of_training_clips_with_their_captions(corpus: Corpus) -> None:
    motions, captions = pairs(corpus).batch(0)
    assert len(motions) == 16
    shortened = 0
    for motion, caption in zip(motions, captions, strict=True):
        clip, start = found_in(corpus, motion)
        assert clip.split == "train"
        assert caption in clip.captions
        spared = clip.frames // 4 * 4 - len(motion)
        assert spared in (0, 4)
        assert 0 <= start <= clip.frames - len(motion)
        shortened += spared == 4
    assert 0 < shortened < 16


def found_in(corpus: Corpus, motion: NDArray[np.float32]) -> tuple[Clip, int]:
    """Find the clip that a motion was cut from, and where."""
    frames = corpus.unnormalised(corpus.features)
    (place,) = np.flatnonzero((frames == motion[0]).all(1))
    clip = max(
        (clip for clip in corpus.clips if clip.start <= place),
        key=lambda clip: clip.start,
    )
    return clip, int(place) - clip.start


def test_a_clip_shorter_than_a_unit_is_taken_whole(corpus: Corpus) -> None:
    short = replace(corpus.split("train")[0], frames=3)
    few = Pairs(corpus=corpus, clips=[short], batch_size=16, seed=0)
    (motion,), _ = few.batch(0)
    assert len(motion) == 3


def test_a_run_that_was_stopped_goes_on_bit_for_bit(
    corpus: Corpus, trained: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "evaluator-0"
    folder.mkdir()
    with pytest.raises(StoppedError):
        run(job(), corpus, folder, "cpu", reporter(stop_after=STEPS // 2))
    finish(job(), corpus, folder)
    for one, other in zip(
        MetricsLog(folder / METRICS).rows,
        MetricsLog(trained / METRICS).rows,
        strict=True,
    ):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    again, straight = (load(path).model.state_dict() for path in (folder, trained))
    assert all(torch.equal(again[name], straight[name]) for name in straight)


def test_a_loaded_evaluator_scores_as_the_trained_one_did(
    corpus: Corpus, trained: Path, loaded: LoadedEvaluator
) -> None:
    last = MetricsLog(trained / METRICS).rows[-1]
    found = ground_truth(loaded, corpus, seed=0)
    assert found.items() <= last.items()
    assert found["scored_clips"] == found["pool"] == len(corpus.split("test"))
    assert loaded.corpus == "corpus-1"


def test_embeddings_do_not_depend_on_the_batch(
    corpus: Corpus, loaded: LoadedEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    motions, captions = raw(corpus), [clip.captions[0] for clip in corpus.clips]
    together = loaded.embed_motions(motions), loaded.embed_texts(captions)
    assert together[0].dtype == np.float64
    monkeypatch.setattr(evaluator, "EMBEDDED_AT_ONCE", 1)
    alone = loaded.embed_motions(motions[::-1])[::-1], loaded.embed_texts(captions)
    np.testing.assert_allclose(together[0], alone[0], atol=1e-5)
    np.testing.assert_allclose(together[1], alone[1], atol=1e-5)


def test_odd_motions_and_captions_have_embeddings(loaded: LoadedEvaluator) -> None:
    empty = np.zeros((0, 263), np.float32)
    mean = loaded.model.mean.numpy()[None].repeat(4, 0)
    nothing, rest = loaded.embed_motions([empty, mean])
    np.testing.assert_allclose(nothing, rest, atol=1e-5)
    found = loaded.embed_texts(["", "walk " * 5000])
    assert np.isfinite(found).all()


def test_training_sets_the_statistics_of_its_corpus(
    corpus: Corpus, loaded: LoadedEvaluator
) -> None:
    np.testing.assert_array_equal(loaded.model.mean.numpy(), corpus.mean)
    np.testing.assert_array_equal(loaded.model.std.numpy(), corpus.std)


def test_a_loss_that_is_not_finite_is_said(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(
        ScalingError, match=r"lower evaluator\.learning_rate from 1e\+30"
    ):
        run(job(learning_rate=1e30), corpus, tmp_path, "cpu", reporter())


def test_an_evaluator_of_another_corpus_is_refused(loaded: LoadedEvaluator) -> None:
    require_corpus(loaded, "corpus-1")
    with pytest.raises(
        ScalingError,
        match=r"evaluator-0 was trained on corpus-1, not on corpus-2, .* or force it",
    ):
        require_corpus(loaded, "corpus-2")
    require_corpus(loaded, "corpus-2", force=True)


def test_a_folder_without_a_finished_evaluator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScalingError, match="holds no finished evaluator"):
        load(tmp_path)


def test_the_record_holds_what_determines_the_result() -> None:
    found = record(job(seed=3), "cpu")
    assert found["corpus"] == "corpus-1"
    assert found["seed"] == 3


@pytest.mark.skipif(not DATA, reason="SCALING_DATA does not name a folder of packs")
def test_it_learns_which_caption_belongs_to_real_motion(tmp_path: Path) -> None:
    section = PackedCorpus(kind="packed", path=f"{DATA}/motion/cmu_subset")
    (tmp_path / "corpus").mkdir()
    corpora.build(section, tmp_path / "corpus", lambda done, total: None)
    corpus = corpora.load(tmp_path / "corpus")
    small = job(width=32, steps=80, batch_size=32, learning_rate=3e-3)
    result = finish(small, corpus, tmp_path / "evaluator")
    # a draw among 32 motions hits an equal caption in a sixth of the cases
    assert result["metrics"]["r_precision_1"] > 0.5
