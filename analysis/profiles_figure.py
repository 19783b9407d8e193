"""How well the data determine each parameter of a law: its profile likelihood.

A panel for each parameter: how much worse the best fit becomes as it is held elsewhere.
Where the curve stays below the line, chance would allow that value as well; where it
never crosses the line, the data give the parameter no end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullLocator,
)
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from scaling.analysis.axes import FIT, HELD_OUT, decade_axis, mark, panels
from scaling.analysis.drawing import DASHED
from scaling.analysis.figure import Figure
from scaling.analysis.fit_drawing import (
    greek,
    law_name,
    objective_sentence,
    short,
)
from scaling.analysis.fitting import Fit
from scaling.analysis.profiles import Profile, profile_all

Array = NDArray[np.float64]

TOP = 2.6
"""Highest rise shown, in those that chance allows."""
REACH = 4.0
"""How far a side without an end is shown, in lengths of the other side."""
BEYOND = 1.35
"""How far a side with an end is shown, in its length."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ProfilesFigure(Figure):
    """Profiles of parameters.

    In the table each row is a `value` at which a `parameter` was held, and the `rise`
    of the least objective there, 1 being what chance allows; `estimate`, `low`, `high`,
    `low_open` and `high_open` are those of the parameter, `log` whether it is positive
    and known by its order of magnitude.
    """

    level: float
    """Coverage of the intervals."""

    def _draw(self, ax: Axes | None) -> Axes:
        names = list(self.table["parameter"].unique())
        across = 2 if len(names) == 4 else min(3, len(names))
        down = math.ceil(len(names) / across)
        grid = panels(down, across, 0.7 + 1.75 * down, ax, sharey=True)
        places: list[Axes] = grid.ravel().tolist()
        for panel, name in zip(places, names, strict=False):
            _draw_panel(panel, self.table[self.table["parameter"] == name])
        for panel in places[len(names) :]:
            panel.set_axis_off()
        for row in grid:
            row[0].set_ylabel(f"Rise / that allowed\nat {100 * self.level:g} %")
        page = grid[0, 0].get_figure()
        page.legend(handles=self._handles(), loc="outside upper center", ncols=4)
        return places[0]

    def _handles(self) -> list[Line2D | Patch]:
        line = f"allowed at {100 * self.level:g} %"
        found: list[Line2D | Patch] = [
            mark("estimate", FIT),
            Line2D([], [], color=FIT, linestyle=DASHED, label=line),
            Patch(color=FIT, alpha=0.14, linewidth=0, label="interval"),
        ]
        if self.table[["low_open", "high_open"]].to_numpy().any():
            found += [mark("no end", HELD_OUT, shape=">")]
        return found


def profiles_figure(
    fit: Fit, profiles: Mapping[str, Profile] | None = None, level: float = 0.95
) -> ProfilesFigure:
    """Make the figure of the profile likelihoods of a fit.

    Parameters
    ----------
    fit : Fit
        The law and its rows.
    profiles : mapping, optional
        What `profile_all` gave; worked out where it is not given, which takes seconds
        for laws of many parameters.
    level : float
        Coverage of the intervals, where they are worked out.

    Raises
    ------
    ScalingError
        If no row is left over after the parameters.
    """
    profiles = profiles or profile_all(fit, level=level)
    parts = [_table(fit, each) for each in profiles.values()]
    first = next(iter(profiles.values()))
    return ProfilesFigure(
        name="profiles",
        title=f"How well the data determine {law_name(fit)}",
        caption=_caption(fit, profiles),
        table=pd.concat(parts, ignore_index=True),
        level=first.level,
    )


def _table(fit: Fit, profile: Profile) -> pd.DataFrame:
    allowed = profile.threshold - fit.objective_value
    rise = np.maximum(profile.objective - fit.objective_value, 0) / allowed
    # The ends were found apart, and lie on the curve as well.
    opens = {profile.low: profile.low_open, profile.high: profile.high_open}
    ends = [end for end, is_open in opens.items() if not is_open]
    held = profile.values  # noqa: PD011
    curve = pd.Series([*rise, *np.ones(len(ends))], [*held, *ends])
    curve = curve.groupby(level=0).min()
    return pd.DataFrame(
        {
            "parameter": profile.name,
            "value": curve.index,
            "rise": curve.to_numpy(),
            "estimate": profile.estimate,
            "low": profile.low,
            "high": profile.high,
            "low_open": profile.low_open,
            "high_open": profile.high_open,
            "log": fit.formula.parameter(profile.name).scale,
        }
    )


