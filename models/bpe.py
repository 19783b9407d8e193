"""Byte-level BPE: text as codes of a codebook of exactly V (arXiv 1508.07909).

The first 256 codes are the bytes; each further one joins the two neighbours that are
the most frequent in the training text, within words, numbers, signs and spaces as GPT-2
splits them. The codes of a smaller codebook are the first of a larger one's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from scaling.errors import ScalingError

NUM_BYTES = 256


@dataclass(frozen=True)
class BytePairs:
    """Texts to codes and back."""

    tokenizer: Tokenizer
    """The codes, each a string in which a letter stands for a byte."""

    @property
    def codebook_size(self) -> int:
        """V, the number of codes."""
        return int(self.tokenizer.get_vocab_size())

    @cached_property
    def spelling(self) -> tuple[bytes, ...]:
        """The bytes of every code."""
        letters = {letter: byte for byte, letter in enumerate(_letters())}
        numbers = self.tokenizer.get_vocab()
        codes = sorted(numbers, key=numbers.__getitem__)
        return tuple(bytes(letters[letter] for letter in code) for code in codes)

    def encode(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Codes of each text."""
        pieces = self.tokenizer.encode_batch(list(texts))
        return [np.array(piece.ids, np.int32) for piece in pieces]

    def decode(self, codes: Iterable[int]) -> bytes:
        """Bytes of codes; those of a whole text are UTF-8."""
        return b"".join(self.spelling[code] for code in codes)

    def to_json(self) -> str:
        """Serialise the codes."""
        return str(self.tokenizer.to_str())

    @classmethod
    def from_json(cls, text: str) -> BytePairs:
        """Read what `to_json` wrote."""
        return cls(Tokenizer.from_str(text))


def learn(texts: Iterable[str], codebook_size: int) -> BytePairs:
    """Learn byte pairs.

    Parameters
    ----------
    texts : iterable of str
        The training split's; their order does not matter.
    codebook_size : int
        V, at least 256.

    Raises
    ------
    ScalingError
        If the texts do not give so many codes.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=codebook_size,
        initial_alphabet=_letters(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    found = BytePairs(tokenizer)
    if found.codebook_size != codebook_size:
        raise ScalingError(
            f"tokenizers.codebooks: {codebook_size} codes are more than the "
            f"{found.codebook_size} that the training text gives; make it smaller, or "
            "use more text"
        )
    return found


def _letters() -> list[str]:
    """Letters that stand for the bytes 0 to 255, in this order (as GPT-2 has them).

    >>> _letters()[32], _letters()[97]
    ('Ġ', 'a')
    """
    shown = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = iter(range(NUM_BYTES, 2 * NUM_BYTES))
    return [chr(byte if byte in shown else next(hidden)) for byte in range(NUM_BYTES)]
