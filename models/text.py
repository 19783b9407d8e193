"""Captions as a prefix: text ids learnt with the model, or a frozen encoder's states.

- `CaptionEncoder`: a byte-pair vocabulary learnt from the training captions. Its ids
  index a table that is trained with the transformer, so nothing is downloaded.
- `TextEncoder`: word-level states of a network that is not trained (ScaMo: the last
  hidden state of every piece of flan-t5-xl, the end included).

Every caption ends with an end piece, so that an empty caption still has one position
from which the first motion token is predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

Float32 = NDArray[np.float32]

Text = NDArray[np.int64] | Float32
"""A caption: piece ids (P,), or the states of a frozen encoder (P, W)."""

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

    def encode(self, captions: Sequence[str]) -> list[NDArray[np.int64]]:
        """Text ids of each caption, ending with the end-of-text piece."""
        # a caption that spells the end piece out means its letters
        self.tokenizer.encode_special_tokens = True
        pieces = self.tokenizer.encode_batch(list(captions))
        cut = (piece.ids[: self.max_length - 1] for piece in pieces)
        return [np.array([*ids, END_ID], np.int64) for ids in cut]

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


class TextEncoder(Protocol):
    """A frozen encoder: captions to word-level states and a mask."""

    @property
    def model(self) -> str:
        """Name."""

    @property
    def revision(self) -> str:
        """What tells two sets of weights of one name apart."""

    @property
    def width(self) -> int:
        """Width of a state, W."""

    @property
    def max_length(self) -> int:
        """Longest caption in pieces; longer ones are cut."""

    def encode(self, captions: Sequence[str]) -> tuple[Float32, NDArray[np.bool_]]:
        """States (B, P, W), 0 in the padding, and the mask (B, P) of what is none."""


@dataclass(frozen=True, kw_only=True)
class FrozenEncoder:
    """The last hidden states of a network; its weights are loaded at first use."""

    model: str
    """Name."""
    revision: str
    """Commit of the hub, or digest of the files."""
    width: int
    """Width of a state, W."""
    max_length: int
    """Longest caption in pieces, the end included; longer ones are cut."""
    load: Callable[[], tuple[Callable[[str], list[int]], torch.nn.Module]]
    """Gives a caption's pieces, ending with the end piece, and the network."""

    @cached_property
    def _loaded(self) -> tuple[Callable[[str], list[int]], torch.nn.Module]:
        return self.load()

    def encode(self, captions: Sequence[str]) -> tuple[Float32, NDArray[np.bool_]]:
        """States (B, P, W), 0 in the padding, and the mask (B, P) of what is none.

        Each caption goes through the network alone. A batch would be faster, and would
        round a caption's states by the company that it happens to be in.
        """
        pieces_of, _ = self._loaded
        rows = [self._states(self._cut(pieces_of(caption))) for caption in captions]
        return padded(rows, self.width)

    def _cut(self, pieces: list[int]) -> list[int]:
        if len(pieces) <= self.max_length:
            return pieces
        return [*pieces[: self.max_length - 1], pieces[-1]]

    @torch.inference_mode()
    def _states(self, pieces: list[int]) -> Float32:
        """Encode a caption, P pieces to (P, W)."""
        _, network = self._loaded
        device = next(network.parameters()).device
        ids = torch.tensor([pieces], device=device)
        states: torch.Tensor = network(input_ids=ids).last_hidden_state[0]
        return np.asarray(states.float().cpu().numpy())


def padded(rows: Sequence[Float32], width: int) -> tuple[Float32, NDArray[np.bool_]]:
    """Stack captions' states (P_i, W) as (B, P, W), with the mask (B, P)."""
    lengths = np.array([len(row) for row in rows], np.int64)
    mask = np.arange(max(lengths, default=0)) < lengths[:, None]
    states = np.zeros((*mask.shape, width), np.float32)
    if rows:
        states[mask] = np.concatenate(rows)
    return states, mask


def word_states(encoder: TextEncoder, captions: Sequence[str]) -> list[Float32]:
    """Encode captions, each as its states (P_i, W) without padding."""
    states, mask = encoder.encode(captions)
    return [row[kept] for row, kept in zip(states, mask, strict=True)]
