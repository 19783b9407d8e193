"""Width scaling: one learning rate moves networks of all widths alike."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from scaling.models.batch import Batch
from scaling.models.sizes import size
from scaling.models.transformer import PrefixTransformer, TransformerConfig
from scaling.runs.data import Rows, Sampler
from scaling.runs.schedules import MUP_WIDTH, parameter_groups

WIDTHS = (32, 64, 128, 256)
HEAD_WIDTH, LAYERS, CODES, STEPS, RATE = 16, 2, 50, 4, 2e-3
SEEDS = (0, 1)


def model_of(width: int, seed: int) -> PrefixTransformer:
    shape = size(f"{LAYERS}x{width // HEAD_WIDTH}x{width}")
    config = TransformerConfig(size=shape, codebook_size=CODES, text_vocab_size=20)
    model = PrefixTransformer(config)
    model.init_weights(torch.Generator().manual_seed(seed))
    return model


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Rows with something to learn: each code depends on the one before."""
    chance = np.random.default_rng(0)
    steps = chance.integers(1, 4, (32, 20))
    codes = [np.cumsum(row).astype(np.int32) % CODES for row in steps]
    texts = [[chance.integers(0, 20, 3)] for _ in codes]
    return Sampler(Rows(codes, texts, CODES), 32, seed=0).batch(0)


def trained(model: PrefixTransformer, batch: Batch, parametrization: str) -> None:
    """Train a few steps at the rate that each group has."""
    groups = parameter_groups(model, parametrization)
    for group in groups:
        group["lr"] = RATE * group["share"]
    optimizer = torch.optim.AdamW(groups, weight_decay=0)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (model.loss(batch) / batch.num_targets).backward()
        optimizer.step()


@torch.no_grad()
def states(model: PrefixTransformer, batch: Batch) -> dict[str, Tensor]:
    """Give the residual stream after each block, and the logits."""
    found: dict[str, Tensor] = {}
    hooks = [
        block.register_forward_hook(
            lambda _, __, out, name=f"block {k}": found.update({name: out})
        )
        for k, block in enumerate(model.blocks)
    ]
    found["logits"] = model(batch)
    for hook in hooks:
        hook.remove()
    return found


def change(width: int, batch: Batch, parametrization: str) -> dict[str, float]:
    """Measure how far training moves each state: root mean square over coordinates."""
    found: dict[str, list[float]] = {}
    for seed in SEEDS:
        model = model_of(width, seed)
        before = states(model, batch)
        trained(model, batch, parametrization)
        for name, after in states(model, batch).items():
            moved = (after - before[name]).square().mean().sqrt()
            found.setdefault(name, []).append(float(moved))
    return {name: float(np.mean(moved)) for name, moved in found.items()}


def slopes(batch: Batch, parametrization: str) -> dict[str, float]:
    """Fit the power of the width that the changes follow."""
    by_width = [change(width, batch, parametrization) for width in WIDTHS]
    return {
        name: float(
            np.polyfit(np.log(WIDTHS), np.log([c[name] for c in by_width]), 1)[0]
        )
        for name in by_width[0]
    }


def test_the_coordinate_check(batch: Batch) -> None:
    """Under `mup` states move alike at all widths; under one rate wide ones run away.

    The check of Yang et al. (2022, arXiv 2203.03466, Appendix D.1).
    """
    alike, growing = slopes(batch, "mup"), slopes(batch, "standard")
    assert set(alike) == {"block 0", "block 1", "logits"}
    for name in alike:
        assert abs(alike[name]) < 0.25, name
        assert growing[name] > 0.5, name


def test_each_weight_is_in_one_group() -> None:
    model = model_of(128, 0)
    groups = parameter_groups(model, "mup")
    shares = {id(w): g["share"] for g in groups for w in g["params"]}
    assert sum(len(group["params"]) for group in groups) == len(shares)
    assert shares.keys() == {id(weight) for weight in model.parameters()}
    assert shares[id(model.head.weight)] == MUP_WIDTH / 128
    for weight in (model.embedding.weight, model.text_projection.weight):
        assert shares[id(weight)] == 1
    for name, weight in model.blocks.named_parameters():
        assert shares[id(weight)] == (1 if "norm" in name else MUP_WIDTH / 128), name


def test_at_width_64_the_bits_are_the_same(batch: Batch) -> None:
    one, other = model_of(MUP_WIDTH, 0), model_of(MUP_WIDTH, 0)
    trained(one, batch, "standard")
    trained(other, batch, "mup")
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_runs_of_width_64_and_32(scaling: Any, tiny: Path, tmp_path: Path) -> None:
    """As the launcher trains them: the same losses at 64, and not at 32."""
    losses: dict[tuple[str, ...], list[str]] = {}
    for way in ("standard", "mup"):
        settings = ("sizes=[1x2x32, 1x4x64]", f"parametrization={way}")
        given = [word for s in settings for word in ("--set", f"transformers.{s}")]
        out = tmp_path / way
        done = scaling.run("run", tiny, *given, "--out", out, "--jobs", 1)
        assert done.returncode == 0, done.stderr
        with (out / "runs.csv").open() as file:
            for row in csv.DictReader(file):
                key = row["size"], row["tokens"], row["codebook_size"]
                losses.setdefault(key, []).append(row["loss"])
    for (shape, *_), (standard, mup) in losses.items():
        assert (standard == mup) == (shape == "1x4x64")
