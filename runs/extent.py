"""The extent of a corpus, about, before it is built: what jobs on it cost follows.

A motion of F frames is a row of F / 4 tokens, its codes, after a caption. The typical
row and its spread are those of the built-in corpus; HumanML3D's are much the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from scaling.models.levels import DOWNSAMPLING
from scaling.models.quantization import Quantization
from scaling.runs import corpora
from scaling.runs.corpora import TEST_SHARE
from scaling.runs.sections import (
    CorpusSection,
    KinematicCorpus,
    TextCorpus,
    TokensCorpus,
)

FRAMES_PER_CLIP = 137
"""Of a motion."""

CAPTION_PIECES = 24
"""Of a caption."""

SPREAD = 0.4
"""Standard deviation over the mean of the lengths of captions and of motions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """How large a corpus is, about."""

    clips: float
    """Rows of all splits."""
    frames_per_clip: float
    """Frames of a motion; bytes of a piece of text; of given tokens, tokens."""
    test_clips: float
    """Rows of the test split, on which runs are evaluated."""
    caption_pieces: int = CAPTION_PIECES
    """Pieces of a caption; 1 where there is none."""

    @property
    def frames(self) -> float:
        """Frames, or bytes, or tokens, of the whole corpus."""
        return self.clips * self.frames_per_clip

    def codes(self, quantization: Quantization) -> int:
        """Count the codes of a typical row, without its end token."""
        match quantization.method:
            case "given":
                per_code = 1.0
            case "bpe":  # each doubling of the pieces makes them longer
                per_code = 1 + 0.5 * math.log2(quantization.codebook_size / 256)
            case _:
                per_code = DOWNSAMPLING / quantization.stages
        return max(1, round(self.frames_per_clip / per_code))


def of_frames(frames: float, per_clip: float = FRAMES_PER_CLIP) -> Extent:
    """Give the extent of motions of so many frames in all."""
    clips = frames / per_clip
    return Extent(clips=clips, frames_per_clip=per_clip, test_clips=TEST_SHARE * clips)


def extent_of(section: CorpusSection) -> Extent:
    """Measure a corpus before it is built, from its settings and its files' sizes."""
    match section:
        case KinematicCorpus():
            test = TEST_SHARE * section.sequences
            fewer = min(test, section.test_sequences or test)
            clips = section.sequences - test + fewer
            extent = of_frames(clips * FRAMES_PER_CLIP)
            return replace(extent, test_clips=fewer)
        case TextCorpus():
            return _of_text(section)
        case TokensCorpus():
            bytes_ = Path(section.file()).stat().st_size
            return Extent(
                clips=bytes_ / 200,  # rows of 50 codes of 4 bytes, a guess
                frames_per_clip=50,
                test_clips=TEST_SHARE * bytes_ / 200,
                caption_pieces=CAPTION_PIECES if section.captions else 1,
            )
        case _:
            return of_frames(corpora.count_frames(section))


def _of_text(section: TextCorpus) -> Extent:
    paths = corpora.files(section)
    clips = sum(path.stat().st_size for path in paths) / section.piece
    test = TEST_SHARE * clips
    return Extent(
        clips=clips,
        frames_per_clip=section.piece,
        test_clips=min(test, section.test_pieces or test),
        caption_pieces=8 if section.prefix == "path" else 1,
    )
