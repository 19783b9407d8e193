"""Text-prefix autoregressive transformer over motion tokens (ScaMo section 3.3).

- a row is text, then motion tokens, then the end token; text sees all text, motion sees
  all text and earlier motion, text never sees motion
- pre-RMSNorm blocks, rotary positions counted over text and motion, SwiGLU
- no biases but the text projection's, no dropout
- untied head, run only on the positions that are scored
- text enters as states of width `text_width`, projected linearly into the prefix: of a
  table trained with the model, or of a frozen encoder

Tensor shapes: B rows, T positions, H heads, d width, K = d / H.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scaling.models.sizes import Size

ROPE_BASE = 10_000.0


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformerConfig:
    """Shape of a text-prefix transformer."""

    size: Size
    """Layers, heads, widths."""
    codebook_size: int
    """V, real number of codes; code V is the end token, a target and never an input."""
    text_vocab_size: int | None
    """Rows of the text table that is trained with the model; None where a frozen
    encoder gives the states."""
    text_width: int = 64
    """Width of the text states."""
    context: int = 201
    """Longest row in positions: text, motion and end token."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of text and motion, padded at the end to the longest.

    Tensors, not numbers, so it is positional: ids, is_text, targets, each (B, T); text.
    """

    ids: Tensor
    """Codes; 0 where `is_text` and in the padding."""
    is_text: Tensor
    """Which positions hold text."""
    targets: Tensor
    """The token that follows, where it is motion or the end; -1 elsewhere."""
    text: Tensor
    """What stands there, row by row: piece ids (M,), or states (M, text_width)."""

    @property
    def num_targets(self) -> int:
        """Scored tokens: all motion tokens and one end token per row."""
        return int((self.targets >= 0).sum())

    def to(self, device: torch.device) -> Batch:
        """Move to a device."""
        tensors = (self.ids, self.is_text, self.targets, self.text)
        return Batch(*(x.to(device) for x in tensors))


@dataclass(frozen=True, slots=True)
class Cache:
    """What one block remembers of earlier positions, and where it puts the next.

    Tensors, not numbers, so it is positional: keys, values, positions.
    """

    keys: Tensor
    """(B, H, S, K): one slot for each position of a row; unused ones are masked."""
    values: Tensor
    """(B, H, S, K)."""
    positions: Tensor
    """Slots that the next keys and values go to, (B, T)."""

    def extended(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Put (B, H, T, K) in their slots; return all that is remembered."""
        rows = torch.arange(len(k), device=k.device)[:, None]
        self.keys[rows, :, self.positions] = k.transpose(1, 2)
        self.values[rows, :, self.positions] = v.transpose(1, 2)
        return self.keys, self.values


class Attention(nn.Module):
    """Multi-head attention under a given mask."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.n_heads = size.n_heads
        self.query_key_value = nn.Linear(size.d_model, 3 * size.d_model, bias=False)
        self.output = nn.Linear(size.d_model, size.d_model, bias=False)

    def forward(
        self, x: Tensor, mask: Tensor, rotation: Tensor, cache: Cache | None = None
    ) -> Tensor:
        """Attend: x (B, T, d), mask (B, 1, T, S) true where seen.

        S is T, or the slots of a cache that holds the positions before x as well.
        """
        B, T, d = x.shape
        heads = self.query_key_value(x).view(B, T, 3, self.n_heads, -1)
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # each (B, H, T, K)
        q, k = rotate(q, rotation), rotate(k, rotation)
        if cache is not None:
            k, v = cache.extended(k, v)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out: Tensor = self.output(y.transpose(1, 2).reshape(B, T, d))
        return out


class SwiGLU(nn.Module):
    """(silu(x W1) * x W2) W3."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.gate = nn.Linear(size.d_model, size.d_ff, bias=False)
        self.value = nn.Linear(size.d_model, size.d_ff, bias=False)
        self.output = nn.Linear(size.d_ff, size.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, d) to the same shape."""
        out: Tensor = self.output(F.silu(self.gate(x)) * self.value(x))
        return out


class Block(nn.Module):
    """x + Attention(norm x), then x + SwiGLU(norm x)."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(size.d_model, eps=1e-5)
        self.attention = Attention(size)
        self.feed_forward_norm = nn.RMSNorm(size.d_model, eps=1e-5)
        self.feed_forward = SwiGLU(size)

    def forward(
        self, x: Tensor, mask: Tensor, rotation: Tensor, cache: Cache | None = None
    ) -> Tensor:
        """Map (B, T, d) to the same shape."""
        x = x + self.attention(self.attention_norm(x), mask, rotation, cache)
        out: Tensor = x + self.feed_forward(self.feed_forward_norm(x))
        return out


