"""What a study comes to, in sentences: what to train next, how sure that is, and why.

The next run is the one that the laws choose at ten times the largest compute of their
points, as far as they are let speak. It is recommended plainly where the laws that
choose it have no warnings, and as provisional where they have, or where an answer is
known to no better than a factor of `LOOSE`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from scaling.analysis.holdout import hold_out
from scaling.analysis.laws_file import Laws
from scaling.analysis.layout import count
from scaling.analysis.material import Material
from scaling.analysis.outlook import fitted_range
from scaling.analysis.prediction import FAR, Estimate, Prediction
from scaling.analysis.study import Study
from scaling.analysis.study import fit as fit_envelope
from scaling.errors import ScalingError
from scaling.record import COLUMNS

LOOSE = 10.0
"""Factor from the value to an end of its interval at which an answer is loose."""
HELD_OUT = 0.2
"""Share of the points that the check of the laws is made on, where none was asked."""
REMEDIES: Mapping[tuple[str, ...], str] = {
    ("MOST DATA TRIED", "LEAST DATA TRIED"): "Train the sizes that are best on more "
    "tokens: at most points the run with the most data won",
    ("AT THE EDGE", "LARGEST SIZE", "SMALLEST SIZE"): "Widen the grid where the best "
    "lies at its edge: larger or smaller codebooks and models",
    ("LOW R2", "NOT DISTINGUISHABLE", "LOOSE", "UNBOUNDED", "FEW"): "Add runs between "
    "and beyond those there are, with a second seed: the points scatter",
    ("HELD-OUT ROWS MISSED", "DELTA DECIDES"): "Look at the residuals: the law may "
    "have the wrong form here",
}
"""What to do about warnings that contain certain words."""
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
    """Each quantity at the next budget, with interval and growth, in sentences."""
    reasons: tuple[str, ...]
    """Why to believe it: what was seen, how well unseen points were foretold."""
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
    loose = tuple(_loose(found))
    firm = not found.warnings and not loose
    return Verdict(
        headline=_headline(found, most, firm, meanings_of(laws)),
        firm=firm,
        advice=tuple(_advice((*found.warnings, *loose))),
        answers=tuple(_answers(found, meanings_of(laws))),
        reasons=tuple(_reasons(material, laws)),
        warnings=(*found.warnings, *loose),
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


# --- What to do ---------------------------------------------------------------------


def _headline(
    found: Prediction, most: float, firm: bool, meanings: Mapping[str, str]
) -> str:
    compute = found.compute or math.nan
    low, high = found.new_run
    at = (
        f"{_plain(compute)} FLOPs, {_plain(compute / most)} times the largest compute "
        "of the points"
    )
    expected = f"{found.loss_symbol} {found.loss.value:.3g}"
    if math.isfinite(high - low):
        percent = f"{100 * found.level:g} %"
        expected += f", a single run between {low:.3g} and {high:.3g} ({percent})"
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
            f"{built.size.d_model} ({_short(built.non_vocab_params)} non-vocabulary "
            f"parameters) on {_short(built.tokens)} tokens of a codebook of "
            f"{built.codebook_size:,} codes"
        )
    sizes = [f"{_short(e.value)} {meanings[n]}" for n, e in found.quantities.items()]
    return f"a model of {', '.join(sizes)}"


def meanings_of(laws: Laws) -> Mapping[str, str]:
    """Say what each symbol stands for in the records at hand, which may be FLOPs."""
    if laws.study is None:
        return MEANINGS
    held = laws.study.quantities.values()
    other = {q.symbol: q.label for q in held if q.column not in COLUMNS}
    plain = {s: re.sub(rf" {s}(?= |$)", "", label) for s, label in other.items()}
    return {**MEANINGS, **{s: text[0].lower() + text[1:] for s, text in plain.items()}}


def _advice(warnings: Iterable[str]) -> Iterator[str]:
    """Say what to do about the warnings, each remedy once."""
    said = " ".join(warnings)
    for words, remedy in REMEDIES.items():
        if any(word in said for word in words):
            yield remedy


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
    predict = f"scaling predict {laws} --compute {found.compute:.3g}".replace("e+", "e")
    if found.configuration is None:
        return (*fitted, predict)
    return (*fitted, f"{predict} --grid next.yaml", "scaling run next.yaml")


# --- Answers ------------------------------------------------------------------------


def _answers(found: Prediction, meanings: Mapping[str, str]) -> Iterator[str]:
    percent = f"{100 * found.level:g} %"
    for name, each in found.quantities.items():
        grown = found.exponents.get(name)
        growth = (
            f"; it grows as C^{grown.value:.2f} ({grown.low:.2f} to {grown.high:.2f})"
            if grown
            else ""
        )
        yield (
            f"{name}* = {_short(each.value)} {meanings[name]}, {percent} "
            f"interval {_short(each.low)} to {_short(each.high)}{growth}"
        )
    loss = found.loss
    yield (
        f"{found.loss_symbol} = {loss.value:.4g}, {percent} interval of the law "
        f"{loss.low:.4g} to {loss.high:.4g}"
    )


def _loose(found: Prediction) -> Iterator[str]:
    for name, each in found.quantities.items():
        factor = _factor(each)
        if not factor < LOOSE:
            known = f"a factor of {factor:.2g}" if math.isfinite(factor) else "any end"
            yield f"LOOSE: {name}* is known to no better than {known}"


def _factor(each: Estimate) -> float:
    """Give the larger factor between a value and an end of its interval."""
    if not (each.low > 0 and math.isfinite(each.high)):
        return math.inf
    return max(each.value / each.low, each.high / each.value)


# --- Reasons ------------------------------------------------------------------------


def _reasons(material: Material, laws: Laws) -> Iterator[str]:
    low, high = fitted_range(laws)
    span = (
        f"{_plain(low)} to {_plain(high)} FLOPs ({math.log10(high / low):.1f} decades)"
    )
    if laws.study is not None:
        loss = laws.study.laws["L_u(C)"]
        yield (
            f"The laws stand on the {len(laws.study.frontier)} best of "
            f"{count(len(laws.study.minima), 'run')}, {span}; compute explains "
            f"{100 * loss.r2:.0f} % of the variance of their loss"
        )
        yield from _foretold(material, laws.study)
        return
    assert laws.fit is not None
    fit = laws.fit
    yield (
        f"The law {fit.formula.name} stands on {count(fit.sample.n, 'row')} of "
        f"{count(fit.sample.clusters, 'run')}, {span}; it misses them by "
        f"{fit.residual_sd:.2g} {fit.residual_unit}"
    )
    found = fit.certificate
    yield (
        f"{found.agree} of {found.polished} starts of the fit, from different "
        "parameters, ended at the same minimum"
    )
    try:
        held = hold_out(fit, material.holdout or HELD_OUT)
        assert held is not None
        yield f"Held-out check: {held.sentence()}"
    except ScalingError as reason:
        yield f"No held-out check could be made: {reason}"


def _foretold(material: Material, study: Study) -> Iterator[str]:
    """Say how well the dearest points are foretold by laws of the cheaper ones."""
    try:
        if study.holdout is None:
            study = fit_envelope(material.records, holdout=HELD_OUT)
        assert study.holdout is not None
        held = study.frontier[study.held_out(study.frontier)]
        law, error = study.laws["L_u(C)"], study.holdout.errors["L_u(C)"]
    except (ScalingError, KeyError) as reason:
        yield f"No held-out check could be made: {str(reason).strip(chr(39))}"
        return
    interval = law.interval(held["C"])
    inside = (interval.new_low <= held["L_u"]) & (held["L_u"] <= interval.new_high)
    side = "above" if error.mean > 0 else "below"
    yield (
        f"Held-out check: a law of the {law.n} cheaper points foretells the "
        f"{count(error.n, 'dearest point')} (from {_plain(held['C'].min())} FLOPs): "
        f"{int(inside.sum())} of {error.n} within the 95 % interval, on average "
        f"{abs(error.mean):.2g} {side} the law"
    )


# --- Numbers ------------------------------------------------------------------------


def _plain(value: float | None) -> str:
    """Write a large number without padding in its power.

    >>> _plain(2.98e12), _plain(10.0)
    ('3e12', '10')
    """
    return (
        "an unknown number of" if value is None else f"{value:.2g}".replace("e+", "e")
    )


def _short(value: float) -> str:
    """Write a count as a person says it.

    >>> _short(1_250_880), _short(296_658), _short(1600), _short(2.5e13)
    ('1.25M', '297k', '1,600', '2.5e13')
    """
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if unit <= value < 1e12:
            return f"{value / (1e3 if letter == 'k' else unit):.3g}{letter}"
    return f"{value:,.0f}" if 100 <= value < 1e4 else _plain(value)
