"""What a corpus is made of: motions with captions, from wherever they come.

`kinematic`, `pack`, `humanml3d` and `mocap` yield sources; `corpora` makes features of
them. A file that cannot be used stands in the report, and the others go on.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from tokenize import TokenError
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "val", "test")

UNREADABLE = (
    *(OSError, ValueError, TypeError, LookupError, EOFError, MemoryError),
    *(BadZipFile, zlib.error, TokenError),
)
"""What numpy raises over a file that is not arrays of numbers, or is damaged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One captioned clip."""

    name: str
    """Unique in the corpus."""
    split: str
    """`train`, `val` or `test`."""
    captions: tuple[str, ...]
    """What it shows, in one or more wordings."""
    motion: NDArray[np.floating]
    """Canonical joints at 20 fps, (T, 22, 3) in metres, or the features (T, 263) that
    someone else made of them."""


@dataclass(frozen=True, slots=True)
class Report:
    """What reading a corpus left out, and what it took for granted."""

    skipped: dict[str, str] = field(default_factory=dict)
    """Why a clip, a file or a row of captions is not in the corpus, by its name."""
    notes: list[str] = field(default_factory=list)
    """Sentences on what the reader decided by itself."""


class Reading(NamedTuple):
    """A corpus as it is being read."""

    steps: int
    """Files, sequences or clips to go through, for the progress."""
    groups: Iterator[list[Source]]
    """What each of them gives: one clip, several or none."""


def has_words(caption: str) -> bool:
    """Tell whether a caption says anything.

    >>> has_words("walks"), has_words(" - ")
    (True, False)
    """
    return re.search(r"\w", caption) is not None
