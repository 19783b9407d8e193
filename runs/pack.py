"""Packs: captured motion of 22 joints in two files, sequences cut into clips.

`joints.npz` holds `root` (frames, 3), the pelvis in metres, and `local_delta`
(63, frames), the other joints from the pelvis as differences over time of 0.1 mm;
`sequences.jsonl` says which frames are which sequence, and how it is cut and captioned.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.files import write_aside, write_text
from scaling.models.skeleton import NUM_JOINTS, Array, canonical, checked_joints, mirror
from scaling.runs.humanml3d_texts import Texts
from scaling.runs.sections import PackedCorpus
from scaling.runs.sources import SPLITS, UNREADABLE, Reading, Report, Source, has_words

FILES = ("joints.npz", "sequences.jsonl")
"""What the folder of a pack holds."""

FIELDS = {"id", "captions", "split", "start", "clips"}
"""What `sequences.jsonl` says of a sequence."""

STEPS = np.float32(1e4)
"""Steps of `local_delta` per metre."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """What is known of one sequence."""

    name: str
    """Unique in the corpus."""
    split: str
    """`train`, `val` or `test`."""
    captions: tuple[str, ...]
    """What it shows."""
    clips: tuple[tuple[int, int], ...]
    """First frame of each clip, and the frame after its last, in the sequence."""
    start: int = 0
    """First frame of the sequence in the joints that it is cut from."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else is known, such as the file it comes from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One clip of a sequence, or the mirror image of one."""

    name: str
    """Sequence and number of the clip; M before it for an image."""
    split: str
    """`train`, `val` or `test`."""
    captions: tuple[str, ...]
    """What it shows, left and right swapped for an image."""
    first: int
    """First frame in the joints."""
    last: int
    """Frame after its last."""
    is_image: bool
    """Whether it is the mirror image."""

    def source(self, joints: NDArray[np.floating]) -> Source:
        """Cut the clip out of joints (frames, 22, 3), and put it in place.

        Raises
        ------
        ScalingError
            If it ends after them, or has a joint that is not finite.
        """
        if self.last > len(joints):
            raise ScalingError(
                f"clip {self.name} ends at frame {self.last} of {len(joints)}; "
                "expected joints.npz and sequences.jsonl of one pack: get both anew"
            )
        clip = canonical(joints[self.first : self.last].astype(np.float64))
        return Source(
            name=self.name,
            split=self.split,
            captions=self.captions,
            motion=canonical(mirror(clip)) if self.is_image else clip,
        )


def sources(section: PackedCorpus, report: Report) -> Reading:
    """Read the clips of a pack, images of the training clips among them on demand.

    Raises
    ------
    ScalingError
        If a line of `sequences.jsonl` is no sequence, or texts of HumanML3D are to be
        attached and no sequence says which are its.
    """
    folder = Path(section.path)
    found = recordings(folder)
    texts = None
    if section.humanml3d_texts:
        texts = Texts(Path(section.humanml3d_texts), report)
        texts.require([recording.about for recording in found])

    def groups() -> Iterator[list[Source]]:
        joints = read_joints(folder)
        for recording in found:
            clips = entries(recording, mirrored=section.mirror, texts=texts)
            mute = [clip.name for clip in clips if not clip.captions]
            report.skipped.update(dict.fromkeys(mute, "no caption with words"))
            yield [clip.source(joints) for clip in clips if clip.captions]
        if texts:
            report.notes.append(f"{texts.attached} clips have captions of HumanML3D")

    return Reading(len(found), groups())


def files(section: PackedCorpus) -> list[Path]:
    """List all files that determine the corpus."""
    folder = Path(section.path)
    found = [folder / name for name in FILES]
    if section.humanml3d_texts:
        texts = Path(section.humanml3d_texts)
        told = {row[0] for r in recordings(folder) for row in r.about.get("h3d", [])}
        found += [
            p for p in (texts / f"{name}.txt" for name in sorted(told)) if p.exists()
        ]
    return found


def count_frames(section: PackedCorpus) -> int:
    """Count the frames of all clips, images among them."""
    found = recordings(Path(section.path))
    clips = [c for r in found for c in entries(r, mirrored=section.mirror)]
    return sum(clip.last - clip.first for clip in clips)


def recordings(folder: Path) -> list[Recording]:
    """List the sequences of a pack.

    Raises
    ------
    ScalingError
        If a line is not a JSON object with the fields of a sequence, or one holds
        something else than it should.
    """
    return [
        Recording(
            name=row["id"],
            split=row["split"],
            captions=tuple(filter(has_words, row["captions"])),
            clips=tuple((first, last) for first, last in row["clips"]),
            start=row["start"],
            about={key: row[key] for key in row.keys() - FIELDS},
        )
        for row in _rows(folder / "sequences.jsonl")
    ]


def entries(
    recording: Recording, *, mirrored: bool, texts: Texts | None = None
) -> list[Entry]:
    """List the clips of a sequence, with their images if it is for training."""
    found = []
    for number, (first, last) in enumerate(recording.clips):
        further = texts.of(recording.about, first, last) if texts else []
        clip = Entry(
            name=f"{recording.name}.{number}",
            split=recording.split,
            captions=tuple(dict.fromkeys([*further, *recording.captions])),
            first=recording.start + first,
            last=recording.start + last,
            is_image=False,
        )
        found.append(clip)
        if mirrored and clip.split == "train":
            found.append(_image(clip))
    return found


