"""A corpus by the name that a user gives it: a grid file, a folder, or one word.

A folder may be a pack, HumanML3D, files of motion capture, a run store that has built
its corpus, or the folder of that corpus.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from scaling.errors import ScalingError
from scaling.files import read_json
from scaling.models.motion import recover
from scaling.models.skeleton import Array, canonical
from scaling.runs import corpora, mocap, pack
from scaling.runs.corpora import Corpus
from scaling.runs.grid import load_grid
from scaling.runs.sections import (
    BvhCorpus,
    CorpusSection,
    HumanML3DCorpus,
    JointsCorpus,
    KinematicCorpus,
    MotionSection,
    PackedCorpus,
    TextCorpus,
    TokensCorpus,
)
from scaling.runs.sources import Report, Source

Kind = Literal["packed", "humanml3d", "bvh", "joints"]
"""What a folder may hold."""

SOURCE_FIELDS = ("source", "subset", "content", "style", "subject")
"""Fields of a pack's sequences that may say where they come from, the best first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A corpus that can be described."""

    name: str
    """What to call it."""
    corpus: Corpus
    """Its clips and features."""
    source_of: Mapping[str, str]
    """Source of every clip, by the clip's name; empty where none is known."""
    report: Report
    """What was left out, and why."""


@contextmanager
def opened(
    name: str, kind: Kind | None, progress: Callable[[int, int], None]
) -> Iterator[Opened]:
    """Build a corpus in a folder of its own, or find it built, and forget it again.

    Raises
    ------
    ScalingError
        If the name is no corpus, or the corpus cannot be built.
    """
    folder = built_folder(name)
    if folder and not kind:
        path = folder / "skipped.json"
        report = Report(**read_json(path)) if path.exists() else Report()
        corpus = corpora.load(folder)
        yield Opened(name=_called(name), corpus=corpus, source_of={}, report=report)
        return
    section = section_of(name, kind)
    with tempfile.TemporaryDirectory(prefix="scaling-") as temporary:
        corpora.build(section, Path(temporary), progress)
        corpus = corpora.load(Path(temporary))
        yield Opened(
            name=_called(name),
            corpus=corpus,
            source_of=_sources(section, corpus),
            report=Report(**read_json(Path(temporary) / "skipped.json")),
        )


def section_of(name: str, kind: Kind | None = None) -> MotionSection:
    """Find the corpus that a name means.

    Parameters
    ----------
    name : str
        A grid file, a folder, or the word `kinematic`.
    kind : {"packed", "humanml3d", "bvh", "joints"}, optional
        What the folder holds; by default found from its files.

    Raises
    ------
    ScalingError
        If there is no such file or folder, or nothing in it is motion.
    """
    path = Path(name)
    if path.is_dir():
        kind = kind or _kind(path)
        match kind:
            case "packed":
                return PackedCorpus(kind=kind, path=name)
            case "humanml3d":
                return HumanML3DCorpus(kind=kind, path=name)
            case "bvh":
                return BvhCorpus(kind=kind, path=name)
            case "joints":
                return JointsCorpus(kind=kind, path=name)
    if name == "kinematic":
        return KinematicCorpus()
    if path.suffix.lower() in (".yaml", ".yml") and not kind:
        section = load_grid(path).corpus
        if isinstance(section, TextCorpus | TokensCorpus):
            raise corpora.no_motion(name)
        return section
    raise ScalingError(
        f"{name} is no corpus; expected a grid file (.yaml), a folder"
        + ("" if kind else " or the word kinematic")
        + ": name one that is there"
    )


def _kind(folder: Path) -> Kind:
    """Find what a folder holds from its files."""
    if all((folder / name).exists() for name in pack.FILES):
        return "packed"
    if (folder / "new_joint_vecs").is_dir():
        return "humanml3d"
    for path in folder.rglob("*"):
        if path.suffix.lower() == ".bvh":
            return "bvh"
        if path.suffix.lower() == ".npz":
            return "joints"
    raise ScalingError(
        f"{folder} holds no motion; expected a pack ({', '.join(pack.FILES)}), "
        "HumanML3D (new_joint_vecs), *.bvh or *.npz files, or a run store with its "
        "corpus: name such a folder"
    )


