"""The grid file that puts predictions to the test: single runs, in the law's own study.

A law holds for the corpus, tokenizers and training settings that it was fitted on, so
these come from the grid of that study (the template), its schedule among them; only the
size, the codebook and the tokens of each run are those of its configuration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import yaml

from scaling.analysis.buildable import Configuration, Counting
from scaling.analysis.shapes import Codebook
from scaling.errors import ScalingError
from scaling.files import read_json
from scaling.models.flops import non_vocab_params
from scaling.models.levels import LEVELS, codebook_size

Grid = Mapping[str, Any]

HEAD = "# Puts a prediction to the test"
"""How every grid that is written here begins."""
STORE_GRID = "grid.json"
"""File of a run store that keeps the grid it was launched with, under `grid`."""

NO_TEMPLATE = (
    "No grid of the law's own study was at hand: this one takes the built-in corpus "
    "and the defaults of docs/grid.md. Before it says anything about the law, set "
    "corpus, tokenizers, batch_size and learning_rate to those of the law's runs."
)

SETTINGS = {
    "convention": "flops_convention",
    "n_ctx": "context",
    "n_prefix": "text_length",
    "text_width": "text_width",
    "text_vocab_size": "text_vocab_size",
}
"""Fields of `Counting` and the keys of a grid's transformers that set them."""

SWEPT = (
    "The law's study tried the learning rates {}. This one takes the default rule: set "
    "learning_rate to the best of them, which `scaling rates` finds."
)

WHOLE_BATCHES = (
    "A run trains on whole batches and ends with the one that reaches its tokens, "
    "so it costs up to one batch more."
)

NOT_OF_THE_STUDY = (
    *("sizes", "tokens", "compute", "points"),
    *("min_tokens", "max_tokens", "train_clips"),
)
"""Keys of the template's transformers that name its own runs."""


def find_template(source: str | Path) -> dict[str, Any] | None:
    """Find the grid of the study that a law came from.

    Parameters
    ----------
    source : str or Path
        A run store, a table or run folder in it, or a grid file (YAML).

    Returns
    -------
    dict or None
        The grid, or None where the source keeps none, as a CSV does.
    """
    path = Path(source)
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return _read_yaml(path)
    for folder in (path, path.parent):  # a run and a store's tables lie in the store
        if (folder / STORE_GRID).is_file():
            grid = read_json(folder / STORE_GRID).get("grid")
            return grid if isinstance(grid, dict) else None
    return None


def counting_of(template: Grid) -> Counting:
    """Read from a grid what its runs' counts depend on.

    >>> counting_of({"transformers": {"context": 100, "flops_convention": "6nd"}})
    Counting(convention='6nd', n_ctx=100, n_prefix=64, text_width=64, \
text_vocab_size=512)
    """
    section = template.get("transformers") or {}
    return Counting(
        **{f: section[key] for f, key in SETTINGS.items() if key in section}
    )


def codebooks_of(template: Grid) -> tuple[Codebook, ...]:
    """Read the codebooks of a study from its grid.

    >>> [book.codes for book in codebooks_of({"tokenizers": {"codebooks": [64, 256]}})]
    [64, 240]
    """
    studied = template.get("tokenizers") or {}
    sizes = studied.get("codebooks") or ()
    if _without_levels(template):
        return tuple(Codebook(codes=codes) for codes in sizes)
    levels = [LEVELS[nominal] for nominal in sizes] + [
        tuple(written) for written in studied.get("levels") or ()
    ]
    return tuple(Codebook(codes=codebook_size(each), levels=each) for each in levels)


