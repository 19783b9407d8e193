"""Captions become the same ids on every machine, and always end with the end piece.

The frozen encoders are tested with their loaders, in tests/runs/test_text.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.models.text import (
    END_ID,
    END_OF_TEXT,
    CaptionEncoder,
    padded,
    train_caption_encoder,
)

CAPTIONS = [
    "a person walks forward slowly",
    "a person walks forward quickly and turns left",
    "a person runs in a circle",
    "someone jumps twice, then sits down",
    "someone waves with the right hand",
]

TRAIN = """
import json, sys
from scaling.models.text import train_caption_encoder
captions = set(json.loads(sys.argv[1]))  # a set: its order hangs on the hash seed
encoder = train_caption_encoder(captions, vocab_size=300, max_length=16)
print(encoder.to_json(), end="")
"""


def encoder(max_length: int = 64, vocab_size: int = 300) -> CaptionEncoder:
    """Train on the five captions."""
    return train_caption_encoder(CAPTIONS, vocab_size=vocab_size, max_length=max_length)


def ids_of(encoder: CaptionEncoder, captions: list[str]) -> list[list[int]]:
    """Encode, as lists that compare whole."""
    return [row.tolist() for row in encoder.encode(captions)]


TOKENIZER = encoder().tokenizer


class TestVocabulary:
    def test_is_the_same_in_every_process(self) -> None:
        vocabularies = {
            subprocess.run(
                [sys.executable, "-c", TRAIN, json.dumps(CAPTIONS)],
                env={**os.environ, "PYTHONHASHSEED": seed},
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            for seed in ("1", "2")
        }
        assert vocabularies == {encoder(max_length=16).to_json()}

    def test_order_of_captions_does_not_matter(self) -> None:
        turned = train_caption_encoder(
            reversed(CAPTIONS), vocab_size=300, max_length=64
        )
        assert turned.to_json() == encoder().to_json()

    def test_size_is_bounded_and_reached(self) -> None:
        assert encoder(vocab_size=300).vocab_size == 300
        # 256 bytes and the end are always in it; five captions give few pairs
        assert encoder(vocab_size=1).vocab_size == 257
        assert 300 < encoder(vocab_size=10_000).vocab_size < 1000

    def test_ids_index_the_table(self) -> None:
        found = encoder()
        ids = {i for row in ids_of(found, CAPTIONS) for i in row}
        assert min(ids) == END_ID == 0
        assert max(ids) < found.vocab_size
        assert found.tokenizer.token_to_id(END_OF_TEXT) == END_ID

    def test_frequent_words_become_short(self) -> None:
        ids = encoder().encode(["a person walks forward", "zxqj vbkw pfgh wqzx"])
        assert len(ids[0]) < len(ids[1])

    def test_json_round_trip(self) -> None:
        first = encoder(max_length=7)
        again = CaptionEncoder.from_json(first.to_json(), max_length=7)
        assert again.to_json() == first.to_json()
        assert ids_of(again, CAPTIONS) == ids_of(first, CAPTIONS)
        assert again.vocab_size == first.vocab_size


class TestEncode:
    def test_captions_are_encoded_one_by_one(self) -> None:
        found = encoder()
        alone = [ids_of(found, [caption])[0] for caption in CAPTIONS]
        assert ids_of(found, CAPTIONS) == alone
        assert len({tuple(ids) for ids in alone}) == len(CAPTIONS)

    def test_empty_caption_is_the_end_alone(self) -> None:
        assert ids_of(encoder(), [""]) == [[END_ID]]
        assert ids_of(encoder(), []) == []

    @pytest.mark.parametrize("max_length", [1, 2, 5, 9])
    def test_long_caption_is_cut_before_its_end(self, max_length: int) -> None:
        whole = ids_of(encoder(), CAPTIONS)
        assert min(map(len, whole)) > max_length - 1
        for cut, ids in zip(ids_of(encoder(max_length), CAPTIONS), whole, strict=True):
            expected = ids if len(ids) <= max_length else [*ids[: max_length - 1], 0]
            assert cut == expected
            assert len(cut) <= max_length

    def test_caption_of_just_the_longest_length_is_whole(self) -> None:
        (ids,) = ids_of(encoder(), CAPTIONS[:1])
        assert ids_of(encoder(len(ids)), CAPTIONS[:1]) == [ids]

    def test_five_thousand_words_are_cut(self) -> None:
        (ids,) = ids_of(encoder(), ["walk " * 5000])
        assert len(ids) == 64
        assert ids[-1] == END_ID

    def test_case_and_unicode_form_do_not_matter(self) -> None:
        found = encoder()
        assert ids_of(found, ["A Person WALKS"]) == ids_of(found, ["a person walks"])
        assert ids_of(found, ["caf\u00e9"]) == ids_of(found, ["cafe\u0301"])

    @settings(deadline=None)
    @given(st.text("abcxyz éß漢🙂'-.,0\n", max_size=40))
    def test_unseen_words_lose_nothing(self, caption: str) -> None:
        found = CaptionEncoder(TOKENIZER, max_length=500)
        *ids, end = ids_of(found, [caption])[0]
        assert end == END_ID
        assert END_ID not in ids
        assert found.tokenizer.decode(ids).removeprefix(" ") == caption.removeprefix(
            " "
        )

    @settings(deadline=None)
    @given(st.lists(st.text(max_size=30), max_size=4), st.integers(1, 12))
    def test_any_caption_ends_within_the_length(
        self, captions: list[str], max_length: int
    ) -> None:
        rows = CaptionEncoder(TOKENIZER, max_length).encode(captions)
        assert len(rows) == len(captions)
        assert all(row[-1] == END_ID for row in rows)
        assert all(1 <= len(row) <= max_length for row in rows)


def test_a_caption_that_spells_the_end_piece_has_one_end() -> None:
    encoder = train_caption_encoder(["walk run"], vocab_size=300, max_length=40)
    (ids,) = ids_of(encoder, ["walk </s> run"])
    assert ids.count(END_ID) == 1
    assert ids[-1] == END_ID


@given(st.lists(st.integers(1, 6), max_size=5), st.integers(1, 4))
def test_padding_is_masked_and_zero(lengths: list[int], width: int) -> None:
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(n, width)).astype(np.float32) for n in lengths]
    states, mask = padded(rows, width)
    assert states.shape == (len(rows), max(lengths, default=0), width)
    assert mask.sum(1).tolist() == lengths
    assert not states[~mask].any()
    for row, all_states, kept in zip(rows, states, mask, strict=True):
        assert np.array_equal(all_states[kept], row)
