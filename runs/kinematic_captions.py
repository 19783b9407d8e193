"""Captions of the `kinematic` corpus: a small grammar that says only what is true."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from scaling.runs.kinematic_catalogue import Path
from scaling.runs.kinematic_script import Script, Segment

_SUBJECTS = ("a person", "the person", "someone", "a man", "a figure", "a human")
_JOINTS = (", then ", " and then ", ", and then ", ". then ", ", and afterwards ")
_NUMBERS = (
    *("zero", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)
_PATHS: dict[Path, tuple[str, ...]] = {
    "forward": ("forward", "straight ahead", "forward in a straight line"),
    "backward": ("backward", "backwards"),
    "sideways": ("sideways to the {side}", "to the {side} side"),
    "curve": ("in a curve to the {side}", "forward, curving to the {side},"),
    "circle": ("in a circle to the {side}", "in a {clockwise} circle"),
}
_TURNS: tuple[tuple[float, tuple[str, ...]], ...] = (  # largest angle, phrases
    (0.9, ("slightly to the {side}", "to the {side} by 45 degrees")),
    (2.0, ("to the {side}", "{side}", "to the {side} by 90 degrees")),
    (4.0, ("around to the {side}", "to the {side} by 180 degrees")),
)
_QUICK, _SLOW = 1.2, 0.84


def captions(script: Script, rng: np.random.Generator) -> tuple[str, ...]:
    """Describe a sequence in two or three ways, more or less completely."""
    count = int(rng.integers(2, 4))
    found: dict[str, None] = {}
    while len(found) < count:
        found[_caption(script, rng)] = None
    return tuple(found)


def third_person(verb: str) -> str:
    """Inflect a verb for a person.

    >>> [third_person(verb) for verb in ("walk", "punch", "do")]
    ['walks', 'punches', 'does']
    """
    return verb + ("es" if verb.endswith(("ch", "sh", "s", "o")) else "s")


def gerund(verb: str) -> str:
    """Inflect a verb for what is done meanwhile.

    >>> [gerund(verb) for verb in ("wave", "clap", "look", "point")]
    ['waving', 'clapping', 'looking', 'pointing']
    """
    if verb.endswith("e"):
        return verb[:-1] + "ing"
    doubled = verb[-1] in "gpt" and verb[-2] in "aiu" and verb[-3] not in "aeiou"
    return verb + (verb[-1] if doubled else "") + "ing"


def times(count: int) -> str:
    """Say how often.

    >>> [times(count) for count in (1, 2, 5)]
    ['once', 'twice', 'five times']
    """
    return {1: "once", 2: "twice"}.get(count, f"{_NUMBERS[count]} times")


def _caption(script: Script, rng: np.random.Generator) -> str:
    clauses = [
        _clause(segment, rng, with_number=rng.random() < 0.6)
        for segment in script.segments
    ]
    text = f"{_pick(rng, _SUBJECTS)} {clauses[0]}"
    manner = _manner(script, rng)
    if manner:
        ahead = rng.random() < 0.3
        text = f"{manner}, {text}" if ahead else f"{text} {manner}"
    for clause in clauses[1:]:
        joint = _pick(rng, _JOINTS)
        subject = "the person " if joint.startswith(".") else ""
        text += f"{joint}{subject}{clause}"
    return text.replace(",,", ",").replace(",.", ".").rstrip(",") + "."


def _pick(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]


def _manner(script: Script, rng: np.random.Generator) -> str:
    """Name pace and style; one caption in five leaves them out."""
    if rng.random() < 0.2:
        return ""
    words = []
    if script.pace > _QUICK:
        words.append(_pick(rng, ("quickly", "fast", "at a quick pace")))
    elif script.pace < _SLOW:
        words.append(_pick(rng, ("slowly", "at a slow pace", "unhurriedly")))
    if script.style.phrases:
        words.append(_pick(rng, script.style.phrases))
    return " and ".join(words)


def _clause(segment: Segment, rng: np.random.Generator, with_number: bool) -> str:
    phrase = _pick(rng, segment.action.phrases)
    parts = [_inflected(phrase, segment.side, third_person), _direction(segment, rng)]
    if segment.again:
        parts.append("again")
    if segment.action.counted and with_number:
        parts.append(_number(segment))
    if segment.overlay is not None:
        over = segment.overlay
        phrase = _pick(rng, over.action.phrases)
        parts.append(f"while {_inflected(phrase, over.side, gerund)}")
    return " ".join(part for part in parts if part)


def _inflected(phrase: str, side: str, inflect: Callable[[str], str]) -> str:
    other = "left" if side == "right" else "right"
    words = phrase.format(side=side, other=other).split()
    return " ".join(
        inflect(word[1:]) if word.startswith("*") else word for word in words
    )


def _direction(segment: Segment, rng: np.random.Generator) -> str:
    gait = segment.action.gait
    if gait is None or gait.feet != "alternate":
        return ""
    if gait.turn:
        choices = next(row for most, row in _TURNS if abs(segment.turn) < most)
    else:
        choices = _PATHS[segment.path]
    clockwise = "counterclockwise" if segment.side == "left" else "clockwise"
    return _pick(rng, choices).format(side=segment.side, clockwise=clockwise)


def _number(segment: Segment) -> str:
    gait = segment.action.gait
    if gait is not None and gait.feet == "alternate":
        return f"for {_NUMBERS[segment.repeats]} steps"
    return times(segment.repeats)
