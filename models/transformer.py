"""Text-prefix autoregressive transformer over motion tokens (ScaMo section 3.3).

- a row is text, then motion tokens, then the end token; text sees all text, motion sees
  all text and earlier motion, text never sees motion
- pre-RMSNorm blocks, rotary positions counted over text and motion, SwiGLU
- no biases but the text projection's, no dropout
- untied head, run only on the positions that are scored
- text enters as states of width `text_width`, projected linearly into the prefix: of a
  table trained with the model, or of a frozen encoder

Tensor shapes: B rows laid end to end, M positions in all, T positions of the longest
row, H heads, d width, K = d / H.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scaling.models.batch import Batch, Layout, take
from scaling.models.cross_entropy import linear_cross_entropy
from scaling.models.norm import RMSNorm
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


@dataclass(frozen=True, slots=True)
class Sight:
    """What every block's attention shares: which position sees which, and from where.

    Tensors, not numbers, so it is positional: layout, mask, rotation.
    """

    layout: Layout
    """The rows that M positions stand in."""
    mask: Tensor
    """True where seen, (B, 1, T, S): S is T, or the slots of a cache that holds the
    positions before as well."""
    rotation: Tensor
    """Each position's part of `rotary_table`, (M, 1, 1, K / 2, 2)."""


class Attention(nn.Module):
    """Multi-head attention under a given mask."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.n_heads = size.n_heads
        self.query_key_value = nn.Linear(size.d_model, 3 * size.d_model, bias=False)
        self.output = nn.Linear(size.d_model, size.d_model, bias=False)

    def project(self, x: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor]:
        """Compute queries and keys, (M, 2, H, K), turned, and values, (M, H, K)."""
        heads = self.query_key_value(x).view(len(x), 3, self.n_heads, -1)
        return rotate(heads[:, :2], rotation), heads[:, 2]

    def forward(
        self,
        queries_keys: Tensor,
        values: Tensor,
        sight: Sight,
        cache: Cache | None = None,
    ) -> Tensor:
        """Attend: what `project` gives to what `output` takes, (M, d)."""
        q, k = sight.layout.padded(queries_keys).permute(2, 0, 3, 1, 4)  # (B, H, T, K)
        v = sight.layout.padded(values).transpose(1, 2)
        if cache is not None:
            k, v = cache.extended(k, v)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=sight.mask)
        return sight.layout.flat(y.transpose(1, 2)).flatten(1)


class SwiGLU(nn.Module):
    """(silu(x W1) * x W2) W3."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.gate = nn.Linear(size.d_model, size.d_ff, bias=False)
        self.value = nn.Linear(size.d_model, size.d_ff, bias=False)
        self.output = nn.Linear(size.d_ff, size.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (M, d) to the same shape."""
        out: Tensor = self.output(F.silu(self.gate(x)) * self.value(x))
        return out


class Block(nn.Module):
    """x + Attention(norm x), then x + SwiGLU(norm x)."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(size.d_model)
        self.attention = Attention(size)
        self.feed_forward_norm = RMSNorm(size.d_model)
        self.feed_forward = SwiGLU(size)

    def forward(
        self,
        x: Tensor,
        sight: Sight,
        cache: Cache | None = None,
        read: Tensor | None = None,
    ) -> Tensor:
        """Map (M, d) to the same shape: attention row by row, all else by position.

        Of the last block, only what is read of it need be computed: (R, d).
        """
        queries_keys, values = self.before(x, sight.rotation)
        attended = self.attention(queries_keys, values, sight, cache)
        if read is not None:
            x, attended = take(x, read), take(attended, read)
        return self.after(x, attended)

    def before(self, x: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor]:
        """Do what precedes attention."""
        return self.attention.project(self.attention_norm(x), rotation)

    def after(self, x: Tensor, attended: Tensor) -> Tensor:
        """Do what follows it."""
        x = x + self.attention.output(attended)
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
        self.norm = RMSNorm(size.d_model)
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

    def hidden(
        self,
        batch: Batch,
        caches: Sequence[Cache] = (),
        read: Tensor | None = None,
    ) -> Tensor:
        """Compute the final hidden states, (M, d), or those that are read, (R, d).

        Parameters
        ----------
        batch : Batch
            Whole rows.
        caches : sequence of Cache
            One for each block, to be filled for `next_hidden`; or none.
        read : Tensor, optional
            Which positions are, rising.
        """
        layout = batch.layout
        text, motion = self._text_states(batch.text), self.embedding(batch.codes)
        # the residual stream stays float32, also where autocast made text bfloat16
        x = motion.new_zeros(len(layout.place), self.config.size.d_model)
        x = x.index_copy(0, layout.text, text.to(x.dtype))
        x = x.index_copy(0, layout.codes, motion)
        mask = prefix_mask(layout.num_text, layout.longest)
        rotation = self.rotations[layout.position]
        sight = Sight(layout, mask, rotation[:, None, None])
        return self._through_blocks(x, sight, caches, read)

    def next_hidden(self, codes: Tensor, caches: Sequence[Cache]) -> Tensor:
        """Compute the final hidden state of one more code per row, (B, d).

        Parameters
        ----------
        codes : Tensor
            (B,); where they stand in their rows is said by the caches.
        caches : sequence of Cache
            One for each block, with all earlier positions.
        """
        position = caches[0].positions
        slots = torch.arange(caches[0].keys.shape[2], device=codes.device)
        mask = (slots <= position)[:, None, None]
        layout = _one_each(len(codes), codes.device)
        sight = Sight(layout, mask, self.rotations[position][:, None])
        return self._through_blocks(self.embedding(codes), sight, caches)

    def _through_blocks(
        self,
        x: Tensor,
        sight: Sight,
        caches: Sequence[Cache],
        read: Tensor | None = None,
    ) -> Tensor:
        last = self.blocks[-1]
        for block, cache in zip_longest(self.blocks, caches):
            x = block(x, sight, cache, read if block is last else None)
        out: Tensor = self.norm(x)
        return out

    def _text_states(self, text: Tensor) -> Tensor:
        """Project text into the prefix: piece ids (M,) or states (M, W), to (M, d)."""
        states = text if text.is_floating_point() else self.text_embedding(text)
        projected: Tensor = self.text_projection(states)
        return projected

    def forward(self, batch: Batch) -> Tensor:
        """Logits over V codes and the end token at every position, (M, V + 1)."""
        logits: Tensor = self.head(self.hidden(batch))
        return logits

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy in nats, summed over the scored tokens."""
        return self._cross_entropy(batch)[0]

    def losses(self, batch: Batch) -> Tensor:
        """Cross-entropy in nats of each scored token, (N + B,); without gradient."""
        return self._cross_entropy(batch)[1]

    def _cross_entropy(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Run the head on the scored positions alone: it may be most of the cost."""
        hidden = self.hidden(batch, read=batch.layout.scored)
        return linear_cross_entropy(hidden, self.head.weight, batch.targets)


@lru_cache(maxsize=1)
def _one_each(rows: int, device: torch.device) -> Layout:
    """Lay out rows of one code, which stay the same from code to code."""
    return Layout.of([0] * rows, [1] * rows).to(device)


def prefix_mask(num_text: Tensor, longest: int) -> Tensor:
    """Which position of a row sees which: causal, and text sees all text.

    >>> prefix_mask(torch.tensor([2]), 4)[0, 0].int()
    tensor([[1, 1, 0, 0],
            [1, 1, 0, 0],
            [1, 1, 1, 0],
            [1, 1, 1, 1]], dtype=torch.int32)
    """
    place = torch.arange(longest, device=num_text.device)
    furthest = torch.maximum(place, num_text[:, None] - 1)  # (B, T)
    return (place <= furthest[..., None])[:, None]


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
    """Turn interleaved pairs of channels by their position's angles, (..., K).

    A pair is a complex number, and a turn one product: eight times as fast as in real
    arithmetic, forward and backward (measured on 1,024 positions of width 256).

    Parameters
    ----------
    x : Tensor
        (..., K).
    rotation : Tensor
        Of `rotary_table`, (..., K / 2, 2), broadcast.
    """
    pairs = x.float().view(*x.shape[:-1], -1, 2)
    if torch.compiler.is_compiling():  # which knows real numbers alone
        (even, odd), (cos, sin) = pairs.unbind(-1), rotation.unbind(-1)
        turned = [even * cos - odd * sin, even * sin + odd * cos]
        return torch.stack(turned, -1).flatten(-2)
    pairs = torch.view_as_complex(pairs)
    return torch.view_as_real(pairs * torch.view_as_complex(rotation)).flatten(-2)


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
