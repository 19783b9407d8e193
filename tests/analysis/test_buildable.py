import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.analysis.buildable import (
    AIMS,
    Configuration,
    Counting,
    candidates,
    nearest,
)
from scaling.analysis.shapes import codebooks, sizes
from scaling.errors import ScalingError
from scaling.models.flops import (
    CONVENTIONS,
    Architecture,
    non_vocab_params,
    vocab_params,
)
from scaling.models.levels import (
    LEVELS,
    check_levels,
    codebook_size,
    nominal_codebook_size,
)
from scaling.models.sizes import PAPER_SIZES, size

WANTED = {"N_nv": 5e6, "V": 1000.0}


def chinchilla(x):
    return 1.8 + 400 * x["N"] ** -0.34 + 410 * x["D"] ** -0.28


def flat(x):
    return np.zeros_like(x["C"])


@st.composite
def laws(draw):
    """Draw a law with a codebook, and an optimum that the budget can pay for."""
    a, n, b = (draw(st.floats(0.1, 0.9)) for _ in range(3))
    A, N, B = (10 ** draw(st.floats(0, 4)) for _ in range(3))
    compute = 10 ** draw(st.floats(10, 26))
    wanted = {
        "N_nv": compute ** draw(st.floats(0.35, 0.5)),
        "V": 10 ** draw(st.floats(1, 5.5)),
    }

    def loss(x):
        return A * x["N_nv"] ** -a + N * x["N_v"] ** -n + B * x["D"] ** -b

    return loss, compute, wanted


conventions = st.sampled_from(sorted(CONVENTIONS))


@settings(max_examples=60, deadline=None)
@given(law=laws(), convention=conventions)
def test_the_configuration_can_be_built_for_the_budget_to_the_token(law, convention):
    loss, compute, wanted = law
    found = nearest(loss, compute, wanted=wanted, convention=convention)
    assert size(found.size.name) == found.size
    check_levels(found.levels)
    assert codebook_size(found.levels) == found.codebook_size
    assert nominal_codebook_size(found.levels) == found.nominal
    assert isinstance(found.tokens, int)
    assert found.tokens >= 1
    assert found.flops == 3 * found.flops_per_token * found.tokens
    assert abs(int(compute) - found.flops) <= 3 * found.flops_per_token


@settings(max_examples=60, deadline=None)
@given(
    law=laws(),
    convention=conventions,
    n_ctx=st.integers(3, 500),
    n_prefix=st.integers(0, 600),
    text_width=st.integers(1, 3000),
)
def test_counts_are_those_of_models_to_the_last_one(
    law, convention, n_ctx, n_prefix, text_width
):
    loss, compute, wanted = law
    counting = Counting(
        convention=convention, n_ctx=n_ctx, n_prefix=n_prefix, text_width=text_width
    )
    found = nearest(loss, compute, wanted=wanted, **asdict(counting))
    assert found.counting == counting

    def architecture(V):
        return Architecture(
            size=found.size,
            codebook_size=V,
            n_ctx=n_ctx,
            n_prefix=min(n_prefix, n_ctx - 1),
            text_width=text_width,
        )

    real = architecture(found.codebook_size)
    paid = architecture(found.nominal) if convention == "openai" else real
    assert found.flops_per_token == CONVENTIONS[convention](paid)
    assert found.non_vocab_params == non_vocab_params(real)
    assert found.vocab_params == vocab_params(real)
    d, V = found.size.d_model, found.codebook_size
    tables_and_head = (V + V + 1) * d + 512 * text_width
    assert found.total_params == found.non_vocab_params + tables_and_head


@settings(max_examples=40, deadline=None)
@given(law=laws(), convention=conventions)
def test_no_candidate_has_a_lower_loss(law, convention):
    """One candidate at a time, in Python's floats, from the functions of models."""
    loss, compute, wanted = law
    counting = Counting(convention=convention)
    found = nearest(loss, compute, wanted=wanted, convention=convention)
    near = candidates(compute, wanted=wanted, counting=counting)
    assert (found.size, found.levels) in [(s, book.levels) for s, book in near.pairs]
    for shape, book in near.pairs:
        architecture = counting.architecture(shape, book.codes)
        f = counting.forward(shape, book)
        columns = {
            "N_nv": float(non_vocab_params(architecture)),
            "N_v": float(vocab_params(architecture)),
            "D": float(int(compute / (3 * f))),
        }
        assert loss(columns) >= found.loss * (1 - 1e-12)