def grid_for(
    configurations: Sequence[Configuration],
    template: Grid | None,
    study: str,
    *,
    interval: str = "",
    seeds: Sequence[int] | None = None,
) -> str:
    """Write the grid that trains exactly these configurations.

    The planned FLOPs are those of the configurations to the last one. What a run then
    trains on is whole batches, up to one batch more.

    Parameters
    ----------
    configurations : sequence of Configuration
        What to train, from `nearest`; one or more, counted in one way.
    template : mapping or None
        Grid of the study that the law came from (`find_template`). None takes the
        built-in corpus and a grid's defaults, and says so in the file.
    study : str
        Name of the new study, letters, digits and ``.-_``.
    interval : str, optional
        Uncertainty of the predicted loss of a single run, in words, for the head.
    seeds : sequence of int, optional
        Each configuration is trained from each; unset: the template's first seed.

    Returns
    -------
    str
        YAML that `scaling run` accepts.

    Raises
    ------
    ScalingError
        If a configuration has no FSQ levels, was counted in other settings than the
        template's, or the study's name is no name.
    """
    if not re.fullmatch(r"[\w.-]+", study):
        raise ScalingError(
            f"study {study!r} is no name of a study; expected letters, digits and "
            "any of . - _: rename it"
        )
    base = template or {"transformers": _settings(configurations[0].counting)}
    for each in configurations:
        _require_same_counts(each, base)
    section = _without(base.get("transformers"), *NOT_OF_THE_STUDY)
    rates = section.get("learning_rate")
    swept = rates if isinstance(rates, list | tuple) and len(rates) > 1 else ()
    if swept:
        section = _without(section, "learning_rate")
    grid = {
        "study": study,
        "corpus": base.get("corpus") or {"kind": "kinematic"},
        "tokenizers": _tokenizers(configurations, base),
        "transformers": {"points": _points(configurations, base)} | section,
        "seeds": list(seeds or (base.get("seeds") or [0])[:1]),
    }
    paragraphs = [*_said(configurations, interval), WHOLE_BATCHES]
    if template is None:
        paragraphs.append(NO_TEMPLATE)
    if swept:
        paragraphs.append(SWEPT.format(", ".join(f"{rate:g}" for rate in swept)))
    lines = [line for text in paragraphs for line in wrap(text, 86)]
    head = "".join(f"# {line}\n" for line in lines)
    return head + "\n" + yaml.dump(grid, Dumper=_Dumper, sort_keys=False)


class _Point(dict[str, Any]):
    """A mapping that is written on one line."""


class _Dumper(yaml.SafeDumper):
    """Mappings over lines, lists and points on one."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write a list out wherever it stands."""
        return True


def _list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.Node:
    on_lines = bool(items) and isinstance(items[0], _Point)
    return dumper.represent_sequence(
        "tag:yaml.org,2002:seq", items, flow_style=not on_lines
    )


_Dumper.add_representer(list, _list)
_Dumper.add_representer(
    _Point,
    lambda dumper, point: dumper.represent_mapping(
        "tag:yaml.org,2002:map", point.items(), flow_style=True
    ),
)


def _read_yaml(path: Path) -> dict[str, Any] | None:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ScalingError(
            f"{path} is not YAML; expected the grid of the law's study: mend it, or "
            "name the run store"
        ) from None
    return content if isinstance(content, dict) else None


def _settings(counting: Counting) -> dict[str, Any]:
    """Spell the counting as a grid does."""
    return {key: getattr(counting, field) for field, key in SETTINGS.items()}


def _tokenizers(configurations: Sequence[Configuration], base: Grid) -> dict[str, Any]:
    """Name the codebooks, and train tokenizers as the study did."""
    studied = base.get("tokenizers") or {}
    rest = _without(studied, "codebooks", "levels")
    if not _without_levels(base):
        return _codebooks(configurations) | rest
    # the file of one of the codebooks of given tokens says what the rows are
    given = (base.get("corpus") or {}).get("kind") == "tokens"
    books = [*studied.get("codebooks", ())] if given else []
    books += [each.codebook_size for each in configurations]
    return {"codebooks": [*dict.fromkeys(books)]} | rest


