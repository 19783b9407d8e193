"""HumanML3D as it is published: features, captions and split lists in a folder.

    new_joint_vecs/NAME.npy   263 features of each frame, 20 fps
    texts/NAME.txt            caption#tokens#from#to, one caption a line
    train.txt val.txt test.txt   names; M before one for the mirror image
    Mean.npy Std.npy          the published normalisation, optional

A caption whose `from` and `to` are not 0 tells of those seconds only, and makes a clip
of its own, as in the code that the published scores come from (Guo et al., CVPR 2022,
github.com/EricGuo5513/text-to-motion): frames int(20 from) to int(20 to), kept if there
are 40 to 199 of them, like the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.models.motion import NUM_FEATURES
from scaling.models.skeleton import FPS
from scaling.runs.humanml3d_texts import Caption, read_captions
from scaling.runs.sources import SPLITS, UNREADABLE, Reading, Report, Source

SHORTEST, LONGEST = 40, 199
"""Frames of features that a clip may have."""

Float32 = NDArray[np.float32]


def sources(folder: Path, report: Report) -> Reading:
    """Read the clips of all three lists.

    What is listed and cannot be used is named in the report: a missing file, one frame
    (009707, 011059), NaN (007975), too few or too many frames, no caption with words.

    Raises
    ------
    ScalingError
        If a list is missing, or none of its clips can be used.
    """
    listed = [(split, name) for split in SPLITS for name in _listed(folder, split)]
    return Reading(len(listed), _sources(folder, listed, report))


def _sources(
    folder: Path, listed: list[tuple[str, str]], report: Report
) -> Iterator[list[Source]]:
    found = 0
    for split, name in listed:
        try:
            motion = _motion(folder, name)
            captions = read_captions(folder / "texts" / f"{name}.txt", report)
            clips = _clips(name, split, motion, captions, report)
        except ScalingError as error:
            report.skipped[name] = str(error)
            clips = []
        found += len(clips)
        yield clips
    if not found:
        name, reason = next(iter(report.skipped.items()), ("", "the lists are empty"))
        raise ScalingError(
            f"{folder}: none of the {len(listed)} clips listed can be used; the first, "
            f"{name}: {reason}"
        )


def statistics(folder: Path) -> tuple[Float32, Float32] | None:
    """Read the published mean and standard deviation, (263,) each, if they are there.

    Raises
    ------
    ScalingError
        If only one is there, or they are not 263 finite numbers, deviations above 0.
    """
    paths = [folder / "Mean.npy", folder / "Std.npy"]
    if not any(path.exists() for path in paths):
        return None
    mean, std = map(_array, paths)
    shapes = mean.shape == std.shape == (NUM_FEATURES,)
    if not (shapes and np.isfinite([mean, std]).all() and (std > 0).all()):
        raise ScalingError(
            f"{folder}: Mean.npy {mean.shape} and Std.npy {std.shape} are no "
            f"normalisation; expected {NUM_FEATURES} finite numbers each, deviations "
            "above 0: get them anew, or remove both to have them computed"
        )
    return mean, std


def files(folder: Path) -> list[Path]:
    """List all files that determine the corpus, in the order of the lists."""
    names = [name for split in SPLITS for name in _listed(folder, split)]
    wanted = [folder / f"{split}.txt" for split in SPLITS]
    wanted += [folder / "Mean.npy", folder / "Std.npy"]
    for name in names:
        wanted += [_motion_path(folder, name), folder / "texts" / f"{name}.txt"]
    return [path for path in wanted if path.exists()]


def count_frames(folder: Path) -> int:
    """Count the frames of features of all listed clips, from the sizes of the files."""
    listed = [
        _motion_path(folder, n) for split in SPLITS for n in _listed(folder, split)
    ]
    size = sum(path.stat().st_size for path in listed if path.exists())
    return size // (NUM_FEATURES * np.dtype(np.float32).itemsize)


def _listed(folder: Path, split: str) -> list[str]:
    path = folder / f"{split}.txt"
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        raise ScalingError(
            f"{path} cannot be read; expected a list of names, one a line: name a "
            "folder in HumanML3D's published layout"
        ) from None


def _motion_path(folder: Path, name: str) -> Path:
    return folder / "new_joint_vecs" / f"{name}.npy"


def _motion(folder: Path, name: str) -> Float32:
    motion = _array(_motion_path(folder, name))
    if motion.ndim != 2 or motion.shape[1] != NUM_FEATURES:
        raise ScalingError(
            f"its shape is {motion.shape}; expected (frames, {NUM_FEATURES})"
        )
    if not np.isfinite(motion).all():
        frame = int(np.argmin(np.isfinite(motion).all(axis=1)))
        raise ScalingError(f"its features are not finite, first in frame {frame}")
    _check_length(len(motion))
    return motion


def _array(path: Path) -> Float32:
    try:
        with path.open("rb") as file:
            return np.asarray(np.load(file), np.float32)
    except FileNotFoundError:
        raise ScalingError(f"no file {path.parent.name}/{path.name}") from None
    except UNREADABLE:
        raise ScalingError(f"{path.name} is no array of numbers; get it anew") from None


def _check_length(frames: int) -> None:
    if not SHORTEST <= frames <= LONGEST:
        raise ScalingError(f"{frames} frames; expected {SHORTEST} to {LONGEST}")


def _clips(
    name: str, split: str, motion: Float32, captions: list[Caption], report: Report
) -> list[Source]:
    """One clip of the whole, if a caption tells of it, and one of each part told of."""
    told: dict[tuple[int, int] | None, list[str]] = {}
    for caption in captions:
        told.setdefault(caption.span, []).append(caption.text)
    clips = []
    for span, texts in told.items():
        called, part = name, motion
        if span:
            called = f"{name}#{span[0] / FPS:g}-{span[1] / FPS:g}"
            part = motion[slice(*span)]
        try:
            _check_length(len(part))
        except ScalingError as error:
            report.skipped[called] = str(error)
            continue
        clips.append(
            Source(name=called, split=split, captions=tuple(texts), motion=part)
        )
    return clips
