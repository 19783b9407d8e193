"""Scores agree with their definitions, with scipy and with torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.stats import ortho_group
from torchmetrics.image.kid import poly_kernel
from torchmetrics.retrieval import RetrievalHitRate

from scaling.errors import ScalingError
from scaling.runs.scores import (
    Embeddings,
    Score,
    diversity,
    fid,
    kid,
    matching_score,
    multimodality,
    r_precision,
    scores,
)


def sample(clips: int, width: int, seed: int, spread: float = 1.0) -> Embeddings:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(width, width)) / np.sqrt(width)
    points = spread * rng.normal(size=(clips, width)) @ mix
    return np.asarray(points + rng.normal(size=width))


def moments(x: Embeddings) -> tuple[Embeddings, Embeddings]:
    return x.mean(0), np.cov(x, rowvar=False)


def names(clips: int) -> list[str]:
    return [f"caption {number}" for number in range(clips)]


def test_fid_is_that_of_sqrtm_and_of_the_eigenvalues() -> None:
    one, other = sample(300, 24, 0), sample(200, 24, 1, spread=1.3)
    (m1, S1), (m2, S2) = moments(one), moments(other)
    rest = ((m1 - m2) ** 2).sum() + np.trace(S1 + S2)
    eigenvalues = np.linalg.eigvals(S1 @ S2).astype(complex)
    by_roots = rest - 2 * np.sqrt(eigenvalues).real.sum()
    assert fid(one, other) == pytest.approx(by_roots, rel=1e-10)
    assert fid(one, other) == pytest.approx(
        rest - 2 * np.trace(sqrtm(S1 @ S2)).real, rel=1e-10
    )


def test_fid_of_fewer_clips_than_dimensions() -> None:
    one, other = sample(20, 64, 0), sample(30, 64, 1)
    A, B = (
        (x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (one, other)
    )  # S1 = A'A, S2 = B'B: the trace of the root is the nuclear norm of A B'
    nuclear = np.linalg.svd(A @ B.T, compute_uv=False).sum()
    distance = ((one.mean(0) - other.mean(0)) ** 2).sum()
    expected = distance + (A**2).sum() + (B**2).sum() - 2 * nuclear
    assert fid(one, other) == pytest.approx(expected, rel=1e-6)


def test_fid_is_zero_for_equal_sets_and_blind_to_turns_and_shifts() -> None:
    one, other = sample(100, 16, 0), sample(80, 16, 1)
    assert fid(one, one[::-1].copy()) == pytest.approx(0, abs=1e-9)
    turn = ortho_group(16, seed=0).rvs()
    moved = fid(one @ turn + 1000, other @ turn + 1000)
    assert moved == pytest.approx(fid(one, other), rel=1e-8)
    assert fid(other, one) == pytest.approx(fid(one, other), rel=1e-8)
    assert fid(one + 2, one) == pytest.approx(4 * 16, rel=1e-8)


def test_kid_is_the_mean_over_pairs_of_clips() -> None:
    made, real = sample(6, 16, 0), sample(6, 16, 1)
    tensors = torch.from_numpy(made), torch.from_numpy(real)
    k = {(i, j): poly_kernel(tensors[i], tensors[j]) for i in (0, 1) for j in (0, 1)}
    h = k[0, 0] + k[1, 1] - k[0, 1] - k[1, 0]
    mean = np.mean([float(h[i, j]) for i in range(6) for j in range(6) if i != j])
    assert kid(made, real) == pytest.approx(mean, rel=1e-10)
    assert kid(real, real) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("likeness", [0.0, 0.9])
def test_kid_of_one_distribution_is_zero_on_average(likeness: float) -> None:
    values = []
    for seed in range(400):
        real, noise = np.random.default_rng(seed).normal(size=(2, 12, 8))
        made = likeness * real + np.sqrt(1 - likeness**2) * noise
        values.append(kid(made, real))
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


@pytest.mark.parametrize("captions", [names(96), ["walk", "run", "jump"] * 32])
def test_r_precision_is_the_hit_rate_of_torchmetrics(captions: list[str]) -> None:
    texts = sample(96, 8, 0)
    motions = texts + sample(96, 8, 1)
    found = r_precision(texts, motions, captions, seed=3)
    order = np.random.default_rng(3).permutation(96)
    distances, relevant = [], []
    for pool in order.reshape(3, 32):
        for text in pool:
            distances.append(np.linalg.norm(texts[text] - motions[pool], axis=1))
            relevant.append([captions[i] == captions[text] for i in pool])
    rows = torch.arange(96).repeat_interleave(32)
    for k in (1, 2, 3):
        hit_rate = RetrievalHitRate(top_k=k)
        hit_rate.update(
            -torch.tensor(np.array(distances)).flatten(),
            torch.tensor(relevant).flatten(),
            indexes=rows,
        )
        assert found[k - 1] == pytest.approx(float(hit_rate.compute()), abs=1e-6)


def test_r_precision_of_perfect_of_random_and_of_constant_embeddings() -> None:
    texts, motions = sample(3200, 8, 0), sample(3200, 8, 1)
    assert r_precision(texts, texts, names(3200), seed=0).tolist() == [1, 1, 1]
    chance = np.arange(1, 4) / 32
    found = r_precision(
        texts - texts.mean(0), motions - motions.mean(0), names(3200), seed=0
    )
    deviation = np.sqrt(chance * (1 - chance) / 3200)
    assert (abs(found - chance) < 4 * deviation).all()
    constant = np.ones((64, 8))
    # ties are broken by place, which is chance
    assert (
        r_precision(constant, constant, names(64), seed=0).tolist() == chance.tolist()
    )


def test_equal_captions_count_as_hits() -> None:
    texts = sample(32, 8, 0)
    swapped = texts.reshape(16, 2, 8)[:, ::-1].reshape(32, 8)
    pairs = [f"caption {number // 2}" for number in range(32)]
    assert r_precision(texts, swapped, names(32), seed=0)[0] == 0
    assert r_precision(texts, swapped, pairs, seed=0)[0] == 1


def test_a_pool_that_is_not_filled_is_refused() -> None:
    with pytest.raises(ScalingError, match="20 clips do not fill one pool of 32"):
        r_precision(sample(20, 8, 0), sample(20, 8, 1), names(20), seed=0)


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 400), st.integers(0, 100))
def test_distances_scale_with_the_embeddings(clips: int, seed: int) -> None:
    texts, motions = sample(clips, 4, seed), sample(clips, 4, seed + 1)
    assert matching_score(3 * texts, 3 * motions) == pytest.approx(
        3 * matching_score(texts, motions)
    )
    assert diversity(3 * motions, seed=seed) == pytest.approx(
        3 * diversity(motions, seed=seed)
    )


def test_known_distances() -> None:
    zeros = np.zeros((5, 2))
    assert matching_score(zeros, zeros + np.array([3, 4])) == 5
    assert diversity(zeros, seed=0) == 0
    sides = np.repeat([[0.0], [1.0]], 5000, axis=0)
    assert diversity(sides, seed=0) == pytest.approx(0.5, abs=4 * 0.5 / 300**0.5)


def test_multimodality_looks_within_a_text_only() -> None:
    far_apart = np.arange(4.0)[:, None, None] * np.ones((4, 30, 6)) * 100
    assert multimodality(far_apart, seed=0) == 0
    rng = np.random.default_rng(0)
    varied = far_apart + rng.normal(size=(4, 30, 6))
    assert 2 < multimodality(varied, seed=0) < 2 * 6**0.5


def test_all_scores_of_the_real_motions() -> None:
    texts, real = sample(40, 8, 0), sample(40, 8, 1)
    found = scores(real, real, texts, names(40), seed=0)
    assert found.fid == pytest.approx(0, abs=1e-9)
    assert found.scored_clips == 40
    assert found.pool == 32
    assert found.matching_score == matching_score(texts, real)
    assert "multimodality" not in found.to_dict()
    assert found == scores(real, real, texts, names(40), seed=0)


def test_few_clips_are_said() -> None:
    texts = sample(20, 8, 0)
    few = scores(texts, texts, texts, names(20), seed=0)
    assert few.pool == 20
    first, second = few.caveats(width=128)
    assert "FID stands on 20 clips in 128 dimensions" in first
    assert "one pool of 20 where the field has 32" in second
    many = sample(64, 8, 0)
    assert scores(many, many, many, names(64), seed=0).caveats(width=8) == []


def test_an_interval_is_that_of_the_field() -> None:
    values = np.random.default_rng(0).normal(size=20)
    found = Score.of(values.tolist())
    assert found.mean == pytest.approx(values.mean())
    assert found.high - found.mean == pytest.approx(1.96 * values.std() / 20**0.5)
    assert found.low + found.high == pytest.approx(2 * found.mean)
    assert found.repetitions == 20
