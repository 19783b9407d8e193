"""What all runs on a corpus share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.files import write_json
from scaling.models.text import CaptionEncoder, Text, train_caption_encoder
from scaling.runs import corpora, shared, text, tokenize
from scaling.runs.agent import read_plan
from scaling.runs.captioned import Captioned, Item
from scaling.runs.captions import Captions
from scaling.runs.data import Rows
from scaling.runs.jobs import TransformerJob
from scaling.runs.shared import Index
from scaling.runs.sources import SPLITS
from scaling.runs.text import CAPTIONS, STATES, VOCABULARY
from scaling.runs.tokens import Tokens

Encode = Callable[[Sequence[str]], Sequence[Text]]


@pytest.fixture
def job(straight: Path) -> TransformerJob:
    return read_plan(straight).transformers[0]


def read_one_by_one(
    corpus: Captioned[Item], codes: Sequence[NDArray[Any]], encode: Encode, end: int
) -> dict[str, Rows]:
    """Give what `shared` is to lay out, clip by clip."""
    splits = {}
    for split in ("train", "test"):
        pairs = zip(corpus.clips, codes, strict=True)
        kept = [(c, row) for c, row in pairs if c.split == split and len(row)]
        texts = [encode(clip.captions) for clip, _ in kept]
        splits[split] = Rows([row for _, row in kept], texts, end)
    return splits


def assert_same(found: dict[str, Rows], expected: dict[str, Rows]) -> None:
    assert found.keys() == expected.keys()
    for name, rows in found.items():
        assert as_lists(rows.codes) == as_lists(expected[name].codes)
        assert list(map(as_lists, rows.texts)) == list(
            map(as_lists, expected[name].texts)
        )
        assert rows.longest == expected[name].longest
        assert rows.end == expected[name].end


def as_lists(arrays: Sequence[NDArray[Any]]) -> list[Any]:
    return [array.tolist() for array in arrays]


def test_rows_are_those_of_the_clips_read_one_by_one(
    straight: Path, job: TransformerJob
) -> None:
    corpus = corpora.opened(straight / job.corpus)
    learnt = train_caption_encoder(
        corpus.captions("train"),
        vocab_size=job.section.text_vocab_size,
        max_length=job.section.text_length,
    )
    end = job.quantization.codebook_size
    index = Index(straight / job.corpus)
    captions, size = shared.captions_of(job, index, straight)
    assert size == learnt.vocab_size
    codes = tokenize.read_tokens(straight / job.tokenizer)
    without = [row[:0] if n % 3 == 0 else row for n, row in enumerate(codes)]
    for some in (codes, Tokens.of(without)):  # clips without a token drop out
        found = shared.splits_of(job, index, some, captions)
        assert_same(found, read_one_by_one(corpus, some, learnt.encode, end))
    for split in SPLITS:
        assert index.amount(split) == corpus.amount(split)


def test_states_are_those_of_the_text_job(
    straight: Path, job: TransformerJob, tmp_path: Path
) -> None:
    corpus = corpora.opened(straight / job.corpus)
    index = Index(straight / job.corpus)
    rng = np.random.default_rng(0)
    # the text job has them in an order of its own, and may have others too
    wordings = rng.permutation([*index.texts, "a caption of no clip"]).tolist()
    offsets = np.cumsum([0, *rng.integers(1, 9, len(wordings))]).tolist()
    (tmp_path / "text").mkdir()
    np.save(tmp_path / "text" / STATES, rng.random((offsets[-1], 7), np.float32))
    spans = dict(zip(wordings, pairwise(offsets), strict=True))
    write_json(tmp_path / "text" / CAPTIONS, spans)
    frozen = replace(job, text="text")
    captions, size = shared.captions_of(frozen, index, tmp_path)
    assert size is None
    codes = tokenize.read_tokens(straight / job.tokenizer)
    found = shared.splits_of(frozen, index, codes, captions)
    encode, end = text.load(tmp_path / "text"), job.quantization.codebook_size
    assert_same(found, read_one_by_one(corpus, codes, encode, end))


def test_a_context_that_would_cut_a_row_is_refused(
    straight: Path, job: TransformerJob
) -> None:
    index = Index(straight / job.corpus)
    codes = tokenize.read_tokens(straight / job.tokenizer)
    captions, _ = shared.captions_of(job, index, straight)

    def splits(context: int) -> dict[str, Rows]:
        section = job.section.model_copy(update={"context": context})
        return shared.splits_of(replace(job, section=section), index, codes, captions)

    longest = max(rows.longest for rows in splits(job.section.context).values())
    splits(longest)
    with pytest.raises(ScalingError, match=f"{longest - 1} positions are fewer than"):
        splits(longest - 1)


def test_are_the_same_bytes_whoever_makes_them(
    straight: Path, job: TransformerJob
) -> None:
    corpus = straight / job.corpus

    def made() -> dict[str, bytes]:
        index = Index(corpus)
        vocabulary = index.vocabulary(300, 16)
        index.pieces(vocabulary, 16)
        paths = [p for p in sorted(corpus.rglob("*")) if p.is_file()]
        return {
            p.relative_to(corpus).as_posix(): p.read_bytes()
            for p in paths
            if p.name.startswith(("index", "vocabulary")) or "pieces" in p.parent.name
        }

    first = made()
    assert len(first) >= 4
    for name in first:
        (corpus / name).unlink()
    again = made()
    assert again == {name: first[name] for name in again}


def test_captions_that_are_longer_than_the_text_are_cut(
    straight: Path, job: TransformerJob
) -> None:
    index = Index(straight / job.corpus)
    vocabulary = index.vocabulary(300, 64)
    encoder = CaptionEncoder.from_json(vocabulary, 3)
    found = index.pieces(vocabulary, 3)
    expected = encoder.encode(index.texts)
    assert [x.tolist() for x in found] == [x.tolist() for x in expected]
    assert found.lengths.max() == 3


def test_a_run_keeps_to_the_vocabulary_that_it_began_with(
    straight: Path, job: TransformerJob, tmp_path: Path
) -> None:
    index = Index(straight / job.corpus)
    out = tmp_path
    other = index.vocabulary(270, 64)
    (out / job.folder).mkdir()
    (out / job.folder / VOCABULARY).write_text(other, encoding="utf-8")
    captions, size = shared.captions_of(job, index, out)
    length = job.section.text_length
    expected = CaptionEncoder.from_json(other, length).encode(index.texts)
    assert size == 270
    assert [x.tolist() for x in captions.texts] == [x.tolist() for x in expected]


clips = st.lists(
    st.lists(
        st.lists(st.integers(0, 9), min_size=1).map(lambda x: np.array(x, np.int64)),
        min_size=1,
        max_size=3,
    ),
    min_size=1,
    max_size=5,
)


@given(clips)
def test_captions_laid_out_are_the_captions(texts: list[list[Text]]) -> None:
    found = Captions.of(texts)
    assert len(found) == len(texts)
    for clip, laid_out in zip(texts, found, strict=True):
        assert [x.tolist() for x in clip] == [x.tolist() for x in laid_out]
    assert found.longest.tolist() == [max(map(len, clip)) for clip in texts]
    backwards = found.select(np.arange(len(texts))[::-1])
    assert backwards.longest.tolist() == found.longest.tolist()[::-1]
    assert len(found[1:]) == len(texts) - 1