@given(shape=st.sampled_from(sizes()), book=st.sampled_from(codebooks()))
@settings(max_examples=40, deadline=None)
def test_all_within_a_factor_of_two_competes(shape, book):
    counting = Counting()
    N_nv = non_vocab_params(counting.architecture(shape, 1))
    wanted = {"N_nv": N_nv, "V": book.codes}
    near = candidates(1e40, wanted=wanted, counting=counting)
    expected = set()
    for other in sizes():
        n = math.log2(non_vocab_params(counting.architecture(other, 1)) / N_nv)
        for another in codebooks():
            if math.hypot(n, math.log2(another.codes / book.codes)) < 1 - 1e-9:
                expected.add((other, another))
    assert expected <= set(near.pairs)
    rim = max(near.distance)
    assert rim <= 1 + 1e-12


@pytest.mark.parametrize("name", PAPER_SIZES)
@pytest.mark.parametrize("nominal", LEVELS)
def test_a_law_that_wants_the_papers_model_gets_it(name, nominal):
    """A law of C alone leaves all losses equal: the closest wins."""
    counting = Counting()
    V = codebook_size(LEVELS[nominal])
    architecture = counting.architecture(PAPER_SIZES[name], V)
    wanted = {"N_nv": non_vocab_params(architecture), "V": V}
    found = nearest(flat, 1e22, wanted=wanted)
    assert (found.size.name, found.levels) == (name, LEVELS[nominal])
    assert found.of_wanted == {"N_nv": 1, "V": 1}


def test_the_papers_flops_are_those_of_the_supplement():
    counting = Counting(text_width=2048)
    wanted = {"N_nv": 28_320_768, "V": 240}
    found = nearest(flat, 1e18, wanted=wanted, **asdict(counting))
    assert (found.size.name, found.nominal) == ("44M", 256)
    assert found.flops_per_token == 52_242_432
    assert found.tokens == 10**18 // (3 * 52_242_432)
    assert found.steps is None


def test_vocabulary_parameters_may_stand_for_the_codebook():
    V = 1000
    wanted = {"N_nv": 812_288, "N_v": V * 128}
    found = nearest(flat, 1e15, wanted=wanted)
    assert (found.size.name, found.codebook_size) == ("4x4x128", V)


def test_total_parameters_are_those_of_the_real_model():
    torch_side = pytest.importorskip("scaling.models.transformer")
    found = nearest(flat, 1e13, wanted={"N": 9e5}, codebook=240)
    config = torch_side.TransformerConfig(
        size=found.size, codebook_size=240, text_vocab_size=512, text_width=64
    )
    counted = torch_side.vocabulary_split(torch_side.PrefixTransformer(config))
    ours = found.non_vocab_params, found.vocab_params, found.total_params
    assert ours == counted
    assert found.of_wanted["N"] == pytest.approx(1, abs=0.05)


@given(compute=st.floats(1e10, 1e26), N=st.floats(0.01, 1e4), V=st.integers(2, 100000))
@settings(max_examples=40, deadline=None)
def test_a_law_without_a_codebook_has_the_one_it_is_given(compute, N, V):
    found = nearest(chinchilla, compute, wanted={"N": N * compute**0.3}, codebook=V)
    assert found.codebook_size == V
    if found.levels is None:
        assert found.nominal == V
    else:
        assert codebook_size(found.levels) == V


def test_a_given_codebook_is_not_moved_by_what_the_law_wants():
    wanted = {"N_nv": 812_288, "N_v": 1e7, "V": 8e4}
    found = nearest(flat, 1e15, wanted=wanted, codebook=240)
    assert (found.size.name, found.codebook_size) == ("4x4x128", 240)
    assert found.of_wanted["V"] == 240 / 8e4


@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-5, 5))
@settings(max_examples=20, deadline=None)
def test_the_unit_of_the_loss_does_not_matter(scale, shift):
    straight = nearest(chinchilla, 1e17, wanted=WANTED)
    other = nearest(lambda x: scale * chinchilla(x) + shift, 1e17, wanted=WANTED)
    assert (other.size, other.levels) == (straight.size, straight.levels)


