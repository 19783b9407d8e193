import math
from itertools import pairwise

import numpy as np
import pytest

from scaling.analysis.shapes import (
    SAME_CODEBOOK,
    SMALL_SIZES,
    Codebook,
    codebook_of,
    codebooks,
    sizes,
)
from scaling.models.levels import LEVELS, check_levels, codebook_size
from scaling.models.sizes import PAPER_SIZES, size


@pytest.mark.parametrize("known", [*SMALL_SIZES, *PAPER_SIZES.values()], ids=str)
def test_every_known_size_is_there_once_and_by_its_name(known):
    same = [s for s in sizes() if (s.n_layers, s.d_model) == _shape(known)]
    assert same == [known]


def _shape(known):
    return known.n_layers, known.d_model


def test_every_size_is_one_that_a_grid_can_name():
    assert all(size(shape.name) == shape for shape in sizes())


def test_heads_have_widths_that_attention_is_made_for():
    known = {*SMALL_SIZES, *PAPER_SIZES.values()}
    for shape in sizes():
        if shape not in known and shape.d_model > 16:
            assert shape.d_model // shape.n_heads in range(32, 129, 16)


def test_depth_keeps_to_the_aspect_of_the_neighbours_within_the_slack():
    """Between 1024 (aspect 42.7) and 1280 (35.6) a model is about 39 wide per layer."""
    depths = [s.n_layers for s in sizes() if s.d_model == 1152]
    asked = 1152 / math.sqrt((1024 / 24) * (1280 / 36))
    assert min(depths) == pytest.approx(asked / math.sqrt(2), abs=1)
    assert max(depths) == pytest.approx(asked * math.sqrt(2), abs=1)
    deepest = [s for s in sizes() if s.d_model == 65536]
    aspects = [s.d_model / s.n_layers for s in deepest]
    assert min(aspects) > 400 / 3 / 1.5
    assert max(aspects) < 400 / 3 * 1.5


def test_sizes_leave_no_gap_of_an_octave():
    counts = np.sort([12 * s.n_layers * s.d_model**2 for s in sizes()])
    assert counts[0] == 12 * 16**2
    assert counts[-1] > 1e13
    assert (counts[1:] / counts[:-1]).max() <= 2


def test_codebooks_hold_table_6_and_leave_no_gap():
    books = {book.levels: book for book in codebooks()}
    assert set(LEVELS.values()) <= books.keys()
    codes = [book.codes for book in codebooks()]
    assert (codes[0], codes[-1]) == (9, 8**6)
    ratios = [b / a for a, b in pairwise(codes)]
    assert min(ratios) > SAME_CODEBOOK
    assert max(ratios) <= 4 / 3


def test_level_sets_can_be_built_and_have_their_codes():
    for book in codebooks():
        check_levels(book.levels)
        assert codebook_size(book.levels) == book.codes
        assert 2 <= len(book.levels) <= 6
        assert set(book.levels) <= set(range(3, 9))
        if book.levels not in LEVELS.values():
            assert list(book.levels) == sorted(book.levels, reverse=True)


def test_large_codebooks_need_no_coarse_channel():
    """FSQ's authors advise at least 5 levels; from 125 codes on there is always one."""
    assert all(min(book.levels) >= 5 for book in codebooks() if book.codes >= 125)


def test_a_given_codebook_is_taken_as_given():
    assert codebook_of(240) == Codebook(codes=240, levels=(8, 6, 5))
    assert codebook_of(256).levels == (8, 8, 4)
    assert codebook_of(50257) == Codebook(codes=50257)
    assert codebook_of(50257).nominal == 50257
