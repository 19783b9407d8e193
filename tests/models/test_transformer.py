"""The text-prefix transformer sees what it may see and computes what it says.

Who sees whom is tested by intervention: one id is changed, and the logits that may
depend on it must move while all others keep their bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scaling.models.batch import Batch
from scaling.models.sizes import size
from scaling.models.transformer import (
    PrefixTransformer,
    TransformerConfig,
    parameter_groups,
    prefix_mask,
    rotary_table,
    rotate,
    vocabulary_split,
)

Floats = npt.NDArray[np.float64]

V, TEXT_V = 11, 9
CONFIG = TransformerConfig(
    size=size("2x2x16"),
    codebook_size=V,
    text_vocab_size=TEXT_V,
    text_width=6,
    context=16,
)
ROWS = (([3, 1, 4, 0], [1, 5, 9, 2, 6]), ([7, 0], [0, 3]), ([0], [8, 10, 7]))
"""Text ids and codes; the rows are 9, 4 and 4 positions long."""


def model(
    config: TransformerConfig = CONFIG, seed: int = 0, *, head: bool = True
) -> PrefixTransformer:
    """Draw a model; its head too, which training starts at zero."""
    generator = torch.Generator().manual_seed(seed)
    net = PrefixTransformer(config)
    net.init_weights(generator)
    if head:
        torch.nn.init.normal_(net.head.weight, generator=generator)
    return net.requires_grad_(False)


def batch(rows: Sequence[tuple[Sequence[int], Sequence[int]]] = ROWS) -> Batch:
    """Lay out rows as documented: text, codes; the last code's target is the end."""
    texts, codes = zip(*rows, strict=True)
    return Batch.of([np.array(text) for text in texts], codes, V)


def row(values: Tensor, given_batch: Batch, number: int) -> Tensor:
    """Take the positions of one row out of the stream."""
    ends = [0, *(given_batch.layout.last + 1).tolist()]
    return values[ends[number] : ends[number + 1]]


def changed(given_batch: Batch, number: int, position: int) -> Batch:
    """Replace one piece or code of a row by the next."""
    codes, text = given_batch.codes.clone(), given_batch.text.clone()
    layout = given_batch.layout
    place = layout.last.tolist()[number - 1] + 1 if number else 0
    place += position
    if place in layout.text:
        where = (layout.text < place).sum()
        text[where] = (text[where] + 1) % TEXT_V
    else:
        where = (layout.codes < place).sum()
        codes[where] = (codes[where] + 1) % V
    return replace(given_batch, codes=codes, text=text)


def moved(before: Tensor, after: Tensor) -> list[bool]:
    """Say at which positions of a row any channel changed by as much as one bit."""
    return (before != after).any(-1).tolist()


