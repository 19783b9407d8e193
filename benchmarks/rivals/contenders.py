"""Who takes part in the comparison of fits, and what each of them offers.

A goal is an objective as all of them understand it, a mapping with `name` (`huber`,
`lsq`, `lad`), `delta` (None but for Huber's) and `space` (`log`, `linear`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Goal = Mapping[str, Any]

DELTAS = (1e-3, 1e-2, 1e-1)
TWO_INPUTS = ("chinchilla", "kaplan-floor", "skaling")


def goal(name: str, space: str, delta: float | None = None) -> Goal:
    """Name an objective."""
    return {"name": name, "space": space, "delta": delta}


def title(goal: Goal) -> str:
    """Write an objective in words.

    >>> title(goal("huber", "log", 1e-3))
    'Huber(0.001) of log loss'
    """
    delta = f"({goal['delta']:g})" if goal["name"] == "huber" else ""
    names = {"huber": "Huber", "lsq": "least squares", "lad": "absolute deviation"}
    of = "log loss" if goal["space"] == "log" else "loss"
    return f"{names[goal['name']]}{delta} of {of}"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A way to fit that takes part."""

    name: str
    """As the tables call it."""
    module: str
    """File of this folder that asks it."""
    spaces: tuple[str, ...]
    """Whether it fits the logarithm of the loss, or the loss."""
    objectives: tuple[str, ...]
    """Names of the objectives it offers."""
    laws: tuple[str, ...] = ("chinchilla",)
    """Those of our laws that it offers."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """How it is asked where it is timed."""
    brief: Mapping[str, Any] | None = None
    """How it is asked in every cell, where that would take too long."""
    draws: int = 0
    """Draws that are timed, if it has a bootstrap of its own."""

    def asked(self, whole: bool) -> Mapping[str, Any]:
        """Give the options of a timed fit, with all of its starts or some."""
        return {} if whole and self.brief else self.options

    def offers(self, law: str, goal: Goal) -> bool:
        """Tell whether it can fit that law with that objective."""
        can = goal["name"] in self.objectives and goal["space"] in self.spaces
        return can and law in self.laws


def _vpnls(how: str, **options: Any) -> Contender:
    return Contender(
        name=f"vpnls, {how}",
        module="vpnls_package",
        spaces=("linear",),
        objectives=("huber", "lsq"),
        options=options,
    )


RIVALS = (
    Contender(
        name="Epoch's grid",
        module="epoch_grid",
        spaces=("log",),
        objectives=("huber",),
        options={"every": 19},
        brief={"every": 97},
        draws=200,
    ),
    Contender(
        name="OLMo-core's scheme",
        module="olmo_ladder",
        spaces=("log",),
        objectives=("huber",),
        options={"every": 7},
        brief={"every": 41},
        draws=1,
    ),
    Contender(
        name="chinchilla 0.2.0",
        module="chinchilla_package",
        spaces=("log", "linear"),
        objectives=("huber", "lad"),
        options={"values": 3},
        brief={"values": 2},
    ),
    _vpnls("grid .01", resolution=0.01),
    _vpnls("grid .001", resolution=0.001),
    _vpnls("L-BFGS-B", resolution=0.01, method="scipy"),
    Contender(
        name="simple-scaling-laws 0.2.0",
        module="simple_scaling_laws_package",
        spaces=("linear",),
        objectives=("lsq",),
        laws=(*TWO_INPUTS, "codebook", "power-floor", "bnsl"),
        draws=500,
    ),
    Contender(
        name="sail's approach 3",
        module="sail_approach3",
        spaces=("linear",),
        objectives=("huber",),
        laws=("codebook-tied",),
        options={"every": 19},
    ),
)
