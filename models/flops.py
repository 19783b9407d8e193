"""FLOPs per token, in the conventions that scaling studies use.

Each convention is a closed formula of the architecture and gives *forward* FLOPs per
token; training compute is C = 3 f D, the backward pass counted as twice the forward.
A multiplication and an addition are two FLOPs. None counts softmax, norms, rotary
positions, the embedding look-up or a frozen text encoder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scaling.errors import ScalingError
from scaling.models.sizes import Size

TRAINING_FACTOR = 3
"""Training FLOPs per forward FLOP (ScaMo plots exactly 3 f D)."""

PAPER_CONTEXT = 201
"""Positions that ScaMo counts attention over: text prefix, motion tokens, end token."""

PAPER_TEXT_WIDTH = 2048
"""Width of the states of flan-t5-xl, ScaMo's text encoder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """What a FLOPs convention may ask about."""

    size: Size
    """Layers, heads, widths."""
    codebook_size: int
    """V, codes; `openai` is the paper's where this is the nominal power of two."""
    n_ctx: int = PAPER_CONTEXT
    """Positions in a sequence, text included."""
    n_prefix: int = 0
    """Text positions among them; they cost compute and are no data."""
    text_width: int = PAPER_TEXT_WIDTH
    """Width of the text states that are projected into the prefix."""

    def __post_init__(self) -> None:
        if self.codebook_size < 1:
            raise ScalingError(
                f"codebook {self.codebook_size} must have at least 1 code; "
                "set a codebook size such as 256"
            )
        if self.text_width < 1:
            raise ScalingError(
                f"text width {self.text_width} must be at least 1; "
                f"flan-t5-xl's is {PAPER_TEXT_WIDTH}"
            )
        if not 0 <= self.n_prefix < self.n_ctx:
            raise ScalingError(
                f"a prefix of {self.n_prefix} leaves no motion in a context of "
                f"{self.n_ctx}; the prefix must be 0 or more and below n_ctx"
            )


def vocab_params(architecture: Architecture) -> int:
    """N_v = V d, one table (the untied head is counted in the total only)."""
    return architecture.codebook_size * architecture.size.d_model


def non_vocab_params(architecture: Architecture) -> int:
    """N_nv: blocks, norms and the text projection, without a trained text table.

    The blocks hold 4 d^2 (query, key, value, output), 3 d d_ff (SwiGLU) and two norms.

    >>> from scaling.models.sizes import size
    >>> non_vocab_params(Architecture(size=size("44M"), codebook_size=256))
    28320768
    """
    L, d = architecture.size.n_layers, architecture.size.d_model
    block = 4 * d**2 + 3 * d * architecture.size.d_ff + 2 * d
    text_projection = architecture.text_width * d + d
    return L * block + d + text_projection


def openai(architecture: Architecture) -> int:
    """Forward FLOPs per token as ScaMo counts them (supplementary, Code 1).

    f = 4d + 6 L d^2 + 2 L n_ctx d + 2 L d^2 + 4 L d d_ff + 2 d V, with d_ff = 4 d:
    embedding, query-key-value, attention scores, output projection, feed-forward,
    de-embedding. The weighted sum of values is left out and the feed-forward is taken
    for two matrices of ratio 4 though it is SwiGLU. Source: Kaplan et al. 2020
    (arXiv 2001.08361) Table 1, plus embedding and de-embedding. The feed-forward row
    printed in ScaMo's supplementary Table 1 lost a factor d; its Code 1 is right.

    >>> from scaling.models.sizes import size
    >>> openai(Architecture(size=size("44M"), codebook_size=256))
    52242432
    """
    L, d = architecture.size.n_layers, architecture.size.d_model
    d_ff, V = 4 * d, architecture.codebook_size
    embed, de_embed = 4 * d, 2 * d * V
    query_key_value, project = 6 * L * d**2, 2 * L * d**2
    scores = 2 * L * architecture.n_ctx * d
    feed_forward = 4 * L * d * d_ff
    return embed + query_key_value + scores + project + feed_forward + de_embed


def matmul_step(
    architecture: Architecture,
    *,
    positions: int,
    pairs: int,
    read: int,
    text: int,
    targets: int,
) -> int:
    """Forward FLOPs of every matrix product that one batch runs.

    Counted as executed: attention over the full square of the longest row's positions
    for every row, masked pairs included, since that is what the product computes.

    Parameters
    ----------
    architecture : Architecture
        Its `n_ctx` and `n_prefix` are not used.
    positions : int
        Positions in the whole batch, none of which is padding.
    pairs : int
        Pairs of positions that attention compares: B T^2 for B rows, the longest of T.
    read : int
        Positions whose final state is read; all that follows the last block's attention
        is done for these alone.
    text : int
        Text positions in the whole batch.
    targets : int
        Predicted tokens in the whole batch; the head runs on these alone and
        predicts V codes and the end token.

    Returns
    -------
    int
        FLOPs; equal to `torch.utils.flop_counter` on the same forward pass.
    """
    L, d = architecture.size.n_layers, architecture.size.d_model
    before, after = 2 * 3 * d**2, 2 * (d**2 + 3 * d * architecture.size.d_ff)
    matrices = L * positions * before + ((L - 1) * positions + read) * after
    blocks = matrices + 4 * L * d * pairs  # scores and weighted sum
    head = 2 * d * (architecture.codebook_size + 1) * targets
    return blocks + head + 2 * architecture.text_width * d * text


def matmul(architecture: Architecture) -> int:
    """Forward FLOPs per token of a full sequence, counted from the real modules.

    A sequence of n_ctx positions has n_ctx - n_prefix tokens; what its prefix costs is
    shared among them and rounded to whole FLOPs. The end token counts as a position
    though no model needs it as an input, and the last block is counted whole, though
    training reads no more of it than the tokens.

    >>> from scaling.models.sizes import size
    >>> matmul(Architecture(size=size("44M"), codebook_size=256))
    58082304
    """
    tokens = architecture.n_ctx - architecture.n_prefix
    total = matmul_step(
        architecture,
        positions=architecture.n_ctx,
        pairs=architecture.n_ctx**2,
        read=architecture.n_ctx,
        text=architecture.n_prefix,
        targets=tokens,
    )
    return round(total / tokens)


def six_nd(architecture: Architecture) -> int:
    """Forward FLOPs per token by C = 6 N D: f = 2 (N_nv + N_v) (ScaMo Eq. 7).

    >>> from scaling.models.sizes import size
    >>> six_nd(Architecture(size=size("44M"), codebook_size=256))
    56903680
    """
    return 2 * (non_vocab_params(architecture) + vocab_params(architecture))


CONVENTIONS: dict[str, Callable[[Architecture], int]] = {
    "openai": openai,
    "matmul": matmul,
    "6nd": six_nd,
}
"""Forward FLOPs per token by name of the convention."""


def training_flops(forward: int, tokens: int) -> int:
    """C = 3 f D.

    >>> training_flops(52242432, 1000)
    156727296000
    """
    return TRAINING_FACTOR * forward * tokens


def tokens_for(compute: float, forward: int) -> int:
    """D = C / (3 f), the training tokens that a compute budget in FLOPs pays for.

    >>> tokens_for(1.6e11, 52242432)
    1020
    """
    return int(compute / (TRAINING_FACTOR * forward))
