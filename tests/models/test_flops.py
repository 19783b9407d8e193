"""FLOPs per token: the paper's 42 integers, and what torch counts on real modules.

`matmul_step` is held against `torch.utils.flop_counter` with attention forced to the
MATH backend, where it runs as two batched products. On CPU the fused kernel with a mask
has no entry in the counter's table and would be counted as nothing: the two attention
products of every layer would be missing, no other term differs.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from scaling.errors import ScalingError
from scaling.models.batch import Batch
from scaling.models.flops import (
    CONVENTIONS,
    Architecture,
    matmul,
    matmul_step,
    non_vocab_params,
    openai,
    six_nd,
    tokens_for,
    training_flops,
    vocab_params,
)
from scaling.models.sizes import PAPER_SIZES, size
from scaling.models.transformer import PrefixTransformer, TransformerConfig

CODEBOOKS = (256, 512, 1024, 2048, 4096, 16384, 65536)

SECTION_5 = """
44M 51980288 52242432 52504576 53028864 54077440 56174592 68757504 119089152
111M 173577216 173970432 174363648 175150080 176722944 179868672 198743040 274240512
343M 613863424 614387712 614912000 615960576 618057728 622252032 647417856 748081152
775M 1434106880 1434762240 1435417600 1436728320 1439349760 1444592640 1476049920
 1601879040
1B 2747553792 2748340224 2749126656 2750699520 2753845248 2760136704 2797885440
 2948880384
3B 5929126400 5930764800 5932403200 5935680000 5942233600 5955340800 6033984000
 6348556800
"""
"""Name, f without the codebook's term, f at each of `CODEBOOKS`."""

WORDS = SECTION_5.split()
TABLE = [
    (WORDS[start], codebook, int(WORDS[start + 1]), int(WORDS[start + 2 + column]))
    for start in range(0, len(WORDS), 9)
    for column, codebook in enumerate(CODEBOOKS)
]


class TestOpenAI:
    @pytest.mark.parametrize(("name", "codebook", "without_codebook", "total"), TABLE)
    def test_integer_of_the_paper(
        self, name: str, codebook: int, without_codebook: int, total: int
    ) -> None:
        architecture = Architecture(size=PAPER_SIZES[name], codebook_size=codebook)
        assert openai(architecture) == total
        assert total - 2 * vocab_params(architecture) == without_codebook

    def test_there_are_42(self) -> None:
        assert len({row[:2] for row in TABLE}) == 42

    def test_knows_neither_prefix_nor_text_width_nor_heads(self) -> None:
        plain = Architecture(size=size("4x4x128"), codebook_size=240)
        other = Architecture(
            size=size("4x8x128"), codebook_size=240, n_prefix=50, text_width=7
        )
        assert openai(plain) == openai(other)

    def test_context_costs_one_product_of_scores(self) -> None:
        counts = [
            openai(Architecture(size=size("3x2x64"), codebook_size=15, n_ctx=n))
            for n in (100, 101)
        ]
        assert counts[1] - counts[0] == 2 * 3 * 64


def random_batch(rows: list[tuple[int, int]], *, codebook: int, texts: int) -> Batch:
    """Draw rows of so many text positions and codes."""
    rng = np.random.default_rng(0)
    text = [rng.integers(0, texts, length) for length, _ in rows]
    codes = [rng.integers(0, codebook, length) for _, length in rows]
    return Batch.of(text, codes, codebook)


def counted(
    shape: str, codebook: int, text_width: int, batch: Batch, *, backward: bool = False
) -> int:
    """Let torch count the products of one real step."""
    net = PrefixTransformer(
        TransformerConfig(
            size=size(shape),
            codebook_size=codebook,
            text_vocab_size=20,
            text_width=text_width,
        )
    )
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter, torch.set_grad_enabled(backward):
        loss = net.loss(batch)
        if backward:
            loss.backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops())


