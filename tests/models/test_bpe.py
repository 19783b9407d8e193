"""Byte pairs: exact round trips, exactly V codes, a smaller codebook in a larger."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.errors import ScalingError
from scaling.models.bpe import NUM_BYTES, BytePairs, learn

TEXTS = [f"def f{n}(x):\n    return x + {n}  # größer\n" for n in range(40)]
PAIRS = learn(TEXTS, 300)
BYTES = learn(TEXTS[:1], NUM_BYTES)


@given(st.text())
def test_what_is_encoded_comes_back(text: str) -> None:
    (codes,) = PAIRS.encode([text])
    assert PAIRS.decode(codes.tolist()) == text.encode()
    assert all(0 <= code < 300 for code in codes)


@given(st.text())
def test_256_codes_are_the_bytes(text: str) -> None:
    (codes,) = BYTES.encode([text])
    assert len(codes) == len(text.encode())
    assert sorted(BYTES.spelling) == [bytes([byte]) for byte in range(NUM_BYTES)]


def test_a_smaller_codebook_is_the_beginning_of_a_larger_one() -> None:
    assert learn(TEXTS, 280).spelling == PAIRS.spelling[:280]
    assert len(set(PAIRS.spelling)) == 300


def test_the_order_of_the_texts_is_of_no_matter() -> None:
    assert learn(TEXTS[::-1], 300).to_json() == PAIRS.to_json()


def test_the_first_code_learnt_is_the_most_frequent_pair() -> None:
    pairs = learn(["ab ab cd\n"] * 30, 258)
    assert pairs.spelling[256] == b"ab"


def test_json_keeps_everything() -> None:
    read = BytePairs.from_json(PAIRS.to_json())
    assert read.spelling == PAIRS.spelling
    assert [row.tolist() for row in read.encode(TEXTS)] == [
        row.tolist() for row in PAIRS.encode(TEXTS)
    ]


def test_more_codes_than_the_text_gives_are_refused() -> None:
    with pytest.raises(
        ScalingError, match=r"codebooks: 400 codes are more than the 2\d\d that"
    ):
        learn(["abc"], 400)
