"""Captions as text ids: a byte-pair vocabulary learnt from the training captions.

The ids index a table that is trained with the transformer, so nothing is downloaded.
Every caption ends with the end-of-text piece, so that an empty caption still has one
position from which the first motion token is predicted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

END_OF_TEXT = "</s>"
END_ID = 0
"""The trainer gives special pieces the first ids."""


@dataclass(frozen=True, slots=True)
class CaptionEncoder:
    """Captions to ids."""

    tokenizer: Tokenizer
    """The byte-pair vocabulary."""
    max_length: int
    """Longest caption in pieces, the end included; longer ones are cut."""

    @property
    def vocab_size(self) -> int:
        """Number of text ids."""
        return int(self.tokenizer.get_vocab_size())

    def encode(self, captions: Sequence[str]) -> list[list[int]]:
        """Text ids of each caption, ending with the end-of-text piece."""
        # a caption that spells the end piece out means its letters
        self.tokenizer.encode_special_tokens = True
        pieces = self.tokenizer.encode_batch(list(captions))
        return [[*piece.ids[: self.max_length - 1], END_ID] for piece in pieces]

    def to_json(self) -> str:
        """Serialise the vocabulary."""
        return str(self.tokenizer.to_str())

    @classmethod
    def from_json(cls, text: str, max_length: int) -> CaptionEncoder:
        """Read what `to_json` wrote."""
        return cls(Tokenizer.from_str(text), max_length)


def train_caption_encoder(
    captions: Iterable[str], *, vocab_size: int, max_length: int
) -> CaptionEncoder:
    """Learn byte pairs from captions.

    Parameters
    ----------
    captions : iterable of str
        The training split's captions; their order does not matter.
    vocab_size : int
        Upper bound on the number of pieces; bytes and the end piece are always in it.
    max_length : int
        Longest caption in pieces.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(captions), trainer)
    return CaptionEncoder(tokenizer, max_length)