def test_six_nd_is_six_nd():
    found = nearest(chinchilla, 1e16, wanted=WANTED, convention="6nd")
    N = found.non_vocab_params + found.vocab_params
    assert found.flops == 6 * N * found.tokens


def test_what_lies_beyond_all_that_can_be_built_gets_the_last_that_can():
    found = nearest(flat, 1e26, wanted={"N_nv": 1e20, "V": 1e9})
    assert found.codebook_size == 8**6
    assert found.size == max(sizes(), key=lambda s: s.n_layers * s.d_model**2)
    near = candidates(1e26, wanted={"N_nv": 1e8, "V": 1e9}, counting=Counting())
    octaves = np.log2(near.counts["N_nv"] / 1e8)
    assert np.abs(octaves).max() <= 1 + np.abs(octaves).min()
    small = nearest(flat, 1e10, wanted={"N_nv": 3, "V": 2})
    assert (small.size.name, small.codebook_size) == ("1x1x16", 9)
    assert small.of_wanted["V"] == 4.5


def test_a_law_sees_the_columns_it_was_promised():
    seen = {}

    def loss(x):
        seen.update(x)
        return x["V"]

    found = nearest(loss, 1e15, wanted=WANTED)
    assert sorted(seen) == sorted([*AIMS, "D", "C"])
    assert len({(x.shape, x.dtype) for x in seen.values()}) == 1
    assert set(seen["C"]) == {1e15}
    assert found.loss == found.codebook_size == seen["V"].min()


def test_where_the_law_is_not_a_number_another_candidate_wins():
    def law(x):
        return np.where(x["V"] > 900, np.nan, chinchilla(x))

    assert nearest(law, 1e15, wanted=WANTED).codebook_size <= 900


def test_steps_are_whole_batches():
    found = nearest(chinchilla, 1e15, wanted=WANTED, tokens_per_step=300.5)
    assert found.steps == math.ceil(found.tokens / 300.5)


def test_the_budget_and_the_wanted_counts_are_compared_with():
    found = nearest(chinchilla, 1e15, wanted=WANTED | {"D": 1e6})
    assert found.of_wanted["N_nv"] == found.non_vocab_params / 5e6
    assert found.of_wanted["V"] == found.codebook_size / 1000
    assert found.of_wanted["D"] == found.tokens / 1e6
    assert found.of_budget == pytest.approx(found.flops / 1e15, rel=1e-15)
    assert 1 - 3 * found.flops_per_token / 1e15 < found.of_budget <= 1


def test_json_holds_the_configuration():
    found = nearest(chinchilla, 1e15, wanted=WANTED)
    back = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert back == found.to_dict()
    assert back["levels"] == list(found.levels)
    assert back["convention"] == "openai"
    assert set(Configuration.__dataclass_fields__) < set(back)


@pytest.mark.parametrize(
    ("compute", "wanted", "message"),
    [
        (0.0, WANTED, r"compute is 0\.0; expected FLOPs above 0: give a budget"),
        (math.nan, WANTED, "compute is nan; expected"),
        (1e15, {"V": 9.0}, "V = 9 does not say how large a model is wanted; expected"),
        (1e15, {}, "nothing does not say how large"),
        (1e15, {"N": 1e6}, "N = 1e[+]06 does not say how many codes .* codebook"),
        (1e15, {"M": 1e6}, "a law cannot want 'M' here; known: D, N, N_nv, N_v, V"),
        (1e15, {"N": -1.0, "V": 9.0}, "the law wants N = -1; expected a positive"),
        (1e15, {"N": math.inf, "V": 9.0}, "the law wants N = inf; expected"),
        (1e9, {"N": 1e12, "V": 9.0}, "1e[+]09 FLOPs do not pay for one token .* raise"),
    ],
)
def test_mistakes_are_named(compute, wanted, message):
    with pytest.raises(ScalingError, match=message):
        nearest(chinchilla, compute, wanted=wanted)


def test_a_law_without_any_value_is_refused():
    with pytest.raises(ScalingError, match=r"loss of nan .* check the law's parameter"):
        nearest(lambda x: x["N"] * np.nan, 1e15, wanted=WANTED)


def test_an_unknown_convention_is_named():
    with pytest.raises(ScalingError, match="convention 'openia' is not known; did you"):
        nearest(chinchilla, 1e15, wanted=WANTED, convention="openia")
