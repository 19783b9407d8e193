"""Rows are laid out as the paper's, and a batch depends on its step's number alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.models.batch import Batch
from scaling.models.text import END_ID, Text
from scaling.runs.data import Rows, Sampler, require_context
from scaling.runs.unigram import Unigram

V = 50


def text(ids: list[int]) -> NDArray[np.int64]:
    return np.array(ids, np.int64)


def made(lengths: list[int], captions: int = 2) -> Rows:
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, V, n).astype(np.int32) for n in lengths]
    texts: list[list[Text]] = [
        [text([7 + k, *range(1, 1 + row % 3 + k), END_ID]) for k in range(captions)]
        for row in range(len(lengths))
    ]
    return Rows(codes, texts, V)


def test_a_row_is_text_then_motion_then_end() -> None:
    rows = Rows([np.array([4, 5, 6], np.int32)], [[text([9, 8, 0])]], V)
    batch = rows.batch([0], [0])
    assert batch.text.tolist() == [9, 8, 0]
    assert batch.codes.tolist() == [4, 5, 6]
    assert batch.layout.text.tolist() == [0, 1, 2]
    assert batch.layout.codes.tolist() == [3, 4, 5]
    # the last text position predicts the first motion token, the last token the end
    assert batch.layout.scored.tolist() == [2, 3, 4, 5]
    assert batch.targets.tolist() == [4, 5, 6, V]
    assert batch.num_targets == 4


def test_rows_follow_one_another_with_the_captions_asked_for() -> None:
    rows = made([2, 5])
    batch = rows.batch([0, 1], [0, 1])
    pieces = [*rows.texts[0][0].tolist(), *rows.texts[1][1].tolist()]
    assert batch.text.tolist() == pieces
    assert batch.codes.tolist() == [*rows.codes[0].tolist(), *rows.codes[1].tolist()]
    assert batch.num_targets == 2 + 5 + 2


def test_states_of_a_frozen_encoder_stand_in_order_of_rows() -> None:
    rng = np.random.default_rng(0)
    states = [rng.random((n, 6), np.float32) for n in (3, 1)]
    rows = Rows([np.zeros(2, np.int32)] * 2, [[x] for x in states], V)
    batch = rows.batch([1, 0], [0, 0])
    assert batch.layout.num_text.tolist() == [1, 3]
    assert batch.text.tolist() == [*states[1].tolist(), *states[0].tolist()]


def test_a_split_is_evaluated_once_and_whole() -> None:
    rows = made(list(range(1, 300)))
    scored = sorted(t for batch in rows.batches() for t in batch.targets.tolist())
    expected = sorted([*np.concatenate(rows.codes).tolist(), *[V] * len(rows.codes)])
    assert scored == expected


@given(
    rows=st.integers(1, 70),
    batch_size=st.integers(1, 16),
    epoch=st.integers(0, 3),
    seed=st.integers(0, 5),
)
def test_an_epoch_shows_no_row_twice(
    rows: int, batch_size: int, epoch: int, seed: int
) -> None:
    batch_size = min(batch_size, rows)
    sampler = Sampler(made([1 + n % 9 for n in range(rows)]), batch_size, seed)
    order: NDArray[np.int64] = sampler._shuffled(epoch).flatten()
    assert len(set(order.tolist())) == len(order)
    assert rows - len(order) < sampler.batch_size


def test_a_batch_depends_on_its_step_alone() -> None:
    rows = made([3 + n % 20 for n in range(64)])
    one, other = Sampler(rows, 8, seed=1), Sampler(rows, 8, seed=1)
    for step in (30, 2, 17):  # another sampler, another order of asking
        for late in range(step):
            other.batch(late)
        a, b = one.batch(step), other.batch(step)
        assert a.codes.tolist() == b.codes.tolist()
        assert a.text.tolist() == b.text.tolist()
        assert a.targets.tolist() == b.targets.tolist()
    other = Sampler(rows, 8, seed=2)
    assert one.batch(3).codes.tolist() != other.batch(3).codes.tolist()


def test_batches_hold_rows_of_like_length() -> None:
    rng = np.random.default_rng(0)
    rows = made(rng.integers(5, 50, 512).tolist(), captions=1)
    sampler = Sampler(rows, 16, seed=0)
    layouts = [sampler.batch(step).layout for step in range(sampler.per_epoch)]
    real = sum(len(layout.place) for layout in layouts)
    padded = sum(layout.num_rows * layout.longest for layout in layouts)
    assert real > 0.85 * padded


def test_steps_reach_the_budget_with_their_last_batch() -> None:
    sampler = Sampler(made([4, 6, 8, 10] * 8), 4, seed=0)
    after = sampler.tokens_after(500)
    counted = np.cumsum([sampler.batch(step).num_targets for step in range(len(after))])
    assert after.tolist() == counted.tolist()
    assert after[-1] >= 500 > after[-2]


def test_a_batch_larger_than_the_split_is_refused() -> None:
    with pytest.raises(ScalingError, match=r"9 sequences are more than .* split's 8"):
        Sampler(made([3] * 8), 9, seed=0)


@given(few=st.integers(1, 20), more=st.integers(20, 40))
def test_fewer_rows_are_among_more_of_them(few: int, more: int) -> None:
    rows = made([1 + n for n in range(40)])  # by its length each row is known
    assert rows.some(None) is rows
    small, large = (rows.some(count) for count in (few, more))
    assert (len(small.codes), len(large.codes)) == (few, more)
    assert set(small.lengths) <= set(large.lengths)
    for n, length in enumerate(small.lengths):
        row = int(length) - 2
        assert small.codes[n].tolist() == rows.codes[row].tolist()
        assert [t.tolist() for t in small.texts[n]] == [
            t.tolist() for t in rows.texts[row]
        ]


def test_more_rows_than_there_are_cannot_be_chosen() -> None:
    rows = made([3] * 8)
    with pytest.raises(
        ScalingError, match=r"train_clips: 9 are more than .* split's 8"
    ):
        rows.some(9)


def test_a_context_that_would_cut_a_row_is_refused() -> None:
    rows = Rows([np.zeros(10, np.int32)], [[text([1, 2, 3, 0])]], V)
    require_context(15, rows)
    with pytest.raises(
        ScalingError, match=r"14 positions are fewer .* row's 15; set it"
    ):
        require_context(14, rows)


class TestUnigram:
    def test_frequencies_count_one_end_token_per_row(self) -> None:
        rows = Rows([np.array([0, 0, 1], np.int32)] * 2, [[text([0])]] * 2, 3)
        assert Unigram.of(rows).counts.tolist() == [4, 2, 0, 2]

    def test_the_loss_is_the_mean_over_tokens(self) -> None:
        train = Rows([np.array([0, 0, 0, 1], np.int32)], [[text([0])]], 2)
        test = Rows([np.array([1], np.int32)], [[text([0])]], 2)
        q = {0: 3 / 5, 1: 1 / 5, 2: 1 / 5}
        expected = -(np.log(q[1]) + np.log(q[2])) / 2
        assert Unigram.of(train).loss(test) == pytest.approx(expected, abs=1e-15)

    def test_codes_that_training_never_shows_count_once_and_are_reported(self) -> None:
        train = Rows([np.array([0, 0], np.int32)], [[text([0])]], 4)
        test = Rows([np.array([2, 2, 3, 0], np.int32)], [[text([0])]], 4)
        unigram = Unigram.of(train)
        q = np.exp(unigram.log_frequencies)
        assert q.tolist() == pytest.approx([2 / 6, 1 / 6, 1 / 6, 1 / 6, 1 / 6])
        assert np.isfinite(unigram.loss(test))
        assert unigram.unseen(test) == {"unseen_codes": 3, "unseen_test_tokens": 3}


def rows_in(batch: Batch) -> list[list[int]]:
    """Take a batch's codes apart, each row's with its end."""
    ends = np.flatnonzero(batch.targets.numpy() == V)
    pieces = np.split(batch.targets.numpy(), ends[:-1] + 1)
    return [row.tolist() for row in pieces]


@given(
    at_once=st.integers(1, 13), share=st.sampled_from([1, 2, 3, 4]), step=st.integers(0)
)
def test_the_parts_of_all_processes_are_the_batch(
    at_once: int, share: int, step: int
) -> None:
    rows = made([1 + n % 9 for n in range(50)])
    sampler = Sampler(rows, 12, seed=3)
    step %= 1000
    whole = sampler.batch(step)
    found: list[list[int]] = []
    for rank in range(share):
        parts = list(sampler.parts(step, at_once, rank, share))
        assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
        assert len(parts) == math.ceil(12 // share / at_once)
        assert {part.targets for part in parts} == {whole.num_targets}
        for part in parts:
            assert part.batch.layout.num_rows <= at_once
            found += rows_in(part.batch)
    assert sorted(found) == sorted(rows_in(whole))
