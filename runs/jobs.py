"""The jobs of a study: what each is made of, and what it needs first."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from scaling.models.flops import CONVENTIONS, Architecture, training_flops
from scaling.models.quantization import Quantization
from scaling.models.sizes import Size
from scaling.runs.sections import (
    CorpusSection,
    Evaluator,
    Scoring,
    Tokenizers,
    TokensCorpus,
    Transformers,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusJob:
    """Motion to normalised features, text to pieces, or the rows of given tokens."""

    folder: str
    """Name of its folder."""
    section: CorpusSection
    """What to read or generate."""
    kind: Literal["corpus"] = "corpus"

    @property
    def needs(self) -> tuple[str, ...]:
        """Folders that must be finished first."""
        return ()


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluatorJob:
    """A text-motion evaluator trained on the corpus."""

    folder: str
    """Name of its folder."""
    corpus: str
    """Folder of the corpus."""
    section: Evaluator
    """How to train it."""
    kind: Literal["evaluator"] = "evaluator"

    @property
    def needs(self) -> tuple[str, ...]:
        """Folders that must be finished first."""
        return (self.corpus,)


@dataclass(frozen=True, kw_only=True, slots=True)
class TextJob:
    """The captions of a corpus as states of a frozen text encoder."""

    folder: str
    """Name of its folder."""
    corpus: str
    """Folder of the corpus."""
    section: Transformers
    """Names the encoder."""
    kind: Literal["text"] = "text"

    @property
    def needs(self) -> tuple[str, ...]:
        """Folders that must be finished first."""
        return (self.corpus,)


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerJob:
    """A tokenizer learnt on the corpus, and the corpus in its tokens."""

    folder: str
    """Name of its folder."""
    corpus: str
    """Folder of the corpus."""
    quantization: Quantization
    """Its codebook."""
    section: Tokenizers
    """How to train it."""
    given: TokensCorpus | None = None
    """Where the tokens are, of a corpus that has them."""
    kind: Literal["tokenizer"] = "tokenizer"

    @property
    def needs(self) -> tuple[str, ...]:
        """Folders that must be finished first."""
        return (self.corpus,)


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformerJob:
    """One run: a size, a codebook, a budget, a seed; or a part of one, the trunk."""

    folder: str
    """Name of its folder, the run's id."""
    corpus: str
    """Folder of the corpus."""
    tokenizer: str
    """Folder of the tokenizer."""
    size: Size
    """Layers, heads, widths."""
    text: str | None
    """Folder of the captions' states; None where the text is learnt with the model."""
    quantization: Quantization
    """The codebook of its tokenizer."""
    tokens: int
    """D, tokens to train on; a run ends with the batch that reaches them."""
    seed: int
    """Seeds weights and batches."""
    section: Transformers
    """How to train it."""
    trunk: str | None = None
    """Folder of the trunk whose last state it goes on from; None: from the start."""
    trunk_tokens: int = 0
    """Tokens that were trained on up to that state, about."""
    warmup_tokens: int = 0
    """Tokens of the warm-up that all budgets of a trunk share; `wsd` only."""
    kind: Literal["transformer", "trunk"] = "transformer"
    """`trunk`: its learning rate stays at the peak, for branches to begin from."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Folders that must be finished first."""
        optional = (folder for folder in (self.text, self.trunk) if folder)
        return (self.corpus, self.tokenizer, *optional)

    @property
    def architecture(self) -> Architecture:
        """The real modules, a full row's worth of text in the prefix."""
        V = self.quantization.codebook_size
        return _architecture(self.size, V, self.section)

    @property
    def forward_flops(self) -> int:
        """Forward FLOPs per token, f, in the run's convention."""
        return forward_flops(self.size, self.quantization, self.section)

    @property
    def flops(self) -> int:
        """Training FLOPs of its last state, C = 3 f D, whoever spent them."""
        return training_flops(self.forward_flops, self.tokens)

    @property
    def flops_to_spend(self) -> int:
        """Training FLOPs that the job itself spends: those after its trunk."""
        own = self.tokens - self.trunk_tokens
        return training_flops(self.forward_flops, own)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreJob:
    """Scores of a tokenizer's reconstructions, or of a run's generations."""

    folder: str
    """Name of its folder."""
    target: str
    """Folder of the tokenizer or the run."""
    evaluator: str
    """Folder of the evaluator."""
    section: Scoring
    """How to score."""
    kind: Literal["scores"] = "scores"

    @property
    def needs(self) -> tuple[str, ...]:
        """Folders that must be finished first."""
        return (self.target, self.evaluator)


Job = CorpusJob | EvaluatorJob | TokenizerJob | TextJob | TransformerJob | ScoreJob


def forward_flops(
    shape: Size, quantization: Quantization, section: Transformers
) -> int:
    """Forward FLOPs per token, f; `openai` takes the nominal codebook as ScaMo does."""
    paper = section.flops_convention == "openai"
    V = quantization.nominal if paper else quantization.codebook_size
    architecture = _architecture(shape, V, section)
    return CONVENTIONS[section.flops_convention](architecture)


def _architecture(shape: Size, codebook: int, section: Transformers) -> Architecture:
    return Architecture(
        size=shape,
        codebook_size=codebook,
        n_ctx=section.context,
        n_prefix=min(section.text_length, section.context - 1),
        text_width=section.text_width,
    )


def describe(job: Job) -> dict[str, Any]:
    """Describe a job as its `config.json` does; `settings` are those of its section."""
    about = {
        field.name: getattr(job, field.name)
        for field in fields(job)
        if field.name not in ("folder", "kind", "section", "size", "quantization")
    }
    if isinstance(job, TransformerJob):
        about["size"] = asdict(job.size)
    if isinstance(job, TokenizerJob | TransformerJob):
        about["quantization"] = asdict(job.quantization)
    if isinstance(job, TokenizerJob):
        given = about.pop("given")
        about |= {"given": given.file(job.quantization.codes)} if given else {}
    settings = job.section.model_dump(mode="json")
    return {"kind": job.kind, **about, "settings": settings}
