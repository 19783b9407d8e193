"""Text corpora: files cut into pieces that are the same for every codebook.

A corpus folder holds `text.bin`, the bytes of all pieces after one another,
`clips.json`, and `skipped.json`. All pieces of a file are in one split, drawn by a hash
of what the file holds, so that copies of a file are too.
"""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.files import read_json, write_json
from scaling.runs.captioned import Captioned, Item
from scaling.runs.mocap import split_of
from scaling.runs.sections import TextCorpus
from scaling.runs.sources import SPLITS, Report

TEXT = "text.bin"
"""The bytes of all pieces."""

STANDARD_LIBRARY = "stdlib"
"""The path that stands for the sources of the Python that runs this."""

NOT_OF_IT = (
    *("site-packages", "dist-packages", "_sysconfigdata*"),  # of one machine
    *("test", "tests", "idle_test"),  # more than all the rest, and not on every machine
    *("encodings", "pydoc_data"),  # tables of one pattern, and one file of 0.7 MB
)
"""What is left out of the standard library."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece(Item):
    """A piece of one file."""

    start: int
    """Its first byte in the corpus."""
    size: int
    """Bytes."""


@dataclass(frozen=True, kw_only=True)
class Texts(Captioned[Piece]):
    """A text corpus as it lies on disk."""

    content: NDArray[np.uint8]
    """Bytes of all pieces, mapped from disk."""

    def text(self, piece: Piece) -> str:
        """Text of a piece."""
        found = self.content[piece.start : piece.start + piece.size]
        return found.tobytes().decode()

    def amount(self, split: str) -> Mapping[str, float]:
        """Bytes of a split."""
        return {"byte": sum(piece.size for piece in self.split(split))}


# --- reading ---


def home(section: TextCorpus) -> Path:
    """Folder of the files."""
    if section.path == STANDARD_LIBRARY:
        return Path(sysconfig.get_paths()["stdlib"])
    return Path(section.path)


def files(section: TextCorpus) -> list[Path]:
    """List the files of a corpus by name.

    Raises
    ------
    ScalingError
        If there is none.
    """
    folder, left_out = home(section), section.exclude
    if left_out is None:
        left_out = NOT_OF_IT if section.path == STANDARD_LIBRARY else ()

    def kept(path: Path) -> bool:
        parts = path.relative_to(folder).parts
        return not any(fnmatch(part, name) for part in parts for name in left_out)

    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.name.endswith(section.suffixes) and path.is_file() and kept(path)
    ]
    if not found:
        raise ScalingError(
            f"corpus.path: {section.path} holds no file whose name ends in "
            f"{', '.join(section.suffixes)}; name another folder, or set suffixes"
        )
    return found


def pieces(text: bytes, longest: int) -> Iterator[bytes]:
    r"""Cut UTF-8 text into pieces of so many bytes at most, at line ends if it can.

    >>> list(pieces(b"one\ntwo\nthree", 10))
    [b'one\ntwo\n', b'three']
    """
    start = 0
    while len(text) - start > longest:
        stop = text.rfind(b"\n", start, start + longest) + 1
        if not stop:
            stop = start + longest
            while text[stop] & 0xC0 == 0x80:  # inside a letter of several bytes
                stop -= 1
        yield text[start:stop]
        start = stop
    if start < len(text):
        yield text[start:]


class _Part(NamedTuple):
    """A piece on its way to the disk."""

    name: str
    split: str
    caption: str
    text: bytes


def build(
    section: TextCorpus, folder: Path, progress: Callable[[int, int], None]
) -> dict[str, float]:
    """Write a corpus' folder.

    Returns
    -------
    dict
        Pieces and bytes, by split; pieces of the test split whose very text the
        training split has; how many files were left out.
    """
    report = Report()
    tested: list[_Part] = []
    clips: list[Piece] = []
    trained: set[bytes] = set()
    with (folder / TEXT).open("wb") as file:

        def write(part: _Part) -> None:
            clip = Piece(
                name=part.name,
                split=part.split,
                captions=(part.caption,),
                start=file.tell(),
                size=len(part.text),
            )
            clips.append(clip)
            file.write(part.text)

        for part in _parts(section, report, progress):
            if part.split == "test":
                tested.append(part)
                continue
            write(part)
            if part.split == "train":
                trained.add(_hash(part.text))
        tested = _chosen(tested, section.test_pieces)
        for part in tested:
            write(part)
    _check(clips, report)
    write_json(folder / "clips.json", {"clips": [asdict(clip) for clip in clips]})
    write_json(folder / "skipped.json", asdict(report))
    known = sum(_hash(part.text) in trained for part in tested)
    return {
        **_summary(clips),
        "test_pieces_in_train": known,
        "skipped": len(report.skipped),
    }


def load(folder: Path) -> Texts:
    """Read what `build` wrote; the text stays on disk until it is touched."""
    rows = read_json(folder / "clips.json")["clips"]
    return Texts(
        clips=tuple(
            Piece(**{**row, "captions": tuple(row["captions"])}) for row in rows
        ),
        content=np.memmap(folder / TEXT, np.uint8, "r"),
    )


def _parts(
    section: TextCorpus, report: Report, progress: Callable[[int, int], None]
) -> Iterator[_Part]:
    found = files(section)
    for number, path in enumerate(found, 1):
        name = path.relative_to(home(section)).as_posix()
        try:
            content = path.read_bytes()
            split = split_of(content.decode())
        except OSError as error:
            report.skipped[name] = str(error.strerror)
        except UnicodeDecodeError:
            report.skipped[name] = "not UTF-8 text"
        else:
            caption = words(name) if section.prefix == "path" else ""
            for place, text in enumerate(pieces(content, section.piece)):
                yield _Part(f"{name}.{place}", split, caption, text)
        progress(number, len(found))


def words(name: str) -> str:
    """Read a file's path as words.

    >>> words("email/mime/_text_parts.py")
    'email mime text parts'
    """
    return " ".join(re.findall(r"[^\W_]+", name.rpartition(".")[0]))


def _chosen(parts: Sequence[_Part], most: int | None) -> list[_Part]:
    """Draw so many parts at most, whatever their order; keep the order."""
    if most is None or len(parts) <= most:
        return list(parts)
    drawn = sorted(range(len(parts)), key=lambda n: _hash(parts[n].text))[:most]
    return [parts[n] for n in sorted(drawn)]


def _hash(text: bytes) -> bytes:
    return sha256(text).digest()


def _check(clips: Sequence[Piece], report: Report) -> None:
    for split in ("train", "test"):
        if not any(clip.split == split for clip in clips):
            raise ScalingError(
                f"corpus.path: no file is drawn for the {split} split, of which "
                f"{len(report.skipped)} are left out; files are drawn whole: use more "
                "of them"
            )


def _summary(clips: Sequence[Piece]) -> dict[str, float]:
    summary: dict[str, float] = {}
    for split in SPLITS:
        sizes = [clip.size for clip in clips if clip.split == split]
        summary[f"{split}_pieces"] = len(sizes)
        summary[f"{split}_bytes"] = sum(sizes)
    return summary
