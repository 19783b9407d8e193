"""Import motion from files that others wrote, as a pack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from scaling.errors import ScalingError
from scaling.files import write_json
from scaling.models.skeleton import Array
from scaling.runs import humanml3d, mocap, pack
from scaling.runs.named_corpus import joints_of
from scaling.runs.pack import Recording
from scaling.runs.sections import (
    BvhCorpus,
    HumanML3DCorpus,
    JointsCorpus,
    PackedCorpus,
)
from scaling.runs.sources import Reading, Report

REBUILT = (
    "joints are rebuilt from the published features, which do not hold the path of a "
    "body whose facing crosses -Z; to train on the features as they are, name the "
    "folder in a grid, kind: humanml3d"
)

Imported = BvhCorpus | JointsCorpus | HumanML3DCorpus | PackedCorpus


def import_pack(
    section: Imported, out: Path, progress: Callable[[int, int], None]
) -> tuple[list[Recording], Report]:
    """Read a corpus of files and write it as a pack.

    Parameters
    ----------
    section : BvhCorpus, JointsCorpus, HumanML3DCorpus or PackedCorpus
        What to read. Of a pack, its clips are made sequences of their own, which is of
        use where they are given captions of HumanML3D.
    out : Path
        A new or empty folder.
    progress : callable
        Told how many sequences are read, and of how many files or clips.

    Returns
    -------
    recordings : list of Recording
        The sequences written.
    report : Report
        What was left out, by name, and what was taken for granted.

    Raises
    ------
    ScalingError
        If the folder holds anything, or nothing can be imported.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ScalingError(
            f"{out} is there already and not empty; expected a new folder: name another"
        )
    report = Report()
    total, found = _sequences(section, report)

    def counted() -> Iterator[tuple[Recording, Array]]:
        for number, each in enumerate(found, 1):
            yield each
            progress(number, total)

    recordings = pack.write(out, counted())
    write_json(out / "skipped.json", asdict(report))
    return recordings, report


def _sequences(
    section: Imported, report: Report
) -> tuple[int, Iterator[tuple[Recording, Array]]]:
    match section:
        case BvhCorpus() | JointsCorpus():
            total = len(mocap.motion_files(section))
            return total, mocap.recordings(section, report)
        case HumanML3DCorpus():
            report.notes.append(REBUILT)
            reading = humanml3d.sources(Path(section.path), report)
        case PackedCorpus():
            reading = pack.sources(section, report)
    return reading.steps, _clips(reading)


def _clips(reading: Reading) -> Iterator[tuple[Recording, Array]]:
    """Make every clip a sequence of its own."""
    for source in (source for group in reading.groups for source in group):
        joints = joints_of(source)
        recording = Recording(
            name=source.name,
            split=source.split,
            captions=source.captions,
            clips=((0, len(joints)),),
        )
        yield recording, joints
