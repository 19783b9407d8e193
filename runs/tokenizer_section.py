"""The tokenizers of a grid file, and which of them suit which corpus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    StrictInt,
    ValidationInfo,
    field_validator,
    model_validator,
)

from scaling.models.levels import DOWNSAMPLING, check_levels, levels_of
from scaling.models.quantization import MOTION, Method, Quantization
from scaling.runs.corpus_sections import CorpusSection, Section, TokensCorpus

QUANTIZERS: dict[str, tuple[Method, ...]] = {"text": ("bpe",), "tokens": ("given",)}
"""How data becomes codes, by kind of corpus; the other kinds are motion."""


class Tokenizers(Section):
    """Tokenizers, one per codebook (of motion: ScaMo 3.2, supplementary Table 2).

    Text and given tokens take `codebooks` alone.
    """

    quantizers: tuple[Method, ...] = ("fsq",)
    """Of motion `fsq`; `vq`, the paper's baseline of a learnt codebook; `rfsq`,
    residual FSQ. Text has `bpe`, given tokens `given`, without being told."""
    codebooks: tuple[StrictInt, ...] = ()
    """Nominal codebook sizes: powers of two with a level set in Table 6; for VQ and
    given tokens the number of codes, any; for byte pairs 256 (bytes) or more."""
    levels: tuple[tuple[int, ...], ...] = ()
    """Level sets written out, beside or instead of `codebooks`; not for VQ."""
    stages: PositiveInt = 2
    """Codes per latent of residual FSQ, which a transformer reads one by one."""
    width: PositiveInt = 512
    """Channels of the convolutions."""
    depth: PositiveInt = 3
    """Residual blocks per resolution."""
    steps: PositiveInt = 300_000
    """Optimiser steps."""
    batch_size: PositiveInt = 128
    """Windows per step."""
    window: PositiveInt = 64
    """Frames per window, a multiple of 4; no training on shorter clips."""
    learning_rate: PositiveFloat = 2e-4
    """Peak learning rate of AdamW; falls by `decay` at `milestone` of the steps."""
    milestone: float = Field(default=0.6, gt=0, le=1)
    """Share of the steps after which the learning rate falls."""
    decay: float = Field(default=0.05, gt=0, le=1)
    """Factor by which it falls."""
    warmup: float = Field(default=0.003, ge=0, lt=1)
    """Share of the steps with a rising learning rate."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay."""
    commitment: float = Field(default=0.02, ge=0)
    """Weight of VQ's commitment loss, which pulls latents to their codes."""
    ema: float = Field(default=0.99, ge=0, lt=1)
    """Share of the past in VQ's moving averages of its codes."""
    seed: int = Field(default=0, ge=0)
    """All transformers of a codebook share one tokenizer, of this seed; a grid of
    tokenizers alone has one for each of its `seeds`."""

    @field_validator("codebooks")
    @classmethod
    def _have_levels(
        cls, codebooks: tuple[int, ...], info: ValidationInfo
    ) -> tuple[int, ...]:
        for method in info.data.get("quantizers", ()):
            for codebook in codebooks:
                if method in ("fsq", "rfsq"):
                    levels_of(codebook)
                else:
                    Quantization(method=method, codes=codebook)
        return codebooks

    @field_validator("levels")
    @classmethod
    def _are_levels(
        cls, levels: tuple[tuple[int, ...], ...]
    ) -> tuple[tuple[int, ...], ...]:
        for each in levels:
            check_levels(each)
        return levels

    @field_validator("window")
    @classmethod
    def _whole_tokens(cls, window: int) -> int:
        if window % DOWNSAMPLING:
            raise ValueError(
                f"{window} is not a multiple of {DOWNSAMPLING} frames; choose one"
            )
        return window

    @model_validator(mode="after")
    def _any(self) -> Tokenizers:
        if self.levels and self.quantizers == ("vq",):
            raise ValueError(
                f"has levels {[list(each) for each in self.levels]} and VQ alone, "
                "which has none; name its sizes in codebooks, or add fsq"
            )
        if not self.quantizations:
            raise ValueError("names no codebook; give codebooks: [256, ...]")
        return self

    @property
    def quantizations(self) -> tuple[Quantization, ...]:
        """All codebooks of all quantizers, in order, each once."""
        found = [
            quantization
            for method in self.quantizers
            for quantization in self._of(method)
        ]
        return tuple(dict.fromkeys(found))

    def _of(self, method: Method) -> list[Quantization]:
        if method not in ("fsq", "rfsq"):
            return [Quantization(method=method, codes=V) for V in self.codebooks]
        stages = self.stages if method == "rfsq" else 1
        level_sets = [*map(levels_of, self.codebooks), *self.levels]
        return [
            Quantization(method=method, levels=levels, stages=stages)
            for levels in level_sets
        ]


def of_other_data(corpus: dict[str, Any], tokenizers: Any) -> dict[str, Any]:
    """Fill in the sections `corpus` and `tokenizers` of data that are no motion."""
    kind = corpus["kind"]
    V = corpus.get("codebook_size")
    if kind == "tokens" and tokenizers is None and V is not None:
        tokenizers = {"codebooks": [V]}
    if not isinstance(tokenizers, dict):
        return {}
    codebooks = tokenizers.get("codebooks")
    if kind == "tokens" and V is None and isinstance(codebooks, list) and codebooks:
        corpus = {**corpus, "codebook_size": codebooks[0]}
    return {
        "corpus": corpus,
        "tokenizers": {"quantizers": QUANTIZERS[kind], **tokenizers},
    }


def require_suited(tokenizers: Tokenizers, corpus: CorpusSection) -> None:
    """Refuse tokenizers of another kind of data."""
    suited = QUANTIZERS.get(corpus.kind, MOTION)
    for method in tokenizers.quantizers:
        if method not in suited:
            raise ValueError(
                f"quantizers {method} is not for a corpus of kind {corpus.kind}, "
                f"which has {', '.join(suited)}; leave quantizers out, or change it"
            )
    if corpus.kind not in QUANTIZERS:
        return
    of_motion = [
        name
        for name, field in Tokenizers.model_fields.items()
        if name not in ("quantizers", "codebooks")
        and getattr(tokenizers, name) != field.default
    ]
    if of_motion:
        raise ValueError(
            f"{', '.join(of_motion)} would train a tokenizer of motion; a corpus of "
            f"kind {corpus.kind} takes codebooks alone: remove it"
        )
    if isinstance(corpus, TokensCorpus):
        _require_files(tokenizers.codebooks, corpus)


def _require_files(codebooks: Sequence[int], corpus: TokensCorpus) -> None:
    if corpus.codebook_size not in codebooks:
        raise ValueError(
            f"codebooks {list(codebooks)} are without corpus.codebook_size "
            f"{corpus.codebook_size}; give one of the two"
        )
    if len(codebooks) > 1 and corpus.file() == corpus.path:
        raise ValueError(
            f"codebooks {list(codebooks)} would all be read from {corpus.path}; write "
            "{codebook} where the names of their files differ"
        )
