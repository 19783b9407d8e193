"""Corpora: captioned motion from a generator or a pack, as normalised features on disk.

A corpus folder holds `features.npy` (frames of all clips after one another, z-scored by
the training split), `statistics.npz` (the mean and deviation) and `clips.json`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.files import read_json, write_json
from scaling.models.levels import DOWNSAMPLING
from scaling.models.motion import NUM_FEATURES, Facing, features, mean_std
from scaling.models.skeleton import FPS
from scaling.runs import kinematic, pack
from scaling.runs.grid import CorpusSection, KinematicCorpus

Float32 = NDArray[np.float32]

SPLITS = ("train", "val", "test")

FACING: dict[str, Facing] = {"kinematic": "fixed", "packed": "h3d"}
"""Facing by kind of corpus: captured motion is to be compared with published features,
generated motion is not, and need not carry their slips."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """One captioned motion of a corpus."""

    name: str
    """Unique in the corpus."""
    split: str
    """`train`, `val` or `test`."""
    captions: tuple[str, ...]
    """What it shows, in one or more wordings."""
    start: int
    """First frame in the corpus' features."""
    frames: int
    """Frames of features, at 20 per second."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A corpus as it lies on disk."""

    clips: tuple[Clip, ...]
    """In the order of their frames."""
    features: Float32
    """Normalised features, (frames, 263), mapped from disk."""
    mean: Float32
    """Mean of the training split, (263,)."""
    std: Float32
    """Deviation of the training split, averaged within HumanML3D's groups, (263,)."""

    def split(self, name: str) -> list[Clip]:
        """Clips of one split."""
        return [clip for clip in self.clips if clip.split == name]

    def motion(self, clip: Clip) -> Float32:
        """Return the normalised features of a clip, (frames, 263)."""
        return self.features[clip.start : clip.start + clip.frames]

    def unnormalised(self, motion: Float32) -> Float32:
        """Undo the z-score, (..., 263)."""
        return motion * self.std + self.mean


@dataclass(frozen=True, slots=True)
class _Source:
    """One motion before it has features: name, split, captions, joints (T, 22, 3)."""

    name: str
    split: str
    captions: tuple[str, ...]
    joints: NDArray[np.floating]


def build(
    section: CorpusSection, folder: Path, progress: Callable[[int, int], None]
) -> dict[str, float]:
    """Compute a corpus' features and write its folder.

    Returns
    -------
    dict
        Clips and hours, in all and by split.
    """
    if isinstance(section, KinematicCorpus):
        total, sources = section.sequences, _kinematic(section)
    else:
        packed = pack.entries(Path(section.path), mirrored=section.mirror)
        total, sources = len(packed), _packed(packed, Path(section.path))
    facing = FACING[section.kind]
    clips: list[Clip] = []
    start = 0
    with (folder / "features.raw").open("wb") as file:
        for number, source in enumerate(sources, 1):
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
            progress(number, total)
    _check(clips)
    _normalise(folder, clips, start)
    write_json(folder / "clips.json", {"clips": [asdict(clip) for clip in clips]})
    return _summary(clips)


def _features(source: _Source, facing: Facing) -> Float32:
    try:
        return features(source.joints, facing).astype(np.float32)
    except ScalingError as error:
        raise ScalingError(f"clip {source.name}: {error}") from None


def load(folder: Path) -> Corpus:
    """Read what `build` wrote; the features stay on disk until they are touched."""
    statistics = np.load(folder / "statistics.npz")
    rows = read_json(folder / "clips.json")["clips"]
    return Corpus(
        clips=tuple(
            Clip(**{**row, "captions": tuple(row["captions"])}) for row in rows
        ),
        features=np.load(folder / "features.npy", mmap_mode="r"),
        mean=statistics["mean"],
        std=statistics["std"],
    )


def _normalise(folder: Path, clips: Sequence[Clip], frames: int) -> None:
    raw_path = folder / "features.raw"
    raw = np.memmap(raw_path, np.float32, "r", shape=(frames, NUM_FEATURES))
    training = np.concatenate(
        [raw[c.start : c.start + c.frames] for c in clips if c.split == "train"]
    )
    mean, std = (x.astype(np.float32) for x in mean_std(training))
    # written in order, not through a map: on a full disk a map ends the process
    head = {"descr": "<f4", "fortran_order": False, "shape": raw.shape}
    with (folder / "features.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, head)
        for clip in clips:
            motion = raw[clip.start : clip.start + clip.frames]
            file.write(((motion - mean) / std).tobytes())
    np.savez(folder / "statistics.npz", mean=mean, std=std)
    raw_path.unlink()


def _check(clips: Sequence[Clip]) -> None:
    """Refuse what would mix splits up, or leave one empty."""
    names = Counter(clip.name for clip in clips)
    name, times = names.most_common(1)[0]
    if times > 1:
        raise ScalingError(
            f"{times} clips of the corpus are called {name!r}; give each its own id"
        )
    for split in ("train", "test"):
        chosen = [clip for clip in clips if clip.split == split]
        if not any(clip.frames >= DOWNSAMPLING for clip in chosen):
            raise ScalingError(
                f"the corpus has no {split} clips of a token's length among its "
                f"{len(clips)}; use a larger corpus, or mend its splits"
            )


def _summary(clips: Sequence[Clip]) -> dict[str, float]:
    summary: dict[str, float] = {}
    for split in SPLITS:
        chosen = [clip.frames for clip in clips if clip.split == split]
        summary[f"{split}_clips"] = len(chosen)
        summary[f"{split}_hours"] = round(sum(chosen) / FPS / 3600, 4)
    return summary


# --- sources ---


def _kinematic(section: KinematicCorpus) -> Iterator[_Source]:
    for index in range(section.sequences):
        made = kinematic.sequence(index, section.seed)
        yield _Source(made.name, _split(index), made.captions, made.joints)


TEST_SHARE = 0.15
"""Share of the built-in corpus in the test split."""


def _split(index: int) -> str:
    """80 % train, 5 % validation, 15 % test, as ScaMo's MotionUnion.

    >>> [_split(i) for i in range(20)].count("test")
    3
    """
    place = index % 20
    return "train" if place < 16 else "val" if place == 16 else "test"


def _packed(clips: Sequence[pack.Entry], folder: Path) -> Iterator[_Source]:
    joints = pack.read_joints(folder)
    for clip in clips:
        yield _Source(clip.name, clip.split, clip.captions, clip.joints(joints))
