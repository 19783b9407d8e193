"""The text job: the captions of a corpus as states of a frozen encoder.

Its folder gets `states.npy`, the states of all captions after one another (positions,
W), and `captions.json`, each caption's first position and the one after its last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.files import read_json, write_aside, write_json
from scaling.record import RESULT
from scaling.runs.text_cache import Cached
from scaling.runs.text_encoders import encoder

if TYPE_CHECKING:
    from scaling.models.text import Text, TextEncoder
    from scaling.record import Row
    from scaling.runs.captioned import Captioned, Item
    from scaling.runs.jobs import TextJob
    from scaling.runs.loop import Reporter
    from scaling.runs.sections import Transformers


Float32 = NDArray[np.float32]

VOCABULARY = "text.json"
"""The pieces that a run learnt with its model, in its folder."""

STATES, CAPTIONS = "states.npy", "captions.json"

ENCODED_AT_ONCE = 256
"""Captions between two reports of progress; so many are held in memory."""


@dataclass(frozen=True, slots=True)
class States:
    """Captions' states as they lie on disk."""

    states: Float32
    """Of all captions after one another, (positions, W), mapped from disk."""
    spans: dict[str, tuple[int, int]]
    """Each caption's first position, and the one after its last."""

    def __contains__(self, caption: str) -> bool:
        return caption in self.spans

    def __call__(self, captions: Sequence[str]) -> list[Float32]:
        """Give the states (P, W) of captions; nothing is read until they are used."""
        return [self.states[slice(*self.spans[caption])] for caption in captions]


def run(
    job: TextJob,
    corpus: Captioned[Item],
    folder: Path,
    reporter: Reporter,
    device: str = "cpu",
) -> Row:
    """Encode every caption of a corpus once; return the result."""
    section = job.section
    frozen = Cached(encoder(section.text_encoder, section.text_length, device=device))
    captions = {caption for clip in corpus.clips for caption in clip.captions}
    rows = _encoded(frozen, sorted(captions), reporter)
    spans = _write_states(folder / STATES, rows, frozen.width)
    write_json(folder / CAPTIONS, spans)
    return {
        "status": "finished",
        "captions": len(spans),
        "positions": max(stop for _, stop in spans.values()),
        "width": frozen.width,
        "encoder": frozen.model,
        "revision": frozen.revision,
    }


def load(folder: Path) -> States:
    """Read what `run` wrote; the states stay on disk until they are used."""
    spans = read_json(folder / CAPTIONS)
    return States(
        np.load(folder / STATES, mmap_mode="r"),
        {caption: (start, stop) for caption, (start, stop) in spans.items()},
    )


def encode_captions(
    section: Transformers, folder: Path, captions: Sequence[str]
) -> Sequence[Text]:
    """Encode captions as a run takes them, those of its corpus or new ones.

    Parameters
    ----------
    section : Transformers
        The run's.
    folder : Path
        The run's where it learnt its text, or else its text job's.
    captions : sequence of str
        Any; those that the text job has are read from there.

    Raises
    ------
    ScalingError
        If a frozen encoder is not the one that the run was trained with, or a caption
        is not a text.
    """
    from scaling.models.text import CaptionEncoder, word_states

    _require_texts(captions)
    if section.text_encoder == "bpe":
        pieces = (folder / VOCABULARY).read_text(encoding="utf-8")
        return CaptionEncoder.from_json(pieces, section.text_length).encode(captions)
    known = load(folder)
    states = {caption: known([caption])[0] for caption in captions if caption in known}
    if new := [caption for caption in captions if caption not in states]:
        frozen = encoder(
            section.text_encoder,
            section.text_length,
            revision=read_json(folder / RESULT)["revision"],
        )
        states |= zip(new, word_states(Cached(frozen), new), strict=True)
    return [states[caption] for caption in captions]


def _require_texts(captions: Sequence[str]) -> None:
    """Refuse what came in as bytes of another encoding."""
    for caption in captions:
        try:
            caption.encode()
        except UnicodeEncodeError:
            raise ScalingError(
                f"caption {caption!r} is not UTF-8 text; expected words: spell it in "
                "UTF-8"
            ) from None


def _encoded(
    frozen: TextEncoder, captions: Sequence[str], reporter: Reporter
) -> Iterator[tuple[str, Float32]]:
    from scaling.models.text import word_states

    for first in range(0, len(captions), ENCODED_AT_ONCE):
        chosen = captions[first : first + ENCODED_AT_ONCE]
        yield from zip(chosen, word_states(frozen, chosen), strict=True)
        reporter.progress(first + len(chosen), len(captions))


def _write_states(
    path: Path, rows: Iterable[tuple[str, Float32]], width: int
) -> dict[str, tuple[int, int]]:
    """Write states one after another; return each caption's span."""
    spans: dict[str, tuple[int, int]] = {}

    def write(aside: Path) -> None:
        stop = 0
        with aside.open("wb") as file:
            _write_header(file, stop, width)
            for caption, states in rows:
                file.write(states.astype("<f4").tobytes())
                spans[caption] = (stop, stop := stop + len(states))
            # numpy pads its header so that the first axis can grow in place
            file.seek(0)
            _write_header(file, stop, width)

    write_aside(path, write)
    return spans


def _write_header(file: BinaryIO, positions: int, width: int) -> None:
    head = {"descr": "<f4", "fortran_order": False, "shape": (positions, width)}
    np.lib.format.write_array_header_1_0(file, head)
