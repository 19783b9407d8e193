"""The plan: a grid expanded into jobs, each known by what determines its result.

A job is a corpus, an evaluator, a tokenizer with its token cache, the captions' states
of a frozen text encoder, a transformer run, or the scores of one of those. Its folder's
name ends in a hash of everything that determines its result, so that launching the same
grid again goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from scaling.errors import ScalingError
from scaling.files import digest
from scaling.models.flops import tokens_for
from scaling.models.quantization import Quantization
from scaling.models.sizes import Size, size
from scaling.runs import corpora, kinematic, text_encoders
from scaling.runs.jobs import (
    CorpusJob,
    EvaluatorJob,
    Job,
    ScoreJob,
    TextJob,
    TokenizerJob,
    TransformerJob,
    forward_flops,
)
from scaling.runs.sections import (
    CorpusSection,
    Evaluator,
    Grid,
    KinematicCorpus,
    PackedCorpus,
    Scoring,
    TextCorpus,
    Tokenizers,
    TokensCorpus,
    Transformers,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All jobs of a grid, each after those it needs."""

    grid: Grid
    """The study."""
    jobs: tuple[Job, ...]
    """Corpus, evaluator, tokenizers and their scores, text, transformers."""

    @property
    def transformers(self) -> tuple[TransformerJob, ...]:
        """The runs, without their trunks."""
        return tuple(
            job
            for job in self.jobs
            if isinstance(job, TransformerJob) and job.kind == "transformer"
        )


def expand(grid: Grid) -> Plan:
    """Expand a grid into its jobs.

    Raises
    ------
    ScalingError
        If the corpus is missing, or a compute budget does not pay for one token.
    """
    corpus = CorpusJob(folder=_corpus_folder(grid.corpus), section=grid.corpus)
    jobs: list[Job] = [corpus]
    tokenizers = [
        _tokenizer_job(corpus, quantization, section)
        for quantization in grid.tokenizers.quantizations
        for section in _tokenizer_sections(grid)
    ]
    if grid.evaluator is None:
        jobs += tokenizers
    else:
        evaluator = evaluator_job(corpus.folder, grid.evaluator)
        jobs += [evaluator, *tokenizers]
        jobs += [score_job(job.folder, evaluator.folder) for job in tokenizers]
    if grid.transformers is not None:
        jobs += _transformer_jobs(grid, grid.transformers, tokenizers)
    return Plan(grid=grid, jobs=tuple(jobs))


def _tokenizer_sections(grid: Grid) -> list[Tokenizers]:
    """One tokenizer serves all seeds, unless it is the tokenizers that are studied.

    Byte pairs and given tokens are the same from every seed.
    """
    drawn = not isinstance(grid.corpus, TextCorpus | TokensCorpus)
    if grid.transformers is not None or not drawn:
        return [grid.tokenizers]
    return [grid.tokenizers.model_copy(update={"seed": seed}) for seed in grid.seeds]


def _transformer_jobs(
    grid: Grid, section: Transformers, tokenizers: Sequence[TokenizerJob]
) -> list[Job]:
    states = None
    if section.text_encoder != "bpe":
        width = text_encoders.width_of(section.text_encoder)
        section = section.model_copy(update={"text_width": width})
        states = _text_job(tokenizers[0].corpus, section)
    settings = [
        section.model_copy(update={"learning_rate": rate, "train_clips": (clips,)})
        for rate in section.learning_rates
        for clips in section.train_clips
    ]
    _require_codebooks(section, tokenizers)
    columns = [
        _Column(tokenizer, states, shape, seed, setting)
        for tokenizer in tokenizers
        for shape in _sizes(section, tokenizer.quantization)
        for seed in grid.seeds
        for setting in settings
    ]
    # two budgets may buy the same tokens: that is one run
    once = {job.folder: job for column in columns for job in _runs(column)}
    if not once:
        raise ScalingError(
            f"transformers: no compute budget buys {section.min_tokens:,} to "
            f"{section.max_tokens or math.inf:,} tokens for any of the sizes; expected "
            "one at least: widen min_tokens and max_tokens, or change the budgets"
        )
    return [*([states] if states else []), *once.values()]


