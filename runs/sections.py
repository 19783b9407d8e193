"""The sections of a grid file: every key with its type, default and meaning."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
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
from scaling.models.levels import DOWNSAMPLING, check_levels, levels_of
from scaling.models.quantization import Method, Quantization
from scaling.models.sizes import size


def _whole(value: Any) -> Any:
    """Read 5e4 as the whole number it is; YAML makes a text or a float of it."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = float(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


Count = Annotated[StrictInt, BeforeValidator(_whole)]


def _expand(path: str) -> str:
    for name in re.findall(r"\$\{?(\w+)", path):
        if not os.environ.get(name):
            raise ValueError(
                f"{path!r} needs the environment variable {name}; set it to "
                "the folder that holds the data"
            )
    return os.path.expanduser(os.path.expandvars(path))


Path_ = Annotated[str, AfterValidator(_expand)]


def _none(value: Any) -> Any:
    """Read `none`, which is a word in YAML, as nothing."""
    return None if isinstance(value, str) and value.lower() == "none" else value


class Section(BaseModel):
    """A mapping in the file: unknown keys are mistakes, values are what they say."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class KinematicCorpus(Section):
    """The built-in corpus: procedural captioned motion of unbounded size."""

    kind: Literal["kinematic"] = "kinematic"
    sequences: Annotated[int, Field(ge=20)] = 2000
    """Motions to generate; 80 % train, 5 % validation, 15 % test."""
    seed: int = Field(default=0, ge=0)
    """Another seed, another corpus."""


class PackedCorpus(Section):
    """Motion from a folder with joints.npz and sequences.jsonl."""

    kind: Literal["packed"]
    path: Path_
    """Folder of the pack; environment variables are filled in."""
    mirror: bool = False
    """Add the mirror image of every training clip, left and right swapped in words."""

    humanml3d_texts: Path_ | None = None
    """Folder of HumanML3D's texts; its captions join the windows cut from the same
    trial, by the pack's `h3d` field."""


class HumanML3DCorpus(Section):
    """HumanML3D as published: features, captions, split lists, mean and deviation."""

    kind: Literal["humanml3d"]
    path: Path_
    """Folder with new_joint_vecs, texts, train.txt, val.txt and test.txt."""


class _Captured(Section):
    """Motion files in a folder."""

    path: Path_
    """Folder of the files, at any depth; environment variables are filled in."""
    captions: Path_ | None = None
    """Table (CSV or JSONL) with `name`, `caption` and, where known, `split`, `fps` and
    `lead`, frames to drop; unset: the files' names are the captions."""
    fps: PositiveFloat | None = None
    """True frames per second of all files, where they say something else."""
    lead_in: int = Field(default=0, ge=0)
    """Frames dropped at the start of every file, a calibration pose say."""
    mirror: bool = False
    """Add the mirror image of every training clip, left and right swapped in words."""


class BvhCorpus(_Captured):
    """Motion capture in BVH of a known skeleton, retargeted to the 22 joints."""

    kind: Literal["bvh"]


class JointsCorpus(_Captured):
    """Joint positions in npz files, as made from AMASS."""

    kind: Literal["joints"]
    up: Literal["z", "y"] = "z"
    """Which axis points up; AMASS has z."""


CorpusSection = Annotated[
    KinematicCorpus | PackedCorpus | HumanML3DCorpus | BvhCorpus | JointsCorpus,
    Field(discriminator="kind"),
]


class Tokenizers(Section):
    """Motion tokenizers, one per codebook (ScaMo 3.2, supplementary Table 2)."""

    quantizers: tuple[Method, ...] = ("fsq",)
    """`fsq`; `vq`, the paper's baseline of a learnt codebook; `rfsq`, residual FSQ."""
    codebooks: tuple[StrictInt, ...] = ()
    """Nominal codebook sizes: powers of two with a level set in Table 6; for VQ the
    number of codes, any."""
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
        if info.data.get("quantizers") != ("vq",):
            for nominal in codebooks:
                levels_of(nominal)
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
        if method == "vq":
            return [Quantization(method="vq", codes=codes) for codes in self.codebooks]
        stages = self.stages if method == "rfsq" else 1
        level_sets = [*map(levels_of, self.codebooks), *self.levels]
        return [
            Quantization(method=method, levels=levels, stages=stages)
            for levels in level_sets
        ]


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

    @field_validator("learning_rate", mode="before")
    @classmethod
    def _rate(cls, value: Any) -> Any:
        """Unset is the default rule; a list holds each rate once."""
        if value is None:
            return LearningRate()
        if isinstance(value, list | tuple):
            if not value:
                raise ValueError("names no learning rate; give one, or leave it out")
            return tuple(dict.fromkeys(value))
        return value

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
        return rate.base if self.parametrization == "mup" else rate.at(d_model)


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
    def _evaluator_of_tokenizers(cls, content: Any) -> Any:
        """Give a study of tokenizers alone the evaluator that their FID needs."""
        if not isinstance(content, dict) or "transformers" not in content:
            return content
        alone = _none(content["transformers"]) is None
        return {"evaluator": {}, **content} if alone else content
