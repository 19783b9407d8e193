"""FSQ numbers its codes without error, in any precision, as the formula says."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scaling.errors import ScalingError
from scaling.models import fsq
from scaling.models.fsq import FSQ
from scaling.models.levels import LEVELS

Floats = npt.NDArray[np.float64]

every_level_set = pytest.mark.parametrize("levels", LEVELS.values(), ids=str)
any_levels = st.lists(st.integers(2, 300), min_size=1, max_size=4).map(tuple)


def latents(levels: tuple[int, ...], seed: int = 0, rows: int = 2000) -> Tensor:
    """Draw vectors that reach the outermost levels as well as the middle."""
    generator = torch.Generator().manual_seed(seed)
    return 2.5 * torch.randn(rows, len(levels), generator=generator)


def by_the_formula(z: Floats, levels: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Bound in float64 as b(z) = tanh(z + s) h - o; return it and its derivative."""
    bounded, slope = np.empty_like(z), np.empty_like(z)
    for channel, L in enumerate(levels):
        h = (L - 1) * (1 + 1e-3) / 2
        o = 0.5 if L % 2 == 0 else 0.0
        s = math.atanh(o / h)
        squashed = np.tanh(z[:, channel] + s)
        bounded[:, channel] = squashed * h - o
        slope[:, channel] = h * (1 - squashed**2)
    return bounded, slope


def mixed_radix(digits: tuple[int, ...], levels: tuple[int, ...]) -> int:
    """Number digits, least significant first, by Horner's rule."""
    index = 0
    for digit, L in zip(reversed(digits), reversed(levels), strict=True):
        index = index * L + digit
    return index