class TestPrefix:
    """Row 0 holds text at positions 0 to 3 and codes at 4 to 8."""

    @pytest.mark.parametrize("position", range(4, 9))
    def test_code_moves_itself_and_what_follows_it(self, position: int) -> None:
        net, rows = model(), batch()
        before, after = net(rows)[:9], net(changed(rows, 0, position))[:9]
        assert moved(before, after) == [False] * position + [True] * (9 - position)

    @pytest.mark.parametrize("position", range(4))
    def test_text_moves_every_text_and_every_code(self, position: int) -> None:
        net, rows = model(), batch()
        before, after = net(rows)[:9], net(changed(rows, 0, position))[:9]
        assert moved(before, after) == [True] * 9

    @pytest.mark.parametrize("position", range(4, 9))
    def test_text_states_never_see_codes(self, position: int) -> None:
        net, rows = model(), batch()
        before = net.hidden(rows)[:4]
        after = net.hidden(changed(rows, 0, position))[:4]
        assert torch.equal(before, after)

    def test_first_text_sees_the_last(self) -> None:
        net, rows = model(), batch()
        before, after = net.hidden(rows)[:9], net.hidden(changed(rows, 0, 3))[:9]
        assert moved(before, after)[0]

    def test_order_of_codes_matters(self) -> None:
        net = model()
        straight, swapped = ([0], [1, 5, 9]), ([0], [5, 1, 9])
        logits = net(batch([straight, swapped]))
        assert moved(logits[:4], logits[4:])[-1]

    def test_states_stand_where_the_table_s_rows_would(self) -> None:
        net, rows = model(), batch()
        frozen = model(replace(CONFIG, text_vocab_size=None))
        frozen.load_state_dict(
            {k: w for k, w in net.state_dict().items() if k in frozen.state_dict()}
        )
        states = replace(rows, text=net.text_embedding(rows.text))
        assert torch.equal(frozen(states), net(rows))

    def test_text_id_and_code_of_the_same_number_differ(self) -> None:
        net = model()
        as_text, as_code = net(batch([([3, 3], [1])])), net(batch([([3], [3, 1])]))
        assert moved(as_text, as_code) == [True] * 3

    def test_mask_is_causal_or_both_text(self) -> None:
        num_text = batch().layout.num_text
        mask = prefix_mask(num_text, 9)
        assert mask.shape == (3, 1, 9, 9)
        for number, text in enumerate(num_text.tolist()):
            for query in range(9):
                for key in range(9):
                    both = query < text and key < text
                    assert mask[number, 0, query, key] == (key <= query or both)


class TestRows:
    def test_do_not_mix(self) -> None:
        net, rows = model(), batch()
        before, after = net(rows), net(changed(rows, 1, 2))
        for number, same in enumerate([True, False, True]):
            mine = row(before, rows, number), row(after, rows, number)
            assert torch.equal(*mine) == same

    def test_alone_has_the_logits_it_has_in_a_batch(self) -> None:
        net, rows = model(), batch()
        logits = net(rows)
        for number, alone in enumerate(ROWS):
            torch.testing.assert_close(
                row(logits, rows, number), net(batch([alone])), atol=1e-5, rtol=1e-5
            )


class TestLosses:
    def test_targets_are_every_code_and_one_end_per_row(self) -> None:
        rows = batch()
        assert rows.num_targets == sum(len(codes) + 1 for _, codes in ROWS)

    def test_are_cross_entropy_of_forward_s_logits(self) -> None:
        net, rows = model(), batch()
        logits = net(rows).double()
        expected = []
        for number, (text, codes) in enumerate(ROWS):
            of_row = row(logits, rows, number).numpy()
            for step, target in enumerate([*codes, V]):
                scores = of_row[len(text) - 1 + step]
                expected.append(np.log(np.exp(scores).sum()) - scores[target])
        losses = net.losses(rows)
        assert losses.shape == (rows.num_targets,)
        assert losses.tolist() == pytest.approx(expected, abs=1e-5)

    @pytest.mark.parametrize("codes", [V, 240])
    def test_start_at_the_uniform_distribution(self, codes: int) -> None:
        config = TransformerConfig(
            size=CONFIG.size, codebook_size=codes, text_vocab_size=TEXT_V
        )
        net = model(config, head=False)
        losses = net.losses(batch())
        assert losses.tolist() == pytest.approx(
            [math.log(codes + 1)] * len(losses), abs=1e-6
        )

    def test_autocast_to_bfloat16_is_close_to_float32(self) -> None:
        net, rows = model(), batch()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            losses = net.losses(rows)
        assert losses.dtype == torch.float32
        torch.testing.assert_close(losses, net.losses(rows), atol=0.15, rtol=0.05)

    def test_training_in_bfloat16_lowers_the_loss_of_float32_weights(self) -> None:
        net, rows = model(head=False).requires_grad_(), batch()
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
        losses = []
        for _ in range(40):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = net.loss(rows) / rows.num_targets
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
        assert losses[0] == pytest.approx(math.log(V + 1), abs=1e-6)
        assert losses[-1] < 0.1
        assert {weight.dtype for weight in net.parameters()} == {torch.float32}

    def test_gradient_reaches_every_parameter(self) -> None:
        net = model().requires_grad_()
        loss = net.loss(batch())
        loss.backward()  # type: ignore[no-untyped-call]
        for name, weight in net.named_parameters():
            assert weight.grad is not None, name
            assert weight.grad.isfinite().all(), name
            assert weight.grad.any(), name