def built_folder(name: str) -> Path | None:
    """Find the built corpus that a folder is, or that a run store holds."""
    folders = [Path(name), *sorted(Path(name).glob("corpus-*"))]
    return next((each for each in folders if (each / "clips.json").exists()), None)


def _called(name: str) -> str:
    return Path(name).resolve().stem if Path(name).exists() else name


# --- where clips come from ---


def _sources(section: CorpusSection, corpus: Corpus) -> dict[str, str]:
    """Name the source of every clip, or none at all."""
    match section:
        case PackedCorpus():
            of_sequence = _pack_sources(pack.recordings(Path(section.path)))
        case BvhCorpus() | JointsCorpus():
            of_sequence = _folders(section)
        case _:
            of_sequence = {}
    found = {}
    for clip in corpus.clips if of_sequence else ():
        sequence = clip.name.rpartition(".")[0]
        if sequence not in of_sequence:  # a mirror image
            sequence = sequence.removeprefix("M")
        found[clip.name] = of_sequence[sequence]
    return found


def _pack_sources(recordings: list[pack.Recording]) -> dict[str, str]:
    """Take the first field that all sequences have, and that many of them share."""
    for field in SOURCE_FIELDS:
        values = [str(recording.about.get(field, "")) for recording in recordings]
        if all(values) and 2 * len(set(values)) <= len(values):
            names = [recording.name for recording in recordings]
            return dict(zip(names, values, strict=True))
    return {}


def _folders(section: BvhCorpus | JointsCorpus) -> dict[str, str]:
    """Take the folders that the files lie in, if there are several."""
    top = Path(section.path)
    found = {}
    for path in mocap.motion_files(section):
        inside = path.relative_to(top)
        # files are named by their stems, or by their paths where stems repeat
        for name in (path.stem, inside.with_suffix("").as_posix()):
            found[name] = inside.parts[0] if len(inside.parts) > 1 else "."
    return found if len(set(found.values())) > 1 else {}


# --- motion by motion ---


def motions(name: str, kind: Kind | None) -> Iterator[Source]:
    """Yield the clips of a corpus one by one, without building it.

    Their motion is joints, or features where those are all there is.
    """
    folder = built_folder(name)
    if folder and not kind:
        corpus = corpora.load(folder)
        for clip in corpus.clips:
            yield Source(
                name=clip.name,
                split=clip.split,
                captions=clip.captions,
                motion=corpus.unnormalised(corpus.motion(clip)),
            )
        return
    for group in corpora.reading(section_of(name, kind), Report()).groups:
        yield from group


def joints_of(source: Source) -> Array:
    """Give the joints of a clip, (T, 22, 3) in metres, rebuilt if it has none."""
    motion = np.asarray(source.motion, np.float64)
    return motion if motion.ndim == 3 else canonical(recover(motion))


def find_clips(
    name: str, kind: Kind | None, clip: str | None, first: int = 3
) -> list[Source]:
    """Find one clip by its name, or the first of the test split, or else of all.

    Raises
    ------
    ScalingError
        If there is no clip of that name.
    """
    if clip is None:
        tested = (each for each in motions(name, kind) if each.split == "test")
        found = list(islice(tested, first))
        return found or list(islice(motions(name, kind), first))
    seen = []
    for source in motions(name, kind):
        if source.name == clip:
            return [source]
        seen.append(source.name)
    raise ScalingError(f"{name} has no clip {clip!r}; {_near(clip, seen)}")


def _near(name: str, names: list[str]) -> str:
    """Say which names are near one; of thousands, not all can be listed."""
    close = get_close_matches(name, names, n=3)
    shown = close or names[:3]
    words = "did you mean" if close else f"expected one of {len(names):,}, such as"
    return f"{words} {', '.join(map(repr, shown))}" + ("?" if close else "")
