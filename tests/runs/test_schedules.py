"""Learning rates rise, stay and fall as the formulas say."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.models.sizes import size
from scaling.models.transformer import PrefixTransformer, TransformerConfig
from scaling.runs.schedules import (
    MUP_WIDTH,
    parameter_groups,
    warmup_cosine,
    warmup_milestone,
    warmup_stable_decay,
)


def test_warm_up_rises_to_the_peak_and_the_cosine_falls_from_it() -> None:
    rates = [warmup_cosine(s, steps=100, warmup=0.1, peak=2.0) for s in range(100)]
    assert rates[:3] == pytest.approx([0.2, 0.4, 0.6])
    assert rates[9] == rates[10] == 2.0
    assert rates[55] == pytest.approx(1.0)
    assert 0 < rates[-1] < 0.01
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_the_milestone_multiplies_the_rate_once() -> None:
    rates = [
        warmup_milestone(s, steps=10, warmup=0.2, peak=1.0, milestone=0.6, decay=0.05)
        for s in range(10)
    ]
    assert rates == [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.05, 0.05, 0.05, 0.05]


@given(
    rising=st.integers(0, 50),
    staying=st.integers(0, 200),
    falling=st.integers(1, 100),
    step=st.integers(0, 350),
)
def test_up_to_the_cooldown_a_trunk_and_its_branches_have_one_rate(
    rising: int, staying: int, falling: int, step: int
) -> None:
    stable = rising + staying
    step = min(step, stable + falling - 1)
    branch = warmup_stable_decay(
        step, rising=rising, stable=stable, steps=stable + falling, peak=0.3
    )
    trunk = warmup_stable_decay(step, rising=rising, stable=999, steps=999, peak=0.3)
    assert 0 < branch <= trunk <= 0.3
    assert (branch == trunk) == (step <= stable)


def test_a_cooldown_falls_as_one_minus_the_root() -> None:
    rates = [
        warmup_stable_decay(s, rising=10, stable=100, steps=200, peak=2.0)
        for s in range(100, 200)
    ]
    assert rates[25] == pytest.approx(2.0 * (1 - 0.5))
    assert rates[64] == pytest.approx(2.0 * (1 - 0.8))
    assert rates[-1] == pytest.approx(2.0 * (1 - math.sqrt(0.99)))


def model(shape: str) -> PrefixTransformer:
    return PrefixTransformer(
        TransformerConfig(size=size(shape), codebook_size=16, text_vocab_size=8)
    )


@pytest.mark.parametrize(("width", "share"), [(64, 1.0), (128, 0.5), (256, 0.25)])
def test_with_mup_the_matrices_of_the_blocks_and_the_head_learn_at_64_by_the_width(
    width: int, share: float
) -> None:
    built = model(f"1x2x{width}")
    wide, others = parameter_groups(built, "mup")
    assert (wide["share"], others["share"]) == (share, 1.0)
    names = {id(weight): name for name, weight in built.named_parameters()}
    assert {names[id(weight)] for weight in wide["params"]} == {
        "head.weight",
        "blocks.0.attention.query_key_value.weight",
        "blocks.0.attention.output.weight",
        "blocks.0.feed_forward.gate.weight",
        "blocks.0.feed_forward.value.weight",
        "blocks.0.feed_forward.output.weight",
    }
    assert {id(p) for p in [*wide["params"], *others["params"]]} == set(names)


def test_the_standard_parametrization_gives_all_the_whole_rate() -> None:
    built = model(f"1x2x{2 * MUP_WIDTH}")
    (group,) = parameter_groups(built, "standard")
    assert group["share"] == 1.0
    assert len(group["params"]) == len(list(built.parameters()))
