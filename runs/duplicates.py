"""Near-duplicates between the splits of a corpus: motion that a test has seen.

Two clips are near-duplicates if, one laid over the other at some shift in time, the
root of the mean squared distance of their joints is below `NEAR`, over half of the
shorter clip and `LEAST` frames at least; pelvises aligned and bodies turned to one
heading in every frame, so that path, place and floor do not count. Mirror images count.

A second take of a movement is rarely so near. In the packs of real motion, the nearest
that a test clip comes to the training split is 24 mm (CMU, 46 clips), and 6.6 mm or
more for all but one of 410 clips (Bandai-Namco); that one is at 0.06 mm, cut from the
same frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from scaling.models.motion import GROUPS
from scaling.models.skeleton import (
    NUM_JOINTS,
    Array,
    across_hips,
    across_shoulders,
    heading_of,
    mirror,
    turn,
)
from scaling.runs.corpora import Clip, Corpus
from scaling.runs.sources import SPLITS

NEAR = 0.01
"""Distance of joints, in metres, below which motions are near-duplicates."""
SAME = 0.001
"""Distance below which they are the same frames, but for rounding."""
LEAST = 30
"""Frames that near-duplicates share, at least."""

WINDOW, POSES = 20, 5
"""Frames of a window, and how many of them, evenly spaced, it is looked up by."""
EVERY = LEAST - WINDOW
"""Frames from one window that is looked up to the next: what two clips share holds a
whole one."""
DIMENSIONS = 12
"""Principal components that windows are indexed by; they only bring windows nearer, so
that none is missed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Duplicate:
    """A clip whose motion is in an earlier split, or nearly so."""

    clip: str
    """The clip that should be new."""
    split: str
    """Its split."""
    other: str
    """The clip that it is much like."""
    other_split: str
    """Its split: `train`, or `val` for a test clip."""
    millimetres: float
    """Root of the mean squared distance of their joints."""
    shift: int
    """Frames by which the other is ahead."""
    frames: int
    """Frames that they share."""
    mirrored: bool
    """Whether one is the mirror image of the other."""

    @property
    def same(self) -> bool:
        """Whether they are the same frames."""
        return self.millimetres < 1000 * SAME

    def to_dict(self) -> dict[str, Any]:
        """Give the fields, and whether they are the same frames."""
        return asdict(self) | {"same": self.same}


def near_duplicates(corpus: Corpus) -> list[Duplicate]:
    """Find what clips of later splits share with clips of earlier ones, closest first.

    Mirror images that a corpus adds to its clips, M before their names, are left out.
    """
    names = {clip.name for clip in corpus.clips}
    clips = [
        clip
        for clip in corpus.clips
        if clip.frames >= LEAST and not (clip.name[0] == "M" and clip.name[1:] in names)
    ]
    if not clips:
        return []
    index = _Index(corpus, clips)
    found = [
        duplicate
        for place, clip in enumerate(clips)
        if clip.split != SPLITS[0]
        for mirrored in (False, True)
        for duplicate in index.like(place, mirrored)
    ]
    return sorted(found, key=lambda each: (each.millimetres, each.clip, each.other))


class _Index:
    """All windows of all clips, to find those that are near another."""

    def __init__(self, corpus: Corpus, clips: Sequence[Clip]) -> None:
        self.clips = clips
        self.rank = np.array([SPLITS.index(clip.split) for clip in clips])
        self.bodies = [_bodies(corpus, clip) for clip in clips]
        counts = [clip.frames - WINDOW + 1 for clip in clips]
        self.clip_of = np.repeat(np.arange(len(clips)), counts)
        self.frame_of = np.concatenate([np.arange(count) for count in counts])
        self.axes = _principal_axes(self.bodies)
        rows = [_windows(body) @ self.axes for body in self.bodies]
        self.tree = cKDTree(np.concatenate(rows))

    def like(self, place: int, mirrored: bool) -> Iterator[Duplicate]:
        """Yield what a clip duplicates, once for each clip of earlier splits."""
        clip, body = self.clips[place], self.bodies[place]
        if mirrored:
            body = mirror(body)
        best: dict[int, Duplicate] = {}
        for other, shift in sorted(self._candidates(body, self.rank[place])):
            against = self.bodies[other]
            first, last = max(0, -shift), min(len(body), len(against) - shift)
            if last - first < max(LEAST, min(len(body), len(against)) / 2):
                continue
            metres = _distance(body[first:last], against[first + shift : last + shift])
            if metres >= NEAR:
                continue
            found = Duplicate(
                clip=clip.name,
                split=clip.split,
                other=self.clips[other].name,
                other_split=self.clips[other].split,
                millimetres=1000 * metres,
                shift=shift,
                frames=last - first,
                mirrored=mirrored,
            )
            if other not in best or found.millimetres < best[other].millimetres:
                best[other] = found
        yield from best.values()

    def _candidates(self, body: Array, rank: int) -> set[tuple[int, int]]:
        """Find clips of earlier splits, and shifts, at which some window is near.

        Half as far again as `NEAR`, for a window is looked up by some of its frames.
        """
        queries = _windows(body)[::EVERY] @ self.axes
        found: set[tuple[int, int]] = set()
        for number, hits in enumerate(self.tree.query_ball_point(queries, 1.5 * NEAR)):
            near = np.array(hits, int)
            near = near[self.rank[self.clip_of[near]] < rank]
            shifts = self.frame_of[near] - number * EVERY
            found.update(zip(self.clip_of[near].tolist(), shifts.tolist(), strict=True))
        return found


def _bodies(corpus: Corpus, clip: Clip) -> Array:
    """Give joints about the pelvis, every frame turned to face +Z; (T, 22, 3)."""
    rows = corpus.unnormalised(corpus.motion(clip))
    joints = np.zeros((len(rows), NUM_JOINTS, 3))
    joints[:, 1:] = rows[:, GROUPS["positions"]].reshape(len(rows), -1, 3)
    joints[:, 1:, 1] -= rows[:, GROUPS["root_height"]]
    across = across_hips(joints) + across_shoulders(joints)
    return turn(joints, -heading_of(across)[:, None])


def _windows(bodies: Array) -> Array:
    """Give every window as a row, whose distances are those of joints; (n, ...)."""
    poses = bodies[:, 1:].reshape(len(bodies), -1)
    count = len(poses) - WINDOW + 1
    frames = np.arange(count)[:, None] + np.arange(0, WINDOW, WINDOW // POSES)
    rows: Array = poses[frames].reshape(count, -1) / np.sqrt(POSES * (NUM_JOINTS - 1))
    return rows


def _principal_axes(bodies: Sequence[Array]) -> Array:
    """Give the directions in which windows differ most, as orthonormal columns."""
    sample = np.concatenate([_windows(body)[::EVERY] for body in bodies])
    axes: Array = np.linalg.eigh(np.cov(sample.T)).eigenvectors[:, -DIMENSIONS:]
    return axes


def _distance(body: Array, other: Array) -> float:
    """Root of the mean squared distance of joints, in metres."""
    return float(np.sqrt(3 * np.mean((body[:, 1:] - other[:, 1:]) ** 2)))
