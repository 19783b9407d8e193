"""What a study comes to, in sentences: what to train next, how sure that is, and why.

The next run is the one that the laws choose at ten times the largest compute of their
points. It is recommended plainly where nothing speaks against the laws that choose it,
and as provisional otherwise; each quantity says by itself how well it is known.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from scaling.analysis.laws_file import Laws
from scaling.analysis.material import Material
from scaling.analysis.outlook import fitted_range
from scaling.analysis.prediction import FAR, Estimate, Prediction
from scaling.analysis.verdict_reasons import advice, doubts, reasons
from scaling.errors import ScalingError
from scaling.record import COLUMNS
from scaling.words import plain, short

LOOSE = 10.0
"""Factor from the value to an end of its interval from which it is not determined."""
CLOSE = 1.25
"""Factor up to which it is well known."""
MEANINGS = {
    "N": "parameters",
    "N_nv": "non-vocabulary parameters",
    "N_v": "vocabulary parameters",
    "V": "codes in the codebook",
    "D": "training tokens",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a study comes to."""

    headline: str
    """What to train next and what to expect of it, in a sentence or two."""
    firm: bool
    """Whether the headline may be acted on as it stands; else it is provisional."""
    advice: tuple[str, ...]
    """What would make it firm, in sentences."""
    answers: tuple[str, ...]
    """Each quantity at the next budget and how well it is known, in sentences."""
    reasons: tuple[str, ...]
    """Why to believe it: what was seen, how well unseen points were predicted."""
    warnings: tuple[str, ...]
    """What speaks against it, the bad state in capitals."""
    commands: tuple[str, ...]
    """Command lines that act on it."""
    next_run: Prediction | None
    """The prediction that it rests on; None where no law could be fitted."""


def verdict(material: Material) -> Verdict:
    """Judge a study.

    Parameters
    ----------
    material : Material
        Its rows and laws.
    """
    try:
        laws = material.laws
        _, most = fitted_range(laws)
        found = _built(laws, laws.budget(FAR * most))
    except ScalingError as reason:
        return _none(str(reason))
    warnings = tuple(doubts(material, found, undetermined(found)))
    meanings = meanings_of(laws)
    return Verdict(
        headline=_headline(found, most, not warnings, meanings),
        firm=not warnings,
        advice=tuple(advice(warnings)),
        answers=tuple(_answers(found, meanings)),
        reasons=tuple(reasons(material, laws, found)),
        warnings=warnings,
        commands=_commands(material, found),
        next_run=found,
    )


def _none(reason: str) -> Verdict:
    return Verdict(
        headline=f"These runs give no answer yet: {reason}.",
        firm=False,
        advice=(),
        answers=(),
        reasons=(),
        warnings=(),
        commands=(),
        next_run=None,
    )


def _built(laws: Laws, found: Prediction) -> Prediction:
    try:
        return laws.built(found, None, None)
    except ScalingError as reason:
        return replace(found, not_built=str(reason))


def undetermined(found: Prediction) -> list[str]:
    """Name the quantities that are known to no better than a factor of `LOOSE`."""
    return [n for n, each in found.quantities.items() if not _factor(each) < LOOSE]


def _factor(each: Estimate) -> float:
    """Give the larger factor between a value and an end of its interval."""
    if not (each.low > 0 and math.isfinite(each.high)):
        return math.inf
    return max(each.value / each.low, each.high / each.value)


# --- What to do ---------------------------------------------------------------------


def _headline(
    found: Prediction, most: float, firm: bool, meanings: Mapping[str, str]
) -> str:
    compute = found.compute or math.nan
    low, high = found.new_run
    at = (
        f"{plain(compute)} FLOPs, {plain(compute / most)} times the most compute of "
        "any run behind the laws"
    )
    expected = f"{found.loss_symbol} of {found.loss.value:.3g}"
    if math.isfinite(high - low):
        percent = f"{100 * found.level:g} %"
        expected += f" ({percent} of single runs: {low:.3g} to {high:.3g})"
    if not found.quantities:
        said = f"A run of {at}, should reach {expected}; the law chooses no sizes."
    else:
        said = f"Train {_run(found, meanings)} at {at}; expect {expected}."
    return said if firm else f"Provisional: {said[0].lower()}{said[1:]}"


