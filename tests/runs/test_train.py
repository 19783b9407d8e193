"""The transformer job: what an evaluation says of a model that is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scaling.models.sizes import size
from scaling.models.transformer import PrefixTransformer, TransformerConfig
from scaling.runs.data import Rows
from scaling.runs.train import evaluate_split
from scaling.runs.unigram import Unigram


@pytest.mark.parametrize(("stages", "seconds"), [(1, 2.0), (2, 1.0)])
def test_a_second_of_data_has_as_many_tokens_as_the_latents_have(
    stages: int, seconds: float
) -> None:
    """A model that knows nothing spends log2(V + 1) bits on each of 11 targets."""
    V = 7
    shape = TransformerConfig(size=size("1x1x4"), codebook_size=V, text_vocab_size=1)
    model = PrefixTransformer(shape)
    model.init_weights(torch.Generator().manual_seed(0))
    rows = Rows([np.zeros(10, np.int32)], [[np.zeros(1, np.int64)]], V)
    found = evaluate_split(model, rows, Unigram.of(rows), stages=stages)
    assert found["loss"] == pytest.approx(math.log(V + 1))
    assert found["bits_per_second"] == pytest.approx(3 * 11 / seconds)
