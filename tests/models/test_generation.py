"""Generation reads what training wrote: same positions, same logits, to the end token.

The cached way is held against whole forward passes over the finished rows, which know
nothing of steps, caches or batches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from scaling.errors import ScalingError
from scaling.models import generation
from scaling.models.batch import Batch
from scaling.models.generation import GREEDY, Sampling, choose, generate
from scaling.models.sizes import size
from scaling.models.text import Text
from scaling.models.transformer import PrefixTransformer, TransformerConfig

V, TEXT_V, CONTEXT = 11, 9, 32


def model(
    shape: str = "2x2x16", *, text_vocab_size: int | None = TEXT_V, spread: float = 4.0
) -> PrefixTransformer:
    """Draw a model whose logits have a deviation of `spread`."""
    config = TransformerConfig(
        size=size(shape),
        codebook_size=V,
        text_vocab_size=text_vocab_size,
        text_width=6,
        context=CONTEXT,
    )
    generator = torch.Generator().manual_seed(3)
    net = PrefixTransformer(config)
    net.init_weights(generator)
    std = spread / config.size.d_model**0.5
    torch.nn.init.normal_(net.head.weight, std=std, generator=generator)
    return net.requires_grad_(False)


def texts(*lengths: int) -> list[Text]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, TEXT_V, length) for length in lengths]


EIGHT = texts(3, 7, 1, 5, 2, 2, 6, 4)


def logits_after(net: PrefixTransformer, text: Text, codes: Sequence[int]) -> Tensor:
    """Read one whole row at once; logits of each code and of what follows the last."""
    logits: Tensor = net(Batch.of([text], [np.array(codes, np.int64)], V))
    return logits[len(text) - 1 :]


class TestCache:
    @pytest.mark.parametrize("shape", ["1x1x8", "2x2x16", "3x4x24", "2x4x128"])
    def test_logits_of_every_step_are_those_of_a_whole_pass(self, shape: str) -> None:
        net, rows = model(shape), texts(3, 7, 1, 5)
        codes = np.random.default_rng(1).integers(0, V, (len(rows), 20))
        reader = generation.CachedReader(net, rows, room=20)
        steps = [net.head(reader.hidden)]
        for column in torch.from_numpy(codes).T:
            reader.read(column)
            steps.append(net.head(reader.hidden))
        found = torch.stack(steps, 1)
        for row, text in enumerate(rows):
            expected = logits_after(net, text, codes[row].tolist())
            assert expected.shape == (21, V + 1)
            torch.testing.assert_close(found[row], expected, atol=1e-5, rtol=0)

    def test_logits_are_the_same_after_rows_were_dropped(self) -> None:
        net, rows = model(), texts(3, 7, 1, 5)
        reader = generation.CachedReader(net, rows, room=20)
        reader.read(torch.tensor([4, 4, 4, 4]))
        reader.keep(torch.tensor([True, False, False, True]))
        reader.read(torch.tensor([5, 6]))
        for row, (text, code) in enumerate([(rows[0], 5), (rows[3], 6)]):
            expected = logits_after(net, text, [4, code])[-1]
            found = net.head(reader.hidden)[row]
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)

    def test_states_of_a_frozen_encoder_are_a_text(self) -> None:
        net = model(text_vocab_size=None)
        states = [
            np.random.default_rng(n).standard_normal((n, 6)).astype(np.float32)
            for n in (4, 2)
        ]
        found = generate(net, states, sampling=GREEDY)
        for text, codes in zip(states, found, strict=True):
            likeliest = logits_after(net, text, codes.tolist()).argmax(-1)
            assert likeliest[: len(codes)].tolist() == codes.tolist()


class TestRows:
    def test_greedy_takes_the_likeliest_until_the_end_or_the_bound(self) -> None:
        net = model()
        found = generate(net, EIGHT, sampling=GREEDY, max_tokens=12)
        ended = 0
        for text, codes in zip(EIGHT, found, strict=True):
            likeliest = logits_after(net, text, codes.tolist()).argmax(-1).tolist()
            assert codes.dtype == np.int32
            assert likeliest[:-1] == codes.tolist()
            assert V not in codes
            assert likeliest[-1] == V or len(codes) == 12
            ended += likeliest[-1] == V
        assert 0 < ended < 8  # both happen

    @pytest.mark.parametrize(
        "sampling", [GREEDY, Sampling(seed=5), Sampling(seed=6, top_k=3, top_p=0.8)]
    )
    def test_a_row_is_the_same_alone_and_among_others(self, sampling: Sampling) -> None:
        net = model(spread=1.0)
        together = generate(net, EIGHT, sampling=sampling, at_once=8)
        for at_once in (1, 3):
            apart = generate(net, EIGHT, sampling=sampling, at_once=at_once)
            assert [x.tolist() for x in apart] == [x.tolist() for x in together]
        assert len({len(x) for x in together}) > 3

    def test_reading_all_anew_for_every_token_gives_the_same(self) -> None:
        net = model(spread=1.0)
        for sampling in (GREEDY, Sampling(seed=2)):
            found = generate(net, EIGHT, sampling=sampling)
            plain = generate(net, EIGHT, sampling=sampling, cached=False)
            assert [x.tolist() for x in found] == [x.tolist() for x in plain]

    def test_same_seed_same_tokens_and_another_seed_others(self) -> None:
        net = model(spread=1.0)
        first, again, other = (
            [x.tolist() for x in generate(net, EIGHT, sampling=Sampling(seed=seed))]
            for seed in (1, 1, 2)
        )
        assert first == again != other

    def test_rows_of_one_text_have_draws_of_their_own(self) -> None:
        found = generate(model(spread=1.0), [EIGHT[0]] * 4)
        assert len({tuple(x.tolist()) for x in found}) == 4

    def test_a_larger_bound_continues_the_same_motion(self) -> None:
        net = model(spread=1.0)
        short = generate(net, EIGHT, max_tokens=4)
        long = generate(net, EIGHT, max_tokens=15)
        assert [x[:4].tolist() for x in long] == [x.tolist() for x in short]

    def test_the_end_may_come_first(self) -> None:
        net, text = model(), EIGHT[0]
        net.head.weight.zero_()
        net.head.weight[V] = generation.CachedReader(net, [text], room=1).hidden[0]
        (found,) = generate(net, [text], sampling=GREEDY)
        assert found.shape == (0,)

    def test_the_end_is_not_drawn_before_the_least_number_of_tokens(self) -> None:
        net = model(spread=1.0)
        without = generate(net, EIGHT)
        found = generate(net, EIGHT, min_tokens=5)
        assert min(map(len, without)) < 5 <= min(map(len, found))

    def test_a_row_ends_with_the_context(self) -> None:
        found = generate(model(), texts(3, 30, 20), min_tokens=99)
        # text, tokens and the end fill the 32 positions
        assert list(map(len, found)) == [28, 1, 11]

    def test_no_texts_give_no_motions(self) -> None:
        assert generate(model(), []) == []

    @pytest.mark.parametrize("length", [0, 31, 32])
    def test_a_text_without_room_is_refused(self, length: int) -> None:
        with pytest.raises(ScalingError) as error:
            generate(model(), texts(3, length))
        assert str(error.value) == (
            f"a text of {length} positions; expected at least 1 and at most 30, the "
            "model's context less a token and the end: cut it"
        )


def kept(p: NDArray[np.float64], top_k: int | None, top_p: float | None) -> list[int]:
    """Walk down the ranks, one by one, as the definitions of top-k and nucleus say."""
    ranks = np.argsort(-p, kind="stable")[:top_k]
    share, mass, chosen = top_p or 2.0, 0.0, []
    for token in ranks.tolist():
        if mass >= share * p[ranks].sum():
            break
        chosen.append(token)
        mass += p[token]
    return sorted(chosen)


class TestChoose:
    LOGITS = torch.tensor([[2.0, -1.0, 0.5, 1.0, -3.0]])

    def shares(self, sampling: Sampling, draws: int = 20_000) -> list[float]:
        """Share of each token over draws that are evenly spaced."""
        uniforms = (torch.arange(draws, dtype=torch.float64) + 0.5) / draws
        chosen = choose(self.LOGITS.expand(draws, -1), uniforms, sampling)
        counts = Counter(chosen.tolist())
        return [counts[token] / draws for token in range(5)]

    @settings(deadline=None, max_examples=50)
    @given(
        temperature=st.floats(0.05, 20),
        top_k=st.none() | st.integers(1, 7),
        top_p=st.none() | st.floats(0.01, 1),
    )
    def test_shares_are_the_kept_probabilities_rescaled(
        self, temperature: float, top_k: int | None, top_p: float | None
    ) -> None:
        p = np.exp(self.LOGITS[0].double().numpy() / temperature)
        p /= p.sum()
        expected = np.zeros(5)
        chosen = kept(p, top_k, top_p)
        expected[chosen] = p[chosen] / p[chosen].sum()
        found = self.shares(Sampling(temperature=temperature, top_k=top_k, top_p=top_p))
        assert found == pytest.approx(expected.tolist(), abs=1 / 20_000)

    def test_equals_of_the_last_that_is_kept_stay(self) -> None:
        logits = torch.tensor([[1.0, 0.0, 1.0]])
        draws = torch.tensor([0.49, 0.51], dtype=torch.float64)
        chosen = choose(logits.expand(2, -1), draws, Sampling(top_k=1))
        assert chosen.tolist() == [0, 2]

    @pytest.mark.parametrize("temperature", [0.0, 1e-300, 1e-3])
    def test_cold_is_the_likeliest(self, temperature: float) -> None:
        assert self.shares(Sampling(temperature=temperature), 50)[0] == 1

    def test_draws_at_the_ends_take_tokens_that_may_be_taken(self) -> None:
        logits = torch.tensor([[-torch.inf, 0.0, 0.0, -torch.inf]])
        draws = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
        assert choose(logits.expand(2, -1), draws, Sampling()).tolist() == [1, 2]

    @pytest.mark.parametrize(
        ("given_value", "message"),
        [
            ({"temperature": -1.0}, "temperature -1.0 must be a number of at least 0"),
            ({"temperature": float("nan")}, "temperature nan must be a number of at "),
            ({"temperature": float("inf")}, "temperature inf must be a number of at "),
            ({"top_k": 0}, "top_k 0 must be at least 1; choose another"),
            ({"top_p": 0.0}, "top_p 0.0 must be above 0, at most 1; choose another"),
            ({"top_p": 1.5}, "top_p 1.5 must be above 0, at most 1; choose another"),
            ({"seed": -1}, "seed -1 must be at least 0; choose another"),
        ],
    )
    def test_impossible_sampling_is_refused(
        self, given_value: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ScalingError, match=message):
            Sampling(**given_value)
