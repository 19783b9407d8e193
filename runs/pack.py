"""Packs: captured motion of 22 joints in two files, sequences cut into clips.

`joints.npz` holds `root` (frames, 3), the pelvis in metres, and `local_delta`
(63, frames), the other joints from the pelvis as differences over time of 0.1 mm;
`sequences.jsonl` says which frames are which sequence, and how it is cut and captioned.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.models.skeleton import NUM_JOINTS, Array, canonical, mirror

FILES = ("joints.npz", "sequences.jsonl")
"""What the folder of a pack holds."""

FIELDS = {"id", "captions", "split", "start", "clips"}
"""What `sequences.jsonl` says of a sequence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One clip of a pack, or the mirror image of one."""

    name: str
    """Sequence and number of the clip; M before it for an image."""
    split: str
    """`train`, `val` or `test`."""
    captions: tuple[str, ...]
    """What it shows, left and right swapped for an image."""
    first: int
    """First frame in the pack."""
    last: int
    """Frame after its last."""
    is_image: bool
    """Whether it is the mirror image."""

    def joints(self, pack: NDArray[np.float32]) -> Array:
        """Cut the clip out of a pack's joints (frames, 22, 3), and put it in place."""
        clip = canonical(pack[self.first : self.last].astype(np.float64))
        return canonical(mirror(clip)) if self.is_image else clip


def entries(folder: Path, *, mirrored: bool) -> list[Entry]:
    """List the clips of a pack, and the images of its training clips on demand.

    Raises
    ------
    ScalingError
        If a line is not a JSON object with the fields of a sequence.
    """
    found = []
    for row in _sequences(folder / "sequences.jsonl"):
        for number, (first, last) in enumerate(row["clips"]):
            clip = Entry(
                name=f"{row['id']}.{number}",
                split=row["split"],
                captions=tuple(row["captions"]),
                first=row["start"] + first,
                last=row["start"] + last,
                is_image=False,
            )
            found.append(clip)
            if mirrored and clip.split == "train":
                found.append(_image(clip))
    return found


def read_joints(folder: Path) -> NDArray[np.float32]:
    """Read the joints of all sequences after one another, (frames, 22, 3) in metres."""
    arrays = np.load(folder / "joints.npz")
    root = arrays["root"][:, None]
    # the deltas wrap around in int16, and so must their sum
    offsets = np.cumsum(arrays["local_delta"], axis=1, dtype=np.int16)
    local = offsets.T.reshape(-1, NUM_JOINTS - 1, 3).astype(np.float32) / 1e4
    return np.concatenate([root, root + local], axis=1)


def _sequences(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict) or not row.keys() >= FIELDS:
            raise ScalingError(
                f"{path}:{number} is no sequence; expected a JSON object with "
                f"{', '.join(sorted(FIELDS))}: mend that line"
            )
        rows.append(row)
    return rows


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
