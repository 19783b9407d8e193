"""The grid: one YAML file is one study, checked whole before anything runs.

A grid names a corpus, tokenizers, transformer sizes and budgets; `plan.py` expands it
into jobs. Every mistake in the file is named with its line and key.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    StrictInt,
    ValidationError,
    field_validator,
    model_validator,
)

from scaling.errors import ScalingError, suggestion
from scaling.models.flops import PAPER_CONTEXT
from scaling.models.levels import DOWNSAMPLING, check_levels, levels_of
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


class _Section(BaseModel):
    """A mapping in the file: unknown keys are mistakes, values are what they say."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class KinematicCorpus(_Section):
    """The built-in corpus: procedural captioned motion of unbounded size."""

    kind: Literal["kinematic"] = "kinematic"
    sequences: Annotated[int, Field(ge=20)] = 2000
    """Motions to generate; 80 % train, 5 % validation, 15 % test."""
    seed: int = Field(default=0, ge=0)
    """Another seed, another corpus."""


class PackedCorpus(_Section):
    """Motion from a folder with joints.npz and sequences.jsonl."""

    kind: Literal["packed"]
    path: str
    """Folder of the pack; environment variables are filled in."""
    mirror: bool = False
    """Add the mirror image of every training clip, left and right swapped in words."""

    @field_validator("path")
    @classmethod
    def _expand(cls, path: str) -> str:
        for name in re.findall(r"\$\{?(\w+)", path):
            if not os.environ.get(name):
                raise ValueError(
                    f"{path!r} needs the environment variable {name}; set it to "
                    "the folder that holds the data"
                )
        return os.path.expanduser(os.path.expandvars(path))


CorpusSection = Annotated[KinematicCorpus | PackedCorpus, Field(discriminator="kind")]


class Tokenizers(_Section):
    """Motion FSQ-VAEs, one per codebook (ScaMo section 3.2, supplementary Table 2)."""

    codebooks: tuple[StrictInt, ...] = ()
    """Nominal codebook sizes, powers of two with a level set in Table 6."""
    levels: tuple[tuple[int, ...], ...] = ()
    """Level sets written out, beside or instead of `codebooks`."""
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
    seed: int = Field(default=0, ge=0)
    """All transformers of a codebook share one tokenizer, of this seed."""

    @field_validator("codebooks")
    @classmethod
    def _have_levels(cls, codebooks: tuple[int, ...]) -> tuple[int, ...]:
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
        if not self.level_sets:
            raise ValueError("names no codebook; give codebooks: [256, ...]")
        return self

    @property
    def level_sets(self) -> tuple[tuple[int, ...], ...]:
        """All level sets, in order, each once."""
        named = tuple(levels_of(nominal) for nominal in self.codebooks)
        return tuple(dict.fromkeys(named + self.levels))


class Transformers(_Section):
    """Text-prefix transformers (ScaMo section 3.3, supplementary Table 2)."""

    sizes: tuple[str, ...]
    """The paper's names (44M to 3B) or LAYERSxHEADSxWIDTH."""
    tokens: tuple[Count, ...] = ()
    """Token budgets D: one run of that many training tokens for each."""
    compute: tuple[float, ...] = ()
    """Compute budgets C in FLOPs (isoFLOP): D = C / (3 f) per size and codebook."""
    batch_size: PositiveInt = 128
    """Sequences per step."""
    learning_rate: PositiveFloat | None = None
    """Peak learning rate of AdamW; unset: 4e-3 x 64 / width."""
    schedule: Literal["cosine"] = "cosine"
    """Linear warm-up, then a cosine to 0."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps with a rising learning rate."""
    weight_decay: float = Field(default=1e-6, ge=0)
    """Decoupled weight decay."""
    clip: PositiveFloat = 1.0
    """Gradient norm above which gradients are scaled down."""
    evaluations: PositiveInt = 30
    """Evaluations on the whole test split, evenly spaced along a run."""
    context: int = Field(default=PAPER_CONTEXT, ge=3)
    """Longest row in positions (n_ctx): text, motion, end token."""
    text_vocab_size: int = Field(default=512, ge=300)
    """Pieces of the caption vocabulary."""
    text_width: PositiveInt = 64
    """Width of the caption states."""
    text_length: int = Field(default=64, ge=1)
    """Longest caption in pieces; longer ones are cut."""
    flops_convention: Literal["openai", "matmul", "6nd"] = "openai"
    """How compute is counted."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the forward and backward pass; weights are float32."""

    @field_validator("sizes")
    @classmethod
    def _are_sizes(cls, sizes: tuple[str, ...]) -> tuple[str, ...]:
        if not sizes:
            raise ValueError("names no size; give sizes: [44M, 4x4x128, ...]")
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

    @model_validator(mode="after")
    def _one_kind_of_budget(self) -> Transformers:
        if bool(self.tokens) == bool(self.compute):
            raise ValueError("needs budgets: either tokens: [...] or compute: [...]")
        return self

    def learning_rate_for(self, d_model: int) -> float:
        """Peak learning rate of one width.

        Unset, it is 4e-3 at width 64 and falls as 1 / width, the transfer rule for Adam
        (Yang et al. 2022, arXiv 2203.03466): 5e-4 at width 512, where the paper's code
        has 2e-4 by default. Chosen from 1.6e-3, 4e-3 and 8e-3 at width 64 on the
        built-in corpus, and not tuned per size: a law inherits what it gets wrong.
        """
        return self.learning_rate or 4e-3 * 64 / d_model


