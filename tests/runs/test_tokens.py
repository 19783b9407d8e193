"""The corpus in tokens on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.runs import tokens
from scaling.runs.tokens import Tokens

ROWS = [np.array(row, np.int32) for row in ([3, 1], [], [9, 9, 9])]


def as_lists(found: Tokens) -> list[list[int]]:
    return [row.tolist() for row in found]


def test_survive_the_disk(tmp_path: Path) -> None:
    tokens.write(tmp_path, ROWS, 10)
    found = tokens.read(tmp_path)
    assert as_lists(found) == [[3, 1], [], [9, 9, 9]]
    assert len(found) == 3
    assert found[-1].tolist() == [9, 9, 9]
    assert as_lists(found[1:]) == [[], [9, 9, 9]]
    assert found.lengths.tolist() == [2, 0, 3]
    with pytest.raises(IndexError):
        found[3]


def test_are_mapped(tmp_path: Path) -> None:
    tokens.write(tmp_path, ROWS, 10)
    found = tokens.read(tmp_path)
    assert isinstance(found.flat.base, np.memmap)
    assert np.shares_memory(found[2], found.flat)


@pytest.mark.parametrize(
    ("codebook", "kind"),
    [(256, "uint8"), (257, "uint16"), (65_536, "uint16"), (65_537, "uint32")],
)
def test_take_the_smallest_type_that_holds_the_codebook(
    codebook: int, kind: str, tmp_path: Path
) -> None:
    tokens.write(tmp_path, [np.array([0, codebook - 1])], codebook)
    found = tokens.read(tmp_path)
    assert found.flat.dtype == kind
    assert as_lists(found) == [[0, codebook - 1]]


def test_of_version_0_1_are_read(tmp_path: Path) -> None:
    lengths = np.array([2, 0, 3])
    np.savez(tmp_path / tokens.EARLIER, codes=np.concatenate(ROWS), lengths=lengths)
    assert as_lists(tokens.read(tmp_path)) == [[3, 1], [], [9, 9, 9]]


@given(st.lists(st.lists(st.integers(0, 99), max_size=4), min_size=1), st.data())
def test_selected_are_those_clips_in_that_order(
    rows: list[list[int]], data: st.DataObject
) -> None:
    found = Tokens.of([np.array(row, np.int32) for row in rows])
    numbers = data.draw(st.lists(st.integers(0, len(rows) - 1)))
    chosen = found.select(np.array(numbers, np.int64))
    assert as_lists(chosen) == [rows[number] for number in numbers]
    mask = np.array([len(row) > 1 for row in rows])
    assert as_lists(found.select(mask)) == [row for row in rows if len(row) > 1]
