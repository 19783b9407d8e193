"""What every corpus is to a transformer: items with captions, and how much data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One captioned piece of a corpus, a row to the transformer."""

    name: str
    """Unique in the corpus."""
    split: str
    """`train`, `val` or `test`."""
    captions: tuple[str, ...]
    """What it shows, in one or more wordings; one empty one where nobody says."""


AnyItem = TypeVar("AnyItem", bound=Item, covariant=True)


@dataclass(frozen=True, kw_only=True)
class Captioned(ABC, Generic[AnyItem]):
    """A corpus, whatever it is made of."""

    clips: tuple[AnyItem, ...]
    """In the order of their tokens."""

    def split(self, name: str) -> list[AnyItem]:
        """Clips of one split."""
        return [clip for clip in self.clips if clip.split == name]

    def captions(self, split: str) -> list[str]:
        """All captions of one split."""
        return [text for clip in self.split(split) for text in clip.captions]

    @abstractmethod
    def amount(self, split: str) -> Mapping[str, float]:
        """Amount of a split's data that does not depend on the tokenizer, by unit.

        Losses in bits per such a unit are comparable across codebooks: `second` of
        motion, `byte` of text; nothing where the data says nothing.
        """
