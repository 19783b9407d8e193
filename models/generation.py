"""Generation: motion tokens for texts, one after another until the end token.

Texts of different lengths share a batch. They are padded at the end, and the tokens of
each row stand where its own text ends, as in training; what the padding left in the
cache is overwritten by them, and masked until then.

Tensor shapes: B rows, L layers, H heads, S slots of the cache, K = width / H, V codes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scaling.errors import ScalingError
from scaling.models.batch import Batch
from scaling.models.text import Text
from scaling.models.transformer import Cache, PrefixTransformer

MAX_TOKENS = 49
"""HumanML3D's longest clip: 196 frames at 4 per token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How a token is drawn from the model's probabilities."""

    temperature: float = 1.0
    """Divides the logits; 0 takes the likeliest token always."""
    top_k: int | None = None
    """Only the k likeliest tokens; equals of the k-th stay too."""
    top_p: float | None = None
    """Only the likeliest tokens that together hold this share of what top_k left."""
    seed: int = 0
    """Seeds the draws; each row has its own."""

    def __post_init__(self) -> None:
        rules = (
            ("temperature", 0 <= self.temperature < math.inf, "a number of at least 0"),
            ("top_k", self.top_k is None or self.top_k >= 1, "at least 1"),
            ("top_p", self.top_p is None or 0 < self.top_p <= 1, "above 0, at most 1"),
            ("seed", self.seed >= 0, "at least 0"),
        )
        for name, kept, rule in rules:
            if not kept:
                value = getattr(self, name)
                raise ScalingError(f"{name} {value} must be {rule}; choose another")

    def draws(self, row: int, number: int) -> NDArray[np.float64]:
        """Uniform numbers of one row; asking for more changes none of the first."""
        return np.random.default_rng([self.seed, row]).random(number)


_NO_END = -1
"""Targets of rows are not asked for."""

GREEDY = Sampling(temperature=0.0)
"""The likeliest token always."""


@torch.inference_mode()
def generate(
    model: PrefixTransformer,
    texts: Sequence[Text],
    *,
    sampling: Sampling | None = None,
    max_tokens: int = MAX_TOKENS,
    min_tokens: int = 0,
    at_once: int = 64,
    cached: bool = True,
) -> list[NDArray[np.int32]]:
    """Continue each text with motion tokens.

    A row's draws depend on the seed and its place in `texts` alone. Another `at_once`
    rounds logits differently, by about 1e-6: a token may change where its draw falls
    within that of a boundary.

    Parameters
    ----------
    model : PrefixTransformer
    texts : sequence of arrays
        Captions as the model reads them.
    sampling : Sampling
        How tokens are drawn; by default from the model's probabilities.
    max_tokens : int
        Most tokens of a row, the end not counted; less where a row's text leaves fewer
        positions of the model's context, one of which is the end's.
    min_tokens : int
        The end is not drawn before that many tokens.
    at_once : int
        Rows per batch.
    cached : bool
        False reads every row anew for each token, for comparison.

    Returns
    -------
    list of int32 arrays
        The tokens of each text without the end; none where the end came first.

    Raises
    ------
    ScalingError
        If a text has no position, or leaves none for a token.
    """
    sampling = sampling or Sampling()
    rooms = [_room(model, text, max_tokens) for text in texts]
    found: list[NDArray[np.int32]] = []
    for first in range(0, len(texts), at_once):
        rows = range(first, min(first + at_once, len(texts)))
        draws = np.stack([sampling.draws(row, max_tokens) for row in rows])
        room = torch.tensor([rooms[row] for row in rows], device=_device(model))
        reader = (CachedReader if cached else Rereader)(
            model, [texts[row] for row in rows], int(room.max())
        )
        found += _continue(reader, draws, room, sampling, min_tokens)
    return found


def _continue(
    reader: CachedReader | Rereader,
    draws: NDArray[np.float64],
    room: Tensor,
    sampling: Sampling,
    min_tokens: int,
) -> list[NDArray[np.int32]]:
    """Draw until every row has ended or filled its room."""
    model = reader.model
    end = model.config.codebook_size
    uniforms = torch.from_numpy(draws).to(room.device)
    ids = torch.full((len(room), int(room.max())), end, device=room.device)
    live = torch.arange(len(room), device=room.device)  # rows that go on
    for step in range(ids.shape[1]):
        logits = model.head(reader.hidden)
        if step < min_tokens:
            logits[:, end] = -math.inf
        codes = choose(logits, uniforms[live, step], sampling)
        ids[live, step] = codes
        on = (codes != end) & (step + 1 < room[live])
        live, codes = live[on], codes[on]
        if not len(live):
            break
        if not on.all():
            reader.keep(on)
        reader.read(codes)
    lengths = (ids != end).sum(1).tolist()
    rows = ids.cpu().numpy().astype(np.int32)
    return [row[:length] for row, length in zip(rows, lengths, strict=True)]


def choose(logits: Tensor, draws: Tensor, sampling: Sampling) -> Tensor:
    """Choose a token for each row, (B,).

    A draw u takes the first token, in order of ids, whose cumulative probability is
    above u.

    Parameters
    ----------
    logits : Tensor
        (B, V + 1).
    draws : Tensor
        Uniform on [0, 1), (B,), float64.
    sampling : Sampling
    """
    if sampling.temperature == 0:
        return logits.argmax(-1)
    # differences first, so that no temperature is too low
    above = logits.double() - logits.max(-1, keepdim=True).values
    p = _likeliest((above / sampling.temperature).softmax(-1), sampling)
    cumulative = p.cumsum(-1)
    cumulative = cumulative / cumulative[:, -1:]
    return torch.searchsorted(cumulative, draws[:, None], right=True)[:, 0]


def _likeliest(p: Tensor, sampling: Sampling) -> Tensor:
    """Set to 0 what top_k and top_p leave out of the probabilities (B, V + 1)."""
    if sampling.top_k is None and sampling.top_p is None:
        return p
    ranked = p.sort(-1, descending=True).values[:, : sampling.top_k]
    before = ranked.cumsum(-1) - ranked
    share = 1.0 if sampling.top_p is None else sampling.top_p
    taken = (before < share * ranked.sum(-1, keepdim=True)).sum(-1, keepdim=True)
    return p.where(p >= ranked.gather(-1, taken - 1), 0.0)


class CachedReader:
    """Reads rows token by token and remembers their keys and values.

    Parameters
    ----------
    model : PrefixTransformer
    texts : sequence of arrays
        The captions, which are read at once.
    room : int
        Most tokens that will follow.
    """

    def __init__(
        self, model: PrefixTransformer, texts: Sequence[Text], room: int
    ) -> None:
        self.model = model
        size, B = model.config.size, len(texts)
        batch = Batch.of(texts, [np.zeros(0, np.int64)] * B, _NO_END).to(_device(model))
        self.lengths = batch.layout.num_text  # positions read so far, (B,)
        longest = batch.layout.longest
        K = size.d_model // size.n_heads
        shape = (size.n_layers, 2, B, size.n_heads, longest + room, K)
        self.memory = model.head.weight.new_zeros(shape)
        positions = torch.arange(longest, device=self.lengths.device).expand(B, -1)
        caches = self._caches(positions, longest)
        self.hidden = model.hidden(batch, caches, batch.layout.last)
        """The final hidden state of each row's last position, (B, d)."""

    def read(self, codes: Tensor) -> None:
        """Read one more code of each row, (B,)."""
        slots = int(self.lengths.max()) + 1
        caches = self._caches(self.lengths[:, None], slots)
        self.hidden = self.model.next_hidden(codes, caches)
        self.lengths = self.lengths + 1

    def keep(self, rows: Tensor) -> None:
        """Forget all rows but these, a mask (B,)."""
        self.memory, self.lengths = self.memory[:, :, rows], self.lengths[rows]

    def _caches(self, positions: Tensor, slots: int) -> list[Cache]:
        return [Cache(k, v, positions) for k, v in self.memory[..., :slots, :]]


