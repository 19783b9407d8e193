"""Folders of captured motion: BVH of a known skeleton, or npz of joint positions.

Every file becomes a sequence of the 22 joints at 20 fps, cut into equal clips of 40 to
196 frames. All clips of a sequence are in one split: the caption table's, or one drawn
by the name, 80 % training, 5 % validation, 15 % test. A file that cannot be used is
named in the report, and the others go on.

CMU's BVH files begin with an added T-pose, out of which the Daz-friendly ones blend for
about eight frames more: a lead-in of 13 begins them at frame 12 of the trial.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from scaling.errors import ScalingError
from scaling.models.bvh import parse, positions
from scaling.models.retarget import resample, retarget, stride, y_up
from scaling.models.skeleton import (
    FPS,
    JOINTS,
    NUM_JOINTS,
    Array,
    checked_joints,
    unit,
)
from scaling.runs import caption_table
from scaling.runs.caption_table import Told
from scaling.runs.pack import Recording, entries
from scaling.runs.sections import BvhCorpus, JointsCorpus
from scaling.runs.sources import UNREADABLE, Reading, Report, Source

SHORTEST, LONGEST = 40, 196
"""Frames that a clip may have."""

CMU_60_FPS = frozenset([33, 34, 60, 61, 62, 74, 75, 77, 79, 80, 87, 88, 89])
"""CMU subjects captured at 60 fps, in files that say 120. So were some trials of 42 and
136, which a table has to name."""

RATES = ("fps", "mocap_framerate", "mocap_frame_rate")
"""Under which of these an npz may hold its frames per second; AMASS' are the last."""

Section = BvhCorpus | JointsCorpus


def sources(section: Section, report: Report) -> Reading:
    """Read the clips of a folder, with the images of training clips on demand.

    Raises
    ------
    ScalingError
        If there is no such file, or none can be used.
    """
    total = len(motion_files(section))

    def groups() -> Iterator[list[Source]]:
        for found in _each(section, report):
            if found is None:
                yield []
                continue
            recording, joints = found
            clips = entries(recording, mirrored=section.mirror)
            yield [clip.source(joints) for clip in clips]

    return Reading(total, groups())


def recordings(section: Section, report: Report) -> Iterator[tuple[Recording, Array]]:
    """Read the sequences of a folder with their joints, as `pack.write` takes them."""
    return (found for found in _each(section, report) if found is not None)


def motion_files(section: Section) -> list[Path]:
    """List the motion files of a folder, in the order of their paths.

    Raises
    ------
    ScalingError
        If there is none.
    """
    suffix = ".bvh" if isinstance(section, BvhCorpus) else ".npz"
    folder = Path(section.path)
    found = sorted(
        p for p in folder.rglob("*") if p.suffix.lower() == suffix and p.is_file()
    )
    if not found:
        raise ScalingError(
            f"corpus.path: {folder} holds no *{suffix} files; expected some, at any "
            "depth: name the folder that does"
        )
    return found


def files(section: Section) -> list[Path]:
    """List all files that determine the corpus."""
    table = [Path(section.captions)] if section.captions else []
    return [*motion_files(section), *table]


def count_frames(section: Section) -> int:
    """Count the frames at 20 fps, about: what the files say, the images aside."""
    return sum(_frames_said(path, section.fps) for path in motion_files(section))


def _each(section: Section, report: Report) -> Iterator[tuple[Recording, Array] | None]:
    """Read every file, or give None and say in the report why not."""
    paths = motion_files(section)
    table = caption_table.read(Path(section.captions)) if section.captions else None
    names = _names(paths, Path(section.path))
    used = corrected = upright = 0
    for path, name in zip(paths, names, strict=True):
        try:
            told = _told(name, table)
            recording, joints = _recording(path, name, section, told)
        except (ScalingError, OSError) as error:
            report.skipped[name] = str(error)
            yield None
            continue
        used += 1
        corrected += "fps_said" in recording.about
        upright += is_upright(joints)
        yield recording, joints
    _require_some(used, section, report)
    for name in sorted(set(table or ()) - set(names)):
        report.skipped[name] = "it has captions and no file"
    if table is None:
        report.notes.append("captions are the files' names, for there is no table")
    if not upright:
        report.notes.append(
            "THE BODY LIES DOWN in every file: is the axis that points up the one that "
            "corpus.up (--up) names?"
        )
    if corrected:
        report.notes.append(
            f"{corrected} files of CMU subjects captured at 60 fps are read as such, "
            "though they say 120; a column fps in the table of captions overrides this"
        )


