"""Whether a run compiles its blocks, and how.

On a processor torch.compile saves what lies between the matrix products: 3 to 6 % of a
step (benchmarks/training_step.py --compile). It costs half a minute for a shape that is
not in the compiler's cache on disk and nine seconds for one that is. So it pays for
runs of an hour, and for no others; on a GPU it was never measured, so there a grid has
to ask for it.
"""

from __future__ import annotations

import shutil

import torch

from scaling.models.batch import Batch
from scaling.models.transformer import PrefixTransformer
from scaling.runs import eager
from scaling.runs.jobs import TransformerJob

SECONDS = 1800
"""Seconds of training from which compiling saves more than twice its cost."""

SPEED = 5e10
"""FLOPs per second of one processor thread, about, half of what products alone have."""


def is_compiled(job: TransformerJob, device: str, threads: int) -> bool:
    """Say whether a run compiles its blocks; the same each time that it is asked."""
    match job.section.compile:
        case "always":
            return True
        case "never":
            return False
    long = job.flops_to_spend > SECONDS * SPEED * threads
    return long and device == "cpu" and shutil.which("g++") is not None


def compile_blocks(model: PrefixTransformer, batch: Batch) -> None:
    """Compile what the blocks do position by position, for batches of any size.

    All blocks share one program. Attention stays as it is: it is one kernel already.

    Parameters
    ----------
    model : PrefixTransformer
        Its gradients are cleared.
    batch : Batch
        Always the same one, though any would do: the program may depend on what the
        compiler sees first, and a run that is resumed should have the same bits.
    """
    torch.use_deterministic_algorithms(mode=True, warn_only=True)  # the compiler's too
    eager.repeat_bit_by_bit()
    for block in model.blocks:
        for name in ("before", "after"):
            setattr(block, name, torch.compile(getattr(block, name), dynamic=True))
    model.loss(batch).backward()  # type: ignore[no-untyped-call]
    model.zero_grad()
    with torch.no_grad():
        model.losses(batch)
