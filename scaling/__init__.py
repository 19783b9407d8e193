"""Find scaling laws of tokenized data: train a grid, fit laws, draw figures.

The names below do from Python what the commands do; each loads what it needs when it
is first used, so that ``import scaling`` is instant.

>>> import scaling
>>> study = scaling.fit(scaling.read(["scamo"]))
>>> round(study.laws["L_u(C)"].slope, 3)
-1.062
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling.analysis.approaches import approaches as approaches
    from scaling.analysis.arms import compare_arms as compare_arms
    from scaling.analysis.card import card as card
    from scaling.analysis.figures import figures as figures
    from scaling.analysis.figures import save as save
    from scaling.analysis.fitting import fit_law as fit_law
    from scaling.analysis.formula import Formula as Formula
    from scaling.analysis.formula import Parameter as Parameter
    from scaling.analysis.laws_file import load_laws as load_laws
    from scaling.analysis.objective import Objective as Objective
    from scaling.analysis.records import read as read
    from scaling.analysis.render import summary as summary
    from scaling.analysis.selection import compare_laws as compare_laws
    from scaling.analysis.study import Study as Study
    from scaling.analysis.study import fit as fit
    from scaling.models.generation import Sampling as Sampling
    from scaling.models.motion import features as features
    from scaling.models.motion import recover as recover
    from scaling.runs.grid import load_grid as load_grid
    from scaling.runs.plan import expand as expand
    from scaling.runs.trained import load_run as load_run

__version__ = "0.1.0"

_HOMES = {
    "read": "scaling.analysis.records",
    "fit": "scaling.analysis.study",
    "Study": "scaling.analysis.study",
    "summary": "scaling.analysis.render",
    "fit_law": "scaling.analysis.fitting",
    "card": "scaling.analysis.card",
    "Formula": "scaling.analysis.formula",
    "Parameter": "scaling.analysis.formula",
    "Objective": "scaling.analysis.objective",
    "compare_laws": "scaling.analysis.selection",
    "compare_arms": "scaling.analysis.arms",
    "approaches": "scaling.analysis.approaches",
    "load_laws": "scaling.analysis.laws_file",
    "figures": "scaling.analysis.figures",
    "save": "scaling.analysis.figures",
    "load_grid": "scaling.runs.grid",
    "expand": "scaling.runs.plan",
    "load_run": "scaling.runs.trained",
    "Sampling": "scaling.models.generation",
    "features": "scaling.models.motion",
    "recover": "scaling.models.motion",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'scaling' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
