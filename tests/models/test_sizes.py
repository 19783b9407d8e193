"""Sizes: the paper's six, the spelling LxHxD, and the shapes that are refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.errors import ScalingError
from scaling.models.sizes import PAPER_SIZES, Size, size

TABLE_1 = [
    ("44M", 8, 8, 512, 1536),
    ("111M", 12, 12, 768, 2048),
    ("343M", 24, 16, 1024, 2816),
    ("775M", 36, 20, 1280, 3584),
    ("1B", 48, 24, 1536, 4096),
    ("3B", 24, 32, 3200, 8704),
]


@pytest.mark.parametrize(("name", "n_layers", "n_heads", "d_model", "d_ff"), TABLE_1)
def test_size_of_the_paper(
    name: str, n_layers: int, n_heads: int, d_model: int, d_ff: int
) -> None:
    found = size(name)
    assert found == Size(name=name, n_layers=n_layers, n_heads=n_heads, d_model=d_model)
    assert found.d_ff == d_ff


def test_there_are_six_in_the_paper_s_order() -> None:
    assert list(PAPER_SIZES) == [name for name, *_ in TABLE_1]


def test_free_size_is_layers_heads_width() -> None:
    found = size("3x4x128")
    assert (found.n_layers, found.n_heads, found.d_model) == (3, 4, 128)
    assert found.name == "3x4x128"


@given(
    n_layers=st.integers(1, 99), n_heads=st.integers(1, 64), pairs=st.integers(1, 128)
)
def test_any_free_size_reads_back(n_layers: int, n_heads: int, pairs: int) -> None:
    d_model = n_heads * 2 * pairs
    found = size(f"{n_layers}x{n_heads}x{d_model}")
    assert (found.n_layers, found.n_heads, found.d_model) == (
        *(n_layers, n_heads, d_model),
    )
    multiple = 256 if d_model >= 512 else 16
    assert found.d_ff % multiple == 0
    assert 0 <= found.d_ff - math.floor(8 * d_model / 3) < multiple


@pytest.mark.parametrize(
    ("text", "d_ff"),
    [("1x2x32", 96), ("2x2x64", 176), ("1x6x504", 1344), ("1x8x512", 1536)],
)
def test_feed_forward_is_rounded_to_16_below_width_512(text: str, d_ff: int) -> None:
    assert size(text).d_ff == d_ff


@pytest.mark.parametrize(
    "text",
    ["", "44m", "44", "1.4B", "4x4", "4x4x128x2", "4x4x-128", "4 x 4 x 128", "4x4x1e3"],
)
def test_other_text_is_refused_with_the_names(text: str) -> None:
    with pytest.raises(ScalingError) as error:
        size(text)
    assert str(error.value) == (
        f"size {text!r} is neither a name (44M, 111M, 343M, 775M, 1B, 3B) "
        "nor LAYERSxHEADSxWIDTH such as 4x4x128"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "4x3x128",
            "size 4x3x128: width 128 is not divisible by its 3 heads; "
            "choose a width that is a multiple of them",
        ),
        (
            "4x4x12",
            "size 4x4x12: head width 3 is odd, rotary positions turn pairs of "
            "channels; choose an even head width",
        ),
        ("0x4x128", "size 0x4x128: n_layers 0 must be at least 1; set it higher"),
        ("4x0x128", "size 4x0x128: n_heads 0 must be at least 1; set it higher"),
        ("4x4x0", "size 4x4x0: d_model 0 must be at least 1; set it higher"),
    ],
)
def test_impossible_shape_is_refused(text: str, message: str) -> None:
    with pytest.raises(ScalingError) as error:
        size(text)
    assert str(error.value) == message


def test_negative_width_is_refused_from_code_as_from_text() -> None:
    with pytest.raises(ScalingError, match="size w: d_model -64 must be at least 1"):
        Size(name="w", n_layers=1, n_heads=1, d_model=-64)
