"""The sections of a grid file: every key with its type, default and meaning."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    PositiveFloat,
    PositiveInt,
    StrictInt,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from scaling.models.flops import PAPER_CONTEXT
from scaling.models.quantization import Quantization
from scaling.models.sizes import size
from scaling.runs.corpus_sections import (
    BvhCorpus,
    CorpusSection,
    Count,
    HumanML3DCorpus,
    JointsCorpus,
    KinematicCorpus,
    MotionSection,
    PackedCorpus,
    Section,
    TextCorpus,
    TokensCorpus,
)
from scaling.runs.tokenizer_section import (
    QUANTIZERS,
    Tokenizers,
    of_other_data,
    require_suited,
)

__all__ = [
    "BvhCorpus",
    "CorpusSection",
    "Evaluator",
    "Grid",
    "HumanML3DCorpus",
    "JointsCorpus",
    "KinematicCorpus",
    "LearningRate",
    "MotionSection",
    "PackedCorpus",
    "Point",
    "Scoring",
    "Section",
    "TextCorpus",
    "Tokenizers",
    "TokensCorpus",
    "Transformers",
]


def _none(value: Any) -> Any:
    """Read `none`, which is a word in YAML, as nothing."""
    return None if isinstance(value, str) and value.lower() == "none" else value


class Evaluator(Section):
    """The text-motion evaluator behind FID and R-precision (Guo et al. 2022)."""

    width: PositiveInt = 128
    """Width of the embeddings and of the text GRU; the motion GRU has twice as much.
    The published evaluator has 512."""
    steps: PositiveInt = 1500
    """Optimiser steps: minutes on one processor, at the default width."""
    batch_size: Annotated[int, Field(ge=2)] = 32
    """Pairs of motion and caption per step."""
    learning_rate: PositiveFloat = 1e-3
    """Peak learning rate of AdamW; 1e-4 is published, for the width of 512."""
    margin: PositiveFloat = 10.0
    """Distance that a motion and another's caption should keep."""
    text_vocab_size: int = Field(default=1024, ge=300)
    """Pieces of the caption vocabulary."""
    seed: int = Field(default=0, ge=0)
    """Seeds weights and batches."""


class Scoring(Section):
    """How generations are scored (ScaMo supplementary Table 4)."""

    repetitions: Annotated[int, Field(ge=2)] = 20
    """Times that the test split is generated and scored anew."""
    temperature: float = Field(default=1.0, ge=0)
    """Of sampling; 0 takes the likeliest token."""
    top_k: int | None = Field(default=None, ge=1)
    """Sample among the likeliest tokens only."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Sample among the likeliest tokens that hold this share of probability."""
    multimodality: int = Field(default=100, ge=0)
    """Captions that are generated 30 times each; 0 leaves multimodality out."""
    seed: int = Field(default=0, ge=0)
    """Seeds samples, pools and pairs."""


class Point(Section):
    """One run by itself: what a prediction or a plan asks for."""

    size: str
    """A paper's name (44M to 3B) or LAYERSxHEADSxWIDTH."""
    tokens: Annotated[Count, Field(gt=0)]
    """D, training tokens."""
    codebook: StrictInt | None = None
    """Nominal codebook size; unset: the one codebook that the grid has."""
    levels: tuple[int, ...] = ()
    """FSQ levels, in place of `codebook`."""

    @field_validator("size")
    @classmethod
    def _is_size(cls, text: str) -> str:
        size(text)
        return text

    def has(self, quantization: Quantization) -> bool:
        """Whether this is the point's codebook."""
        if self.levels:
            return self.levels == quantization.levels
        return self.codebook in (None, quantization.nominal)


class LearningRate(Section):
    """A learning rate that falls with the width as a power of it."""

    base: PositiveFloat = 4e-3
    """Peak learning rate at `width`."""
    width: PositiveInt = 64
    """Width at which it is `base`."""
    exponent: float = Field(default=1.0, ge=0)
    """1: as 1 / width; 0: the same at every width."""

    def at(self, d_model: int) -> float:
        """Peak learning rate of one width."""
        return float(self.base * (self.width / d_model) ** self.exponent)


