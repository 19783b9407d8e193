"""Batches: rows of text and motion laid end to end, none of it padding.

Rows differ in length by far, so a fifth to a half of a padded batch would be padding.
All but attention treats positions one by one, and takes them as one stream of M.
Attention alone takes the rows apart: `Layout.padded` puts the stream into a grid of
rows, `Layout.flat` takes it out again.

Sizes: B rows, M positions in all, P of them text and N codes, T positions of the
longest row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scaling.models.text import Text


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each position of a batch stands.

    Tensors, but for one number, so it is positional.
    """

    longest: int
    """T."""
    num_text: Tensor
    """Text positions of each row, (B,)."""
    text: Tensor
    """Positions in the stream that hold text, (P,)."""
    codes: Tensor
    """Positions in the stream that hold codes, (N,)."""
    scored: Tensor
    """Positions whose next token is predicted: the last of a row's text and all its
    codes, (N + B,)."""
    last: Tensor
    """Last position of each row, (B,)."""
    position: Tensor
    """Of each position in its own row, (M,)."""
    place: Tensor
    """Of each position in the padded grid: row T + position, (M,)."""

    @classmethod
    def of(cls, num_text: Sequence[int], num_codes: Sequence[int]) -> Layout:
        """Lay out rows of so many text positions and codes.

        >>> layout = Layout.of([2, 1], [1, 3])
        >>> layout.position.tolist(), layout.place.tolist()
        ([0, 1, 2, 0, 1, 2, 3], [0, 1, 2, 4, 5, 6, 7])
        >>> layout.text.tolist(), layout.scored.tolist(), layout.last.tolist()
        ([0, 1, 3], [1, 2, 3, 4, 5, 6], [2, 6])
        """
        text = np.asarray(num_text, np.int64)
        lengths = text + np.asarray(num_codes, np.int64)
        ends = lengths.cumsum()
        row = np.arange(len(lengths)).repeat(lengths)
        position = np.arange(len(row)) - (ends - lengths)[row]
        longest = int(lengths.max())
        after_text = position - text[row]
        arrays: tuple[NDArray[np.int64], ...] = (
            text,
            np.flatnonzero(after_text < 0),
            np.flatnonzero(after_text >= 0),
            np.flatnonzero(after_text >= -1),
            ends - 1,
            position,
            row * longest + position,
        )
        return cls(longest, *map(torch.from_numpy, arrays))

    @property
    def num_rows(self) -> int:
        """B."""
        return len(self.num_text)

    def padded(self, x: Tensor) -> Tensor:
        """Take the rows apart, (M, ...) to (B, T, ...), zeros after the shorter."""
        grid = spread(x, self.place, self.num_rows * self.longest)
        return grid.view(self.num_rows, self.longest, *x.shape[1:])

    def flat(self, grid: Tensor) -> Tensor:
        """Lay the rows end to end, (B, T, ...) to (M, ...)."""
        return take(grid.flatten(0, 1), self.place)

    def to(self, device: torch.device) -> Layout:
        """Move to a device."""
        _, *tensors = (getattr(self, field.name) for field in fields(self))
        return Layout(self.longest, *(x.to(device) for x in tensors))


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of text and codes, and what follows each code.

    Tensors, not numbers, so it is positional.
    """

    layout: Layout
    """Where they stand."""
    text: Tensor
    """Text of all rows, one after another: piece ids (P,), or states (P, width)."""
    codes: Tensor
    """Codes of all rows, one after another, (N,)."""
    targets: Tensor
    """The token that follows at each scored position, (N + B,)."""

    @classmethod
    def of(cls, texts: Sequence[Text], codes: Sequence[Any], end: int) -> Batch:
        """Lay out rows as text, then codes; the end token is a target only."""
        layout = Layout.of([len(text) for text in texts], [len(row) for row in codes])
        stream = np.concatenate(codes).astype(np.int64)
        ends = np.cumsum([len(row) for row in codes])
        targets = np.insert(stream, ends, end)
        text = np.concatenate(texts)
        return cls(layout, *map(torch.from_numpy, (text, stream, targets)))

    @property
    def num_targets(self) -> int:
        """Scored tokens: all codes and one end token per row."""
        return len(self.targets)

    def to(self, device: torch.device) -> Batch:
        """Move to a device."""
        tensors = (self.text, self.codes, self.targets)
        return Batch(self.layout.to(device), *(x.to(device) for x in tensors))


def take(x: Tensor, places: Tensor) -> Tensor:
    """Take some rows of an array; the places rise, so that none is taken twice."""
    taken: Tensor = _Taken.apply(x, places)  # type: ignore[no-untyped-call]
    return taken


def spread(x: Tensor, places: Tensor, size: int) -> Tensor:
    """Put rows at places, which rise, of an array of so many; zeros elsewhere."""
    array: Tensor = _Spread.apply(x, places, size)  # type: ignore[no-untyped-call]
    return array


class _Taken(torch.autograd.Function):
    """The gradient of `_Spread`, as that is its own; autograd's would add, not copy."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor) -> Tensor:
        ctx.places, ctx.size = places, len(x)
        return _take(x, places)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _spread(gradient, ctx.places, ctx.size), None


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor, size: int) -> Tensor:
        ctx.places = places
        return _spread(x, places, size)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _take(gradient, ctx.places), None, None


def _take(x: Tensor, places: Tensor) -> Tensor:
    # as many as there are, and rising: all of them
    return x if len(places) == len(x) else x.index_select(0, places)


def _spread(x: Tensor, places: Tensor, size: int) -> Tensor:
    if len(x) == size:
        return x
    return x.new_zeros(size, *x.shape[1:]).index_copy_(0, places, x)
