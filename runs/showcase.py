"""A few test clips beside what a store's best run makes of their captions.

For the report: seconds on a CPU, and the same motions every time.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from scaling.models.generation import Sampling
from scaling.runs import corpora
from scaling.runs.generate import Answer, answers
from scaling.runs.trained import MAX_FRAMES, load_run

CLIPS = 3
"""Clips that a report shows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Showcase:
    """Motions to be looked at."""

    run: str
    """Name of the run that made them."""
    answers: tuple[Answer, ...]
    """Each with a real clip, and the same clip through the tokenizer."""


def showcase(
    store: str | Path,
    clips: int = CLIPS,
    *,
    seed: int = 0,
    max_frames: int = MAX_FRAMES,
) -> Showcase:
    """Let the best run of a store answer captions of the test split.

    Parameters
    ----------
    store : str or Path
        A run store of motion, or the folder of one run in it.
    clips : int
        How many; fewer where the split has fewer captions.
    seed : int
        Chooses the captions, and draws the tokens.
    max_frames : int
        Longest motion that is generated, at 20 frames per second.

    Raises
    ------
    ScalingError
        If the store holds no finished run of motion.
    """
    run = load_run(store)
    split = corpora.load(run.corpus_folder).split("test")
    known = sorted({caption for clip in split for caption in clip.captions})
    chosen = random.Random(seed).sample(known, min(clips, len(known)))
    found = answers(
        run,
        chosen,
        sampling=Sampling(seed=seed),
        max_frames=max_frames,
        compare=True,
    )
    return Showcase(run=run.folder.name, answers=tuple(found))
