"""Long runs compile their blocks: the same losses to rounding, the same bits again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scaling.runs.compiling import SECONDS, SPEED, is_compiled
from scaling.runs.jobs import TransformerJob
from scaling.runs.plan import expand
from scaling.runs.sections import Grid


def job(tokens: int, **settings: object) -> TransformerJob:
    content = {
        "study": "x",
        "corpus": {"kind": "kinematic"},
        "tokenizers": {"codebooks": [64], "width": 32, "depth": 2},
        "transformers": {"sizes": ["2x4x64"], "tokens": [tokens], **settings},
    }
    found = expand(Grid.model_validate(content)).jobs[-1]
    assert isinstance(found, TransformerJob)
    return found


def test_the_length_of_a_run_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    per_token = job(1).flops
    enough = int(SECONDS * SPEED / per_token) + 1
    assert not is_compiled(job(enough - 2), "cpu", 1)
    assert is_compiled(job(enough), "cpu", 1)
    assert not is_compiled(job(enough), "cpu", 2)  # which are done in half the time
    assert not is_compiled(job(enough), "cuda", 1)
    assert not is_compiled(job(enough, compile="never"), "cpu", 1)
    assert is_compiled(job(1, compile="always"), "cuda", 1)


def test_without_a_compiler_none_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert not is_compiled(job(10**12), "cpu", 1)


def test_a_choice_left_open_keeps_the_runs_of_before() -> None:
    assert job(1000).folder == job(1000, compile="auto").folder
    assert job(1000).folder != job(1000, compile="always").folder


TRAINED = """\
import sys
from pathlib import Path

import numpy as np
import torch

from scaling.models.sizes import size
from scaling.models.transformer import PrefixTransformer, TransformerConfig
from scaling.runs import eager
from scaling.runs.compiling import compile_blocks
from scaling.runs.data import Rows, Sampler
from scaling.runs.loop import Reporter, Training, train

folder, how, steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
rng = np.random.default_rng(0)
codes = [rng.integers(0, 30, n) for n in rng.integers(3, 30, 64)]
sampler = Sampler(Rows(codes, [[np.array([1, 2])]] * 64, 30), 8, seed=0)
model = PrefixTransformer(
    TransformerConfig(size=size("2x2x32"), codebook_size=30, text_vocab_size=4)
)
model.init_weights(torch.Generator().manual_seed(0))
torch.set_num_threads(1)
if how == "compiled":
    compile_blocks(model, sampler.batch(0))
folder.mkdir(exist_ok=True)
train(
    Training(
        model=model,
        optimizer=eager.AdamW(model.parameters(), fused=True),
        learning_rate=lambda step: 1e-2,
        loss=lambda part: model.loss(part.batch) / part.targets,
        parts=sampler.parts, rows=8, steps=steps, clip=1.0,
        evaluate_after=frozenset([3, 6]),
        evaluate=lambda progress, pause: {
            "step": progress.step, "loss": progress.train_loss
        },
    ),
    folder, Reporter(progress=lambda done, total: None, say=print),
)
print(float(sum(weight.double().abs().sum() for weight in model.parameters())).hex())
"""


def test_a_compiled_run_resumed_has_its_bits_and_the_plain_one_s_losses(
    tmp_path: Path,
) -> None:
    def weights(folder: str, how: str, steps: int) -> float:
        command = [sys.executable, "-c", TRAINED, str(tmp_path / folder), how]
        done = subprocess.run(
            [*command, str(steps)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return float.fromhex(done.stdout.splitlines()[-1])

    whole = weights("whole", "compiled", 6)
    weights("resumed", "compiled", 3)
    assert weights("resumed", "compiled", 6) == whole
    plain = weights("plain", "plain", 6)
    assert plain == pytest.approx(whole, rel=1e-4)
