"""Find scaling laws of tokenized data: train a grid, fit laws, draw figures.

The names below do from Python what the commands do, and are called as they are; each
loads what it needs when it is first used, so that ``import scaling`` is instant.

>>> import scaling
>>> study = scaling.fit("scamo")
>>> round(study.laws["L_u(C)"].slope, 3)
-1.062
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling.analysis.records import read as read
    from scaling.api_figures import figures as figures
    from scaling.api_figures import report as report
    from scaling.api_laws import compare as compare
    from scaling.api_laws import fit as fit
    from scaling.api_next import plan as plan
    from scaling.api_next import predict as predict
    from scaling.api_next import rates as rates
    from scaling.api_run import import_logs as import_logs
    from scaling.api_run import run as run
    from scaling.api_run import status as status
    from scaling.api_verify import verify as verify
    from scaling.runs.trained import load_run as load_run

__version__ = "0.1.0"

_HOMES = {
    "run": "scaling.api_run",
    "status": "scaling.api_run",
    "load_run": "scaling.runs.trained",
    "import_logs": "scaling.api_run",
    "read": "scaling.analysis.records",
    "fit": "scaling.api_laws",
    "predict": "scaling.api_next",
    "plan": "scaling.api_next",
    "verify": "scaling.api_verify",
    "compare": "scaling.api_laws",
    "rates": "scaling.api_next",
    "figures": "scaling.api_figures",
    "report": "scaling.api_figures",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'scaling' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
