"""VQ finds the nearest code, moves its averages as the recursion says, and resumes."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scaling.errors import ScalingError
from scaling.models import vq
from scaling.models.vq import VQ

Floats = npt.NDArray[np.float64]


def latents(step: int, rows: int = 60, width: int = 3) -> Tensor:
    """Draw latents around a few centres, others for every step."""
    rng = torch.Generator().manual_seed(step)
    centres = 3 * torch.randn(5, width, generator=torch.Generator().manual_seed(99))
    chosen = torch.randint(5, (rows,), generator=rng)
    return centres[chosen] + 0.3 * torch.randn(rows, width, generator=rng)


def with_codes(codes: list[list[float]], decay: float = 0.99) -> VQ:
    """A module past its first batch, with these codes and counts of 1."""
    quantizer = VQ(len(codes), len(codes[0]), decay)
    quantizer.codebook.copy_(torch.tensor(codes))
    quantizer.sums.copy_(quantizer.codebook)
    quantizer.updates += 1
    return quantizer


def trained(steps: int, codes: int = 8) -> VQ:
    quantizer = VQ(codes, 3)
    for step in range(steps):
        quantizer(latents(step))
    return quantizer


def rows_of(x: Tensor) -> set[tuple[float, ...]]:
    return {tuple(row) for row in x.tolist()}


class TestNearest:
    @settings(deadline=None)
    @given(codes=st.integers(2, 40), width=st.integers(1, 9), seed=st.integers(0, 1000))
    def test_is_nearest_by_brute_force(self, codes: int, width: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        quantizer = with_codes(rng.normal(size=(codes, width)).tolist()).eval()
        x = torch.tensor(rng.normal(size=(30, width)), dtype=torch.float32)
        difference = x[:, None].double() - quantizer.codebook.double()
        distances = difference.square().sum(-1)
        found = distances.gather(1, quantizer(x)[1][:, None])[:, 0]
        torch.testing.assert_close(found, distances.min(1).values, atol=1e-5, rtol=1e-5)

    def test_blocks_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        quantizer, x = trained(3), latents(7)
        whole = quantizer.nearest(x)
        for block in (1, 50, 8 * 17):
            monkeypatch.setattr(vq, "BLOCK", block)
            assert torch.equal(quantizer.nearest(x), whole)

    def test_any_leading_shape(self) -> None:
        codes, indices = trained(2).eval()(latents(0, 24).view(2, 3, 4, 3))
        assert codes.shape == (2, 3, 4, 3)
        assert indices.shape == (2, 3, 4)
        assert indices.dtype == torch.int64

    def test_codes_are_those_of_the_indices(self) -> None:
        quantizer = trained(4).eval()
        codes, indices = quantizer(latents(4))
        torch.testing.assert_close(codes, quantizer.indices_to_codes(indices))

    def test_autocast_changes_no_index(self) -> None:
        quantizer, x = trained(4).eval(), latents(4)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inside = quantizer(x)[1]
        assert torch.equal(inside, quantizer(x)[1])


def test_gradient_passes_straight_through_and_reaches_no_code() -> None:
    quantizer, x, weight = trained(2), latents(3).requires_grad_(), latents(4)
    (quantizer(x)[0] * weight).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, weight)
    assert not list(quantizer.parameters())


class TestUpdate:
    def test_one_step_by_hand(self) -> None:
        # 4 and 6 choose the code 4, 1 chooses 0; a = 1/2, counts start at 1:
        # counts (1 + 1) / 2, (1 + 2) / 2; sums (0 + 1) / 2, (4 + 10) / 2
        quantizer = with_codes([[0.0], [4.0]], decay=0.5)
        codes, indices = quantizer(torch.tensor([[4.0], [1.0], [6.0]]))
        assert indices.tolist() == [1, 0, 1]
        assert codes.tolist() == [[4], [0], [4]]  # those that were nearest
        assert quantizer.counts.tolist() == [1, 1.5]
        assert quantizer.sums.tolist() == [[0.5], [7]]
        assert quantizer.codebook.flatten().tolist() == pytest.approx([0.5, 7 / 1.5])

    def test_agrees_with_the_recursion_in_numpy(self) -> None:
        quantizer = trained(1, codes=4)
        counts: Floats = quantizer.counts.double().numpy()
        sums: Floats = quantizer.sums.double().numpy()
        for step in range(1, 12):
            codebook = quantizer.codebook.double().numpy()
            x = latents(step).double().numpy()
            chosen = ((x[:, None] - codebook) ** 2).sum(-1).argmin(1)
            hits = np.eye(4)[chosen]
            counts = 0.99 * counts + 0.01 * hits.sum(0)
            sums = 0.99 * sums + 0.01 * hits.T @ x
            quantizer(latents(step))
            np.testing.assert_allclose(quantizer.counts, counts, rtol=1e-5)
            np.testing.assert_allclose(quantizer.sums, sums, rtol=1e-4, atol=1e-5)
            used = counts >= 1
            assert used.sum() >= 2
            mean = sums[used] / counts[used, None]
            np.testing.assert_allclose(quantizer.codebook[used], mean, rtol=1e-4)

    def test_only_codes_that_are_hardly_used_become_latents(self) -> None:
        quantizer = with_codes([[0.0, 0.0], [9.0, 9.0], [50.0, 50.0]])
        x = torch.tensor([[0.1, 0.0], [0.2, 0.1], [9.0, 9.5]])
        quantizer(x)  # counts 1.01, 1, 0.99
        assert quantizer.counts.tolist() == pytest.approx([1.01, 1.0, 0.99])
        assert quantizer.codebook[0].tolist() == pytest.approx(
            [0.3 * 0.01 / 1.01, 0.1 * 0.01 / 1.01]
        )
        assert tuple(quantizer.codebook[2].tolist()) in rows_of(x)

    def test_evaluation_moves_nothing(self) -> None:
        quantizer = trained(3)
        before = {name: x.clone() for name, x in quantizer.state_dict().items()}
        quantizer.eval()(latents(9))
        for name, x in quantizer.state_dict().items():
            assert torch.equal(x, before[name]), name


class TestStart:
    def test_codes_are_latents_of_the_first_batch(self) -> None:
        x = latents(0)
        drawn = VQ(16, 3)._drawn(x, 16)
        assert rows_of(drawn) <= rows_of(x)
        assert len(rows_of(drawn)) == 16

    def test_too_few_latents_are_used_again_with_a_little_noise(self) -> None:
        x = latents(0, rows=5)
        drawn = VQ(64, 3)._drawn(x, 64)
        assert len(rows_of(drawn)) == 64
        nearest = (drawn[:, None] - x).norm(dim=-1).min(1)
        assert 0 < nearest.values.median() < 0.02  # 0.01, spread over the width
        times = torch.bincount(nearest.indices)
        assert sorted(times.tolist()) == [12, 13, 13, 13, 13]

    def test_a_single_latent_is_enough(self) -> None:
        codes, indices = VQ(4, 3)(torch.ones(1, 3))
        torch.testing.assert_close(codes, torch.ones(1, 3), atol=0.05, rtol=0)
        assert indices.shape == (1,)


class TestResume:
    @pytest.mark.parametrize("stop", [0, 1, 5])
    def test_from_its_state_with_the_same_bits(self, stop: int) -> None:
        straight = trained(10, codes=32)
        file = io.BytesIO()
        torch.save(trained(stop, codes=32).state_dict(), file)
        file.seek(0)
        resumed = VQ(32, 3)
        resumed.load_state_dict(torch.load(file))
        torch.manual_seed(1234)  # whatever else drew numbers
        for step in range(stop, 10):
            resumed(latents(step))
        for name, x in straight.state_dict().items():
            assert torch.equal(resumed.state_dict()[name], x), name

    def test_global_chance_is_neither_read_nor_moved(self) -> None:
        torch.manual_seed(5)
        before = torch.get_rng_state()
        first = trained(3).codebook
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(6)
        assert torch.equal(trained(3).codebook, first)

    def test_steps_draw_differently(self) -> None:
        quantizer, x = VQ(16, 3), latents(0)
        first = quantizer._drawn(x, 16)
        quantizer.updates += 1
        assert not torch.equal(quantizer._drawn(x, 16), first)


def test_codes_settle_in_the_data() -> None:
    x, errors = latents(1000), []
    for steps in (1, 300):
        codes, _ = trained(steps, codes=15).eval()(x)
        errors.append((codes - x).square().mean().item())
    assert errors[1] < 0.8 * errors[0]
    assert errors[1] < 0.09  # the variance around the centres, had they a code each


@pytest.mark.parametrize(
    ("codes", "width", "decay"), [(1, 4, 0.9), (8, 0, 0.9), (8, 4, 1.0), (8, 4, -0.1)]
)
def test_shapes_that_hold_no_codebook_are_refused(
    codes: int, width: int, decay: float
) -> None:
    with pytest.raises(ScalingError, match=f"cannot make {codes} codes of width"):
        VQ(codes, width, decay)
