"""Sizes: the paper's six and what they hold, the spelling LxHxD, what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scaling.errors import ScalingError
from scaling.models import flops
from scaling.models.sizes import PAPER_SIZES, Size, size
from scaling.models.transformer import (
    PrefixTransformer,
    TransformerConfig,
    parameter_groups,
    vocabulary_split,
)

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


SECTION_4 = {
    "44M": (27_271_680, 1_049_088, ("28.57", "44.05", "93.86")),
    "111M": (84_953_856, 1_573_632, ("86.90", "110.12", "184.83")),
    "343M": (308_331_520, 2_098_176, ("310.92", "341.89", "441.50")),
    "775M": (731_475_200, 2_622_720, ("734.72", "773.42", "897.94")),
    "1B": (1_359_103_488, 3_147_264, ("1362.99", "1409.44", "1558.86")),
    "3B": (2_988_598_400, 6_556_800, ("2996.70", "3093.47", "3404.76")),
}
"""Blocks with norms, text projection, and totals in millions at three codebooks.

The released code's shapes, whose input table has rows for end and pad.
"""


def paper_model(name: str, codes: int) -> PrefixTransformer:
    """Build one of the paper's models without memory for its weights."""
    with torch.device("meta"):
        return PrefixTransformer(
            TransformerConfig(
                size=PAPER_SIZES[name],
                codebook_size=codes,
                text_vocab_size=None,
                text_width=2048,
            )
        )


class TestLadder:
    @pytest.mark.parametrize("name", PAPER_SIZES)
    def test_groups_are_the_paper_s_table(self, name: str) -> None:
        blocks_and_norms, text_projection, _ = SECTION_4[name]
        groups = parameter_groups(paper_model(name, 240))
        assert groups["blocks"] + groups["norm"] == blocks_and_norms
        assert groups["text_projection"] == text_projection
        assert groups["embedding"] == 240 * PAPER_SIZES[name].d_model
        assert groups["head"] == 241 * PAPER_SIZES[name].d_model
        assert groups["text_embedding"] == 0

    @pytest.mark.parametrize("name", PAPER_SIZES)
    @pytest.mark.parametrize("column", range(3))
    def test_total_is_the_paper_s_less_two_rows_of_the_input_table(
        self, name: str, column: int
    ) -> None:
        total = vocabulary_split(paper_model(name, (240, 15360, 64000)[column]))[2]
        end_and_pad = 2 * PAPER_SIZES[name].d_model
        assert f"{(total + end_and_pad) / 1e6:.2f}" == SECTION_4[name][2][column]

    @pytest.mark.parametrize("name", PAPER_SIZES)
    @pytest.mark.parametrize("codes", [15, 4375, 64000])
    def test_split_is_the_closed_formula(self, name: str, codes: int) -> None:
        net = paper_model(name, codes)
        architecture = flops.Architecture(size=PAPER_SIZES[name], codebook_size=codes)
        non_vocabulary, vocabulary, total = vocabulary_split(net)
        assert non_vocabulary == flops.non_vocab_params(architecture)
        assert vocabulary == flops.vocab_params(architecture)
        assert total == sum(weight.numel() for weight in net.parameters())
