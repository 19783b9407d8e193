"""A corpus described: ScaMo's Table 5, lengths, captions, and what its splits share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from statistics import mean, median
from typing import Any

from scaling.files import jsonable
from scaling.models.skeleton import FPS
from scaling.runs.corpora import Clip, Corpus
from scaling.runs.duplicates import Duplicate, near_duplicates
from scaling.runs.sources import SPLITS, Report

MOST_FREQUENT = 10
"""Captions that are named as the most frequent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lengths:
    """Clips of one source or split, and how long they are."""

    name: str
    """Source or split."""
    clips: int
    """Number of clips."""
    frames: int
    """Frames of features of all of them, at 20 per second."""
    hours: float
    """The same in hours."""
    mean: float
    """Mean frames of a clip."""
    median: float
    """Median frames of a clip."""
    shortest: int
    """Frames of the shortest."""
    longest: int
    """Frames of the longest."""

    @classmethod
    def of(cls, name: str, clips: Iterable[Clip]) -> Lengths:
        """Measure clips, at least one."""
        frames = [clip.frames for clip in clips]
        return cls(
            name=name,
            clips=len(frames),
            frames=sum(frames),
            hours=sum(frames) / FPS / 3600,
            mean=mean(frames),
            median=median(frames),
            shortest=min(frames),
            longest=max(frames),
        )

    def to_dict(self) -> dict[str, Any]:
        """Give the fields, and the lengths of clips in seconds as well."""
        seconds = {
            f"{name}_seconds": getattr(self, name) / FPS
            for name in ("mean", "median", "shortest", "longest")
        }
        return asdict(self) | seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Captions:
    """What the captions of a corpus are like."""

    captions: int
    """Captions of all clips."""
    distinct: int
    """Different ones among them."""
    vocabulary: int
    """Different words in them, in lower case."""
    fewest_words: int
    """Words of the shortest caption."""
    median_words: float
    """Median words of a caption."""
    most_words: int
    """Words of the longest caption."""
    frequent: tuple[tuple[str, int], ...]
    """The most frequent ones, with their numbers."""

    @classmethod
    def of(cls, clips: Iterable[Clip]) -> Captions:
        """Count the captions of clips."""
        counts = Counter(caption for clip in clips for caption in clip.captions)
        words = {caption: _words(caption) for caption in counts}
        lengths = [len(words[caption]) for caption in counts.elements()]
        return cls(
            captions=counts.total(),
            distinct=len(counts),
            vocabulary=len(set().union(*words.values())),
            fewest_words=min(lengths),
            median_words=median(lengths),
            most_words=max(lengths),
            frequent=tuple(counts.most_common(MOST_FREQUENT)),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Shared:
    """What a later split shares with an earlier one."""

    split: str
    """The later split."""
    other: str
    """The earlier one."""
    clips: int
    """Clips of the later split."""
    same_frames: int
    """Those whose very frames the earlier split holds: a leak."""
    near_duplicates: int
    """Those with a near-duplicate in the earlier split, the former included."""
    same_captions: int
    """Those with a caption that the earlier split has, word for word: no leak by
    itself, for the same may be done twice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """A corpus described."""

    name: str
    """What it was called."""
    total: Lengths
    """All clips."""
    sources: tuple[Lengths, ...]
    """By source, the one with most frames first; empty where none is known."""
    splits: tuple[Lengths, ...]
    """By split."""
    captions: Captions
    """Of all clips."""
    shared: tuple[Shared, ...]
    """By pair of splits."""
    duplicates: tuple[Duplicate, ...]
    """Near-duplicates between splits, the closest first."""
    skipped: Mapping[str, str]
    """Why a clip or a file is not in the corpus, by its name."""
    notes: tuple[str, ...]
    """What the reader of the corpus decided by itself."""

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON holds it."""
        lengths = {
            "total": self.total.to_dict(),
            "sources": [row.to_dict() for row in self.sources],
            "splits": [row.to_dict() for row in self.splits],
            "duplicates": [row.to_dict() for row in self.duplicates],
        }
        content: dict[str, Any] = jsonable(asdict(self) | lengths)
        return content


def describe(
    name: str, corpus: Corpus, source_of: Mapping[str, str], report: Report
) -> Description:
    """Describe a corpus.

    Parameters
    ----------
    name : str
        What to call it.
    corpus : Corpus
        A corpus as it was built.
    source_of : mapping
        Source of each clip, by the clip's name; empty if there is none to tell.
    report : Report
        What building it left out.
    """
    clips = corpus.clips
    by_split = {split: corpus.split(split) for split in SPLITS if corpus.split(split)}
    by_source: dict[str, list[Clip]] = {}
    for clip in clips if source_of else ():
        by_source.setdefault(source_of[clip.name], []).append(clip)
    sources = [Lengths.of(source, held) for source, held in by_source.items()]
    duplicates = near_duplicates(corpus)
    return Description(
        name=name,
        total=Lengths.of("all", clips),
        sources=tuple(sorted(sources, key=lambda row: (-row.frames, row.name))),
        splits=tuple(Lengths.of(split, held) for split, held in by_split.items()),
        captions=Captions.of(clips),
        shared=tuple(
            _shared(by_split[split], by_split[other], duplicates)
            for other, split in combinations(by_split, 2)
        ),
        duplicates=tuple(duplicates),
        skipped=report.skipped,
        notes=tuple(report.notes),
    )


def _shared(
    clips: Sequence[Clip], others: Sequence[Clip], duplicates: Iterable[Duplicate]
) -> Shared:
    split, other = clips[0].split, others[0].split
    found = [d for d in duplicates if (d.split, d.other_split) == (split, other)]
    known = {caption for clip in others for caption in clip.captions}
    return Shared(
        split=split,
        other=other,
        clips=len(clips),
        same_frames=len({d.clip for d in found if d.same}),
        near_duplicates=len({d.clip for d in found}),
        same_captions=sum(not known.isdisjoint(clip.captions) for clip in clips),
    )


def _words(caption: str) -> list[str]:
    """Split a caption into words.

    >>> _words("Someone's left hand - waves")
    ["someone's", 'left', 'hand', 'waves']
    """
    return re.findall(r"[\w']+", caption.lower())
