"""The published evaluator's weights (Guo et al., CVPR 2022), for those who have them.

Their figures can be laid beside papers' ones, where the motions are HumanML3D's. The
folder holds::

    text_mot_match/model/finest.tar    the weights
    meta/mean.npy, meta/std.npy        the evaluator's own (of Comp_v6_KLD01)
    glove/our_vab_data.npy             word vectors, (words, 300)
    glove/our_vab_words.pkl, glove/our_vab_idx.pkl

The published captions are lemmas with part-of-speech tags, "a/DET person/NOUN
walk/VERB", which HumanML3D's texts hold behind each caption. A caption that is not in
those texts is taken word by word, tagged OTHER; inflected words ("walks") are not in
the vocabulary, and read as unknown.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from scaling.errors import ScalingError
from scaling.models.evaluator import EvaluatorConfig, TextMotionEvaluator
from scaling.runs.evaluator import LoadedEvaluator, Words
from scaling.runs.sources import UNREADABLE

WEIGHTS = "text_mot_match/model/finest.tar"
MEAN, STD = "meta/mean.npy", "meta/std.npy"
VECTORS = "glove/our_vab_data.npy"
VOCABULARY, INDEX = "glove/our_vab_words.pkl", "glove/our_vab_idx.pkl"
FILES = (WEIGHTS, MEAN, STD, VECTORS, VOCABULARY, INDEX)
"""What the folder holds."""

PARTS = ("movement_encoder", "motion_encoder", "text_encoder")
"""State dicts in the weights' file, and modules of ours."""

CORPUS = "corpus-humanml3d"
"""How the folders of corpora begin that it knows."""

LONGEST_CAPTION = 20
"""Words of a caption, beside its beginning and its end; longer ones are cut."""

TAGS = (
    *("VERB", "NOUN", "DET", "ADP", "NUM", "AUX", "PRON", "ADJ", "ADV"),
    *("Loc_VIP", "Body_VIP", "Obj_VIP", "Act_VIP", "Desc_VIP", "OTHER"),
)
"""Kinds of words, in the order of the weights."""

TELLING = {
    "Loc_VIP": "left right clockwise counterclockwise anticlockwise forward back "
    "backward up down straight curve",
    "Body_VIP": "arm chin foot feet face hand mouth leg waist eye knee shoulder thigh",
    "Obj_VIP": "stair dumbbell chair window floor car ball handrail baseball "
    "basketball",
    "Act_VIP": "walk run swing pick bring kick put squat throw hop dance jump turn "
    "stumble stop sit lift lower raise wash stand kneel stroll rub bend balance flap "
    "jog shuffle lean rotate spin spread climb",
    "Desc_VIP": "slowly carefully fast careful slow quickly happy angry sad happily "
    "angrily sadly",
}
"""Words with a tag of their own, whatever their part of speech."""

UNPICKLABLE = (
    *UNREADABLE,
    *(pickle.UnpicklingError, RuntimeError, AttributeError, OverflowError),
)
"""What a pickle raises that is damaged, or of something else."""

TAG_OF = {word: tag for tag, words in TELLING.items() for word in words.split()}


@dataclass(frozen=True, kw_only=True, slots=True)
class TaggedWords:
    """Captions as rows of the table of word vectors, with tags."""

    index: Mapping[str, int]
    """Row of each word of the vocabulary."""
    tagged: Mapping[str, str]
    """Captions as "word/TAG word/TAG ...", where they are known."""

    def __call__(self, captions: Sequence[str]) -> list[Words]:
        """Look captions up: (words, 2), the row and the tag of each."""
        return [self._caption(caption) for caption in captions]

    def _caption(self, caption: str) -> Words:
        tagged = self.tagged.get(caption) or " ".join(
            f"{word}/OTHER" for word in re.findall("[a-z]+", caption.lower())
        )
        words = ["sos/OTHER", *tagged.split()[:LONGEST_CAPTION], "eos/OTHER"]
        return np.array([self._word(word) for word in words], np.int64)

    def _word(self, tagged: str) -> tuple[int, int]:
        word, _, tag = tagged.partition("/")
        if word not in self.index:
            return self.index["unk"], TAGS.index("OTHER")
        tag = TAG_OF.get(word, tag)
        return self.index[word], TAGS.index(tag if tag in TAGS else "OTHER")


