"""The grid: one YAML file is one study, checked whole before anything runs.

A grid names a corpus, tokenizers, transformer sizes and budgets, as `sections.py` has
them; `plan.py` expands it into jobs. Every mistake in the file is named with its line
and key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from scaling.errors import ScalingError, suggestion
from scaling.runs.sections import (
    BvhCorpus,
    Evaluator,
    Grid,
    HumanML3DCorpus,
    JointsCorpus,
    KinematicCorpus,
    LearningRate,
    PackedCorpus,
    Point,
    Section,
    TextCorpus,
    Tokenizers,
    TokensCorpus,
    Transformers,
)


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
    unions = {("corpus",), ("transformers", "learning_rate")}
    location = tuple(
        part
        for index, part in enumerate(detail["loc"])
        if detail["loc"][:index] not in unions
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
    sections: dict[Any, type[Section]] = {
        (): Grid,
        ("tokenizers",): Tokenizers,
        ("transformers",): Transformers,
        ("evaluator",): Evaluator,
        ("transformers", "learning_rate"): LearningRate,
        "kinematic": KinematicCorpus,
        "packed": PackedCorpus,
        "humanml3d": HumanML3DCorpus,
        "bvh": BvhCorpus,
        "joints": JointsCorpus,
        "text": TextCorpus,
        "tokens": TokensCorpus,
    }
    key = raw[1] if location == ("corpus",) else location
    if location[:-1] == ("transformers", "points"):
        return Point.model_fields
    return sections[key].model_fields if key in sections else ()
