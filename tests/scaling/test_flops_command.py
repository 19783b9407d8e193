"""`scaling flops` prints the counts and nothing else, and mistakes in one line."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

Done = subprocess.CompletedProcess[str]


def flops(*options: str) -> Done:
    """Run the command as a user does."""
    command = [sys.executable, "-m", "scaling", "flops", *options]
    return subprocess.run(command, capture_output=True, text=True)


def test_json_is_one_object_and_nothing_else() -> None:
    found = flops("--size", "44M", "--codebook", "256", "--json")
    assert found.stdout == (
        '{"openai": 52242432, "matmul": 58082304, "6nd": 56903680}\n'
    )
    assert found.stderr == ""
    assert found.returncode == 0


@pytest.mark.parametrize(
    ("convention", "count"),
    [("openai", 6348556800), ("matmul", 6458067200), ("6nd", 6409740800)],
)
def test_one_convention(convention: str, count: int) -> None:
    options = ("--size", "3B", "--codebook", "65536", "--convention", convention)
    assert json.loads(flops(*options, "--json").stdout) == {convention: count}


def test_text_aligns_the_same_numbers() -> None:
    found = flops("--size", "44M", "--codebook", "256")
    assert found.stdout.splitlines() == [
        "openai        52,242,432 FLOPs per token, forward",
        "matmul        58,082,304 FLOPs per token, forward",
        "6nd           56,903,680 FLOPs per token, forward",
    ]


def test_context_prefix_and_text_width_reach_the_count() -> None:
    options = ("--size", "2x2x64", "--codebook", "240", "--json")
    found = flops(*options, "--n-ctx", "50", "--prefix", "10", "--text-width", "32")
    matrices = 2 * 2 * (4 * 64**2 + 3 * 64 * 176)
    per_row = 50 * (matrices + 4 * 2 * 50 * 64) + 10 * 2 * 32 * 64
    block = 4 * 64**2 + 3 * 64 * 176 + 2 * 64
    assert json.loads(found.stdout) == {
        "openai": 4 * 64 + 24 * 2 * 64**2 + 2 * 2 * 50 * 64 + 2 * 64 * 240,
        "matmul": per_row // 40 + 2 * 64 * 241,
        "6nd": 2 * (2 * block + 64 + 32 * 64 + 64 + 240 * 64),
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--size", "45M", "--codebook", "256"),
            "size '45M' is neither a name (44M, 111M, 343M, 775M, 1B, 3B) "
            "nor LAYERSxHEADSxWIDTH such as 4x4x128",
        ),
        (
            ("--size", "4x3x128", "--codebook", "256"),
            "size 4x3x128: width 128 is not divisible by its 3 heads; "
            "choose a width that is a multiple of them",
        ),
        (
            ("--size", "4x4x12", "--codebook", "256"),
            "size 4x4x12: head width 3 is odd, rotary positions turn pairs of "
            "channels; choose an even head width",
        ),
        (
            ("--size", "44M", "--codebook", "0"),
            "codebook 0 must have at least 1 code; set a codebook size such as 256",
        ),
        (
            ("--size", "44M", "--codebook", "256", "--prefix", "201"),
            "a prefix of 201 leaves no motion in a context of 201; "
            "the prefix must be 0 or more and below n_ctx",
        ),
    ],
)
def test_mistake_is_one_line_on_stderr(options: tuple[str, ...], message: str) -> None:
    found = flops(*options, "--json")
    assert found.stderr == f"Error: {message}\n"
    assert found.stdout == ""
    assert found.returncode == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--codebook", "256"), "Missing option '--size'"),
        (("--size", "44M"), "Missing option '--codebook'"),
        (("--size", "44M", "--codebook", "many"), "'many' is not a valid integer"),
        (
            ("--size", "44M", "--codebook", "256", "--convention", "7nd"),
            "'7nd' is not one of 'openai', 'matmul', '6nd'",
        ),
    ],
)
def test_mistake_in_the_command_shows_the_usage(
    options: tuple[str, ...], words: str
) -> None:
    found = flops(*options)
    assert found.stderr.startswith("Usage: ")
    assert words in found.stderr
    assert "Traceback" not in found.stderr
    assert found.stdout == ""
    assert found.returncode == 2
