"""The card of a fit as text: what `scaling fit --law` prints.

A good state is written quietly, a bad one in capitals, so that it shows without colour.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from scaling.analysis.card import Card, Determined
from scaling.analysis.layout import count, section, table, wrap
from scaling.analysis.pdg import plus_minus
from scaling.analysis.prediction import Estimate, Prediction
from scaling.analysis.sample import CHOICES
from scaling.analysis.selection import Selection

WIDE = 0.4
"""Standard error over value from which a scale parameter is known to a factor."""
WIDE_REAL = 1.0
"""Standard error over value from which one without an end is not determined."""
UNKNOWN = 100
"""A factor, or standard errors over the value, that say it is not determined."""
HEAD = ("parameter", "value, ± standard error", "interval", "state", "unit")


def text(card: Card) -> str:
    """Write a card for the terminal.

    Returns
    -------
    str
        Lines of at most 100 columns, without a newline at the end.
    """
    lines = [
        *_heading(card),
        "",
        *table(parameter_rows(card)),
        *_below(card),
        *section("Minimum", _minimum(card)),
        *section("Hold-out", [card.holdout.sentence()] if card.holdout else []),
        *section("Sensitivity", [card.sensitivity]),
        *section("Warnings", card.warnings),
        *section("Rows dropped", (f"{n}: {w}" for w, n in _dropped(card).items())),
        *section("Notes", card.fit.sample.notes),
    ]
    return "\n".join(lines)


def _heading(card: Card) -> Iterator[str]:
    fit, sample = card.fit, card.fit.sample
    yield from wrap(f"Law {fit.formula.name} of {', '.join(sample.sources)}")
    yield f"  {sample.loss_symbol} = {fit.formula.written()}"
    hashed = f"; data {sample.data_hash}" if sample.data_hash else ""
    yield from wrap(
        f"{count(sample.n, 'row')} of {count(sample.clusters, 'run')}, "
        f"{CHOICES[sample.rows]}{hashed}"
    )
    yield f"{fit.objective}: {fit.objective_value:.8g}, the sum over rows"
    if card.status == "good":
        yield "nothing speaks against this fit"
    else:
        yield f"DOUBTFUL: {count(len(card.warnings), 'warning')} below"


def parameter_rows(card: Card) -> list[tuple[str, ...]]:
    """Write the parameters as a table, its head first."""
    percent = f"{100 * card.level:g} % interval"
    rows = [tuple(percent if cell == "interval" else cell for cell in HEAD)]
    for name, each in card.parameters.items():
        value = _value(card, name, each)
        rows.append((name, value, _interval(each), each.state, each.unit))
    return rows


def _value(card: Card, name: str, each: Determined) -> str:
    error = each.standard_error
    if error is None:
        return f"{each.value:.6g}"
    if card.fit.formula.parameter(name).scale and error > WIDE * each.value:
        with np.errstate(over="ignore"):
            factor = float(np.exp(error / each.value))
        if factor < UNKNOWN:
            return f"{each.value:.3g}, to a factor of {factor:.3g}"
    if not error < WIDE_REAL * abs(each.value) and (
        each.low is None or each.high is None
    ):
        return f"{each.value:.3g}, NOT DETERMINED"
    if not error < UNKNOWN * abs(each.value):
        return f"{each.value:.3g}, NOT DETERMINED"
    return plus_minus(each.value, error)


def _interval(each: Determined) -> str:
    if each.standard_error is None:
        return ""
    if each.low is None and each.high is None:
        return "no end"
    low = "no end" if each.low is None else f"{each.low:.4g}"
    high = "no end" if each.high is None else f"{each.high:.4g}"
    return f"{low} to {high}"


def _below(card: Card) -> Iterator[str]:
    made = card.uncertainty
    if card.profiles:
        how = next(iter(card.profiles.values())).method
        yield from wrap(f"Intervals of the parameters: {how}", indent=2)
    others = " of all else" if card.profiles else ""
    yield from wrap(f"Intervals{others}: {made.method}; {made.reason}", indent=2)
    if card.frontier:
        grows = ", ".join(
            f"{name}* ~ C^({exponent(each)})" for name, each in card.frontier.items()
        )
        yield from wrap(f"Best sizes: {grows}; {card.cost}", indent=2)
    found = card.criteria
    yield from wrap(
        f"Scatter about the law: {card.fit.residual_sd:.3g} {card.fit.residual_unit}; "
        f"AICc {found.aicc:.1f}, BIC {found.bic:.1f} (compare on the same rows and "
        "objective only)",
        indent=2,
    )


def exponent(each: Estimate) -> str:
    """Write an exponent with its interval."""
    return f"{each.value:.3f}, {each.low:.3f} to {each.high:.3f}"


def _minimum(card: Card) -> Iterator[str]:
    found = card.fit.certificate
    yield (
        f"{found.agree} of {found.polished} starts, chosen from {found.starts}, ended "
        "at it; "
        + (
            "no other minimum was seen"
            if found.gap is None
            else f"the next best lies {100 * found.gap:.3g} % higher"
        )
    )
    yield (
        f"{'converged' if found.converged else 'NOT CONVERGED'}: one more step would "
        f"take {found.edm:.1e} off, gradient {found.gradient_norm:.1e}, relative to "
        f"the objective; condition number {found.condition:.1e}"
    )
    yield (
        f"AT A BOUND: {', '.join(found.at_bounds)}"
        if found.at_bounds
        else "no parameter at a bound"
    )


def _dropped(card: Card) -> dict[str, int]:
    return dict(card.fit.sample.dropped)


# --- Predictions --------------------------------------------------------------------


def prediction_text(prediction: Prediction) -> str:
    """Write a prediction for the terminal."""
    head, rows = prediction_head(prediction), prediction_rows(prediction)
    lines = [*head, "", *table(rows)]
    if prediction.not_built and prediction.quantities:
        lines += section("No run is built", [prediction.not_built])
    lines += section("Nearest run that can be built", built_lines(prediction))
    lines += section("Warnings", prediction.warnings)
    return "\n".join(lines)


def prediction_rows(prediction: Prediction) -> list[tuple[str, ...]]:
    """Write what is predicted as a table, its head first."""
    percent = f"{100 * prediction.level:g} %"
    head = ("", "predicted", f"{percent} interval", "grows as")
    rows: list[tuple[str, ...]] = [head]
    for name, each in prediction.quantities.items():
        grown = prediction.exponents.get(name)
        unit = f" {prediction.unit}" if name == "D" else ""
        growth = f"C^({exponent(grown)})" if grown else ""
        if name == "N_v" and prediction.gamma:
            growth += f"\nN_nv^({exponent(prediction.gamma)})"
        rows.append(
            (
                f"{name}*",
                f"{each.value:.4g}{unit}",
                f"{each.low:.4g} to {each.high:.4g}",
                growth,
            )
        )
    loss, (low, high) = prediction.loss, prediction.new_run
    symbol = prediction.loss_symbol
    rows += [
        (symbol, f"{loss.value:.5g}", f"{loss.low:.5g} to {loss.high:.5g}", ""),
    ]
    if math.isfinite(high - low):
        ends = f"{low:.5g} to {high:.5g}"
        rows.append((f"{symbol} of a new run", f"{loss.value:.5g}", ends, ""))
    return rows


def prediction_head(prediction: Prediction) -> Iterator[str]:
    """Say what a prediction is of, and what it rests on."""
    given = [f"{name} = {value:.4g}" for name, value in prediction.at.items()]
    if prediction.compute is not None and "C" not in prediction.at:
        given.insert(0, f"C = {prediction.compute:.4g} FLOPs")
    yield from wrap(f"Law {prediction.law} at {', '.join(given)}")
    yield (
        "within the rows"
        if prediction.beyond <= 1
        else f"{prediction.beyond:.3g} times beyond the rows"
    )
    if prediction.cost:
        yield prediction.cost
    yield from wrap(f"Intervals: {prediction.method}")


def built_lines(prediction: Prediction) -> Iterator[str]:
    """Say what the nearest run that can be built is like, if there is one."""
    built = prediction.configuration
    if built is None:
        return
    size = built.size
    steps = f", {built.steps:,} steps" if built.steps else ""
    levels = (
        f"levels {' '.join(map(str, built.levels))}" if built.levels else "no level set"
    )
    yield (
        f"{size.n_layers} layers, {size.n_heads} heads, width {size.d_model}: "
        f"N_nv {built.non_vocab_params:,}, N {built.total_params:,}"
    )
    yield (
        f"codebook of {built.codebook_size:,} codes ({levels}): "
        f"N_v {built.vocab_params:,}"
    )
    yield (
        f"{built.tokens:,} tokens{steps}; {built.flops:.6g} FLOPs "
        f"({built.convention}, {built.flops_per_token:,} forward per token), "
        f"{100 * built.of_budget:.4g} % of the budget"
    )
    yield f"predicted {prediction.loss_symbol} {built.loss:.5g}"


# --- Selection ----------------------------------------------------------------------


def selection_text(selection: Selection) -> str:
    """Write which law predicts best."""
    unit = selection.fit.residual_unit
    return "\n".join(
        [
            *wrap(selection.sentence()),
            *wrap(
                f"{selection.rows}; {selection.objective}; held out: root mean square "
                f"error in {unit} above several cuts of compute, mean: loss less law"
            ),
            "",
            *table(selection_rows(selection), right=(1, 2, 3, 4, 5)),
        ]
    )


def selection_rows(selection: Selection) -> list[tuple[str, ...]]:
    """Write the laws compared as a table, its head first."""
    head = ("law", "free", "held out", "mean", "AICc", "BIC", "")
    rows: list[tuple[str, ...]] = [head]
    for each in selection.to_frame().to_dict(orient="records"):
        numbers = [_cell(each[n]) for n in SCORES]
        rows.append((each["law"], str(each["parameters"]), *numbers, _state(each)))
    return rows


SCORES = ("hold_out_rmse", "hold_out_mean", "aicc", "bic")


def _cell(number: float) -> str:
    return "" if math.isnan(number) else f"{number:.4g}"


def _state(row: Mapping[Any, Any]) -> str:
    """Keep the words in capitals of what speaks against a law."""
    if row["status"] == "good":
        return ""
    heads = re.findall(r"(?:^|; )([A-Z][A-Z ]+[A-Z])", row["status"])
    return ", ".join(heads) or str(row["status"])
