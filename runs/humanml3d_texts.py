"""HumanML3D's captions: read from its texts, or given to windows of CMU's trials.

A line is caption#tokens#from#to; a caption whose times in seconds are not both 0 tells
of that part alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.errors import ScalingError
from scaling.models.skeleton import FPS
from scaling.runs.sources import Report, has_words


@dataclass(frozen=True, slots=True)
class Caption:
    """A line of a file of texts."""

    text: str
    """What the motion shows."""
    span: tuple[int, int] | None
    """First frame that it tells of and the frame after the last; None: the whole."""


def read_captions(path: Path, report: Report) -> list[Caption]:
    """Read a file of texts; lines without words or with odd times are reported.

    Raises
    ------
    ScalingError
        If there is no such file, or none of its captions has words.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        raise ScalingError(
            f"no file texts/{path.name}; expected its captions: add it"
        ) from None
    except UnicodeDecodeError:
        raise ScalingError(f"texts/{path.name} is not UTF-8: save it anew") from None
    captions = []
    for number, line in enumerate(lines, 1):
        text, *rest = line.strip().split("#")
        try:
            span = _span(*rest[1:3])
        except (ValueError, OverflowError):
            reason = f"its times {rest[1:3]} are no seconds"
            report.skipped[f"{path.name}:{number}"] = reason
            continue
        if has_words(text):
            captions.append(Caption(text, span))
    if not captions:
        raise ScalingError(f"texts/{path.name} has no caption with words: add one")
    return captions


def _span(begin: str = "0", end: str = "0") -> tuple[int, int] | None:
    """Frames between two times in seconds, or None if both are 0 or not a number.

    >>> _span("1.5", "4.0"), _span("0.0", "nan")
    ((30, 80), None)
    """
    seconds = [0.0 if math.isnan(t) else t for t in (float(begin), float(end))]
    if min(seconds) < 0:
        raise ValueError
    return (int(FPS * seconds[0]), int(FPS * seconds[1])) if any(seconds) else None


class Texts:
    """HumanML3D's captions for windows of the trials that its clips were cut from.

    A sequence says so in `h3d`, [[name, first, last], ...] in frames of the trial at
    20 fps, of which its own first is `lead`.
    """

    def __init__(self, folder: Path, report: Report) -> None:
        self.folder = folder
        self.report = report
        self.attached = 0
        self._read: dict[str, list[Caption]] = {}

    def require(self, sequences: Iterable[Mapping[str, Any]]) -> None:
        """Refuse a folder that is none, and sequences without `h3d`."""
        if not self.folder.is_dir():
            raise ScalingError(
                f"corpus.humanml3d_texts: {self.folder} is no folder; expected "
                "HumanML3D's texts: name it"
            )
        if not any(sequence.get("h3d") for sequence in sequences):
            raise ScalingError(
                "corpus.humanml3d_texts: no sequence of the pack has an h3d field; "
                "expected [[name, first, last], ...]: remove humanml3d_texts"
            )

    def of(self, sequence: Mapping[str, Any], first: int, last: int) -> list[str]:
        """Captions of frames of a sequence: those whose span and these overlap.

        The overlap must be half of the shorter one, at least.
        """
        lead = sequence.get("lead", 0)
        window = (first + lead, last + lead)
        found = []
        for name, begin, end in sequence.get("h3d", []):
            for caption in self._captions(name):
                a, b = caption.span or (0, end - begin)
                if _overlaps(window, (begin + a, min(begin + b, end))):
                    found.append(caption.text)
        self.attached += bool(found)
        return found

    def _captions(self, name: str) -> list[Caption]:
        if name not in self._read:
            try:
                path = self.folder / f"{name}.txt"
                self._read[name] = read_captions(path, self.report)
            except ScalingError as error:
                self.report.skipped[f"h3d {name}"] = str(error)
                self._read[name] = []
        return self._read[name]


def _overlaps(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Tell whether two spans share half of the shorter one.

    >>> _overlaps((0, 100), (60, 140)), _overlaps((0, 100), (59, 139))
    (True, True)
    >>> _overlaps((0, 100), (61, 141)), _overlaps((0, 10), (10, 10))
    (False, False)
    """
    shared = min(one[1], other[1]) - max(one[0], other[0])
    shorter = min(one[1] - one[0], other[1] - other[0])
    return shared > 0 and 2 * shared >= shorter