def _without_levels(base: Grid) -> bool:
    """Whether the study's codebooks are of so many codes, and not of FSQ levels."""
    quantizers = (base.get("tokenizers") or {}).get("quantizers") or ()
    kind = (base.get("corpus") or {}).get("kind")
    return kind in ("text", "tokens") or set(quantizers) == {"vq"}


def _codebooks(configurations: Sequence[Configuration]) -> dict[str, Any]:
    """Name the codebooks of Table 6, write the levels of any others."""
    named: dict[int, None] = {}
    written: dict[tuple[int, ...], None] = {}
    for each in configurations:
        if each.levels is None:
            raise ScalingError(
                f"{each.codebook_size} codes are the product of no FSQ levels known "
                "here; expected a codebook that a tokenizer can have: give nearest "
                "another one, such as 240 or 1000"
            )
        if LEVELS.get(each.nominal) == each.levels:
            named[each.nominal] = None
        else:
            written[each.levels] = None
    found = {"codebooks": [*named], "levels": [list(levels) for levels in written]}
    return {key: books for key, books in found.items() if books}


def _points(configurations: Sequence[Configuration], base: Grid) -> list[_Point]:
    """Name each run; its codebook where there may be several."""
    several = len({each.levels for each in configurations}) > 1

    def codebook(each: Configuration) -> dict[str, Any]:
        if _without_levels(base):
            return {"codebook": each.codebook_size}
        return {"levels": list(each.levels or ())} if several else {}

    return [
        _Point(size=each.size.name, **codebook(each), tokens=each.tokens)
        for each in configurations
    ]


def _require_same_counts(configuration: Configuration, base: Grid) -> None:
    """Refuse settings under which the run would cost or weigh something else."""
    shape, counting = configuration.size, counting_of(base)
    if min(counting.n_prefix, counting.text_vocab_size) < 1:
        raise ScalingError(
            f"the configuration is counted with {counting.n_prefix} text positions and "
            f"{counting.text_vocab_size} text ids, but runs have both: count them"
        )
    book = Codebook(codes=configuration.codebook_size, levels=configuration.levels)
    f = counting.forward(shape, book)
    N_nv = non_vocab_params(counting.architecture(shape, book.codes))
    if (f, N_nv) != (configuration.flops_per_token, configuration.non_vocab_params):
        raise ScalingError(
            f"{shape.name} was counted as f = {configuration.flops_per_token:,} FLOPs "
            f"per token and N_nv = {configuration.non_vocab_params:,}, but has f = "
            f"{f:,} and N_nv = {N_nv:,} in the law's study; "
            "count by the settings of its grid: counting_of(template)"
        )


def _without(section: Grid | None, *keys: str) -> dict[str, Any]:
    """Copy a section without some keys, nor those that are not set."""
    return {
        key: value
        for key, value in (section or {}).items()
        if key not in keys and value is not None
    }


def _said(configurations: Sequence[Configuration], interval: str) -> list[str]:
    """Say what the file is for."""
    first, convention = configurations[0], configurations[0].convention
    if len(configurations) == 1:
        uncertainty = f" ({interval})" if interval else ""
        purpose = (
            f"{first.compute:.4g} FLOPs ({convention}) give a loss of "
            f"{first.loss:.5g}{uncertainty}."
        )
        return [f"{HEAD[2:]}: {purpose}", f"{_counts(first)}."]
    flops = sum(each.flops for each in configurations)
    purpose = f"{len(configurations)} runs, {flops:.6g} FLOPs ({convention}) in all."
    runs = [f"{_counts(each)}: loss {each.loss:.5g}." for each in configurations]
    return [f"{HEAD[2:]}: {purpose}", *runs]


def _counts(c: Configuration) -> str:
    return (
        f"N = {c.total_params:,}, N_nv = {c.non_vocab_params:,}, V = "
        f"{c.codebook_size:,}, D = {c.tokens:,}, C = {c.flops:.6g} FLOPs"
    )