def read_joints(folder: Path) -> NDArray[np.float32]:
    """Read the joints of all sequences after one another, (frames, 22, 3) in metres.

    Raises
    ------
    ScalingError
        If that is not what the file holds.
    """
    try:
        with (folder / "joints.npz").open("rb") as file, np.load(file) as arrays:
            root = arrays["root"][:, None]
            # the deltas wrap around in int16, and so must their sum
            offsets = np.cumsum(arrays["local_delta"], axis=1, dtype=np.int16)
        local = offsets.T.reshape(-1, NUM_JOINTS - 1, 3).astype(np.float32) / STEPS
        return np.concatenate([root, root + local], axis=1)
    except UNREADABLE:
        raise ScalingError(
            f"{folder / 'joints.npz'} holds no joints; expected root (frames, 3) and "
            "local_delta (63, frames): get it anew"
        ) from None


def write(folder: Path, found: Iterable[tuple[Recording, Array]]) -> list[Recording]:
    """Write sequences and their joints (T, 22, 3) as a pack, exact to 0.05 mm.

    Returns
    -------
    list of Recording
        What `recordings` reads back.

    Raises
    ------
    ScalingError
        If the folder holds a pack, there is no sequence, or a joint is 3.27 m or more
        from its pelvis.
    """
    existing = [name for name in FILES if (folder / name).exists()]
    if existing:
        raise ScalingError(
            f"{folder} holds {existing[0]} already; expected a new folder: name another"
        )
    roots, offsets, rows = [], [], []
    start = 0
    for recording, motion in found:
        joints = checked_joints(motion, frames=1)
        local = np.round((joints[:, 1:] - joints[:, :1]) * STEPS)
        furthest = float(np.abs(local).max())
        if furthest > np.iinfo(np.int16).max:
            raise ScalingError(
                f"{recording.name}: a joint is {furthest / STEPS:.2f} m from the "
                "pelvis; expected less than 3.27 m: leave it out"
            )
        roots.append(joints[:, 0].astype(np.float32))
        offsets.append(local.astype(np.int16).reshape(len(local), -1))
        rows.append(_row(recording, start, len(joints)))
        start += len(joints)
    if not rows:
        raise ScalingError("no sequence is left to be packed; name other files")
    flat = np.concatenate(offsets).T
    root = np.concatenate(roots)
    deltas = np.diff(flat, axis=1, prepend=np.zeros((63, 1), np.int16))

    def save(path: Path) -> None:
        with path.open("wb") as file:  # savez would add a suffix to the name
            np.savez_compressed(file, root=root, local_delta=deltas)

    write_aside(folder / "joints.npz", save)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_text(folder / "sequences.jsonl", lines)
    return recordings(folder)


def _row(recording: Recording, start: int, frames: int) -> dict[str, Any]:
    return {
        **recording.about,
        "id": recording.name,
        "captions": recording.captions,
        "split": recording.split,
        "start": start,
        "frames": frames,
        "clips": recording.clips,
    }


def _rows(path: Path) -> list[dict[str, Any]]:
    rows = []
    with path.open(encoding="utf-8", errors="surrogateescape") as file:
        for number, line in enumerate(file, 1):
            row = _sequence(line)
            if row is None:
                raise ScalingError(
                    f"{path}:{number} is no sequence; expected a JSON object with "
                    f"{', '.join(sorted(FIELDS))}, a split of {', '.join(SPLITS)}, and "
                    "clips of whole numbers: mend that line"
                )
            rows.append(row)
    return rows


def _sequence(line: str) -> dict[str, Any] | None:
    """Read a line, or None if a field is missing or holds what it should not."""
    try:
        row: dict[str, Any] = json.loads(line)
        "".join(row["captions"]).encode()  # texts, and such as a file can hold
        clips = [range(first, last) for first, last in row["clips"]]
        starts = [range(row["start"]).stop, *(clip.start for clip in clips)]
        named = isinstance(row["id"], str) and isinstance(row["captions"], list)
        sound = named and row["split"] in SPLITS and min(starts) >= 0 and all(clips)
    except (TypeError, ValueError, LookupError):
        return None
    return row if sound else None


def _image(clip: Entry) -> Entry:
    return Entry(
        name=f"M{clip.name}",
        split=clip.split,
        captions=tuple(map(swap_sides, clip.captions)),
        first=clip.first,
        last=clip.last,
        is_image=True,
    )


_OTHER_SIDE = {
    "left": "right",
    "right": "left",
    "clockwise": "counterclockwise",
    "counterclockwise": "clockwise",
}


def swap_sides(caption: str) -> str:
    """Say of the mirror image what a caption says of the motion.

    >>> swap_sides("turns Left, waves the right hand clockwise")
    'turns right, waves the left hand counterclockwise'
    """
    return re.sub(
        rf"\b({'|'.join(_OTHER_SIDE)})\b",
        lambda match: _OTHER_SIDE[match.group().lower()],
        caption,
        flags=re.IGNORECASE,
    )