def load(
    folder: Path, texts: Path | None = None, device: str = "cpu"
) -> LoadedEvaluator:
    """Read the published evaluator.

    Parameters
    ----------
    folder : Path
        Where the published files lie.
    texts : Path, optional
        HumanML3D's folder of texts, for the captions' lemmas and tags.
    device : str
        Where to embed.

    Raises
    ------
    ScalingError
        If a file is missing or holds something else.
    """
    for name in FILES:
        if not (folder / name).exists():
            raise ScalingError(
                f"{folder} has no {name}; the published evaluator is {', '.join(FILES)}"
                ": put the file there"
            )
    vectors = _array(folder / VECTORS)
    index = _index(folder, len(vectors))
    state = {
        "words.weight": vectors,
        "mean": _array(folder / MEAN),
        "std": _array(folder / STD),
        **_weights(folder / WEIGHTS),
    }
    model = TextMotionEvaluator(
        EvaluatorConfig(vocab_size=len(vectors), tags=len(TAGS))
    )
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ScalingError(
            f"{folder} is not the published evaluator of 263 features: "
            f"{' '.join(str(error).split())}; use the weights for HumanML3D"
        ) from None
    tagged = {} if texts is None else tagged_captions(texts)
    return LoadedEvaluator(
        name="published",
        corpus=CORPUS,
        model=model.to(device),
        read=TaggedWords(index=index, tagged=tagged),
        note="scored by the published evaluator; captions without HumanML3D's lemmas "
        "and tags are taken word by word, tagged OTHER, and it does not know 'walks'",
    )


def tagged_captions(texts: Path) -> dict[str, str]:
    """Read HumanML3D's captions with the tagged words behind each.

    A line is ``caption#word/TAG word/TAG#from#to``.

    Raises
    ------
    ScalingError
        If the folder has no such line.
    """
    found = {}
    for path in sorted(texts.glob("*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            caption, *rest = line.strip().split("#")
            if rest:
                found[caption] = rest[0]
    if not found:
        raise ScalingError(
            f"{texts} has no captions with tagged words; expected HumanML3D's texts, "
            "caption#word/TAG word/TAG#from#to: name that folder"
        )
    return found


def _array(path: Path) -> torch.Tensor:
    try:
        found = np.load(path, allow_pickle=False)
        return torch.tensor(np.atleast_1d(found), dtype=torch.float32)
    except UNREADABLE as error:
        raise _unreadable(path, "an array of numbers", error) from None


def _weights(path: Path) -> dict[str, torch.Tensor]:
    """Flatten the three state dicts; modules of ours have the published names."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        return {
            f"{part}.{name}": tensor
            for part in PARTS
            for name, tensor in saved[part].items()
        }
    except UNPICKLABLE as error:
        raise _unreadable(path, f"weights of {', '.join(PARTS)}", error) from None


def _index(folder: Path, vectors: int) -> dict[str, int]:
    """Read which word has which vector; only words of both files are known."""
    words, index = _plain(folder / VOCABULARY), _plain(folder / INDEX)
    try:
        known = {word: range(vectors)[index[word]] for word in words}
    except (TypeError, LookupError):
        known = {}
    if not {"sos", "eos", "unk"} <= known.keys():
        raise ScalingError(
            f"{folder / VOCABULARY} and {INDEX} do not belong to the {vectors} vectors "
            f"of {VECTORS}; expected the published vocabulary: use its three files"
        )
    return known


class _Plain(pickle.Unpickler):
    """Reads lists, mappings, texts and numbers, and nothing that could run."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _plain(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return _Plain(file).load()
    except UNPICKLABLE as error:
        raise _unreadable(path, "a pickle of words", error) from None


def _unreadable(path: Path, expected: str, error: Exception) -> ScalingError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ScalingError(
        f"{path} cannot be read ({reason}); expected {expected}: download it again"
    )
