"""A described corpus: numbers that can be counted by hand."""

from __future__ import annotations

import os

import numpy as np
import pytest

from scaling.models.motion import NUM_FEATURES
from scaling.runs.corpora import Clip, Corpus
from scaling.runs.describe import describe
from scaling.runs.duplicates import Duplicate
from scaling.runs.named_corpus import opened
from scaling.runs.sources import Report

DATA = os.environ.get("SCALING_DATA")
real = pytest.mark.skipif(
    not DATA, reason="SCALING_DATA does not name the folder of real motion"
)

CLIPS = (
    ("a", "train", ("Walks.", "a person walks"), 40),
    ("b", "train", ("a person's left hand waves",), 60),
    ("c", "train", ("a person walks",), 100),
    ("d", "val", ("sits",), 50),
    ("e", "test", ("sits", "a person walks"), 45),
    ("f", "test", ("jumps",), 45),
)


@pytest.fixture
def corpus() -> Corpus:
    """Six clips of noise."""
    random = np.random.default_rng(0)
    clips, start = [], 0
    for name, split, captions, frames in CLIPS:
        clips.append(
            Clip(name=name, split=split, captions=captions, start=start, frames=frames)
        )
        start += frames
    return Corpus(
        clips=tuple(clips),
        features=random.normal(size=(start, NUM_FEATURES)).astype(np.float32),
        mean=np.zeros(NUM_FEATURES, np.float32),
        std=np.ones(NUM_FEATURES, np.float32),
    )


def test_lengths_by_split_and_source(corpus: Corpus) -> None:
    source_of = dict(zip("abcdef", ("x", "y", "y", "x", "x", "x"), strict=True))
    found = describe("six", corpus, source_of, Report())
    assert [(row.name, row.clips, row.frames) for row in found.splits] == [
        ("train", 3, 200),
        ("val", 1, 50),
        ("test", 2, 90),
    ]
    assert [(row.name, row.clips, row.frames) for row in found.sources] == [
        ("x", 4, 180),
        ("y", 2, 160),
    ]
    row = found.splits[0].to_dict()
    assert (row["shortest"], row["median"], row["longest"]) == (40, 60, 100)
    assert row["mean_seconds"] == pytest.approx(200 / 3 / 20)
    assert found.total.hours == pytest.approx(340 / 20 / 3600)


def test_captions_are_counted(corpus: Corpus) -> None:
    captions = describe("six", corpus, {}, Report()).captions
    assert (captions.captions, captions.distinct) == (8, 5)
    words = {"walks", "a", "person", "person's", "left", "hand", "waves", "sits"}
    assert captions.vocabulary == len(words | {"jumps"})
    lengths = captions.fewest_words, captions.median_words, captions.most_words
    assert lengths == (1, 2, 5)
    assert captions.frequent[:2] == (("a person walks", 3), ("sits", 2))


def test_captions_in_two_splits_are_counted_and_are_no_leak(corpus: Corpus) -> None:
    found = describe("six", corpus, {}, Report())
    pairs = {(row.split, row.other): row.same_captions for row in found.shared}
    assert pairs == {("val", "train"): 0, ("test", "train"): 1, ("test", "val"): 1}
    assert found.duplicates == ()
    assert not any(row.near_duplicates or row.same_frames for row in found.shared)


def test_a_leak_is_counted_once_for_each_clip(corpus: Corpus) -> None:
    """Clip e is 50 frames into clip c, and clip a is most of it."""
    leaked = corpus.features[250:295]
    corpus.features[150:195] = leaked
    corpus.features[:40] = leaked[:40]
    found = describe("six", corpus, {}, Report())
    pairs = [(each.clip, each.other, each.shift) for each in found.duplicates]
    assert pairs == [("e", "a", 0), ("e", "c", 50)]
    test_in_train = found.shared[1]
    assert (test_in_train.split, test_in_train.other) == ("test", "train")
    assert (test_in_train.same_frames, test_in_train.near_duplicates) == (1, 1)
    assert isinstance(found.duplicates[0], Duplicate)
    assert found.to_dict()["duplicates"][0]["same"] is True


def test_a_corpus_of_one_split_shares_nothing(corpus: Corpus) -> None:
    train = Corpus(
        clips=corpus.clips[:3],
        features=corpus.features,
        mean=corpus.mean,
        std=corpus.std,
    )
    found = describe("three", train, {}, Report(skipped={"g": "too short"}))
    assert (found.sources, found.shared) == ((), ())
    assert found.to_dict()["skipped"] == {"g": "too short"}


@real
@pytest.mark.parametrize(
    ("pack", "clips", "frames", "distinct", "sources"),
    [
        ("cmu_subset", 345, 47_610, 69, {"acRNN": 144}),
        ("bandai_namco", 2669, 260_897, 617, {"walk": 232, "bow": 15}),
    ],
)
def test_real_packs(
    pack: str, clips: int, frames: int, distinct: int, sources: dict[str, int]
) -> None:
    with opened(f"{DATA}/motion/{pack}", None, lambda done, total: None) as found:
        described = describe(found.name, found.corpus, found.source_of, found.report)
    assert (described.name, described.total.clips) == (pack, clips)
    assert described.total.frames == frames
    assert described.captions.distinct == distinct
    by_source = {row.name: row.clips for row in described.sources}
    assert by_source.items() >= sources.items()
    assert sum(by_source.values()) == clips
