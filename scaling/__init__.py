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
    from scaling.analysis.figures import figures as figures
    from scaling.analysis.figures import save as save
    from scaling.analysis.records import read as read
    from scaling.analysis.render import summary as summary
    from scaling.analysis.study import Study as Study
    from scaling.analysis.study import fit as fit
    from scaling.models.motion import features as features
    from scaling.models.motion import recover as recover
    from scaling.runs.grid import load_grid as load_grid
    from scaling.runs.plan import expand as expand

__version__ = "0.1.0"

_HOMES = {
    "read": "scaling.analysis.records",
    "fit": "scaling.analysis.study",
    "Study": "scaling.analysis.study",
    "summary": "scaling.analysis.render",
    "figures": "scaling.analysis.figures",
    "save": "scaling.analysis.figures",
    "load_grid": "scaling.runs.grid",
    "expand": "scaling.runs.plan",
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
