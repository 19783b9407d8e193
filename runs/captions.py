"""Captions of many clips as a transformer takes them, in two flat arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from scaling.models.text import Text
from scaling.runs.tokens import Tokens


@dataclass(frozen=True, slots=True, eq=False)
class Captions(Sequence[Sequence[Text]]):
    """Clips' captions as a transformer takes them, each wording held once."""

    texts: Tokens
    """Every wording's text: piece ids, or the states of a frozen encoder."""
    wordings: Tokens
    """Of each clip, which wordings its captions are."""

    @classmethod
    def of(cls, captions: Sequence[Sequence[Text]]) -> Captions:
        """Lay out each clip's captions, one or more."""
        if isinstance(captions, Captions):
            return captions
        texts = [text for clip in captions for text in clip]
        numbers = np.arange(len(texts), dtype=np.int64)
        offsets = np.cumsum([0, *map(len, captions)], dtype=np.int64)
        return cls(Tokens.of(texts), Tokens(numbers, offsets))

    def __len__(self) -> int:
        return len(self.wordings)

    @overload
    def __getitem__(self, clip: int) -> list[Text]: ...

    @overload
    def __getitem__(self, clip: slice) -> Captions: ...

    def __getitem__(self, clip: int | slice) -> list[Text] | Captions:
        """Give a clip's captions; or those of some clips."""
        if isinstance(clip, slice):
            return Captions(self.texts, self.wordings[clip])
        kind = np.int64 if self.texts.flat.ndim == 1 else np.float32
        return [
            self.texts[number].astype(kind, copy=False)
            for number in self.wordings[clip].tolist()
        ]

    @property
    def longest(self) -> NDArray[np.int64]:
        """Positions of each clip's longest caption."""
        lengths = self.texts.lengths[self.wordings.flat]
        most: NDArray[np.int64] = np.maximum.reduceat(
            lengths, self.wordings.offsets[:-1]
        )
        return most

    def select(self, clips: NDArray[np.int64] | NDArray[np.bool_]) -> Captions:
        """Those of some clips, by their numbers or by a mask."""
        return Captions(self.texts, self.wordings.select(clips))
