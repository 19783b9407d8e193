"""Memory by formula: what autograd really keeps, and parameters of real models."""

from __future__ import annotations

import pytest
import torch

from scaling.models.batch import Batch
from scaling.models.sizes import size
from scaling.models.tokenizer import MotionTokenizer
from scaling.models.transformer import PrefixTransformer, TransformerConfig
from scaling.runs.extent import extent_of
from scaling.runs.jobs import Job, TokenizerJob, TransformerJob
from scaling.runs.memory import job_bytes, kept, parameters, tokenizer_config
from scaling.runs.plan import expand
from scaling.runs.sections import Grid, KinematicCorpus
from scaling.runs.timing import TransformerStep, rows_like
from scaling.runs.train import build_model

EXTENT = extent_of(KinematicCorpus())


def jobs(**transformers: object) -> tuple[Job, ...]:
    settings = {"sizes": ["2x4x64"], "tokens": [1000], **transformers}
    content = {
        "study": "x",
        "corpus": {"kind": "kinematic"},
        "tokenizers": {"codebooks": [64], "width": 32, "depth": 2},
        "transformers": settings,
    }
    return expand(Grid.model_validate(content)).jobs


def saved(name: str, codebook: int) -> tuple[int, Batch]:
    """Bytes that the backward pass needs, and the batch."""
    config = TransformerConfig(
        size=size(name), codebook_size=codebook, text_vocab_size=300
    )
    model = PrefixTransformer(config)
    model.init_weights(torch.Generator().manual_seed(0))
    step = TransformerStep(config=config, rows=16, codes=34, pieces=24)
    batch = rows_like(step).batch(range(16), [0] * 16)
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    found: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model.loss(batch)
    assert loss.requires_grad
    return sum(found.values()), batch


@pytest.mark.parametrize("width", [128, 256])
def test_a_block_keeps_what_the_formula_says(width: int) -> None:
    one, batch = saved(f"1x4x{width}", 64)
    three, _ = saved(f"3x4x{width}", 64)
    longest, positions = batch.layout.longest, len(batch.layout.place)
    expected = kept(size(f"1x4x{width}"), positions, 16 * longest, longest)
    assert (three - one) / 2 / 4 == pytest.approx(expected, rel=0.01)


def test_of_the_logits_none_are_kept() -> None:
    large, small = saved("1x1x16", 4096)[0], saved("1x1x16", 64)[0]
    assert large == small


def test_parameters_are_those_of_the_models() -> None:
    _, tokenizer, run = jobs()
    assert isinstance(tokenizer, TokenizerJob)
    assert isinstance(run, TransformerJob)
    model = build_model(run, run.section.text_vocab_size)
    assert parameters(run) == sum(weight.numel() for weight in model.parameters())
    drawn = MotionTokenizer(tokenizer_config(tokenizer))
    assert parameters(tokenizer) == sum(w.numel() for w in drawn.parameters())


def test_memory_grows_with_all_that_it_is_made_of() -> None:
    def of(**transformers: object) -> int:
        return job_bytes(jobs(**transformers)[-1], EXTENT)

    small = of(batch_size=64)
    assert of(batch_size=128) > small
    assert of(batch_size=64, sizes=["4x4x64"]) > small
    assert of(batch_size=64, sizes=["2x4x128"]) > small
    # weights, gradients and moments of 3B parameters alone
    assert of(sizes=["3B"]) > 16 * 2.9e9
