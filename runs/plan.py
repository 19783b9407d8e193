"""The plan: a grid expanded into jobs, each known by what determines its result.

A job is a corpus, a tokenizer with its token cache, or a transformer run. Its folder's
name ends in a hash of everything that determines its result, so that launching the
same grid again goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from scaling.errors import ScalingError
from scaling.files import digest
from scaling.models.flops import (
    CONVENTIONS,
    Architecture,
    tokens_for,
    training_flops,
)
from scaling.models.levels import codebook_size, nominal_codebook_size
from scaling.models.sizes import Size, size
from scaling.runs import kinematic, pack
from scaling.runs.grid import (
    CorpusSection,
    Grid,
    PackedCorpus,
    Tokenizers,
    Transformers,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusJob:
    """Motion to normalised features."""

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
class TokenizerJob:
    """A tokenizer trained on the corpus, and the corpus in its tokens."""

    folder: str
    """Name of its folder."""
    corpus: str
    """Folder of the corpus."""
    levels: tuple[int, ...]
    """FSQ levels."""
    section: Tokenizers
    """How to train it."""
    kind: Literal["tokenizer"] = "tokenizer"

    @property
    def needs(self) -> tuple[str, ...]:
        """Folders that must be finished first."""
        return (self.corpus,)


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformerJob:
    """One run: a size, a codebook, a budget, a seed."""

    folder: str
    """Name of its folder, the run's id."""
    corpus: str
    """Folder of the corpus."""
    tokenizer: str
    """Folder of the tokenizer."""
    size: Size
    """Layers, heads, widths."""
    levels: tuple[int, ...]
    """FSQ levels of its tokenizer."""
    tokens: int
    """D, tokens to train on; a run ends with the batch that reaches them."""
    seed: int
    """Seeds weights and batches."""
    section: Transformers
    """How to train it."""
    kind: Literal["transformer"] = "transformer"

    @property
    def needs(self) -> tuple[str, ...]:
        """Folders that must be finished first."""
        return (self.tokenizer,)

    @property
    def architecture(self) -> Architecture:
        """The real modules, a full row's worth of text in the prefix."""
        return _architecture(self.size, codebook_size(self.levels), self.section)

    @property
    def forward_flops(self) -> int:
        """Forward FLOPs per token, f, in the run's convention."""
        return forward_flops(self.size, self.levels, self.section)

    @property
    def flops(self) -> int:
        """Training FLOPs, C = 3 f D."""
        return training_flops(self.forward_flops, self.tokens)


Job = CorpusJob | TokenizerJob | TransformerJob


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All jobs of a grid, each after those it needs."""

    grid: Grid
    """The study."""
    jobs: tuple[Job, ...]
    """Corpus, tokenizers, transformers."""

    @property
    def transformers(self) -> tuple[TransformerJob, ...]:
        """The runs."""
        return tuple(job for job in self.jobs if isinstance(job, TransformerJob))


def expand(grid: Grid) -> Plan:
    """Expand a grid into its jobs.

    Raises
    ------
    ScalingError
        If a pack of motion is missing, or a compute budget does not pay for one token.
    """
    corpus = CorpusJob(folder=_corpus_folder(grid.corpus), section=grid.corpus)
    tokenizers = [
        _tokenizer_job(corpus, levels, grid.tokenizers)
        for levels in grid.tokenizers.level_sets
    ]
    transformers = [
        _transformer_job(tokenizer, size(name), tokens, seed, grid.transformers)
        for tokenizer in tokenizers
        for name in grid.transformers.sizes
        for tokens in _token_budgets(size(name), tokenizer.levels, grid.transformers)
        for seed in grid.seeds
    ]
    # two budgets may buy the same tokens: that is one run
    runs = {job.folder: job for job in transformers}
    return Plan(grid=grid, jobs=(corpus, *tokenizers, *runs.values()))


def forward_flops(shape: Size, levels: tuple[int, ...], section: Transformers) -> int:
    """Forward FLOPs per token, f; `openai` takes the nominal codebook as ScaMo does."""
    paper = section.flops_convention == "openai"
    V = nominal_codebook_size(levels) if paper else codebook_size(levels)
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


def _token_budgets(
    shape: Size, levels: tuple[int, ...], section: Transformers
) -> Iterable[int]:
    if section.tokens:
        return section.tokens
    forward = forward_flops(shape, levels, section)
    budgets = [tokens_for(compute, forward) for compute in section.compute]
    for compute, tokens in zip(section.compute, budgets, strict=True):
        if tokens < 1:
            raise ScalingError(
                f"transformers.compute: {compute:g} FLOPs do not pay for one token of "
                f"size {shape.name} ({3 * forward:g}); raise the budget"
            )
    return budgets


def _tokenizer_job(
    corpus: CorpusJob, levels: tuple[int, ...], section: Tokenizers
) -> TokenizerJob:
    settings = section.model_dump(mode="json", exclude={"codebooks", "levels"})
    identity = {"corpus": corpus.folder, "levels": levels, **settings}
    return TokenizerJob(
        folder=f"tokenizer-v{nominal_codebook_size(levels)}-{_hash(identity)}",
        corpus=corpus.folder,
        levels=levels,
        section=section,
    )


def _transformer_job(
    tokenizer: TokenizerJob, shape: Size, tokens: int, seed: int, section: Transformers
) -> TransformerJob:
    settings = section.model_dump(mode="json", exclude={"sizes", "tokens", "compute"})
    identity = {
        "tokenizer": tokenizer.folder,
        "size": [shape.n_layers, shape.n_heads, shape.d_model],
        "tokens": tokens,
        "seed": seed,
        **settings,
    }
    codebook = nominal_codebook_size(tokenizer.levels)
    name = f"{shape.name}-v{codebook}-d{tokens}-s{seed}"
    return TransformerJob(
        folder=f"{name}-{_hash(identity)}",
        corpus=tokenizer.corpus,
        tokenizer=tokenizer.folder,
        size=shape,
        levels=tokenizer.levels,
        tokens=tokens,
        seed=seed,
        section=section,
    )


def _corpus_folder(section: CorpusSection) -> str:
    identity: dict[str, Any] = section.model_dump(mode="json")
    if isinstance(section, PackedCorpus):
        # what the folder holds determines the result, where it lies does not
        identity["path"] = [
            _file_hash(Path(section.path) / name) for name in pack.FILES
        ]
    else:
        identity["version"] = kinematic.VERSION
    return f"corpus-{section.kind}-{_hash(identity)}"


def _file_hash(path: Path) -> str:
    try:
        return digest(path)
    except OSError as error:
        raise ScalingError(
            f"corpus.path: {path}: {error.strerror}; "
            f"name a folder that holds {' and '.join(pack.FILES)}"
        ) from None


def _hash(identity: dict[str, Any]) -> str:
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def describe(job: Job) -> dict[str, Any]:
    """All settings of a job, as its `config.json` shows them."""
    settings = {
        field.name: getattr(job, field.name)
        for field in fields(job)
        if field.name not in ("folder", "kind", "section", "size")
    }
    if isinstance(job, TransformerJob):
        settings["size"] = asdict(job.size)
    return {"kind": job.kind, **settings, **job.section.model_dump(mode="json")}
