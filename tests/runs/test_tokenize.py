"""The tokenizer job: windows in clips, tokens of the encoder, scores by definition."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scaling.errors import ScalingError
from scaling.files import write_json
from scaling.models.motion import mpjpe, recover
from scaling.models.quantization import Quantization
from scaling.models.tokenizer import MotionTokenizer, TokenizerConfig
from scaling.runs import corpora
from scaling.runs.corpora import Corpus
from scaling.runs.jobs import TokenizerJob, describe
from scaling.runs.loop import Reporter, StoppedError
from scaling.runs.sections import KinematicCorpus, Tokenizers
from scaling.runs.tokenize import (
    Windows,
    encode,
    exponential_entropy,
    load,
    read_tokens,
    reconstruct,
    record,
    run,
    score,
)

QUANTIZATIONS = {
    "fsq": Quantization(levels=(8, 6, 5)),
    "vq": Quantization(method="vq", codes=40),
    "rfsq": Quantization(method="rfsq", levels=(5, 3), stages=2),
}
every_quantization = pytest.mark.parametrize("method", QUANTIZATIONS)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    corpora.build(KinematicCorpus(sequences=40), folder, lambda done, total: None)
    return corpora.load(folder)


@pytest.fixture(scope="module")
def tokenizer() -> MotionTokenizer:
    torch.manual_seed(0)
    return MotionTokenizer(
        TokenizerConfig(quantization=Quantization(levels=(8, 6, 5)), width=16, depth=1)
    )


def section(**changes: int) -> Tokenizers:
    return Tokenizers(**{"codebooks": (256,), "batch_size": 50, **changes})


def job(quantization: Quantization) -> TokenizerJob:
    small = section(width=16, depth=1, steps=8, batch_size=4)
    return TokenizerJob(
        folder="tokenizer", corpus="corpus", quantization=quantization, section=small
    )


def trained(
    quantization: Quantization, corpus: Corpus, folder: Path, stop_after: int = 0
) -> list[str]:
    """Run the job, or stop it after some steps; return what it said."""
    said: list[str] = []

    def progress(done: int, total: int) -> None:
        if done == stop_after:
            os.kill(os.getpid(), signal.SIGTERM)

    folder.mkdir(exist_ok=True)
    task, reporter = job(quantization), Reporter(progress=progress, say=said.append)
    write_json(folder / "config.json", describe(task))
    if stop_after:
        with pytest.raises(StoppedError):
            run(task, corpus, folder, "cpu", reporter)
    else:
        assert run(task, corpus, folder, "cpu", reporter)["status"] == "finished"
    return said


def test_windows_lie_inside_training_clips(corpus: Corpus) -> None:
    windows = Windows.of(corpus, section(window=40))
    training = {clip.start: clip.frames for clip in corpus.split("train")}
    inside = {
        start + offset
        for start, frames in training.items()
        for offset in range(frames - 40 + 1)
    }
    assert set(windows.starts.tolist()) == inside
    assert windows.batch(3).shape == (50, 40, 263)


def test_a_batch_depends_on_its_step_and_seed_alone(corpus: Corpus) -> None:
    one = Windows.of(corpus, section())
    assert torch.equal(one.batch(7), Windows.of(corpus, section()).batch(7))
    assert not torch.equal(one.batch(7), one.batch(8))
    other = Windows.of(corpus, section(seed=1))
    assert not torch.equal(one.batch(7), other.batch(7))


def test_a_window_longer_than_every_clip_is_refused(corpus: Corpus) -> None:
    with pytest.raises(
        ScalingError, match="400 frames are more than any training clip"
    ):
        Windows.of(corpus, section(window=400))


def test_tokens_are_those_of_the_clip_alone(
    corpus: Corpus, tokenizer: MotionTokenizer
) -> None:
    codes = encode(tokenizer, corpus, corpus.clips)
    for clip, found in zip(corpus.clips, codes, strict=True):
        assert len(found) == clip.frames // 4
    for index in (0, 11, 39):
        motion = corpus.motion(corpus.clips[index])
        whole = torch.tensor(motion[: len(motion) // 4 * 4])[None]
        with torch.no_grad():
            alone = tokenizer.encode(whole)[0]
        # float32 sums in another order may move a latent across a level's edge
        assert (codes[index] == alone.numpy()).mean() > 0.95


def test_a_clip_shorter_than_a_token_keeps_its_place(
    corpus: Corpus, tokenizer: MotionTokenizer
) -> None:
    short = replace(corpus.clips[1], frames=3)
    first, none, third = encode(
        tokenizer, corpus, [corpus.clips[0], short, corpus.clips[2]]
    )
    assert len(none) == 0
    assert len(first) == corpus.clips[0].frames // 4
    assert len(third) == corpus.clips[2].frames // 4


class TestScores:
    def test_are_those_of_the_definitions(
        self, corpus: Corpus, tokenizer: MotionTokenizer
    ) -> None:
        found = score(tokenizer, corpus)
        clips = corpus.split("test")
        assert found["test_tokens"] == sum(clip.frames // 4 for clip in clips)
        training = corpus.split("train")
        assert found["train_tokens"] == sum(clip.frames // 4 for clip in training)
        sums, frames = np.zeros(4), 0
        used: set[int] = set()
        for clip in clips:
            motion = torch.tensor(corpus.motion(clip)[: clip.frames // 4 * 4])[None]
            with torch.no_grad():
                drawn, codes, _ = tokenizer(motion)
            absolute = float((drawn - motion).abs().mean())
            a, b = (recover(corpus.unnormalised(x[0].numpy())) for x in (drawn, motion))
            apart = 1000 * np.sqrt(((a - b) ** 2).sum(-1))
            means = [absolute, mpjpe(a, b), apart.mean(), apart[:, 0].mean()]
            sums += len(a) * np.array(means)
            frames += len(a)
            used |= set(codes.flatten().tolist())
        names = ["l1", "mpjpe", "mpjpe_global", "root_drift"]
        # float32 sums in another order may move a latent across a level's edge
        assert [found[name] for name in names] == pytest.approx(sums / frames, rel=1e-3)
        assert found["codebook_utilisation"] == pytest.approx(len(used) / 240, abs=0.02)
        assert 1 <= found["exponential_entropy"] <= len(used) + 5

    @every_quantization
    def test_using_a_tokenizer_teaches_it_nothing(
        self, method: str, corpus: Corpus, tmp_path: Path
    ) -> None:
        trained(QUANTIZATIONS[method], corpus, tmp_path)
        model = load(tmp_path).train()
        before = {name: x.clone() for name, x in model.state_dict().items()}
        first, again = (score(model.train(), corpus) for _ in range(2))
        assert first == again
        encode(model.train(), corpus, corpus.clips[:3])
        reconstruct(model.train(), corpus, corpus.clips[:3])
        for name, x in model.state_dict().items():
            assert torch.equal(x, before[name]), name


class TestReconstructions:
    def test_are_those_that_are_scored(
        self, corpus: Corpus, tokenizer: MotionTokenizer
    ) -> None:
        clips = corpus.split("test")
        drawn = reconstruct(tokenizer, corpus, clips)
        off = []
        for clip, features in zip(clips, drawn, strict=True):
            assert features.shape == (clip.frames // 4 * 4, 263)
            real = corpus.unnormalised(corpus.motion(clip)[: len(features)])
            off.append(np.abs(features - real) / corpus.std)
        l1 = np.concatenate(off).mean()
        assert l1 == pytest.approx(score(tokenizer, corpus)["l1"], rel=1e-4)

    def test_of_a_clip_shorter_than_a_token_is_empty(
        self, corpus: Corpus, tokenizer: MotionTokenizer
    ) -> None:
        short = replace(corpus.clips[1], frames=3)
        none, some = reconstruct(tokenizer, corpus, [short, corpus.clips[0]])
        assert none.shape == (0, 263)
        assert len(some) == corpus.clips[0].frames // 4 * 4


class TestRun:
    @every_quantization
    def test_stopped_and_resumed_gives_the_same_bytes(
        self, method: str, corpus: Corpus, tmp_path: Path
    ) -> None:
        straight, resumed = tmp_path / "straight", tmp_path / "resumed"
        trained(QUANTIZATIONS[method], corpus, straight)
        trained(QUANTIZATIONS[method], corpus, resumed, stop_after=3)
        torch.manual_seed(99)  # whatever the process did meanwhile
        trained(QUANTIZATIONS[method], corpus, resumed)
        weights = "checkpoint/step-00000008.safetensors"
        for name in ("tokens.npy", "offsets.npy", weights):
            assert (straight / name).read_bytes() == (resumed / name).read_bytes()

    @every_quantization
    def test_loads_as_it_was(self, method: str, corpus: Corpus, tmp_path: Path) -> None:
        trained(QUANTIZATIONS[method], corpus, tmp_path)
        model = load(tmp_path)
        assert not model.training
        assert model.config.quantization == QUANTIZATIONS[method]
        tokens = read_tokens(tmp_path)
        for found, kept in zip(
            encode(model, corpus, corpus.clips), tokens, strict=True
        ):
            assert np.array_equal(found, kept)
        stages = QUANTIZATIONS[method].stages
        lengths = [clip.frames // 4 * stages for clip in corpus.clips]
        assert [len(row) for row in tokens] == lengths

    def test_that_has_no_checkpoint_does_not_load(
        self, corpus: Corpus, tmp_path: Path
    ) -> None:
        write_json(tmp_path / "config.json", describe(job(QUANTIZATIONS["fsq"])))
        with pytest.raises(ScalingError, match="holds no sound checkpoint"):
            load(tmp_path)

    def test_says_that_a_codebook_is_larger_than_the_data(
        self, corpus: Corpus, tmp_path: Path
    ) -> None:
        large = Quantization(levels=(8, 8, 8, 6, 5))
        said, *_ = trained(large, corpus, tmp_path)
        train, test = (
            sum(clip.frames // 4 for clip in corpus.split(name))
            for name in ("train", "test")
        )
        assert said == (
            f"the codebook of 15,360 codes is larger than the {train:,} tokens of the "
            f"training split; of them at most {train:,} can be learnt, and the "
            f"exponential entropy of the {test:,} test tokens cannot exceed {test:,}"
        )

    def test_says_nothing_of_a_codebook_that_fits(
        self, corpus: Corpus, tmp_path: Path
    ) -> None:
        said = trained(QUANTIZATIONS["fsq"], corpus, tmp_path)
        assert not any("larger than" in sentence for sentence in said)


def test_a_codebook_that_collapsed_is_said(corpus: Corpus, tmp_path: Path) -> None:
    """At such a rate the latents saturate, and one or two codes are left."""
    changes = {"learning_rate": 0.05, "steps": 30, "warmup": 0.0}
    wild = section(width=16, depth=1, batch_size=4).model_copy(update=changes)
    said: list[str] = []
    run(
        replace(job(Quantization(levels=(8, 5, 5, 5))), section=wild),
        corpus,
        tmp_path,
        "cpu",
        Reporter(progress=lambda done, total: None, say=said.append),
    )
    (sentence,) = (each for each in said if "COLLAPSED" in each)
    assert "of 1000 codes are used in" in sentence
    assert "lower tokenizers.learning_rate from 0.05" in sentence


def test_record_names_the_quantizer() -> None:
    rows = {name: record(job(each), "cpu") for name, each in QUANTIZATIONS.items()}
    constant = ("quantizer", "codebook_size", "nominal_codebook_size", "levels")
    assert {name: [row[key] for key in constant] for name, row in rows.items()} == {
        "fsq": ["fsq", 240, 256, "8 6 5"],
        "vq": ["vq", 40, 40, ""],
        "rfsq": ["rfsq", 15, 16, "5 3"],
    }
    assert [row.get("stages") for row in rows.values()] == [None, None, 2]


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=50))
def test_exponential_entropy_lies_between_one_and_the_codes_used(
    counts: list[int],
) -> None:
    used = sum(count > 0 for count in counts)
    if used:
        entropy = exponential_entropy(np.array(counts))
        assert 1 - 1e-9 <= entropy <= used + 1e-9


def test_equally_frequent_codes_count_whole() -> None:
    assert exponential_entropy(np.full(64, 3)) == pytest.approx(64)