class TestIndices:
    @every_level_set
    def test_every_index_comes_back(self, levels: tuple[int, ...]) -> None:
        quantizer = FSQ(levels)
        indices = torch.arange(math.prod(levels))
        codes = quantizer.indices_to_codes(indices)
        assert torch.equal(quantizer.codes_to_indices(codes), indices)

    @every_level_set
    def test_every_code_comes_back(self, levels: tuple[int, ...]) -> None:
        quantizer = FSQ(levels)
        channels = [(torch.arange(L) - L // 2) / (L // 2) for L in levels]
        codes = torch.cartesian_prod(*channels)
        indices = quantizer.codes_to_indices(codes)
        assert torch.equal(quantizer.indices_to_codes(indices), codes)
        assert torch.equal(indices.sort().values, torch.arange(math.prod(levels)))

    @every_level_set
    def test_forward_reaches_every_code(self, levels: tuple[int, ...]) -> None:
        quantizer = FSQ(levels)
        indices = torch.arange(math.prod(levels))
        codes = quantizer.indices_to_codes(indices)
        centred = codes.double() * torch.tensor([L // 2 for L in levels])
        z = torch.empty_like(centred)
        for channel, L in enumerate(levels):
            h, o = (L - 1) * 1.001 / 2, 0.5 * (L % 2 == 0)
            z[:, channel] = torch.atanh((centred[:, channel] + o) / h)
            z[:, channel] -= math.atanh(o / h)
        found, numbers = quantizer(z.float())
        assert torch.equal(numbers, indices)
        torch.testing.assert_close(found, codes, atol=1e-6, rtol=0)

    @pytest.mark.parametrize("L", [44, 58, 94, 999])
    def test_levels_whose_fractions_float32_rounds_down_come_back(self, L: int) -> None:
        quantizer = FSQ([L])
        indices = torch.arange(L)
        codes = quantizer.indices_to_codes(indices)
        below = (codes * (L // 2)).abs() < (indices - L // 2).abs()
        assert below.any()  # truncation would lose these
        assert torch.equal(quantizer.codes_to_indices(codes), indices)

    def test_first_channel_is_least_significant(self) -> None:
        codes = torch.tensor([[-1, -1, -1], [-0.75, -1, -1], [-1, -2 / 3, -1]])
        assert FSQ([8, 6, 5]).codes_to_indices(codes).tolist() == [0, 1, 8]

    def test_any_leading_shape(self) -> None:
        codes, indices = FSQ([8, 6, 5])(torch.randn(2, 3, 4, 3))
        assert codes.shape == (2, 3, 4, 3)
        assert indices.shape == (2, 3, 4)
        assert indices.dtype == torch.int64

    @settings(deadline=None)
    @given(levels=any_levels, data=st.data())
    def test_any_levels_number_by_mixed_radix(
        self, levels: tuple[int, ...], data: st.DataObject
    ) -> None:
        digits = tuple(data.draw(st.integers(0, L - 1)) for L in levels)
        index = mixed_radix(digits, levels)
        quantizer = FSQ(levels)
        code = quantizer.indices_to_codes(torch.tensor(index))
        expected = [
            (digit - L // 2) / (L // 2) for digit, L in zip(digits, levels, strict=True)
        ]
        assert code.tolist() == pytest.approx(expected, abs=1e-7)
        assert quantizer.codes_to_indices(code).item() == index


class TestForward:
    @every_level_set
    def test_codes_are_those_of_the_indices(self, levels: tuple[int, ...]) -> None:
        quantizer = FSQ(levels)
        codes, indices = quantizer(latents(levels))
        torch.testing.assert_close(
            codes, quantizer.indices_to_codes(indices), atol=1e-6, rtol=0
        )

    @every_level_set
    def test_agrees_with_the_formula(self, levels: tuple[int, ...]) -> None:
        z = latents(levels)
        codes, indices = FSQ(levels)(z)
        bounded, _ = by_the_formula(z.double().numpy(), levels)
        away = (np.abs(bounded % 1 - 0.5) > 1e-4).all(-1)  # float32 may round ties
        assert away.mean() > 0.98
        half = np.array([L // 2 for L in levels])
        rounded = np.round(bounded)
        expected = [
            mixed_radix(tuple(row), levels)
            for row in (rounded[away] + half).astype(int).tolist()
        ]
        assert indices.numpy()[away].tolist() == expected
        np.testing.assert_allclose(codes[away], rounded[away] / half, atol=1e-6)

    @settings(deadline=None)
    @given(
        levels=any_levels,
        scale=st.sampled_from([1e-3, 1.0, 5.0, 1e4, 1e30]),
        seed=st.integers(0, 99),
    )
    def test_any_latent_gets_a_code_of_the_codebook(
        self, levels: tuple[int, ...], scale: float, seed: int
    ) -> None:
        quantizer = FSQ(levels)
        codes, indices = quantizer(scale * latents(levels, seed, rows=50))
        assert indices.min() >= 0
        assert indices.max() < quantizer.codebook_size == math.prod(levels)
        assert codes.abs().max() <= 1 + 1e-6

    def test_the_most_levels_stay_in_the_codebook(self) -> None:
        indices = FSQ([1000])(torch.tensor([[-100.0], [100.0]]))[1]
        assert indices.tolist() == [0, 999]

    @pytest.mark.parametrize("L", [1001, 4096])
    def test_more_levels_are_refused(self, L: int) -> None:
        with pytest.raises(ScalingError, match="at most 1000; split a channel in two"):
            FSQ([L])


def plainly(quantizer: FSQ, z: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise as the module's docstring says it, step by step."""
    bounded = quantizer.bound(z)
    half = quantizer.num_levels // 2
    codes = (bounded + (bounded.round() - bounded).detach()) / half
    return codes, quantizer.codes_to_indices(codes.detach())


def bits(x: Tensor) -> Tensor:
    return x.detach().contiguous().view(torch.int32)


class TestPieces:
    """What is done a cacheful at a time is the plain formula, bit by bit."""

    @every_level_set
    @pytest.mark.parametrize("rows", [1, 15, 16, 17, 1001])
    def test_forward_and_gradient(
        self, levels: tuple[int, ...], rows: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fsq, "ROWS", 16)
        quantizer, weight = FSQ(levels), latents(levels, 1, rows)
        ours, plain = (latents(levels, 0, rows).requires_grad_() for _ in range(2))
        codes, indices = quantizer(ours)
        expected, numbers = plainly(quantizer, plain)
        assert torch.equal(bits(codes), bits(expected))
        assert torch.equal(indices, numbers)
        (codes * weight).sum().backward()
        (expected * weight).sum().backward()
        assert ours.grad is not None
        assert plain.grad is not None
        assert torch.equal(bits(ours.grad), bits(plain.grad))
        with torch.no_grad():
            assert torch.equal(bits(quantizer(ours)[0]), bits(expected))
        assert not indices.requires_grad

    def test_more_than_a_cacheful(self) -> None:
        quantizer, z = FSQ([8, 5]), latents((8, 5), rows=2 * fsq.ROWS + 1)
        codes, indices = quantizer(z)
        expected, numbers = plainly(quantizer, z)
        assert torch.equal(bits(codes), bits(expected))
        assert torch.equal(indices, numbers)

    def test_latents_that_do_not_lie_in_order(self) -> None:
        z = latents((8, 6, 5), rows=4).T.contiguous().T
        assert not z.is_contiguous()
        quantizer = FSQ([8, 6, 5])
        assert torch.equal(quantizer(z)[1], quantizer(z.contiguous())[1])

    def test_no_latents_and_a_single_one(self) -> None:
        quantizer = FSQ([8, 5])
        codes, indices = quantizer(torch.zeros(3, 0, 2))
        assert (codes.shape, indices.shape) == ((3, 0, 2), (3, 0))
        codes, index = quantizer(torch.zeros(2))
        assert codes.tolist() == [0, 0]
        assert index == 4 + 8 * 2


class TestPrecision:
    @pytest.mark.parametrize("levels", [(9, 9, 9, 9, 9, 9, 9), (7,) * 9, (251,) * 6])
    def test_numbers_are_exact_whatever_a_product_may_round(
        self, levels: tuple[int, ...]
    ) -> None:
        quantizer, z = FSQ(levels), latents(levels)
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("medium")
        try:
            indices = quantizer(z)[1]
        finally:
            torch.set_float32_matmul_precision(before)
        assert torch.equal(indices, plainly(quantizer, z)[1])

    @every_level_set
    def test_bfloat16_input_is_quantised_in_float32(
        self, levels: tuple[int, ...]
    ) -> None:
        quantizer = FSQ(levels)
        z = latents(levels).bfloat16()
        codes, indices = quantizer(z)
        assert torch.equal(indices, quantizer(z.float())[1])
        assert codes.dtype == torch.bfloat16

    @every_level_set
    def test_autocast_changes_no_index(self, levels: tuple[int, ...]) -> None:
        quantizer = FSQ(levels)
        z = latents(levels)
        codes, indices = quantizer(z)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inside = quantizer(z)
            numbers = quantizer.codes_to_indices(codes)
        assert torch.equal(inside[1], indices)
        assert torch.equal(inside[0], codes)
        assert torch.equal(numbers, indices)

    @every_level_set
    def test_codes_stored_in_bfloat16_keep_their_indices(
        self, levels: tuple[int, ...]
    ) -> None:
        quantizer = FSQ(levels)
        indices = torch.arange(math.prod(levels))
        codes = quantizer.indices_to_codes(indices).bfloat16()
        assert torch.equal(quantizer.codes_to_indices(codes), indices)


class TestGradient:
    @every_level_set
    def test_passes_straight_through_the_rounding(
        self, levels: tuple[int, ...]
    ) -> None:
        z = latents(levels).clamp(-4, 4).requires_grad_()
        FSQ(levels)(z)[0].sum().backward()
        assert z.grad is not None
        _, slope = by_the_formula(z.detach().double().numpy(), levels)
        expected = slope / np.array([L // 2 for L in levels])
        np.testing.assert_allclose(z.grad, expected, rtol=1e-3, atol=1e-6)
        assert (z.grad > 0).all()

    @settings(deadline=None)
    @given(levels=any_levels, seed=st.integers(0, 99))
    def test_is_finite_for_any_levels(self, levels: tuple[int, ...], seed: int) -> None:
        z = latents(levels, seed, rows=20).requires_grad_()
        FSQ(levels)(z)[0].sum().backward()
        assert z.grad is not None
        assert z.grad.isfinite().all()
        assert z.grad.any(0).all()  # in every channel


def test_constants_follow_the_module_and_stay_out_of_checkpoints() -> None:
    quantizer = FSQ([8, 5]).to("meta")
    assert {buffer.device.type for buffer in quantizer.buffers()} == {"meta"}
    assert not quantizer.state_dict()


@pytest.mark.parametrize("levels", [[], [8, 1]])
def test_levels_that_quantise_nothing_are_refused(levels: list[int]) -> None:
    with pytest.raises(ScalingError, match=r"must each be at least 2; .* drop it"):
        FSQ(levels)


def test_a_codebook_that_cannot_be_numbered_is_refused() -> None:
    with pytest.raises(ScalingError, match=r"at most 2\^53, .*: drop a channel"):
        FSQ([1000] * 6)
