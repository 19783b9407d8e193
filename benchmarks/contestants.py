"""Who is timed by training_step.py: our step and those of others, each batched its way.

All have the same rows, size, clipping and log, and AdamW in one pass over the weights
but where said:

- `ours`: rows end to end, batches of like length, the head where something is scored
- `padded_201`: the same model as ScaMo's code computes it: rows in random order, padded
  to its block size of 201 positions, a dense mask, the head on every position, plain
  AdamW; `padded` only to the longest row that may come
- `llama_padded`, `llama_packed`: LlamaForCausalLM of transformers with sdpa; batches of
  transformers' LengthGroupedSampler, padded to their longest row, or rows in random
  order laid end to end in one, told apart by their position ids
- `nano`: a GPT as nanoGPT's, fed as it is: a stream of rows, cut at random places

Of the last three the codes, the end and the pieces of text are one vocabulary, and text
is read from left to right. `nano` is scored on text too, which is its way; tokens of
text are counted for none.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.profiler import record_function

from scaling.models.flops import PAPER_CONTEXT
from scaling.models.sizes import size
from scaling.models.transformer import PrefixTransformer, TransformerConfig
from scaling.runs.allocator import keep_freed_memory
from scaling.runs.compiling import compile_blocks
from scaling.runs.data import Rows, Sampler

IGNORED = -100
BLOCK = 128
"""Positions of `nano`'s blocks; the longest row of the built-in corpus has 113."""

Batches = Iterator[tuple[Any, int]]
"""What a contestant's loss takes, and the motion tokens that it is scored on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """What all contestants train on."""

    size: str
    """Name of the size."""
    codebook: int
    """V."""
    rows: Rows
    """Texts and codes."""
    pieces: int
    """Pieces of text."""
    batch: int
    """Rows of a step."""
    equal: bool
    """Whether rows are of one length and hold no text but one piece, which takes the
    place of a code: to the others they are codes alone."""
    compiled: bool
    """Whether torch.compile is to be used."""

    @property
    def num_ids(self) -> int:
        """Codes, the end, and of rows with text the pieces."""
        return self.codebook + 1 + (0 if self.equal else self.pieces)

    def document(self, row: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Lay out a row with one of its captions in one vocabulary."""
        codes, end = self.rows.codes[row], [self.codebook]
        texts = self.rows.texts[row]
        if self.equal:
            return np.concatenate([codes, end])
        text = texts[int(rng.integers(len(texts)))] + self.codebook + 1
        return np.concatenate([text, codes, end])


class Contestant:
    """A model in training.

    Parameters
    ----------
    model : nn.Module
        Trained in place.
    batches : Batches
        Its data.
    loss : callable
        Mean loss of a batch.
    fused : bool
        Whether AdamW passes over the weights once.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        loss: Callable[[Any], Tensor],
        fused: bool = True,
    ) -> None:
        self.model, self.batches, self.loss = model, batches, loss
        weights = model.parameters()
        self.optimizer = torch.optim.AdamW(weights, lr=1e-4, fused=fused or None)
        self.log = tempfile.TemporaryFile("w")  # noqa: SIM115  # as long as it trains

    def step(self) -> int:
        """Do a step; return the motion tokens that it is scored on."""
        with record_function("input"):
            batch, tokens = next(self.batches)
        self.optimizer.zero_grad()
        loss = self.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        with record_function("optimizer"):
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
        self.log.write(json.dumps({"loss": float(loss.detach())}) + "\n")
        self.log.flush()
        return tokens


def _transformer(case: Case) -> PrefixTransformer:
    config = TransformerConfig(
        size=size(case.size), codebook_size=case.codebook, text_vocab_size=case.pieces
    )
    model = PrefixTransformer(config)
    model.init_weights(torch.Generator().manual_seed(0))
    return model


# --- ours ---


def ours(case: Case) -> Contestant:
    """Ours, with the memory that a worker keeps."""
    keep_freed_memory()
    model = _transformer(case)
    sampler = Sampler(case.rows, case.batch, seed=0)
    if case.compiled:
        compile_blocks(model, sampler.batch(0))
    batches = (sampler.batch(step) for step in count())
    return Contestant(
        model,
        ((batch, batch.num_targets) for batch in batches),
        lambda batch: model.loss(batch) / batch.num_targets,
    )


# --- the padded way ---


class Padded(nn.Module):
    """Our model computed position by position of a padded batch, (B, T)."""

    def __init__(self, model: PrefixTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, codes: Tensor, pieces: Tensor, is_text: Tensor) -> Tensor:
        """Logits at every position, (B, T, V + 1)."""
        model: Any = self.model
        T = codes.shape[1]
        text = model.text_projection(model.text_embedding(pieces))
        x = torch.where(is_text[..., None], text, model.embedding(codes))
        causal = torch.ones(T, T, dtype=torch.bool).tril()
        mask = causal | is_text[:, :, None] & is_text[:, None, :]
        for block in model.blocks:
            x = x + self._attended(block, block.attention_norm(x), mask[:, None])
            x = x + block.feed_forward(block.feed_forward_norm(x))
        logits: Tensor = model.head(model.norm(x))
        return logits

    def _attended(self, block: Any, x: Tensor, mask: Tensor) -> Tensor:
        attention, (B, T, _) = block.attention, x.shape
        heads = attention.query_key_value(x).view(B, T, 3, attention.n_heads, -1)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        q, k = (turned(x, self.model.rotations[:T]) for x in (q, k))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out: Tensor = attention.output(y.transpose(1, 2).reshape(x.shape))
        return out


def turned(x: Tensor, rotation: Tensor) -> Tensor:
    """Turn pairs of channels by their position's angles, in real arithmetic."""
    pairs = x.unflatten(-1, (-1, 2))  # type: ignore[no-untyped-call]
    (even, odd), (cos, sin) = pairs.unbind(-1), rotation.unbind(-1)
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)