class Rereader:
    """Reads rows from their beginning for every token: the plain way, and the slow."""

    def __init__(
        self, model: PrefixTransformer, texts: Sequence[Text], _tokens: int
    ) -> None:
        self.model, self.texts = model, list(texts)
        self.codes = torch.zeros(len(texts), 0, dtype=torch.long, device=_device(model))
        self.hidden = self._last_hidden()

    def read(self, codes: Tensor) -> None:
        """Read one more code of each row, (B,)."""
        self.codes = torch.cat([self.codes, codes[:, None]], 1)
        self.hidden = self._last_hidden()

    def keep(self, rows: Tensor) -> None:
        """Forget all rows but these, a mask (B,)."""
        self.codes = self.codes[rows]
        chosen = zip(self.texts, rows.tolist(), strict=True)
        self.texts = [text for text, kept in chosen if kept]

    def _last_hidden(self) -> Tensor:
        codes = list(self.codes.cpu().numpy())
        batch = Batch.of(self.texts, codes, _NO_END).to(_device(self.model))
        return self.model.hidden(batch, read=batch.layout.last)


def _room(model: PrefixTransformer, text: Text, max_tokens: int) -> int:
    """Tokens that may follow a text; the end needs a position as well."""
    context = model.config.context
    if not len(text) or len(text) + 2 > context:
        raise ScalingError(
            f"a text of {len(text)} positions; expected at least 1 and at most "
            f"{context - 2}, the model's context less a token and the end: cut it"
        )
    return min(max_tokens, context - len(text) - 1)


def _device(model: PrefixTransformer) -> torch.device:
    return model.head.weight.device
