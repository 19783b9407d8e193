"""Residual FSQ starts as FSQ, and every stage makes it (L - 1) times finer."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scaling.errors import ScalingError
from scaling.models.fsq import FSQ
from scaling.models.levels import LEVELS
from scaling.models.rfsq import ResidualFSQ

every_level_set = pytest.mark.parametrize("levels", LEVELS.values(), ids=str)


def latents(levels: tuple[int, ...], seed: int = 0, rows: int = 500) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2.5 * torch.randn(2, rows, len(levels), generator=generator)


def target(quantizer: ResidualFSQ, z: Tensor) -> Tensor:
    """What the codes stand for: the bounded latent, in units of codes."""
    return quantizer.fsq.bound(z) / (quantizer.fsq.num_levels // 2)


@every_level_set
def test_one_stage_is_fsq(levels: tuple[int, ...]) -> None:
    ours, theirs = (latents(levels).requires_grad_() for _ in range(2))
    codes, indices = ResidualFSQ(levels, 1)(ours)
    expected, numbers = FSQ(levels)(theirs)
    assert torch.equal(codes, expected)
    assert torch.equal(indices, numbers)
    weight = latents(levels, 1)
    (codes * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


class TestStages:
    @every_level_set
    def test_each_makes_the_error_smaller_by_a_level_less_one(
        self, levels: tuple[int, ...]
    ) -> None:
        z, L = latents(levels), torch.tensor(levels)
        for stages in (1, 2, 3):
            quantizer = ResidualFSQ(levels, stages)
            error = (quantizer(z)[0] - target(quantizer, z)).abs().amax((0, 1))
            # half a level, and the bound's reach beyond the outermost (1e-3)
            half_a_level = (0.5 + 5e-4 * (L - 1)) / (L // 2)
            finest = half_a_level / (L - 1.0) ** (stages - 1)
            beyond = 5e-4 * (L - 1) / (L // 2)
            assert (error <= finest + beyond + 1e-6).all()
            assert error.max() > 0.8 * finest.max()

    @every_level_set
    def test_mean_error_decreases(self, levels: tuple[int, ...]) -> None:
        z = latents(levels)
        errors = []
        for stages in (1, 2, 3):
            quantizer = ResidualFSQ(levels, stages)
            off = quantizer(z)[0] - target(quantizer, z)
            errors.append(off.abs().mean().item())
        assert errors[1] < 0.5 * errors[0]
        assert errors[2] < 0.9 * errors[1]

    def test_coarse_tokens_are_those_of_fewer_stages(self) -> None:
        z = latents((8, 6, 5))
        one, three = (ResidualFSQ((8, 6, 5), stages)(z)[1] for stages in (1, 3))
        assert torch.equal(three[:, ::3], one)

    def test_later_stages_use_the_whole_codebook_as_well(self) -> None:
        z = latents((8, 6, 5), rows=20_000)
        _, indices = ResidualFSQ((8, 6, 5), 2)(z)
        assert indices.min() >= 0
        assert indices.max() < 240
        assert len(indices[:, 1::2].unique()) > 0.6 * 240

    def test_tokens_of_a_latent_follow_one_another(self) -> None:
        codes, indices = ResidualFSQ((8, 6, 5), 3)(latents((8, 6, 5), rows=7))
        assert codes.shape == (2, 7, 3)
        assert indices.shape == (2, 21)
        assert indices.dtype == torch.int64


class TestIndices:
    @settings(deadline=None)
    @given(
        levels=st.lists(st.integers(3, 20), min_size=1, max_size=4).map(tuple),
        stages=st.integers(1, 3),
        seed=st.integers(0, 99),
    )
    def test_indices_give_the_codes_back(
        self, levels: tuple[int, ...], stages: int, seed: int
    ) -> None:
        quantizer = ResidualFSQ(levels, stages)
        codes, indices = quantizer(latents(levels, seed, rows=20))
        assert indices.max() < math.prod(levels)
        torch.testing.assert_close(
            quantizer.indices_to_codes(indices), codes, atol=2e-6, rtol=0
        )

    def test_a_latent_cut_in_its_stages_is_left_out(self) -> None:
        quantizer = ResidualFSQ((8, 6, 5), 3)
        _, indices = quantizer(latents((8, 6, 5), rows=4))
        whole = quantizer.indices_to_codes(indices)
        for cut, kept in ((12, 4), (11, 3), (9, 3), (2, 0), (0, 0)):
            found = quantizer.indices_to_codes(indices[:, :cut])
            assert torch.equal(found, whole[:, :kept])

    def test_bfloat16_and_autocast_change_no_index(self) -> None:
        quantizer, z = ResidualFSQ((8, 6, 5), 2), latents((8, 6, 5)).bfloat16()
        expected = quantizer(z.float())[1]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            codes, indices = quantizer(z)
        assert codes.dtype == torch.bfloat16
        assert torch.equal(indices, expected)


def test_gradient_is_that_of_the_bound_for_any_number_of_stages() -> None:
    gradients = []
    for stages in (1, 3):
        z = latents((8, 6, 5)).requires_grad_()
        ResidualFSQ((8, 6, 5), stages)(z)[0].sum().backward()
        assert z.grad is not None
        gradients.append(z.grad)
    assert torch.equal(*gradients)


def test_constants_stay_out_of_checkpoints() -> None:
    assert not ResidualFSQ((8, 5), 2).state_dict()


@pytest.mark.parametrize("stages", [0, -1])
def test_fewer_than_one_stage_is_refused(stages: int) -> None:
    with pytest.raises(ScalingError, match=f"{stages} stages .* expected at least 1"):
        ResidualFSQ((8, 5), stages)


def test_two_levels_cannot_be_refined() -> None:
    assert ResidualFSQ((2, 5), 1).codebook_size == 10
    with pytest.raises(ScalingError, match=r"levels \[2, 5\] cannot be refined"):
        ResidualFSQ((2, 5), 2)
