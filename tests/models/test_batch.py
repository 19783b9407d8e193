"""Rows laid end to end can be taken apart again, and nothing is lost or added."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scaling.models.batch import Batch, Layout

ROWS = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 6)), min_size=1, max_size=6)


def grid(x: Tensor, lengths: list[int]) -> Tensor:
    """Pad row by row: the plain way."""
    rows = x.split(lengths)
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)


@settings(deadline=None)
@given(rows=ROWS)
def test_padded_is_every_row_and_zeros(rows: list[tuple[int, int]]) -> None:
    layout = Layout.of(*zip(*rows, strict=True))
    x = torch.randn(len(layout.place), 2, 3)
    padded = layout.padded(x)
    assert torch.equal(padded, grid(x, [text + codes for text, codes in rows]))
    assert torch.equal(layout.flat(padded), x)


@settings(deadline=None)
@given(rows=ROWS)
def test_gradients_are_autograd_s(rows: list[tuple[int, int]]) -> None:
    layout = Layout.of(*zip(*rows, strict=True))
    lengths = [text + codes for text, codes in rows]
    x = torch.randn(len(layout.place), 4, requires_grad=True)
    weights = torch.randn(layout.num_rows, layout.longest, 4)
    (found,) = torch.autograd.grad((layout.padded(x) * weights).sum(), x)
    (known,) = torch.autograd.grad((grid(x, lengths) * weights).sum(), x)
    assert torch.equal(found, known)
    padded = torch.randn(layout.num_rows, layout.longest, 4, requires_grad=True)
    (found,) = torch.autograd.grad((layout.flat(padded) ** 2).sum(), padded)
    mask = grid(torch.ones(len(layout.place), 1), lengths)
    assert torch.equal(found, 2 * padded.detach() * mask)


def test_rows_of_one_length_are_not_copied() -> None:
    layout = Layout.of([2, 1], [3, 4])
    x = torch.randn(10, 6)
    assert layout.padded(x).data_ptr() == x.data_ptr()


def test_every_position_is_text_or_code_and_scored_if_something_follows() -> None:
    batch = Batch.of([np.array([7, 8]), np.array([9])], [[4], [5, 6, 4]], end=99)
    layout = batch.layout
    assert sorted([*layout.text.tolist(), *layout.codes.tolist()]) == list(range(7))
    following = dict(zip(layout.scored.tolist(), batch.targets.tolist(), strict=True))
    assert following == {1: 4, 2: 99, 3: 5, 4: 6, 5: 4, 6: 99}


def test_moves_to_a_device_whole() -> None:
    batch = Batch.of([np.array([7, 8])], [[4, 2]], end=9)
    moved = batch.to(torch.device("meta"))
    assert moved.layout.place.device.type == "meta"
    assert moved.codes.shape == batch.codes.shape
    assert moved.layout.longest == 4
