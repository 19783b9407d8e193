"""Answers of a run to captions, beside the real clips, and the folder they go to.

The folder holds `motions.npz`, one `.bvh` per motion, and `generate.json`, which says
what each motion is, how it was drawn, and which files are this command's.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from scaling.files import write_aside, write_text
from scaling.models import bvh
from scaling.models.generation import Sampling
from scaling.record import Row
from scaling.runs import corpora, tokenize
from scaling.runs.trained import CaptionedMotion, TrainedRun

MANIFEST, MOTIONS, PAGE = "generate.json", "motions.npz", "index.html"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Answer:
    """What is to be seen for one caption."""

    number: int
    """Names its files; the first is 1."""
    generated: CaptionedMotion
    """The run's answer."""
    real: CaptionedMotion | None = None
    """A test clip that has this caption."""
    reconstructed: CaptionedMotion | None = None
    """The same clip through the tokenizer."""

    @property
    def motions(self) -> dict[str, CaptionedMotion]:
        """All motions by what they are."""
        found = {
            "real": self.real,
            "reconstructed": self.reconstructed,
            "generated": self.generated,
        }
        return {label: motion for label, motion in found.items() if motion is not None}

    @property
    def visible(self) -> dict[str, CaptionedMotion]:
        """Those that have a frame."""
        return {label: x for label, x in self.motions.items() if len(x.joints)}

    def name(self, label: str) -> str:
        """Name of a motion's files: `2` for what was generated, `2-real` and so on."""
        return f"{self.number}" if label == "generated" else f"{self.number}-{label}"


def answers(
    run: TrainedRun,
    captions: Sequence[str],
    *,
    sampling: Sampling,
    max_frames: int,
    min_frames: int = 0,
    compare: bool = False,
) -> list[Answer]:
    """Generate a motion for each caption.

    Parameters
    ----------
    run : TrainedRun
    captions : sequence of str
        One motion each.
    sampling : Sampling
        How tokens are drawn.
    max_frames, min_frames : int
        Longest and shortest motion.
    compare : bool
        Add the first test clip with the same caption, as it is and reconstructed, to
        the first motion of each caption.
    """
    generated = run.generate(
        captions, sampling=sampling, max_frames=max_frames, min_frames=min_frames
    )
    pairs = _real(run, captions) if compare else {}
    found = []
    for number, motion in enumerate(generated, 1):
        real, drawn = pairs.pop(_spelled(motion.caption), (None, None))
        found.append(
            Answer(number=number, generated=motion, real=real, reconstructed=drawn)
        )
    return found


def _real(
    run: TrainedRun, captions: Sequence[str]
) -> dict[str, tuple[CaptionedMotion, CaptionedMotion]]:
    """Find test clips by caption, and draw them through the tokenizer."""
    corpus = corpora.load(run.corpus_folder)
    wanted = {_spelled(caption) for caption in captions}
    clips = {  # of several clips with one caption the first stays
        _spelled(caption): (caption, clip)
        for clip in reversed(corpus.split("test"))
        for caption in clip.captions
        if _spelled(caption) in wanted
    }
    chosen = [clip for _, clip in clips.values()]
    codes = tokenize.encode(run.tokenizer, corpus, chosen)
    return {
        key: (
            CaptionedMotion.of(caption, row, corpus.unnormalised(corpus.motion(clip))),
            CaptionedMotion.of(caption, row, features),
        )
        for (key, (caption, clip)), row, features in zip(
            clips.items(), codes, run.draw(codes), strict=True
        )
    }


def _spelled(caption: str) -> str:
    """Two captions are the same where only case, spaces and a full stop differ."""
    return " ".join(caption.lower().split()).rstrip(".")


def notes(
    run: TrainedRun, found: Sequence[Answer], *, max_frames: int, compare: bool
) -> Iterator[str]:
    """Say what a user would not expect of the answers."""
    first = {answer.generated.caption: answer for answer in reversed(found)}
    captions = list(reversed(first))
    lengths = [len(text) for text in run.encode(captions)]
    for caption, length in zip(captions, lengths, strict=True):
        if not caption.split():
            yield "a caption without words: its motion follows none"
        if length >= run.section.text_length:
            yield (
                f"caption {_short(caption)} fills the {length} pieces that the run "
                "reads; what is beyond them has no effect"
            )
        if compare and first[caption].real is None:
            yield f"no test clip has the caption {_short(caption)}"
    room = run.frames_after(max(lengths))
    if room < max_frames:
        yield f"the run's context ends motions at {room} frames, not {max_frames}"
    for answer in found:
        if not len(answer.generated.tokens):
            yield (
                f"motion {answer.number} has no frame and no picture: the first token "
                "drawn was the end; another --seed may give one"
            )
    yield f"BVH: {bvh.TWIST}"


def _short(caption: str) -> str:
    return repr(textwrap.shorten(caption, 40, placeholder="…"))


# --- the folder ---


def files(found: Sequence[Answer]) -> list[str]:
    """Name all files of the folder, those that others draw included."""
    bodies = [
        f"{answer.name(label)}.bvh" for answer in found for label in answer.visible
    ]
    pictures = [f"{answer.number}.gif" for answer in found if answer.visible]
    return [MANIFEST, MOTIONS, *bodies, *pictures, *([PAGE] if pictures else [])]


def manifest(
    run: TrainedRun, found: Sequence[Answer], sampling: Sampling, max_frames: int
) -> Row:
    """Say what each motion is and how it was drawn."""
    return {
        "run": run.folder.name,
        "sampling": asdict(sampling),
        "max_frames": max_frames,
        "motions": [
            {
                "name": answer.name(label),
                "label": label,
                "caption": motion.caption,
                "tokens": len(motion.tokens),
                "seconds": motion.seconds,
            }
            for answer in found
            for label, motion in answer.motions.items()
        ],
        "files": files(found),
    }


def write_data(out: Path, found: Sequence[Answer]) -> None:
    """Write `motions.npz` and the BVH files.

    The archive has `1.tokens`, `1.features`, `1.joints`, `1-real.tokens` and so on,
    arrays as `CaptionedMotion` has them.
    """
    arrays = {
        f"{answer.name(label)}.{form}": getattr(motion, form)
        for answer in found
        for label, motion in answer.motions.items()
        for form in ("tokens", "features", "joints")
    }

    def write(aside: Path) -> None:
        with aside.open("wb") as file:
            np.savez(file, **arrays)

    write_aside(out / MOTIONS, write)
    for answer in found:
        for label, motion in answer.visible.items():
            write_text(out / f"{answer.name(label)}.bvh", bvh.write(motion.joints))