def padded_201(case: Case) -> Contestant:
    """ScaMo's way."""
    return _padded(case, PAPER_CONTEXT)


def padded(case: Case) -> Contestant:
    """ScaMo's way, with no more padding than the corpus asks for."""
    codes, texts = case.rows.codes, case.rows.texts
    longest = max(map(len, codes)) + max(len(t) for row in texts for t in row)
    return _padded(case, longest)


def _padded(case: Case, longest: int) -> Contestant:
    model = Padded(_transformer(case))
    run = torch.compile(model) if case.compiled else model

    def loss(batch: tuple[Tensor, ...]) -> Tensor:
        *given, targets = batch
        return F.cross_entropy(run(*given).flatten(0, 1), targets.flatten())

    return Contestant(model, _padded_batches(case, longest), loss, fused=False)


def _padded_batches(case: Case, longest: int) -> Batches:
    rng = np.random.default_rng(0)
    codes, texts = case.rows.codes, case.rows.texts
    for rows in _in_random_order(case, rng):
        shape = (case.batch, longest)
        ids, pieces = np.zeros((2, *shape), np.int64)
        is_text, targets = np.zeros(shape, bool), np.full(shape, IGNORED)
        for line, row in enumerate(rows):
            text = texts[row][int(rng.integers(len(texts[row])))]
            P, end = len(text), len(text) + len(codes[row])
            pieces[line, :P], is_text[line, :P] = text, True
            ids[line, P:end] = codes[row]
            targets[line, P - 1 : end] = [*codes[row], case.codebook]
        yield _tensors(ids, pieces, is_text, targets), int((targets >= 0).sum())


def _in_random_order(case: Case, rng: np.random.Generator) -> Iterator[list[int]]:
    while True:
        rows = rng.permutation(len(case.rows.codes)).tolist()
        for first in range(0, len(rows) - case.batch + 1, case.batch):
            yield rows[first : first + case.batch]


def _tensors(*arrays: NDArray[Any]) -> tuple[Tensor, ...]:
    return tuple(map(torch.from_numpy, arrays))


# --- transformers ---


def llama_padded(case: Case) -> Contestant:
    """Llama on batches of like length, padded to their longest row."""
    return _llama(case, _grouped_batches(case))


def llama_packed(case: Case) -> Contestant:
    """Llama on rows laid end to end."""
    return _llama(case, _flat_batches(case))