def _require_codebooks(
    section: Transformers, tokenizers: Sequence[TokenizerJob]
) -> None:
    """Refuse a point whose codebook no tokenizer has, or that several have."""
    for point in section.points:
        having = [each for each in tokenizers if point.has(each.quantization)]
        if len(having) != 1:
            raise ScalingError(
                f"transformers.points: {len(having) or 'no'} tokenizers have the "
                f"codebook {point.levels or point.codebook} of {point.size}; expected "
                "one: name it in tokenizers, and in the point"
            )


class _Column(NamedTuple):
    """What the runs of all budgets share."""

    tokenizer: TokenizerJob
    states: TextJob | None
    shape: Size
    seed: int
    section: Transformers


def _runs(column: _Column) -> Iterator[TransformerJob]:
    """Plan the runs of a column, each after the trunk that it branches from."""
    budgets = _token_budgets(column)
    if not budgets:  # none within the bounds
        return
    if column.section.schedule == "cosine":
        yield from (_transformer_job(column, tokens) for tokens in budgets)
        return
    trunk: TransformerJob | None = None
    warmup = round(column.section.warmup * budgets[0])
    for tokens in budgets:
        stable = round((1 - column.section.cooldown) * tokens)
        if stable > (trunk.tokens if trunk else 0):  # else it has come so far already
            trunk = _transformer_job(column, stable, trunk, warmup, kind="trunk")
            yield trunk
        yield _transformer_job(column, tokens, trunk, warmup)


def _sizes(section: Transformers, quantization: Quantization) -> list[Size]:
    names = section.sizes or [
        point.size for point in section.points if point.has(quantization)
    ]
    return [size(name) for name in dict.fromkeys(names)]


def _token_budgets(column: _Column) -> list[int]:
    """Tokens of a column's runs, the fewest first."""
    shape, section = column.shape, column.section
    quantization = column.tokenizer.quantization
    if section.points:
        points = (point for point in section.points if point.has(quantization))
        chosen = [p.tokens for p in points if size(p.size) == shape]
        return sorted(set(chosen))
    if section.tokens:
        return sorted(section.tokens)
    forward = forward_flops(shape, quantization, section)
    budgets = [tokens_for(compute, forward) for compute in section.compute]
    for compute, tokens in zip(section.compute, budgets, strict=True):
        if tokens < 1:
            raise ScalingError(
                f"transformers.compute: {compute:g} FLOPs do not pay for one token of "
                f"size {shape.name} ({3 * forward:g}); raise the budget"
            )
    most = math.inf if section.max_tokens is None else section.max_tokens
    return sorted({each for each in budgets if section.min_tokens <= each <= most})


def _tokenizer_job(
    corpus: CorpusJob, quantization: Quantization, section: Tokenizers
) -> TokenizerJob:
    learnt = quantization.method == "vq"
    aside = {"quantizers", "codebooks", "levels", "stages"}
    settings = section.model_dump(
        mode="json", exclude=aside if learnt else aside | {"commitment", "ema"}
    )
    codebook: dict[str, Any] = asdict(quantization)
    if quantization.method == "fsq":
        codebook = {"levels": quantization.levels}
    given = corpus.section if isinstance(corpus.section, TokensCorpus) else None
    if given:
        settings = {"codes": _file_hash(Path(given.file(quantization.codes)))}
    elif quantization.method == "bpe":
        settings = {}
    identity = {"corpus": corpus.folder, **codebook, **settings}
    return TokenizerJob(
        folder=f"tokenizer-{quantization.label}-{_hash(identity)}",
        corpus=corpus.folder,
        quantization=quantization,
        section=section,
        given=given,
    )


def evaluator_job(corpus: str, section: Evaluator) -> EvaluatorJob:
    """Plan the evaluator of a corpus' folder."""
    identity = {"corpus": corpus, **section.model_dump(mode="json")}
    folder = f"evaluator-{_hash(identity)}"
    return EvaluatorJob(folder=folder, corpus=corpus, section=section)