class TestInitialWeights:
    def test_same_seed_same_weights(self) -> None:
        first, again = model(seed=3, head=False), model(seed=3, head=False)
        torch.manual_seed(99)  # the global generator has no say
        other = model(seed=4, head=False)
        for name, weight in first.state_dict().items():
            assert torch.equal(weight, again.state_dict()[name])
        assert not torch.equal(first.embedding.weight, other.embedding.weight)
        assert not torch.equal(
            first.get_parameter("blocks.1.attention.output.weight"),
            other.get_parameter("blocks.1.attention.output.weight"),
        )

    def test_scales_are_those_of_the_table(self) -> None:
        config = TransformerConfig(
            size=size("3x2x128"), codebook_size=500, text_vocab_size=300
        )
        weights = dict(model(config, head=False).named_parameters())
        block = {
            "attention.query_key_value": 1 / 128,
            "attention.output": 1 / (6 * 128),
            "feed_forward.gate": 1 / 128,
            "feed_forward.value": 1 / 128,
            "feed_forward.output": 1 / (6 * config.size.d_ff),
        }
        variances = {f"blocks.2.{name}.weight": block[name] for name in block}
        variances["embedding.weight"] = variances["text_embedding.weight"] = 1
        variances["text_projection.weight"] = 1 / 64
        for name, variance in variances.items():
            assert weights[name].std() == pytest.approx(variance**0.5, rel=0.03), name
            assert abs(weights[name].mean()) < 0.03 * variance**0.5, name
        assert not weights["head.weight"].any()
        assert not weights["text_projection.bias"].any()
        assert (weights["blocks.0.attention_norm.weight"] == 1).all()
        assert (weights["norm.weight"] == 1).all()


class TestRotation:
    @settings(deadline=None)
    @given(
        shift=st.integers(0, 90), gap=st.integers(0, 90), pairs=st.sampled_from([1, 8])
    )
    def test_scores_depend_on_the_difference_of_positions(
        self, shift: int, gap: int, pairs: int
    ) -> None:
        table = rotary_table(201, 2 * pairs)
        generator = torch.Generator().manual_seed(shift)
        q, k = torch.randn(2, 2 * pairs, generator=generator)

        def score(query: int, key: int) -> Tensor:
            return rotate(q, table[query]) @ rotate(k, table[key])

        torch.testing.assert_close(
            score(gap, 0), score(gap + shift, shift), atol=1e-4, rtol=1e-4
        )

    def test_pairs_turn_as_complex_numbers(self) -> None:
        x = torch.randn(2, 3, 201, 10, generator=torch.Generator().manual_seed(1))
        numbers = torch.view_as_complex(x.double().view(2, 3, 201, 5, 2))
        angles = torch.tensor(
            [[t * 10_000 ** (-i / 5) for i in range(5)] for t in range(201)],
            dtype=torch.float64,
        )
        turned = numbers * torch.polar(torch.ones_like(angles), angles)
        expected = torch.view_as_real(turned).flatten(-2).float()
        torch.testing.assert_close(
            rotate(x, rotary_table(201, 10)), expected, atol=1e-5, rtol=1e-5
        )

    def test_first_position_is_not_turned(self) -> None:
        x = torch.randn(1, 1, 1, 8)
        assert torch.equal(rotate(x, rotary_table(1, 8)), x)


