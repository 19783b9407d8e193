"""Corpora: captioned motion from generator or files, as normalised features on disk.

`build`, `files` and `opened` serve corpora of text and of tokens too. A corpus folder
of motion holds `features.npy` (frames of all clips after one another, z-scored by
the training split, or as HumanML3D published), `statistics.npz` (the mean and
deviation), `clips.json`, and `skipped.json`: what was left out and why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.files import read_json, write_json
from scaling.models.levels import DOWNSAMPLING
from scaling.models.motion import NUM_FEATURES, Facing, features, mean_std
from scaling.models.skeleton import FPS
from scaling.runs import (
    humanml3d,
    kinematic,
    mocap,
    pack,
    text_corpus,
    tokens_corpus,
)
from scaling.runs.captioned import Captioned, Item
from scaling.runs.sections import (
    CorpusSection,
    HumanML3DCorpus,
    KinematicCorpus,
    PackedCorpus,
    TextCorpus,
    TokensCorpus,
)
from scaling.runs.sources import SPLITS, Reading, Report, Source

Float32 = NDArray[np.float32]

FEATURES = "features.npy"
"""Features of all clips after one another, (frames, 263)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip(Item):
    """One captioned motion of a corpus."""

    start: int
    """First frame in the corpus' features."""
    frames: int
    """Frames of features, at 20 per second."""


