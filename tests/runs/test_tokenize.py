"""The tokenizer job: windows inside clips, tokens of the encoder, scores that count."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scaling.errors import ScalingError
from scaling.models.tokenizer import MotionTokenizer, TokenizerConfig
from scaling.runs import corpora
from scaling.runs.corpora import Corpus
from scaling.runs.grid import KinematicCorpus, Tokenizers
from scaling.runs.tokenize import (
    Windows,
    encode,
    exponential_entropy,
    read_tokens,
    score,
)
from scaling.runs.tokenize import _write_tokens as write_tokens


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    corpora.build(KinematicCorpus(sequences=40), folder, lambda done, total: None)
    return corpora.load(folder)


@pytest.fixture(scope="module")
def tokenizer() -> MotionTokenizer:
    torch.manual_seed(0)
    return MotionTokenizer(TokenizerConfig(levels=(8, 6, 5), width=16, depth=1))


def section(**changes: int) -> Tokenizers:
    return Tokenizers(**{"codebooks": (256,), "batch_size": 50, **changes})


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


def test_tokens_survive_the_disk(tmp_path: Path) -> None:
    codes = [np.array(row, np.int32) for row in ([3, 1], [], [9, 9, 9])]
    write_tokens(tmp_path / "tokens.npz", codes)
    assert [row.tolist() for row in read_tokens(tmp_path)] == [[3, 1], [], [9, 9, 9]]


def test_scores_are_those_of_the_definitions(
    corpus: Corpus, tokenizer: MotionTokenizer
) -> None:
    found = score(tokenizer, corpus)
    clips = corpus.split("test")
    assert found["test_tokens"] == sum(clip.frames // 4 for clip in clips)
    absolute, frames = 0.0, 0
    used: set[int] = set()
    for clip in clips:
        motion = torch.tensor(corpus.motion(clip)[: clip.frames // 4 * 4])[None]
        with torch.no_grad():
            drawn, codes = tokenizer(motion)
        absolute += float((drawn - motion).abs().mean()) * motion.shape[1]
        frames += motion.shape[1]
        used |= set(codes.flatten().tolist())
    assert found["l1"] == pytest.approx(absolute / frames, rel=1e-3)
    assert found["codebook_utilisation"] == pytest.approx(len(used) / 240, abs=0.02)
    assert 1 <= found["exponential_entropy"] <= len(used) + 5


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