class Grid(_Section):
    """One study."""

    study: str = Field(pattern=r"^[\w.-]+$")
    """Name; the default output folder."""
    corpus: CorpusSection
    tokenizers: Tokenizers
    transformers: Transformers
    seeds: tuple[Annotated[StrictInt, Field(ge=0)], ...] = Field(
        default=(0,), min_length=1
    )
    """One run per seed in every cell."""


def load_grid(path: str | Path, overrides: Iterable[str] = ()) -> Grid:
    """Read and check a grid file.

    Parameters
    ----------
    path : str or Path
        A YAML file.
    overrides : iterable of str
        ``key.key=value`` settings that replace what the file says; values are YAML.

    Raises
    ------
    ScalingError
        One line for each mistake, with its line in the file or its key.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScalingError(f"{path}: {error.strerror}; name a grid file") from None
    except UnicodeDecodeError:
        raise ScalingError(f"{path} is not UTF-8 text; name a grid file") from None
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or "cannot be read"
        raise ScalingError(f"{where}: not YAML: {problem}; mend that line") from None
    if not isinstance(content, dict) or not content:
        raise ScalingError(
            f"{path} holds no grid; it needs study, corpus, tokenizers, transformers"
        )
    _refuse_repeated_keys(path, tree)
    _default_corpus_kind(content)
    for override in overrides:
        _apply(content, override)
    try:
        return Grid.model_validate(content)
    except ValidationError as error:
        lines = _line_numbers(tree)
        mistakes = [_mistake(path, lines, detail) for detail in error.errors()]
        raise ScalingError("\n".join(mistakes)) from None


def _default_corpus_kind(content: dict[str, Any]) -> None:
    corpus = content.get("corpus")
    if corpus is None:
        content["corpus"] = {"kind": "kinematic"}
    elif isinstance(corpus, dict):
        corpus.setdefault("kind", "kinematic")


def _refuse_repeated_keys(path: Path, node: yaml.Node | None) -> None:
    """YAML forbids a key to be given twice; its readers let the last one win."""
    children = []
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise ScalingError(
                    f"{path}:{key.start_mark.line + 1}: key {key.value!r} is given "
                    "twice; keep one"
                )
            seen.add(key.value)
            children.append(value)
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    for child in children:
        _refuse_repeated_keys(path, child)


def _apply(content: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    *parents, last = key.split(".")
    if not equals or not all([*parents, last]):
        raise ScalingError(
            f"--set {override!r} is not KEY=VALUE; write transformers.batch_size=64"
        )
    section = content
    for parent in parents:
        section = section.setdefault(parent, {})
        if not isinstance(section, dict):
            raise ScalingError(f"--set {override!r}: {parent} holds no keys")
    try:
        section[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ScalingError(f"--set {override!r}: {value!r} is not YAML") from None


def _line_numbers(node: yaml.Node | None, at: tuple[Any, ...] = ()) -> dict[Any, int]:
    """Line of every key and list item, by its path in the file."""
    lines: dict[Any, int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*at, key.value)
            lines[here] = key.start_mark.line + 1
            lines |= _line_numbers(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*at, index)] = value.start_mark.line + 1
            lines |= _line_numbers(value, (*at, index))
    return lines


def _mistake(path: Path, lines: Mapping[Any, int], detail: Any) -> str:
    """One line for one mistake: file, line, key, what was wrong, what to do."""
    # pydantic puts the chosen kind of a union into the location; it is no key
    location = tuple(
        part
        for index, part in enumerate(detail["loc"])
        if (index, detail["loc"][0]) != (1, "corpus")
    )
    line = next(
        (
            lines[location[:n]]
            for n in range(len(location), 0, -1)
            if location[:n] in lines
        ),
        None,
    )
    where = f"{path}:{line}" if line else str(path)
    key = ".".join(map(str, location)) or "grid"
    if detail["type"] == "extra_forbidden":
        hint = suggestion(str(location[-1]), _known_keys(location[:-1], detail["loc"]))
        return f"{where}: unknown key {key!r}; {hint}"
    if detail["type"] == "missing":
        return f"{where}: {key} is missing; add it"
    if detail["type"] == "tuple_type":
        return f"{where}: {key}: {detail['input']!r} is not a list; write [...]"
    if detail["type"] in ("model_type", "model_attributes_type"):
        return f"{where}: {key}: {detail['input']!r} holds no keys; give it some"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error":
        return f"{where}: {key}: {message}"
    return f"{where}: {key}: {detail['input']!r}: {message.lower()}"


def _known_keys(location: tuple[Any, ...], raw: tuple[Any, ...]) -> Iterable[str]:
    if location == ("corpus",):
        corpus = PackedCorpus if raw[1] == "packed" else KinematicCorpus
        return corpus.model_fields
    sections: dict[tuple[Any, ...], type[_Section]] = {
        (): Grid,
        ("tokenizers",): Tokenizers,
        ("transformers",): Transformers,
    }
    return sections[location].model_fields if location in sections else ()
