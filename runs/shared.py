"""What all runs on a corpus share, laid out once so that each begins at once.

A run needs of each clip its split and its captions in pieces, and no more. To read the
clips, learn the vocabulary and encode the captions took 0.3 s of a small corpus and 3 s
of 100,000 clips, for every run; laid out beside the corpus it takes some milliseconds::

    index.npz            each clip's split, which wordings its captions are, the amount
    vocabulary-512.json  the pieces that were learnt of the training captions
    pieces-HASH/         every wording in the pieces of such a vocabulary (`tokens.py`)

Each is made when it is first needed, from the corpus alone: the same bytes, whoever of
several makes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.files import write_aside, write_text
from scaling.models.text import CaptionEncoder, train_caption_encoder
from scaling.runs import corpora, text, tokens
from scaling.runs.captions import Captions
from scaling.runs.data import Rows, require_context
from scaling.runs.jobs import TransformerJob
from scaling.runs.sources import SPLITS
from scaling.runs.tokens import Tokens

INDEX = "index.npz"


class Index:
    """What a corpus' clips are to its runs; nothing is read before it is asked for.

    Parameters
    ----------
    folder : Path
        The corpus'.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / INDEX).exists():
            _write_index(folder)
        self._arrays = np.load(folder / INDEX)

    def clips(self, split: str) -> NDArray[np.int64]:
        """Numbers of a split's clips."""
        return np.flatnonzero(self._arrays["splits"] == SPLITS.index(split))

    @cached_property
    def wordings(self) -> Tokens:
        """Of each clip, which wordings its captions are."""
        return Tokens(self._arrays["wordings"], self._arrays["firsts"])

    @cached_property
    def texts(self) -> list[str]:
        """All wordings, sorted."""
        texts: list[str] = self._json("texts")
        return texts

    def amount(self, split: str) -> Mapping[str, float]:
        """Amount of a split's data, as the corpus counts it."""
        amounts: dict[str, dict[str, float]] = self._json("amounts")
        return amounts[split]

    def _json(self, name: str) -> Any:
        return json.loads(self._arrays[name].tobytes())

    def vocabulary(self, vocab_size: int, max_length: int) -> str:
        """Learn the pieces of the training captions, or read what was learnt."""
        path = self.folder / f"vocabulary-{vocab_size}.json"
        if not path.exists():
            chosen = self.wordings.select(self.clips("train")).flat
            captions = [self.texts[number] for number in chosen.tolist()]
            learnt = train_caption_encoder(
                captions, vocab_size=vocab_size, max_length=max_length
            )
            write_text(path, learnt.to_json())
        return path.read_text(encoding="utf-8")

    def pieces(self, vocabulary: str, max_length: int) -> Tokens:
        """Encode every wording in the pieces of a vocabulary, or read that."""
        key = hashlib.sha256(f"{max_length} {vocabulary}".encode()).hexdigest()
        folder = self.folder / f"pieces-{key[:16]}"
        if not (folder / tokens.TOKENS).exists():
            encoder = CaptionEncoder.from_json(vocabulary, max_length)
            tokens.write(folder, encoder.encode(self.texts), encoder.vocab_size)
        return tokens.read(folder)


def _write_index(folder: Path) -> None:
    corpus = corpora.opened(folder)
    texts = sorted({caption for clip in corpus.clips for caption in clip.captions})
    number = {text: place for place, text in enumerate(texts)}
    flat = [number[caption] for clip in corpus.clips for caption in clip.captions]
    amounts = {split: corpus.amount(split) for split in SPLITS}

    def write(aside: Path) -> None:
        with aside.open("wb") as file:
            np.savez(
                file,
                splits=np.array(
                    [SPLITS.index(c.split) for c in corpus.clips], np.uint8
                ),
                wordings=np.array(flat, np.int32),
                firsts=np.cumsum([0, *(len(clip.captions) for clip in corpus.clips)]),
                texts=_bytes(texts),
                amounts=_bytes(amounts),
            )

    write_aside(folder / INDEX, write)


def _bytes(content: Any) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(content).encode(), np.uint8)


def captions_of(
    job: TransformerJob, index: Index, out: Path
) -> tuple[Captions, int | None]:
    """Give a corpus' captions as a run takes them, and the size of its table of pieces.

    A run that learns its text writes the vocabulary into its folder, and keeps to the
    one that is there; one that reads a frozen encoder's states has no table.
    """
    if job.text is not None:
        return _frozen(text.load(out / job.text), index), None
    path = out / job.folder / text.VOCABULARY
    section = job.section
    if not path.exists():  # the processes of a run find it there, and only read
        write_text(path, index.vocabulary(section.text_vocab_size, section.text_length))
    vocabulary = path.read_text(encoding="utf-8")
    encoder = CaptionEncoder.from_json(vocabulary, section.text_length)
    pieces = index.pieces(vocabulary, section.text_length)
    return Captions(pieces, index.wordings), encoder.vocab_size


def _frozen(states: text.States, index: Index) -> Captions:
    """Take clips' captions from a text job's, which has an order of its own."""
    offsets = np.array([0, *(stop for _, stop in states.spans.values())], np.int64)
    place = {wording: number for number, wording in enumerate(states.spans)}
    places = np.array([place[wording] for wording in index.texts], np.int64)
    wordings = Tokens(places[index.wordings.flat], index.wordings.offsets)
    return Captions(Tokens(states.states, offsets), wordings)


def splits_of(
    job: TransformerJob, index: Index, codes: Tokens, captions: Captions
) -> dict[str, Rows]:
    """Rows of the training and the test split; clips without a token drop out."""
    splits = {}
    for name in ("train", "test"):
        clips = index.clips(name)
        kept = clips[codes.lengths[clips] > 0]
        end = job.quantization.codebook_size
        splits[name] = Rows(codes.select(kept), captions.select(kept), end)
    require_context(job.section.context, *splits.values())
    return splits