def score_job(target: str, evaluator: str, section: Scoring | None = None) -> ScoreJob:
    """Plan the scores of a tokenizer's or a run's folder."""
    section = section or Scoring()
    settings = section.model_dump(mode="json")
    identity = {"evaluator": Path(evaluator).name, **settings}
    return ScoreJob(
        folder=f"scores-{target}-{_hash(identity)}",
        target=target,
        evaluator=evaluator,
        section=section,
    )


def _text_job(corpus: str, section: Transformers) -> TextJob:
    identity = {
        "corpus": corpus,
        "encoder": text_encoders.identity_of(section.text_encoder),
        "length": section.text_length,
    }
    folder = f"text-{_hash(identity)}"
    return TextJob(folder=folder, corpus=corpus, section=section)


def _transformer_job(
    column: _Column,
    tokens: int,
    trunk: TransformerJob | None = None,
    warmup: int = 0,
    kind: Literal["transformer", "trunk"] = "transformer",
) -> TransformerJob:
    tokenizer, states, shape, seed, section = column
    aside = {"sizes", "tokens", "compute", "min_tokens", "max_tokens", "points"}
    aside.add("text_encoder")
    if states:
        aside.add("text_vocab_size")
    (clips,) = section.train_clips
    before_a_choice = {"compile": section.compile == "auto", "train_clips": not clips}
    aside |= {key for key, unset in before_a_choice.items() if unset}
    if section.schedule == "cosine":
        aside.add("cooldown")
    else:  # which the tokens say, of a trunk as of its branches
        aside |= {"cooldown", "warmup"}
    identity = {
        "tokenizer": tokenizer.folder,
        "size": [shape.n_layers, shape.n_heads, shape.d_model],
        "tokens": tokens,
        "seed": seed,
        **section.model_dump(mode="json", exclude=aside),
        **({"text": states.folder} if states else {}),
        **({"warmup_tokens": warmup} if warmup else {}),
    }
    # where a trunk was cut before does not change its state: a grid may grow
    if kind == "trunk":
        identity["kind"] = kind
    elif trunk is not None:
        identity["trunk"] = trunk.folder
    swept = isinstance(section.learning_rate, float)
    rate = f"-lr{section.learning_rate:g}" if swept else ""
    amount = f"-u{clips}" if clips else ""
    label = f"{tokenizer.quantization.label}-d{tokens}{amount}{rate}"
    name = f"{shape.name}-{label}-s{seed}"
    prefix = "trunk-" if kind == "trunk" else ""
    return TransformerJob(
        folder=f"{prefix}{name}-{_hash(identity)}",
        corpus=tokenizer.corpus,
        tokenizer=tokenizer.folder,
        text=states.folder if states else None,
        size=shape,
        quantization=tokenizer.quantization,
        tokens=tokens,
        seed=seed,
        section=section,
        trunk=trunk.folder if trunk else None,
        trunk_tokens=trunk.tokens if trunk else 0,
        warmup_tokens=warmup,
        kind=kind,
    )


PLACES = {"path", "captions", "humanml3d_texts", "codebook_size"}
"""Settings of a corpus that say where its files lie."""


def _corpus_folder(section: CorpusSection) -> str:
    identity: dict[str, Any] = section.model_dump(mode="json", exclude_none=True)
    if isinstance(section, KinematicCorpus):
        identity["version"] = kinematic.VERSION
    else:
        # what the files hold determines the result, where they lie does not
        identity = {k: v for k, v in identity.items() if k not in PLACES}
        found = corpora.files(section)
        identity["path"] = [_file_hash(path) for path in found]
        # names say something, but where they are always the same or one's own choice
        if not isinstance(section, PackedCorpus | TokensCorpus):
            home = corpora.home(section)
            inside = (path for path in found if path.is_relative_to(home))
            identity["names"] = [path.relative_to(home).as_posix() for path in inside]
    return f"corpus-{section.kind}-{_hash(identity)}"


def _file_hash(path: Path) -> str:
    try:
        return digest(path)
    except OSError as error:
        raise ScalingError(
            f"corpus: {path}: {error.strerror}; expected a file that it is made of: "
            "name one that is there"
        ) from None


def _hash(identity: dict[str, Any]) -> str:
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