def _llama(case: Case, batches: Batches) -> Contestant:
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = size(case.size)
    config: Any = LlamaConfig(  # type: ignore[call-arg]
        vocab_size=case.num_ids,
        hidden_size=shape.d_model,
        intermediate_size=shape.d_ff,
        num_hidden_layers=shape.n_layers,
        num_attention_heads=shape.n_heads,
        max_position_embeddings=256,
        tie_word_embeddings=False,
        attn_implementation="sdpa",
        use_cache=False,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    model.train()
    dynamic = None if case.equal else True
    run: Any = torch.compile(model, dynamic=dynamic) if case.compiled else model
    return Contestant(model, batches, lambda batch: run(**batch).loss)


def _labels(case: Case, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(ids > case.codebook, IGNORED, ids)


def _grouped_batches(case: Case) -> Batches:
    from transformers.trainer_pt_utils import LengthGroupedSampler

    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    documents = [case.document(row, rng) for row in range(len(case.rows.codes))]
    lengths = list(map(len, documents))
    sampler = LengthGroupedSampler(case.batch, lengths=lengths, generator=generator)
    while True:
        order = iter(sampler)
        while len(rows := list(islice(order, case.batch))) == case.batch:
            shape = (case.batch, max(lengths[row] for row in rows))
            ids, labels = np.zeros(shape, np.int64), np.full(shape, IGNORED)
            mask = np.zeros(shape, np.int64)
            for line, row in enumerate(rows):
                ids[line, : lengths[row]] = documents[row]
                labels[line, : lengths[row]] = _labels(case, documents[row])
                mask[line, : lengths[row]] = 1
            names = ("input_ids", "labels", "attention_mask")
            batch = dict(zip(names, _tensors(ids, labels, mask), strict=True))
            if case.equal:  # no mask is needed, and every position counts
                del batch["attention_mask"]
            scored = labels if case.equal else labels[:, 1:]
            yield batch, int((scored >= 0).sum())


def _flat_batches(case: Case) -> Batches:
    rng = np.random.default_rng(0)
    documents = [case.document(row, rng) for row in range(len(case.rows.codes))]
    for rows in _in_random_order(case, rng):
        chosen = [documents[row] for row in rows]
        ids = np.concatenate(chosen)
        labels = _labels(case, ids)
        labels[np.cumsum([0, *map(len, chosen[:-1])])] = IGNORED
        places = np.concatenate([np.arange(len(row)) for row in chosen])
        names = ("input_ids", "labels", "position_ids")
        tensors = (x[None] for x in _tensors(ids, labels, places))
        yield dict(zip(names, tensors, strict=True)), int((labels >= 0).sum())


# --- nanoGPT ---


class NanoBlock(nn.Module):
    """Causal attention, then GELU: as many weights as a block of ours."""

    def __init__(self, d: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(d, bias=False) for _ in range(2))
        self.query_key_value = nn.Linear(d, 3 * d, bias=False)
        self.output = nn.Linear(d, d, bias=False)
        self.wide = nn.Linear(d, hidden, bias=False)
        self.narrow = nn.Linear(hidden, d, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, d) to the same shape."""
        parts = self.query_key_value(self.norms[0](x)).chunk(3, -1)
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in parts)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.output(y.transpose(1, 2).flatten(2))
        out: Tensor = x + self.narrow(F.gelu(self.wide(self.norms[1](x))))
        return out


class Nano(nn.Module):
    """A GPT with learnt positions and a head of its own."""

    def __init__(self, case: Case, block: int) -> None:
        super().__init__()
        shape = size(case.size)
        d, hidden = shape.d_model, 3 * shape.d_ff // 2
        self.tokens, self.places = nn.Embedding(case.num_ids, d), nn.Embedding(block, d)
        self.blocks = nn.Sequential(
            *(NanoBlock(d, shape.n_heads, hidden) for _ in range(shape.n_layers))
        )
        self.norm = nn.LayerNorm(d, bias=False)
        self.head = nn.Linear(d, case.num_ids, bias=False)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Mean loss over all positions of (B, T)."""
        x = self.tokens(ids) + self.places.weight[: ids.shape[1]]
        logits = self.head(self.norm(self.blocks(x)))
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def nano(case: Case) -> Contestant:
    """nanoGPT; its shapes never change."""
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(case.rows.codes))
    documents = [case.document(row, rng) for row in rows]
    block = len(documents[0]) if case.equal else BLOCK
    positions = case.batch * np.mean(list(map(len, documents)))
    torch.manual_seed(0)
    model = Nano(case, block)
    run = torch.compile(model) if case.compiled else model
    batches = _stream(case, np.concatenate(documents), block, round(positions / block))
    return Contestant(model, batches, lambda batch: run(*batch))


def _stream(case: Case, stream: NDArray[np.int64], block: int, rows: int) -> Batches:
    rng = np.random.default_rng(0)
    while True:
        starts = rng.integers(0, len(stream) - block, rows)
        here = starts[:, None] + np.arange(block)
        ids, targets = stream[here], stream[here + 1]
        yield _tensors(ids, targets), int((targets <= case.codebook).sum())


CONTESTANTS = {
    "ours": ours,
    "padded to 201": padded_201,
    "padded to the longest": padded,
    "Llama, by length": llama_padded,
    "Llama, end to end": llama_packed,
    "nanoGPT-like": nano,
}