class TestMatmul:
    @pytest.mark.parametrize(
        ("shape", "codebook", "text_width", "rows"),
        [
            ("1x1x8", 15, 4, [(1, 3)]),
            ("2x2x16", 64, 8, [(3, 5), (1, 2)]),
            ("3x4x64", 240, 64, [(7, 20), (2, 26), (5, 1)]),
            ("1x2x512", 15, 16, [(2, 6)]),  # d_ff rounded to 256
        ],
    )
    def test_step_is_what_torch_counts(
        self,
        shape: str,
        codebook: int,
        text_width: int,
        rows: list[tuple[int, int]],
    ) -> None:
        batch = random_batch(rows, codebook=codebook, texts=20)
        architecture = Architecture(
            size=size(shape), codebook_size=codebook, text_width=text_width
        )
        expected = matmul_step(
            architecture,
            positions=sum(text + codes for text, codes in rows),
            pairs=len(rows) * batch.layout.longest**2,
            read=batch.num_targets,
            text=sum(text for text, _ in rows),
            targets=batch.num_targets,
        )
        assert counted(shape, codebook, text_width, batch) == expected

    def test_training_step_is_three_times_what_torch_counts(self) -> None:
        batch = random_batch([(3, 5), (1, 2)], codebook=64, texts=20)
        forward = counted("2x2x16", 64, 8, batch)
        both = counted("2x2x16", 64, 8, batch, backward=True)
        assert both == training_flops(forward, 1)

    @pytest.mark.parametrize("n_prefix", [1, 4, 11])
    def test_per_token_is_a_full_row_s_count_shared_by_its_codes(
        self, n_prefix: int
    ) -> None:
        batch = random_batch([(n_prefix, 12 - n_prefix)], codebook=64, texts=20)
        architecture = Architecture(
            size=size("2x2x16"),
            codebook_size=64,
            n_ctx=12,
            n_prefix=n_prefix,
            text_width=8,
        )
        # a step predicts one more, from the last of the text, and of the last block
        # skips what follows attention at the text before that
        after = 2 * (16 * 16 + 3 * 16 * architecture.size.d_ff)
        total = counted("2x2x16", 64, 8, batch) - 2 * 16 * 65 + (n_prefix - 1) * after
        assert matmul(architecture) == round(total / (12 - n_prefix))

    def test_without_prefix_the_formula_by_hand(self) -> None:
        architecture = Architecture(size=size("44M"), codebook_size=256)
        matrices = 2 * 8 * (4 * 512 * 512 + 3 * 512 * 1536)
        attention = 2 * 8 * (201 * 512 + 201 * 512)
        assert matmul(architecture) == matrices + attention + 2 * 512 * 257

    def test_a_prefix_costs_its_share_and_its_projection(self) -> None:
        architecture = Architecture(size=size("44M"), codebook_size=256, n_prefix=51)
        every_position = 2 * 8 * (4 * 512 * 512 + 3 * 512 * 1536 + 2 * 201 * 512)
        per_row = 201 * every_position + 51 * 2 * 2048 * 512
        expected = round(per_row / 150 + 2 * 512 * 257)
        assert matmul(architecture) == expected


class TestSixND:
    @pytest.mark.parametrize("name", PAPER_SIZES)
    @pytest.mark.parametrize("codes", [240, 64000])
    def test_is_twice_the_real_module_s_parameters(self, name: str, codes: int) -> None:
        with torch.device("meta"):
            net = PrefixTransformer(
                TransformerConfig(
                    size=PAPER_SIZES[name],
                    codebook_size=codes,
                    text_vocab_size=20,
                    text_width=2048,
                )
            )
        left_out = net.text_embedding.weight.numel() + net.head.weight.numel()
        counted_in = sum(weight.numel() for weight in net.parameters()) - left_out
        architecture = Architecture(size=PAPER_SIZES[name], codebook_size=codes)
        assert six_nd(architecture) == 2 * counted_in
        assert non_vocab_params(architecture) + vocab_params(architecture) == counted_in


class TestCompute:
    @given(
        forward=st.integers(1, 10**11),
        tokens=st.integers(0, 10**13),
    )
    def test_tokens_for_inverts_training_flops(self, forward: int, tokens: int) -> None:
        assert tokens_for(training_flops(forward, tokens), forward) == tokens

    @given(compute=st.integers(1, 2**50), forward=st.integers(1, 2**50))
    def test_a_budget_is_used_up_and_not_passed(
        self, compute: int, forward: int
    ) -> None:
        tokens = tokens_for(compute, forward)
        assert training_flops(forward, tokens) <= compute
        assert training_flops(forward, tokens + 1) > compute

    def test_conventions_by_name(self) -> None:
        assert {"openai": openai, "matmul": matmul, "6nd": six_nd} == CONVENTIONS


class TestErrors:
    @pytest.mark.parametrize("codebook", [0, -1])
    def test_codebook_without_codes(self, codebook: int) -> None:
        with pytest.raises(ScalingError) as error:
            Architecture(size=size("44M"), codebook_size=codebook)
        assert str(error.value) == (
            f"codebook {codebook} must have at least 1 code; "
            "set a codebook size such as 256"
        )

    @pytest.mark.parametrize(
        ("prefix", "context"), [(201, 201), (300, 201), (-1, 201), (0, 0), (0, -5)]
    )
    def test_prefix_that_leaves_no_motion(self, prefix: int, context: int) -> None:
        with pytest.raises(ScalingError) as error:
            Architecture(
                size=size("44M"), codebook_size=256, n_ctx=context, n_prefix=prefix
            )
        assert str(error.value) == (
            f"a prefix of {prefix} leaves no motion in a context of {context}; "
            "the prefix must be 0 or more and below n_ctx"
        )

    def test_negative_text_width(self) -> None:
        with pytest.raises(ScalingError, match="-2048"):
            Architecture(size=size("44M"), codebook_size=256, text_width=-2048)