@dataclass(frozen=True, kw_only=True)
class Corpus(Captioned[Clip]):
    """A corpus of motion as it lies on disk."""

    features: Float32
    """Normalised features, (frames, 263), mapped from disk."""
    mean: Float32
    """Mean of the training split, (263,)."""
    std: Float32
    """Deviation of the training split, averaged within HumanML3D's groups, (263,)."""

    def amount(self, split: str) -> Mapping[str, float]:
        """Seconds of a split, cut to whole tokens."""
        latents = sum(clip.frames // DOWNSAMPLING for clip in self.split(split))
        return {"second": latents * DOWNSAMPLING / FPS}

    def motion(self, clip: Clip) -> Float32:
        """Return the normalised features of a clip, (frames, 263)."""
        return self.features[clip.start : clip.start + clip.frames]

    def unnormalised(self, motion: Float32) -> Float32:
        """Undo the z-score, (..., 263)."""
        return motion * self.std + self.mean


def build(
    section: CorpusSection, folder: Path, progress: Callable[[int, int], None]
) -> dict[str, float]:
    """Write a corpus' folder, of motion with its features.

    Returns
    -------
    dict
        Of motion clips and hours, by split, and how many clips, files or rows were
        left out.
    """
    match section:
        case TextCorpus():
            return text_corpus.build(section, folder, progress)
        case TokensCorpus():
            return tokens_corpus.build(section, folder, progress)
    report = Report()
    # captured motion is to be compared with published features; generated motion is
    # not, and need not carry their slips
    facing: Facing = "fixed" if isinstance(section, KinematicCorpus) else "h3d"
    clips: list[Clip] = []
    start = 0
    steps, groups = reading(section, report)
    with (folder / "features.raw").open("wb") as file:
        for number, group in enumerate(groups, 1):
            for source in group:
                motion = _features(source, facing)
                file.write(motion.tobytes())
                clips.append(
                    Clip(
                        name=source.name,
                        split=source.split,
                        captions=source.captions,
                        start=start,
                        frames=len(motion),
                    )
                )
                start += len(motion)
            progress(number, steps)
    _check(clips, report)
    _normalise(folder, clips, start, _published(section))
    write_json(folder / "clips.json", {"clips": [asdict(clip) for clip in clips]})
    write_json(folder / "skipped.json", asdict(report))
    return {**_summary(clips), "skipped": len(report.skipped)}


def reading(section: CorpusSection, report: Report) -> Reading:
    """Begin to read a corpus' motions; what is left out goes into the report.

    Raises
    ------
    ScalingError
        If the corpus is no motion, or not there.
    """
    match section:
        case KinematicCorpus():
            return _kinematic(section)
        case PackedCorpus():
            return pack.sources(section, report)
        case HumanML3DCorpus():
            return humanml3d.sources(Path(section.path), report)
        case TextCorpus() | TokensCorpus():
            raise no_motion(f"{section.path} (kind {section.kind})")
        case _:
            return mocap.sources(section, report)


def _features(source: Source, facing: Facing) -> Float32:
    if source.motion.ndim == 2:
        return source.motion.astype(np.float32)
    try:
        return features(source.motion, facing).astype(np.float32)
    except ScalingError as error:
        raise ScalingError(f"clip {source.name}: {error}") from None


def opened(folder: Path) -> Captioned[Any]:
    """Read the corpus that `build` wrote, of whatever kind."""
    if (folder / FEATURES).exists():
        return load(folder)
    if (folder / text_corpus.TEXT).exists():
        return text_corpus.load(folder)
    return tokens_corpus.load(folder)


def load(folder: Path) -> Corpus:
    """Read a corpus of motion; its features stay on disk until they are touched.

    Raises
    ------
    ScalingError
        If the corpus is no motion.
    """
    if not (folder / FEATURES).exists() and (folder / "clips.json").exists():
        raise no_motion(folder.name)
    statistics = np.load(folder / "statistics.npz")
    rows = read_json(folder / "clips.json")["clips"]
    return Corpus(
        clips=tuple(
            Clip(**{**row, "captions": tuple(row["captions"])}) for row in rows
        ),
        features=np.load(folder / FEATURES, mmap_mode="r"),
        mean=statistics["mean"],
        std=statistics["std"],
    )


def no_motion(corpus: str) -> ScalingError:
    """Say that a corpus is not what is asked for."""
    return ScalingError(
        f"{corpus} is a corpus of text or tokens; expected one of motion, which alone "
        "can be drawn, described and scored by an evaluator: name another"
    )


def files(section: CorpusSection) -> list[Path]:
    """List the files whose content determines a corpus, in a fixed order.

    Their digests cost about a second per GB, once they are in memory.

    Raises
    ------
    ScalingError
        If the folder does not hold what the corpus is made of.
    """
    match section:
        case KinematicCorpus():
            return []
        case PackedCorpus():
            return pack.files(section)
        case HumanML3DCorpus():
            return humanml3d.files(Path(section.path))
        case TextCorpus():
            return text_corpus.files(section)
        case TokensCorpus():
            return tokens_corpus.files(section)
        case _:
            return mocap.files(section)


def home(section: CorpusSection) -> Path:
    """Folder of a corpus' files; nowhere for one that is generated."""
    if isinstance(section, TextCorpus):
        return text_corpus.home(section)
    return Path(getattr(section, "path", ""))


def count_frames(section: CorpusSection) -> int:
    """Count the frames of a corpus of files, about, without reading its motion."""
    match section:
        case KinematicCorpus():
            raise ScalingError("a generated corpus has no files to count frames in")
        case PackedCorpus():
            return pack.count_frames(section)
        case HumanML3DCorpus():
            return humanml3d.count_frames(Path(section.path))
        case TextCorpus() | TokensCorpus():
            raise no_motion(f"{section.path} (kind {section.kind})")
        case _:
            return mocap.count_frames(section)


def _published(section: CorpusSection) -> tuple[Float32, Float32] | None:
    if isinstance(section, HumanML3DCorpus):
        return humanml3d.statistics(Path(section.path))
    return None


def _normalise(
    folder: Path,
    clips: Sequence[Clip],
    frames: int,
    published: tuple[Float32, Float32] | None,
) -> None:
    raw_path = folder / "features.raw"
    raw = np.memmap(raw_path, np.float32, "r", shape=(frames, NUM_FEATURES))
    mean, std = published or _mean_std(raw, clips)
    std = np.where(std > 0, std, np.float32(1))  # of what never moves in a small corpus
    # written in order, not through a map: on a full disk a map ends the process
    head = {"descr": "<f4", "fortran_order": False, "shape": raw.shape}
    with (folder / FEATURES).open("wb") as file:
        np.lib.format.write_array_header_1_0(file, head)
        for clip in clips:
            motion = raw[clip.start : clip.start + clip.frames]
            file.write(((motion - mean) / std).tobytes())
    np.savez(folder / "statistics.npz", mean=mean, std=std)
    raw_path.unlink()


def _mean_std(raw: Float32, clips: Sequence[Clip]) -> tuple[Float32, Float32]:
    training = [raw[c.start : c.start + c.frames] for c in clips if c.split == "train"]
    mean, std = mean_std(training)
    return mean.astype(np.float32), std.astype(np.float32)


def _check(clips: Sequence[Clip], report: Report) -> None:
    """Refuse what would mix splits up, or leave one empty."""
    names = Counter(clip.name for clip in clips)
    for name, times in names.most_common(1):
        if times > 1:
            raise ScalingError(
                f"{times} clips of the corpus are called {name!r}; give each its own id"
            )
    for split in ("train", "test"):
        chosen = [clip for clip in clips if clip.split == split]
        if not any(clip.frames >= DOWNSAMPLING for clip in chosen):
            raise ScalingError(
                f"the corpus has no {split} clips of a token's length among its "
                f"{len(clips)}{_left_out(report)}; use a larger corpus, or mend its "
                "splits"
            )


def _left_out(report: Report) -> str:
    """Say how many are left out, and why one is."""
    for name, reason in report.skipped.items():
        return f", {len(report.skipped)} left out ({name}: {reason})"
    return ""


def _summary(clips: Sequence[Clip]) -> dict[str, float]:
    summary: dict[str, float] = {}
    for split in SPLITS:
        chosen = [clip.frames for clip in clips if clip.split == split]
        summary[f"{split}_clips"] = len(chosen)
        summary[f"{split}_hours"] = round(sum(chosen) / FPS / 3600, 4)
    return summary


# --- the built-in corpus ---


def _kinematic(section: KinematicCorpus) -> Reading:
    chosen = _chosen(section)

    def groups() -> Iterator[list[Source]]:
        for index in chosen:
            made = kinematic.sequence(index, section.seed)
            yield [
                Source(
                    name=made.name,
                    split=_split(index),
                    captions=made.captions,
                    motion=made.joints,
                )
            ]

    return Reading(len(chosen), groups())


def _chosen(section: KinematicCorpus) -> list[int]:
    """List the motions to make: all, but of the test split so many at most.

    >>> few = KinematicCorpus(sequences=60, test_sequences=2)
    >>> [index for index in _chosen(few) if _split(index) == "test"]
    [17, 18]
    """
    everything = range(section.sequences)
    test = [index for index in everything if _split(index) == "test"]
    dropped = set(test[section.test_sequences :]) if section.test_sequences else set()
    return [index for index in everything if index not in dropped]


TEST_SHARE = 0.15
"""Share of the built-in corpus in the test split."""


def _split(index: int) -> str:
    """80 % train, 5 % validation, 15 % test, as ScaMo's MotionUnion.

    >>> [_split(i) for i in range(20)].count("test")
    3
    """
    place = index % 20
    return "train" if place < 16 else "val" if place == 16 else "test"