def _form(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "list"
    return "rule" if isinstance(value, dict | LearningRate) else "number"


Rates = Annotated[
    Annotated[PositiveFloat, Tag("number")]
    | Annotated[tuple[PositiveFloat, ...], Tag("list")]
    | Annotated[LearningRate, Tag("rule")],
    Discriminator(_form),
]


class Transformers(Section):
    """Text-prefix transformers (ScaMo section 3.3, supplementary Table 2)."""

    sizes: tuple[str, ...] = ()
    """The paper's names (44M to 3B) or LAYERSxHEADSxWIDTH."""
    tokens: tuple[Count, ...] = ()
    """Token budgets D: one run of that many training tokens for each."""
    compute: tuple[float, ...] = ()
    """Compute budgets C in FLOPs (isoFLOP): D = C / (3 f) per size and codebook."""
    min_tokens: Count = 0
    """Leaves out the runs whose compute budget buys fewer tokens: large models that
    would hardly train."""
    max_tokens: Count | None = None
    """Leaves out the runs whose compute budget buys more tokens: small models that
    would see the corpus again and again."""
    train_clips: tuple[PositiveInt | None, ...] = (None,)
    """Rows of the training split that a run sees again and again, the first of a fixed
    shuffle; a list: one run for each, so that unique data U is an axis; `null`: all."""
    points: tuple[Point, ...] = ()
    """Single runs in place of `sizes` and budgets; `scaling plan` writes them."""
    batch_size: PositiveInt = 128
    """Sequences per step."""
    learning_rate: Rates = LearningRate()
    """Peak learning rate of AdamW: one for all widths, a list (one run for each), or
    `base`, `width`, `exponent` of a rule; unset: 4e-3 x 64 / width."""
    parametrization: Literal["standard", "mup"] = "standard"
    """`mup`: initial weights, logits and learning rates scale with the width so that
    one learning rate, that of width 64, serves all (Yang et al. 2022)."""
    schedule: Literal["cosine", "wsd"] = "cosine"
    """`cosine`: linear warm-up, then a cosine to 0, one run per budget. `wsd`: warm-up,
    stable, decay: one trunk for all budgets, cooled down in a branch at each."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps with a rising learning rate; with `wsd` of the shortest
    budget's."""
    cooldown: float = Field(default=0.2, gt=0, lt=1)
    """Share of a budget's tokens in its branch; `wsd` only."""
    weight_decay: float = Field(default=1e-6, ge=0)
    """Decoupled weight decay."""
    clip: PositiveFloat = 1.0
    """Gradient norm above which gradients are scaled down."""
    evaluations: PositiveInt = 30
    """Evaluations on the whole test split, evenly spaced along a run."""
    patience: PositiveInt | None = None
    """Evaluations without a better test loss after which a run is stopped as
    overfitted; unset: never."""
    context: int = Field(default=PAPER_CONTEXT, ge=3)
    """Longest row in positions (n_ctx): text, motion, end token."""
    text_encoder: str = "bpe"
    """`bpe`, pieces learnt with the model; or a frozen encoder: `minilm`, or a T5 by
    name, NAME@REVISION or folder, such as google/flan-t5-xl, the paper's."""
    text_vocab_size: int = Field(default=512, ge=300)
    """Pieces of the caption vocabulary; `bpe` only."""
    text_width: PositiveInt = 64
    """Width of the caption states; a frozen encoder brings its own."""
    text_length: int = Field(default=64, ge=1)
    """Longest caption in pieces; longer ones are cut."""
    flops_convention: Literal["openai", "matmul", "6nd"] = "openai"
    """How compute is counted."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the forward and backward pass; weights are float32."""
    compile: Literal["auto", "always", "never"] = "auto"
    """torch.compile of the blocks; `auto`: where it pays, in long runs on a CPU."""

    @field_validator("sizes")
    @classmethod
    def _are_sizes(cls, sizes: tuple[str, ...]) -> tuple[str, ...]:
        for text in sizes:
            size(text)
        return tuple(dict.fromkeys(sizes))

    @field_validator("tokens", "compute")
    @classmethod
    def _positive(cls, budgets: tuple[float, ...]) -> tuple[float, ...]:
        for budget in budgets:
            if budget <= 0:
                raise ValueError(f"budget {budget:g} must be above 0; remove it")
        return tuple(dict.fromkeys(budgets))

    @field_validator("train_clips", mode="before")
    @classmethod
    def _amounts(cls, value: Any) -> Any:
        """Read one amount as a list of it; a list holds each once."""
        if not isinstance(value, list | tuple):
            return (value,)
        if not value:
            raise ValueError("names no amount; give one, or leave it out")
        return tuple(dict.fromkeys(value))

    @field_validator("learning_rate", mode="before")
    @classmethod
    def _rate(cls, value: Any) -> Any:
        """Unset is the default rule; a list holds each rate once."""
        if value is None:
            return LearningRate()
        if isinstance(value, list | tuple):
            if not value:
                raise ValueError("names no learning rate; give one, or leave it out")
            return tuple(each for n, each in enumerate(value) if each not in value[:n])
        return value

    @model_validator(mode="after")
    def _warm_before_cooling(self) -> Transformers:
        if self.schedule == "wsd" and self.warmup + self.cooldown > 1:
            raise ValueError(
                f"warmup {self.warmup:g} and cooldown {self.cooldown:g} are more than "
                "the whole of the shortest budget, which has both; lower one of them"
            )
        return self

    @model_validator(mode="after")
    def _one_kind_of_budget(self) -> Transformers:
        if self.points:
            if self.sizes or self.tokens or self.compute:
                raise ValueError(
                    "has points beside sizes or budgets; give one or the other"
                )
            return self
        if not self.sizes:
            raise ValueError("names no size; give sizes: [44M, 4x4x128, ...]")
        if bool(self.tokens) == bool(self.compute):
            raise ValueError("needs budgets: either tokens: [...] or compute: [...]")
        if (self.min_tokens or self.max_tokens is not None) and not self.compute:
            raise ValueError(
                "min_tokens and max_tokens choose among compute budgets, and there are "
                "none; remove them"
            )
        return self

    @property
    def learning_rates(self) -> tuple[float | LearningRate, ...]:
        """The rates of a sweep, or the one that there is."""
        rate = self.learning_rate
        return rate if isinstance(rate, tuple) else (rate,)

    def learning_rate_for(self, d_model: int) -> float:
        """Peak learning rate of one width.

        Unset, it is 4e-3 at width 64 and falls as 1 / width, the transfer rule for Adam
        (Yang et al. 2022, arXiv 2203.03466): 5e-4 at width 512, where the paper's code
        has 2e-4 by default. Chosen from 1.6e-3, 4e-3 and 8e-3 at width 64 on the
        built-in corpus, and not tuned per size: a law inherits what it gets wrong.
        `scaling rates` measures the rule of a study. With `mup` it is the rate of
        width 64 at every width, since each matrix scales its own.
        """
        (rate,) = self.learning_rates
        if isinstance(rate, float):
            return rate
        return rate.at(64 if self.parametrization == "mup" else d_model)


class Grid(Section):
    """One study."""

    study: str = Field(pattern=r"^[\w.-]+$")
    """Name; the default output folder."""
    corpus: CorpusSection
    tokenizers: Tokenizers
    transformers: Annotated[Transformers | None, BeforeValidator(_none)]
    """`none`: a study of tokenizers alone."""
    evaluator: Annotated[Evaluator | None, BeforeValidator(_none)] = None
    """Trained for the FID of the tokenizers; a study of tokenizers alone has one
    unless it says `none`."""
    seeds: tuple[Annotated[StrictInt, Field(ge=0)], ...] = Field(
        default=(0,), min_length=1
    )
    """One run per seed in every cell."""

    @model_validator(mode="before")
    @classmethod
    def _by_corpus(cls, content: Any) -> Any:
        """Fill in what the kind of the corpus says."""
        corpus = content.get("corpus") if isinstance(content, dict) else None
        if not isinstance(corpus, dict):
            return content
        if corpus.get("kind") in QUANTIZERS:
            return content | of_other_data(corpus, content.get("tokenizers"))
        alone = "transformers" in content and _none(content["transformers"]) is None
        # the FID of tokenizers needs one
        return {"evaluator": {}, **content} if alone else content

    @field_validator("tokenizers")
    @classmethod
    def _suit_corpus(cls, tokenizers: Tokenizers, info: ValidationInfo) -> Tokenizers:
        if corpus := info.data.get("corpus"):
            require_suited(tokenizers, corpus)
        return tokenizers

    @field_validator("transformers")
    @classmethod
    def _have_room(
        cls, transformers: Transformers | None, info: ValidationInfo
    ) -> Transformers | None:
        """Refuse a context in which a piece of text does not fit byte by byte."""
        corpus, tokenizers = info.data.get("corpus"), info.data.get("tokenizers")
        if not transformers or not tokenizers or not isinstance(corpus, TextCorpus):
            return transformers
        longest = corpus.piece + 2  # an empty caption has one position, so has the end
        if 256 in tokenizers.codebooks and transformers.context < longest:
            raise ValueError(
                f"context {transformers.context} is shorter than a row of codebook "
                f"256, where a piece of {corpus.piece} bytes is as many tokens; set "
                f"context to {longest}, or shorten corpus.piece"
            )
        return transformers

    @field_validator("evaluator")
    @classmethod
    def _of_motion(
        cls, evaluator: Evaluator | None, info: ValidationInfo
    ) -> Evaluator | None:
        corpus = info.data.get("corpus")
        if evaluator and corpus and corpus.kind in QUANTIZERS:
            raise ValueError(
                f"an evaluator scores motion, and a corpus of kind {corpus.kind} has "
                "none; remove it"
            )
        return evaluator
