"""A verification as it is printed, before its run was trained and after."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scaling.analysis.layout import WIDTH
from scaling.analysis.render_verification import verification_text
from scaling.analysis.verification import Expected, Frozen, Interval, Verification

GOLDEN = Path(__file__).parent / "golden"


def expected(value: float, fifty: float, ninety: float) -> Expected:
    return Expected(
        value=value,
        fifty=Interval(low=value - fifty, high=value + fifty),
        ninety=Interval(low=value - ninety, high=value + ninety),
    )


FROZEN = Frozen(
    frozen="2026-01-02T03:04:05+00:00",
    code_version="0.1.0",
    sources=("quickstart",),
    data="41f0cd388fafa0e6",
    rows=144,
    runs=24,
    largest_compute=3.51e11,
    law="codebook",
    laws={},
    compute=3.52e12,
    loss_symbol="L_u",
    loss=expected(-2.298, 0.02, 0.05),
    new_run=expected(-2.298, 0.08, 0.2),
    quantities={
        "N_nv": expected(1.254e6, 2e5, 5e5),
        "V": expected(1600, 200, 480),
        "D": expected(2.95e5, 2e4, 6e4),
    },
    configuration={
        "non_vocab_params": 1_254_240,
        "codebook_size": 1600,
        "tokens": 294_913,
    },
    run="4x1x160-v2048-d294913-s0-a74e8701",
    grid="study: verify-3.52e12",
    warnings=("FAR EXTRAPOLATION: 10 times beyond the rows",),
    digest="0123456789abcdef" * 4,
)
FOUND = Verification(
    prediction=FROZEN.digest,
    run=FROZEN.run,
    measured=-2.365,
    predicted=-2.298,
    error=-0.067,
    relative_error=-0.067 / 2.298,
    inside_50=True,
    inside_90=True,
    percentile=29.3,
    compute=3.52e12,
    flops=3.53e12,
    beyond=FROZEN.beyond,
    law="codebook",
    loss_symbol="L_u",
    seconds=120.0,
    device="cpu",
    code_version="0.1.0",
    verdict="The prediction holds: L_u of -2.365 lies inside the 50 % interval of a "
    "new run, -2.378 to -2.218, at 10 times the largest compute of the rows.",
)


@pytest.mark.parametrize(("name", "found"), [("frozen", None), ("verified", FOUND)])
def test_as_it_is_printed(name: str, found: Verification | None) -> None:
    text = verification_text(FROZEN, found)
    assert text + "\n" == (GOLDEN / f"{name}.txt").read_text()
    assert max(map(len, text.splitlines())) <= WIDTH


def test_what_cannot_be_trained_here_says_how_to_go_on() -> None:
    elsewhere = replace(FROZEN, configuration=None, grid=None, run=None)
    text = " ".join(verification_text(elsewhere, None).split())
    assert "compare its loss by scaling verify STUDY --measured LOSS" in text
    assert "D 294,913" not in text