class PrefixTransformer(nn.Module):
    """Predict motion tokens from text and earlier motion tokens.

    Parameters
    ----------
    config : TransformerConfig
    """

    rotations: Tensor

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        size = config.size
        self.embedding = nn.Embedding(config.codebook_size, size.d_model)
        if config.text_vocab_size is not None:
            self.text_embedding = nn.Embedding(
                config.text_vocab_size, config.text_width
            )
        self.text_projection = nn.Linear(config.text_width, size.d_model)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.n_layers))
        self.norm = nn.RMSNorm(size.d_model, eps=1e-5)
        self.head = nn.Linear(size.d_model, config.codebook_size + 1, bias=False)
        rotations = rotary_table(config.context, size.d_model // size.n_heads)
        self.register_buffer("rotations", rotations, persistent=False)

    def init_weights(self, generator: torch.Generator) -> None:
        """Draw every weight from one generator.

        ================================  ==========================
        matrices                          N(0, 1 / fan-in)
        those that write to the residual  N(0, 1 / (2 L fan-in))
        tables                            N(0, 1)
        head, bias                        0: training starts at ln(V + 1)
        norms                             1
        ================================  ==========================
        """
        into_residual = 1 / math.sqrt(2 * self.config.size.n_layers)
        for name, weight in self.named_parameters():
            if name == "head.weight" or name.endswith("bias"):
                nn.init.zeros_(weight)
            elif "norm" in name:
                nn.init.ones_(weight)
            elif "embedding" in name:
                nn.init.normal_(weight, generator=generator)
            else:
                scale = into_residual if "output" in name else 1.0
                std = scale / math.sqrt(weight.shape[1])
                nn.init.normal_(weight, std=std, generator=generator)

    def hidden(self, batch: Batch, caches: Sequence[Cache] = ()) -> Tensor:
        """Compute the final hidden states, (B, T, d).

        Parameters
        ----------
        batch : Batch
            Whole rows.
        caches : sequence of Cache
            One for each block, to be filled for `next_hidden`; or none.
        """
        is_text = batch.is_text
        motion = self.embedding(batch.ids[~is_text])
        text = self._text_states(batch.text)
        # the residual stream stays float32, also where autocast made text bfloat16
        x = motion.new_zeros(*batch.ids.shape, self.config.size.d_model)
        x = x.masked_scatter(~is_text[..., None], motion)
        x = x.masked_scatter(is_text[..., None], text.to(x.dtype))
        rotation = self.rotations[: x.shape[1]]
        return self._through_blocks(x, prefix_mask(is_text), rotation, caches)

    def next_hidden(self, codes: Tensor, caches: Sequence[Cache]) -> Tensor:
        """Compute the final hidden state of one more code per row, (B, d).

        Parameters
        ----------
        codes : Tensor
            (B,); where they stand in their rows is said by the caches.
        caches : sequence of Cache
            One for each block, with all earlier positions.
        """
        positions = caches[0].positions
        slots = torch.arange(caches[0].keys.shape[2], device=codes.device)
        mask = (slots <= positions)[:, None, None]
        rotation = self.rotations[positions][:, None]
        x = self.embedding(codes)[:, None]
        return self._through_blocks(x, mask, rotation, caches)[:, 0]

    def _through_blocks(
        self, x: Tensor, mask: Tensor, rotation: Tensor, caches: Sequence[Cache]
    ) -> Tensor:
        for block, cache in zip_longest(self.blocks, caches):
            x = block(x, mask, rotation, cache)
        out: Tensor = self.norm(x)
        return out

    def _text_states(self, text: Tensor) -> Tensor:
        """Project text into the prefix: piece ids (M,) or states (M, W), to (M, d)."""
        states = text if text.is_floating_point() else self.text_embedding(text)
        projected: Tensor = self.text_projection(states)
        return projected

    def forward(self, batch: Batch) -> Tensor:
        """Logits over V codes and the end token at every position, (B, T, V + 1)."""
        logits: Tensor = self.head(self.hidden(batch))
        return logits

    def losses(self, batch: Batch) -> Tensor:
        """Cross-entropy in nats of each scored token, shape (num_targets,).

        The head runs on the scored positions alone: text and padding are never scored,
        and at large codebooks the head is most of the cost.
        """
        scored = batch.targets >= 0
        logits = self.head(self.hidden(batch)[scored])
        return F.cross_entropy(logits.float(), batch.targets[scored], reduction="none")


def prefix_mask(is_text: Tensor) -> Tensor:
    """Which position sees which: causal, and text sees all text.

    >>> prefix_mask(torch.tensor([[True, True, False, False]]))[0, 0].int()
    tensor([[1, 1, 0, 0],
            [1, 1, 0, 0],
            [1, 1, 1, 0],
            [1, 1, 1, 1]], dtype=torch.int32)
    """
    T = is_text.shape[1]
    causal = torch.ones(T, T, dtype=torch.bool, device=is_text.device).tril()
    both_text = is_text[:, :, None] & is_text[:, None, :]
    return (causal | both_text)[:, None]


def rotary_table(length: int, head_width: int) -> Tensor:
    """Angles' cosine and sine for every position, (length, head_width / 2, 2).

    Pair i of position t turns by t * base^(-2 i / head_width) (Su et al. 2021,
    arXiv 2104.09864).
    """
    pair = torch.arange(0, head_width, 2, dtype=torch.float64)
    frequency = ROPE_BASE ** (-pair / head_width)
    angle = torch.outer(torch.arange(length, dtype=torch.float64), frequency)
    return torch.stack([angle.cos(), angle.sin()], -1).float()


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Turn interleaved pairs of channels by their position's angles, (B, H, T, K).

    The angles are `rotary_table`'s, (T, K / 2, 2), or each row's, (B, 1, T, K / 2, 2).
    """
    even, odd = x.reshape(*x.shape[:-1], -1, 2).unbind(-1)
    cos, sin = rotation.unbind(-1)
    turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1)
    return turned.flatten(-2)


def parameter_groups(model: PrefixTransformer) -> dict[str, int]:
    """Count the parameters by group; the groups sum to the model's real total."""

    def count(module: nn.Module) -> int:
        return sum(weight.numel() for weight in module.parameters())

    groups = {
        "embedding": count(model.embedding),
        "head": count(model.head),
        "text_embedding": count(getattr(model, "text_embedding", nn.Identity())),
        "text_projection": count(model.text_projection),
        "blocks": count(model.blocks),
        "norm": count(model.norm),
    }
    assert sum(groups.values()) == count(model), "a module is in no group"
    return groups


def vocabulary_split(model: PrefixTransformer) -> tuple[int, int, int]:
    """Count non-vocabulary, vocabulary and total parameters (N_nv, N_v, N).

    N_nv is blocks, norms and text projection: everything but the tables and the head.
    The text table stands where the paper has a frozen text encoder, which it does not
    count either.
    """
    groups = parameter_groups(model)
    non_vocabulary = groups["blocks"] + groups["norm"] + groups["text_projection"]
    return non_vocabulary, groups["embedding"], sum(groups.values())
