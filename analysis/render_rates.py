"""What a sweep of learning rates says, for the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator

from scaling.analysis.layout import count, section, table, wrap
from scaling.analysis.prediction import Estimate
from scaling.analysis.rates import WIDTH, Best, Rates
from scaling.record import COLUMNS


def rates_text(found: Rates) -> str:
    """Write the best rate of every cell, the rule, and the lines for a grid."""
    return "\n".join(_lines(found))


def _lines(found: Rates) -> Iterator[str]:
    loss = COLUMNS[found.loss].label if found.loss in COLUMNS else found.loss
    yield f"Learning rates of {found.source}, by {loss}"
    yield ""
    rows = [[*cells, why.partition(":")[0]] for *cells, why in rate_rows(found)]
    yield from table(rows, right=range(1, len(rows[0]) - 2))
    for reason in dict.fromkeys(cell.reason for cell in found.cells if cell.reason):
        yield from wrap(reason, indent=2)
    yield ""
    yield from wrap(rule_text(found))
    if lines := found.yaml():
        yield ""
        known = found.rule is not None and not math.isnan(found.rule.base.low)
        yield (
            "For the grid:"
            if known
            else (
                "For the grid, though too few cells say how well; more rates or widths "
                "would tell:"
            )
        )
        yield ""
        yield lines
    yield from section("Notes", found.notes)


def rate_rows(found: Rates) -> list[list[str]]:
    """Write the cells as a table, its head first."""
    several = len({cell.codebook for cell in found.cells}) > 1
    head = ["size", *(["codes"] if several else []), "tokens", "tried"]
    head += ["best rate", f"{100 * found.level:g} % interval", ""]
    return [head, *(_row(cell, several) for cell in found.cells)]


def _row(cell: Best, several: bool) -> list[str]:
    lost = [f"{rate:g}" for rate, loss in cell.losses.items() if math.isnan(loss)]
    tried = ", ".join(
        f"{rate:g}" for rate, loss in cell.losses.items() if not math.isnan(loss)
    )
    tried += f"; {', '.join(lost)} diverged" if lost else ""
    best = f"{cell.rate.value:.3g}" if cell.rate else f"({cell.tried:g})"
    ends = _ends(cell.rate) if cell.rate else ""
    codes = [f"{cell.codebook:,}"] if several else []
    return [cell.size, *codes, f"{cell.tokens:,}", tried, best, ends, cell.reason]


def _ends(estimate: Estimate) -> str:
    if math.isnan(estimate.low):
        return "not known"
    return f"{estimate.low:.3g} to {estimate.high:.3g}"


def rule_text(found: Rates) -> str:
    """Say how the best rates fall with the width."""
    rule = found.rule
    if rule is None:
        return (
            "No rule over widths: fewer than two of them have a best rate within those "
            "tried."
        )
    said = (
        f"rate = {rule.base.value:.3g} ({WIDTH} / d_model)^{rule.exponent.value:.3g}, "
        f"from {count(rule.cells, 'cell')}; base {_ends(rule.base)}, exponent "
        f"{_ends(rule.exponent)}."
    )
    if rule.exponent.value > 0:
        return said
    return f"{said} It does not fall with the width: one rate serves all."
