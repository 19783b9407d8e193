"""What tests of runs share: the tiny grid run to its end, and models as published."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import CommandLine


@pytest.fixture(scope="session")
def straight(
    tmp_path_factory: pytest.TempPathFactory, scaling: CommandLine, tiny: Path
) -> Path:
    """One uninterrupted run of the tiny grid."""
    out = tmp_path_factory.mktemp("straight") / "out"
    done = scaling.run("run", tiny, "--out", out, "--jobs", 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(out / "runs.csv")]
    return out


T5_CAPTIONS = [
    "a person walks forward, turns left, sits down and then waves with the right hand",
    "someone jumps",
]


def write_t5(folder: Path, seed: int = 0) -> Path:
    """Write a T5 of width 16 as its publisher would: a decoder in it, a tokenizer."""
    # here and not above: most tests do without
    import tokenizers
    import torch
    import transformers

    words = tokenizers.Tokenizer(tokenizers.models.Unigram())
    words.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=80,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    words.train_from_iterator(T5_CAPTIONS, trainer)
    words.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(seed)
    config = transformers.T5Config(
        vocab_size=words.get_vocab_size(),
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
    )
    network = transformers.T5ForConditionalGeneration(config)
    network.bfloat16().save_pretrained(folder)  # as the large ones are
    return folder


def write_published(folder: Path, words: list[str]) -> Path:
    """Write an evaluator as its publishers do, of random weights."""
    import numpy as np
    import torch

    from scaling.models.evaluator import EvaluatorConfig, TextMotionEvaluator
    from scaling.runs.published_evaluator import PARTS, TAGS

    for name in ("text_mot_match/model", "meta", "glove"):
        (folder / name).mkdir(parents=True)
    torch.manual_seed(0)
    model = TextMotionEvaluator(EvaluatorConfig(vocab_size=1, tags=len(TAGS)))
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.05)
    parts: dict[str, Any] = {
        part: model.get_submodule(part).state_dict() for part in PARTS
    }
    torch.save(
        {**parts, "epoch": 3, "iter": 5, "opt_text_encoder": {"state": {}}},
        folder / "text_mot_match/model/finest.tar",
    )
    rng = np.random.default_rng(0)
    np.save(folder / "meta/mean.npy", rng.normal(size=263))
    np.save(folder / "meta/std.npy", rng.uniform(0.5, 2, 263))
    np.save(folder / "glove/our_vab_data.npy", rng.normal(size=(len(words), 300)))
    index = {word: number for number, word in enumerate(words)}
    (folder / "glove/our_vab_words.pkl").write_bytes(pickle.dumps(words, 2))
    (folder / "glove/our_vab_idx.pkl").write_bytes(pickle.dumps(index, 2))
    return folder


@pytest.fixture(scope="session")
def make_published() -> Callable[..., Path]:
    """Write a published evaluator of random weights: folder, words."""
    return write_published


@pytest.fixture(scope="session")
def make_t5() -> Callable[..., Path]:
    """Write a T5 of random weights: folder, seed."""
    return write_t5


@pytest.fixture(scope="session")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One T5 of random weights."""
    return write_t5(tmp_path_factory.mktemp("t5") / "tiny")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where captions' states are kept in a test."""
    monkeypatch.setenv("SCALING_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "text"