def _names(paths: list[Path], folder: Path) -> list[str]:
    """Name files by their stems, or by their paths where stems repeat."""
    stems = [path.stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    return [path.relative_to(folder).with_suffix("").as_posix() for path in paths]


def _told(name: str, table: Mapping[str, Told] | None) -> Told:
    if table is None:
        return Told(captions=[re.sub(r"[\W_]+", " ", name).strip() or name])
    told = table.get(name)
    if told is None or not told.captions:
        raise ScalingError("no caption with words in the table; add a row of its name")
    return told


def is_upright(joints: Array) -> bool:
    """Whether the head is above the pelvis most of the time, (T, 22, 3)."""
    neck, pelvis = JOINTS.index("neck"), JOINTS.index("pelvis")
    spine = unit(joints[:, neck] - joints[:, pelvis])
    return bool(np.median(spine[:, 1]) > 0.5)


def _recording(
    path: Path, name: str, section: Section, told: Told
) -> tuple[Recording, Array]:
    lead = section.lead_in if told.lead is None else told.lead
    fps = told.fps or section.fps
    about: dict[str, Any] = {"file": path.name, "lead_in": lead}
    if isinstance(section, BvhCorpus):
        joints, about["fps"], said = _read_bvh(path, fps, lead)
        if said != about["fps"] and not fps:
            about["fps_said"] = said
    else:
        joints, about["fps"] = _read_npz(path, fps, lead, section.up)
    recording = Recording(
        name=name,
        split=told.split or split_of(name),
        captions=tuple(told.captions),
        clips=windows(len(joints)),
        about=about,
    )
    return recording, joints


def _read_bvh(path: Path, fps: float | None, lead: int) -> tuple[Array, float, float]:
    """Read the joints, their true rate, and the one that the file says."""
    motion = parse(path.read_text(encoding="utf-8-sig", errors="replace"))
    rate = fps or _cmu_fps(path.stem, motion.fps) or motion.fps
    every = stride(rate) or 1  # frames that fall out need not be placed
    frames = _after(lead, motion.frames)[::every]
    joints = resample(positions(replace(motion, frames=frames)), rate / every)
    return retarget(joints, motion.names), rate, motion.fps


def _read_npz(path: Path, fps: float | None, lead: int, up: str) -> tuple[Array, float]:
    """Read the first 22 of the joints, and their rate."""
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            joints = np.asarray(arrays.get("joints", ()), np.float64)
            rates = [float(arrays[key].item()) for key in RATES if key in arrays]
    except UNREADABLE:
        raise ScalingError(
            "it is no npz file of numbers, of which the frame rate is one; get it anew"
        ) from None
    if joints.ndim != 3 or joints.shape[1] < NUM_JOINTS or joints.shape[2] != 3:
        raise ScalingError(
            f"its joints have shape {joints.shape}; expected an array 'joints' of "
            f"(frames, {NUM_JOINTS} or more, 3)"
        )
    rate = fps or next(iter(rates), None)
    if rate is None:
        raise ScalingError(f"it holds none of {', '.join(RATES)}; give corpus.fps")
    body = checked_joints(_after(lead, joints)[:, :NUM_JOINTS], frames=2)
    body = resample(y_up(body) if up == "z" else body, rate)
    return retarget(body, JOINTS), rate


def _after(lead: int, frames: Array) -> Array:
    if len(frames) - lead < 2:
        raise ScalingError(
            f"{len(frames)} frames, of which {lead} are dropped; expected 2 left, at "
            "least"
        )
    return frames[lead:]


def _cmu_fps(stem: str, said: float) -> float | None:
    """Give the true rate of a CMU trial whose file is known to say another.

    >>> _cmu_fps("60_08", 120.0), _cmu_fps("07_01", 120.0), _cmu_fps("60_08", 60.0)
    (60.0, None, None)
    """
    trial = re.fullmatch(r"(\d{1,3})_\d\d", stem)
    slow = trial is not None and int(trial[1]) in CMU_60_FPS
    return 60.0 if slow and round(said) == 120 else None


def windows(frames: int) -> tuple[tuple[int, int], ...]:
    """Cut a sequence into as few equal clips as may be.

    >>> windows(400)
    ((0, 133), (133, 267), (267, 400))
    """
    if frames < SHORTEST:
        raise ScalingError(f"{frames} frames at {FPS} fps; expected {SHORTEST} or more")
    bounds = np.linspace(0, frames, ceil(frames / LONGEST) + 1).round().astype(int)
    return tuple(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))


def split_of(name: str) -> str:
    """Draw the split of a sequence by its name: 80 % train, 5 % val, 15 % test."""
    drawn = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32
    return "train" if drawn < 0.8 else "val" if drawn < 0.85 else "test"


def _require_some(used: int, section: Section, report: Report) -> None:
    if not used:
        name, reason = next(iter(report.skipped.items()))
        raise ScalingError(
            f"corpus.path: none of the {len(report.skipped)} files in {section.path} "
            f"can be used; the first, {name}: {reason}"
        )


_SAID = re.compile(
    rb"Frames:\s*(\d{1,9})\s+Frame\s+Time:\s*(\d*\.?\d+(?:e[-+]?\d\d?)?)\s",
    re.IGNORECASE,
)


def _frames_said(path: Path, fps: float | None) -> int:
    """Frames at 20 fps that a file promises, or 0."""
    if path.suffix.lower() == ".bvh":
        said = _SAID.search(path.read_bytes())
        seconds = float(said[1]) * (1 / fps if fps else float(said[2])) if said else 0
        return int(seconds * FPS)
    # as if 22 joints in float32 and nothing else were in it, uncompressed
    frames = path.stat().st_size / (NUM_JOINTS * 3 * 4)
    return int(frames * FPS / (fps or 120))
