"""Throughput of k runs on k cores over k times that of one run on one core.

    python benchmarks/cores.py [--cores K] [--rounds N]

Each round times the same training step in one process and then in k processes at once,
all of one thread, as the launcher runs jobs; the ratio of the round is what counts, so
that a machine that is busy in one round does not favour either. Prints every round's
ratio and the median, for a small and a larger model.
"""

from __future__ import annotations

import argparse
import os
import statistics

from scaling.models.sizes import size
from scaling.models.transformer import TransformerConfig
from scaling.runs.slots import Slot
from scaling.runs.timing import TransformerStep, timings

STEPS = [
    TransformerStep(
        config=TransformerConfig(
            size=size(name), codebook_size=codebook, text_vocab_size=512
        ),
        rows=rows,
        codes=34,
        pieces=24,
    )
    for name, codebook, rows in (("2x4x64", 256, 8), ("4x4x128", 1024, 32))
]


def main() -> None:
    """Time both, round by round."""
    parser = argparse.ArgumentParser(description=__doc__)
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--cores", type=int, default=cores)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    slot = Slot(device="cpu", threads=1)
    for step in STEPS:
        ratios = [_ratio(step, slot, arguments.cores) for _ in range(arguments.rounds)]
        rounds = " ".join(f"{ratio:.2f}" for ratio in ratios)
        name, k = step.config.size.name, arguments.cores
        print(
            f"{name} V={step.config.codebook_size} x {step.rows} rows: {k} runs have "
            f"{statistics.median(ratios):.2f} x {k} times the throughput of one "
            f"({rounds})"
        )


def _ratio(step: TransformerStep, slot: Slot, cores: int) -> float:
    """Time a step alone over its time among others."""
    alone = timings([step], [slot])[step].step
    together = timings([step], [slot] * cores)[step].step
    return alone / together


if __name__ == "__main__":
    main()