def _caption(fit: Fit, profiles: Mapping[str, Profile]) -> str:
    first = next(iter(profiles.values()))
    sentences = [
        "How much worse the fit becomes as one parameter is held elsewhere: a narrow "
        "bowl is a parameter that is known, and where a curve stays below the line the "
        "data allow that value too.",
        objective_sentence(fit),
        "Each parameter is held at one value after another and all others are fitted "
        "again; curves show how much the objective rises, in units of the rise that "
        f"chance allows at {100 * first.level:g} %.",
        f"Intervals of {100 * first.level:g} %, by {first.method}: "
        f"{'; '.join(_said(each) for each in profiles.values())}.",
        "Those of the law's table and of its figure are Wald intervals, from the "
        "curvature about the best fit, and may differ.",
        "A limit set only by another parameter's bound is not counted."
        if any(each.low_open or each.high_open for each in profiles.values())
        else "",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _said(profile: Profile) -> str:
    """Give a parameter with its interval, or say which end is missing."""
    low, high = short(profile.low, 3), short(profile.high, 3)
    if profile.low_open and profile.high_open:
        return f"{profile.name} may be anything"
    if profile.high_open:
        return f"{profile.name} at least {low}, without an upper end"
    if profile.low_open:
        return f"{profile.name} at most {high}, without a lower end"
    return f"{profile.name} {short(profile.estimate, 3)} ({low} to {high})"


# --- Drawing ------------------------------------------------------------------------


def _draw_panel(ax: Axes, table: pd.DataFrame) -> None:
    """Draw one parameter; what lies above the panel is cut off."""
    facts = table.iloc[0]
    left, right = _limits(table)
    if facts["log"]:
        ax.set_xscale("log")
    ax.set_xlim(left, right)
    ax.set_ylim(-0.12, TOP)
    low = left if facts["low_open"] else facts["low"]
    high = right if facts["high_open"] else facts["high"]
    ax.axvspan(low, high, color=FIT, alpha=0.10, linewidth=0)
    ax.axhline(1, color=FIT, linewidth=0.8, linestyle=DASHED)
    ax.plot(table["value"], table["rise"], ".", color=FIT, markersize=3)
    ax.plot(*_smooth(table, left, right), color=FIT)
    ax.plot(facts["estimate"], 0, marker="o", color=FIT, markeredgecolor="white")
    for side, place in (("low", left), ("high", right)):
        if facts[f"{side}_open"]:
            shape = "<" if side == "low" else ">"
            ax.plot(place, 1, shape, color=HELD_OUT, markersize=7, clip_on=False)
    _ticks(ax)
    ax.set_title(
        f"{greek(facts['parameter'])} = {_short(facts['estimate'])}\n{_interval(facts)}"
    )


def _smooth(table: pd.DataFrame, left: float, right: float) -> tuple[Array, Array]:
    """Draw a line through the points: the root of a parabola is straight."""
    to, back = (np.log, np.exp) if table["log"].iloc[0] else (np.asarray, np.asarray)
    value, rise = table["value"].to_numpy(), table["rise"].to_numpy()
    places, first = np.unique(to(value), return_index=True)
    side = np.where(value < table["estimate"].iloc[0], -1, 1)
    root = PchipInterpolator(places, (side * np.sqrt(rise))[first])
    low, high = np.clip(places[[0, -1]], to(left), to(right)).tolist()
    x = np.linspace(low, high, 300)
    return np.asarray(back(x)), np.asarray(root(x) ** 2)


def _ticks(ax: Axes) -> None:
    """Tick the values as sparsely as a small panel needs, and not at its corners."""
    left, right = ax.get_xlim()
    log = ax.get_xscale() == "log"
    decades = math.log10(right / left) if log else 0.0
    if 1.3 < decades < 6:
        decade_axis(ax.xaxis)
        return
    even = LogLocator(numticks=4) if decades > 6 else MaxNLocator(4)
    places = np.asarray(even.tick_values(left, right))
    share = (places - left) / (right - left)
    if log:  # the locator may begin at zero, below every number of the axis
        places = places[places > 0]
        share = np.log(places / left) / np.log(right / left)
    inner = places[(share > 0.08) & (share < 0.92)]
    ax.xaxis.set_major_locator(FixedLocator(list(inner)))
    if decades < 6:
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    ax.xaxis.set_minor_locator(NullLocator())


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    """Choose the values to show: the interval and a little more, or a part of it."""
    facts, to = table.iloc[0], np.log if table["log"].iloc[0] else np.asarray
    at = float(to(facts["estimate"]))
    ends = to(table["value"].iloc[[0, -1]].to_numpy())
    seen = []
    for side, end in zip(("low", "high"), ends, strict=True):
        is_open = facts[f"{side}_open"]
        seen.append(abs(float(end if is_open else to(facts[side])) - at))
    shorter = min((length for length in seen if length > 0), default=1.0)
    reach = [
        min(length, REACH * shorter) if facts[f"{side}_open"] else BEYOND * length
        for side, length in zip(("low", "high"), seen, strict=True)
    ]
    limits = np.array([at - reach[0], at + reach[1]])
    left, right = np.exp(limits) if facts["log"] else limits
    return float(left), float(right)


def _interval(facts: pd.Series[float]) -> str:
    """Write an interval, or which end is missing."""
    low, high = facts["low_open"], facts["high_open"]
    if low and high:
        return "NO END"
    if low:
        return f"NO LOWER END, to {_short(facts['high'])}"
    if high:
        return f"{_short(facts['low'])}, NO UPPER END"
    return f"{_short(facts['low'])} to {_short(facts['high'])}"


def _short(value: float) -> str:
    """Write three digits, with a power of ten only where it is needed.

    >>> _short(1817.3), _short(-1.2e-7)
    ('1820', '−1.2e−7')
    """
    return short(value, 3).replace("-", "\N{MINUS SIGN}")