def _run(found: Prediction, meanings: Mapping[str, str]) -> str:
    built = found.configuration
    if built is not None:
        return (
            f"a transformer of {built.size.n_layers} layers and width "
            f"{built.size.d_model} ({short(built.non_vocab_params)} non-vocabulary "
            f"parameters) on {short(built.tokens)} tokens of a codebook of "
            f"{built.codebook_size:,} codes"
        )
    sizes = [f"{short(e.value)} {meanings[n]}" for n, e in found.quantities.items()]
    return f"a model of {', '.join(sizes)}"


def meanings_of(laws: Laws) -> Mapping[str, str]:
    """Say what each symbol stands for in the records at hand, which may be FLOPs."""
    if laws.study is None:
        return MEANINGS
    held = laws.study.quantities.values()
    other = {q.symbol: q.label for q in held if q.column not in COLUMNS}
    named = {s: re.sub(rf" {s}(?= |$)", "", label) for s, label in other.items()}
    return {**MEANINGS, **{s: text[0].lower() + text[1:] for s, text in named.items()}}


def _commands(material: Material, found: Prediction) -> tuple[str, ...]:
    """Give the command lines from here to the run that verifies the prediction."""
    sources = " ".join(str(path) for path in material.paths) or "LOSSES.csv"
    name = found.law if material.laws.fit is not None else None
    law = f" --law {name}" if name else ""
    named = ",".join(f"{k}={v}" for k, v in material.columns.items())
    columns = f" --columns {named}" if named else ""
    laws = "laws.json"
    fitted: tuple[str, ...] = (f"scaling fit {sources}{columns}{law} --out {laws}",)
    if material.loaded is not None:
        laws, fitted = sources, ()
    predict = f"scaling predict {laws} --compute {plain(found.compute or 0, 3)}"
    if found.configuration is None:
        return (*fitted, predict)
    return (*fitted, f"{predict} --grid next.yaml", "scaling run next.yaml")


# --- Answers ------------------------------------------------------------------------


def _answers(found: Prediction, meanings: Mapping[str, str]) -> Iterator[str]:
    percent = f"{100 * found.level:g} %"
    for name, each in found.quantities.items():
        ends = f"{percent} interval {short(each.low)} to {short(each.high)}"
        yield (
            f"{name}* = {short(each.value)} {meanings[name]}, {_grade(each)} ({ends})"
            f"{_growth(found, name)}"
        )
    loss = found.loss
    yield (
        f"{found.loss_symbol} = {loss.value:.4g} ({percent} interval of the law "
        f"{loss.low:.4g} to {loss.high:.4g})"
    )
    if found.configuration is not None:
        yield (
            "These are what each law says by itself; the run above is the nearest that "
            "can be built, with the tokens that then spend the budget"
        )


def _growth(found: Prediction, name: str) -> str:
    """Say how a quantity grows with compute, or that this is not known."""
    grown = found.exponents.get(name)
    if grown is None:
        return ""
    ends = f"{100 * found.level:g} %: {grown.low:.2g} to {grown.high:.2g}"
    unknown = "; whether it grows with compute is NOT KNOWN"
    exponent = f"; exponent in C {grown.value:.2g} ({ends})"
    return exponent + (unknown if grown.low <= 0 <= grown.high else "")


def _grade(each: Estimate) -> str:
    """Say how well a quantity is known."""
    factor = _factor(each)
    if not factor < LOOSE:
        return "NOT DETERMINED"
    if factor < CLOSE:
        return f"known to {100 * (factor - 1):.0f} %"
    return f"known to a factor of {factor:.2g}"