def norm(x: Floats, gain: Floats) -> Floats:
    """RMSNorm: x g / sqrt(mean x^2 + 1e-5)."""
    scaled: Floats = x * gain * ((x**2).mean(-1, keepdims=True) + 1e-5) ** -0.5
    return scaled


def reference_logits(
    weights: dict[str, Floats], text: Sequence[int], codes: Sequence[int], n_heads: int
) -> Floats:
    """Compute one row in float64 numpy from the formulas alone, head by head."""
    prefix = weights["text_embedding.weight"][text]
    prefix = prefix @ weights["text_projection.weight"].T
    prefix = prefix + weights["text_projection.bias"]
    x = np.concatenate([prefix, weights["embedding.weight"][codes]])
    T, d = x.shape
    K = d // n_heads
    angles = np.outer(np.arange(T), 10_000.0 ** (-np.arange(0, K, 2) / K))
    turn = np.exp(1j * angles)
    n_layers = sum(name.endswith("attention_norm.weight") for name in weights)
    for layer in range(n_layers):
        part = {
            name.removeprefix(f"blocks.{layer}."): weight
            for name, weight in weights.items()
            if name.startswith(f"blocks.{layer}.")
        }
        fused = norm(x, part["attention_norm.weight"])
        q, k, v = np.split(fused @ part["attention.query_key_value.weight"].T, 3, -1)
        heads = []
        for head in range(n_heads):
            own = slice(head * K, (head + 1) * K)
            # a rotated pair is a complex number; the product is the real part
            q_turned = (q[:, own][:, 0::2] + 1j * q[:, own][:, 1::2]) * turn
            k_turned = (k[:, own][:, 0::2] + 1j * k[:, own][:, 1::2]) * turn
            scores = (q_turned @ k_turned.conj().T).real / math.sqrt(K)
            for query in range(T):
                seen = len(text) if query < len(text) else query + 1
                scores[query, seen:] = -np.inf
            odds = np.exp(scores - scores.max(-1, keepdims=True))
            heads.append(odds / odds.sum(-1, keepdims=True) @ v[:, own])
        x = x + np.concatenate(heads, -1) @ part["attention.output.weight"].T
        inner = norm(x, part["feed_forward_norm.weight"])
        gate = inner @ part["feed_forward.gate.weight"].T
        value = inner @ part["feed_forward.value.weight"].T
        swish = gate / (1 + np.exp(-gate))
        x = x + (swish * value) @ part["feed_forward.output.weight"].T
    return norm(x, weights["norm.weight"]) @ weights["head.weight"].T


@pytest.mark.parametrize("shape", ["1x1x8", "2x2x16", "3x4x24"])
def test_logits_are_those_of_an_independent_implementation(shape: str) -> None:
    config = TransformerConfig(
        size=size(shape), codebook_size=V, text_vocab_size=TEXT_V, text_width=6
    )
    net = model(config, seed=5)
    for name, weight in net.named_parameters():
        if "norm" in name or name.endswith("bias"):  # ones and zeros hide mistakes
            torch.nn.init.uniform_(weight, 0.5, 1.5, torch.Generator().manual_seed(6))
    weights = {name: w.double().numpy() for name, w in net.state_dict().items()}
    rows = batch()
    logits = net(rows)
    for number, (text, codes) in enumerate(ROWS):
        expected = reference_logits(weights, text, codes, config.size.n_heads)
        found = row(logits, rows, number)
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)


class TestParameters:
    def test_table_of_pieces_counts_in_the_total_alone(self) -> None:
        net, frozen = model(), model(replace(CONFIG, text_vocab_size=None))
        split, without = vocabulary_split(net), vocabulary_split(frozen)
        assert split[:2] == without[:2]
        assert split[2] - without[2] == TEXT_V * CONFIG.text_width

    def test_module_in_no_group_is_noticed(self) -> None:
        net = model()
        net.extra = torch.nn.Linear(2, 2)
        with pytest.raises(AssertionError, match="a module is in no group"):
            parameter_groups(net)
