"""Training without torch's compiler."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

from scaling.runs.eager import AdamW, repeat_bit_by_bit

GRID = """\
study: eager
corpus: {kind: kinematic, sequences: 40, seed: 3}
tokenizers: {codebooks: [16], width: 16, depth: 1, steps: 6, batch_size: 4}
transformers:
  {sizes: [1x1x16], tokens: [1000, 2000], batch_size: 4, schedule: wsd}
evaluator: {width: 16, steps: 4, batch_size: 8}
"""

WATCHED = """
import sys
from pathlib import Path

def watched(job, place, slot, messages):
    before = "torch._dynamo" in sys.modules
    from scaling.runs import worker  # which the forkserver has
    try:
        worker.main(job, place, slot, 0, messages)
    finally:
        messages.send((before, "torch._dynamo" in sys.modules))

def main():
    from scaling.runs.forkserver import forkserver
    from scaling.runs.grid import load_grid
    from scaling.runs.plan import expand
    from scaling.runs.slots import Slot
    from scaling.runs.worker import Place

    context, out = forkserver(1), Path(sys.argv[1])
    for job in expand(load_grid(out.with_name("grid.yaml"))).jobs:
        ours, theirs = context.Pipe(duplex=False)
        arguments = (job, Place(out=out, code_version=""), Slot(device="cpu"), theirs)
        process = context.Process(target=watched, args=arguments)
        process.start()
        theirs.close()
        heard = []
        while not heard or not isinstance(heard[-1], tuple):
            heard.append(ours.recv())
        process.join()
        print(job.folder.split("-")[0], heard[-2].kind, *heard[-1])

if __name__ == "__main__":
    main()
"""
"""Forks a worker for each job of a grid; says how it ended, and if it had a compiler
before it and after it."""

TIMED = """
import sys
from scaling.models.evaluator import EvaluatorConfig
from scaling.models.sizes import size
from scaling.models.transformer import TransformerConfig
from scaling.runs.slots import Slot
from scaling.runs.timing import MotionStep, TransformerStep, timings

config = TransformerConfig(size=size("1x1x16"), codebook_size=64, text_vocab_size=300)
evaluator = EvaluatorConfig.of_width(16, vocab_size=300)
steps = [
    TransformerStep(config=config, rows=4, codes=34, pieces=24),
    MotionStep(config=evaluator, rows=4, frames=40, pieces=9),
]
print(len(timings(steps, [Slot(device="cpu")], least=2)))
print("torch._dynamo" in sys.modules)
"""


def trained(kind: type[torch.optim.AdamW]) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7))
    groups = [{"params": [p], "share": 0.5} for p in model.parameters()]
    optimizer = kind(groups, weight_decay=0.1)
    for rate in (0.1, 0.2, 0.05):
        for group in optimizer.param_groups:
            group["lr"] = rate * group["share"]
        optimizer.zero_grad()
        model(torch.randn(4, 5)).square().sum().backward()
        optimizer.step()
    return model, optimizer


def test_is_torch_s_bit_for_bit() -> None:
    (ours, our_state), (theirs, their_state) = map(trained, (AdamW, torch.optim.AdamW))
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)
    found, expected = our_state.state_dict(), their_state.state_dict()
    assert found["param_groups"] == expected["param_groups"]
    torch.testing.assert_close(found["state"], expected["state"], rtol=0, atol=0)


def test_updates_are_not_recorded_for_a_gradient() -> None:
    model, _ = trained(AdamW)
    assert all(weight.is_leaf for weight in model.parameters())


def test_choose_what_repeats_and_fill_nothing() -> None:
    before = torch._C._get_deterministic_fill_uninitialized_memory()
    try:
        repeat_bit_by_bit()
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert not torch._C._get_deterministic_fill_uninitialized_memory()
    finally:
        torch._C._set_deterministic_algorithms(False, warn_only=False)
        torch._C._set_deterministic_fill_uninitialized_memory(before)


def test_no_worker_imports_a_compiler(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(GRID)
    (tmp_path / "out").mkdir()
    script = tmp_path / "watched.py"
    script.write_text(WATCHED)
    said = output(str(script), str(tmp_path / "out"))
    kinds = {line.split()[0] for line in said}
    assert kinds == {"corpus", "tokenizer", "evaluator", "scores", "trunk", "1x1x16"}
    assert {line.split(maxsplit=1)[1] for line in said} == {"finished False False"}


def test_timing_imports_no_compiler() -> None:
    assert output("-c", TIMED) == ["2", "False"]


def output(*arguments: str) -> list[str]:
    python = [sys.executable, *arguments]
    done = subprocess.run(python, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
