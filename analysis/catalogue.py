"""The laws by name: each as it stands in its paper, with where to start looking.

To add one, declare a `Formula` like those below and give it to `fit_law`, or name the
file that holds it: `scaling fit losses.csv --law my_law.py`. Starts are needed only
for parameters that do not enter linearly; all combinations of them are tried.
"""

from __future__ import annotations

import runpy
from pathlib import Path

from scaling.analysis.formula import Formula, Parameter
from scaling.errors import ScalingError, suggestion

EXPONENTS = (-0.5, 0.05, 0.1, 0.2, 0.3, 0.45, 0.7, 1.0)
FEW_EXPONENTS = (0.1, 0.3, 0.6)


def floor(meaning: str = "irreducible loss") -> Parameter:
    """Declare E, what the loss tends to."""
    return Parameter(name="E", meaning=meaning, unit="nats", lower=0, floor=True)


def amplitude(name: str, unit: str) -> Parameter:
    """Declare the size of a term, a positive number."""
    return Parameter(name=name, meaning="size of the term", unit=unit, scale=True)


def exponent(name: str, starts: tuple[float, ...] = EXPONENTS) -> Parameter:
    """Declare an exponent: positive where more is better, but free to say otherwise."""
    return Parameter(
        name=name, meaning="exponent", lower=-5.0, upper=5.0, starts=starts
    )


CHINCHILLA = Formula(
    name="chinchilla",
    text="E + A / N**alpha + B / D**beta",
    inputs=("N", "D"),
    parameters=(
        floor(),
        amplitude("A", "nats N**alpha"),
        amplitude("B", "nats D**beta"),
        exponent("alpha"),
        exponent("beta"),
    ),
    source="Hoffmann et al. 2022, arXiv 2203.15556, Eq. 2",
)

CODEBOOK = Formula(
    name="codebook",
    text="-E + A1 / N_nv**alpha1 + A2 / N_v**alpha2 + B / D**beta",
    inputs=("N_nv", "N_v", "D"),
    parameters=(
        Parameter(name="E", meaning="lowest normalised loss, negated", unit="nats"),
        amplitude("A1", "nats N_nv**alpha1"),
        amplitude("A2", "nats N_v**alpha2"),
        amplitude("B", "nats D**beta"),
        exponent("alpha1"),
        exponent("alpha2"),
        exponent("beta"),
    ),
    source="Tao et al. 2024, arXiv 2407.13623, Eq. 7, with alpha1 and beta apart",
)

KAPLAN = Formula(
    name="kaplan",
    text="((Nc / N)**(alpha / beta) + Dc / D)**beta",
    inputs=("N", "D"),
    parameters=(
        Parameter(
            name="Nc",
            meaning="size at which the loss would be 1 nat",
            unit="N",
            scale=True,
            starts=(1e1, 1e3, 1e5, 1e8, 1e12),
            per="N",
        ),
        Parameter(
            name="Dc",
            meaning="data at which the loss would be 1 nat",
            unit="D",
            scale=True,
            starts=(1e-1, 1e1, 1e3, 1e5, 1e8),
            per="D",
        ),
        exponent("alpha", (0.04, 0.08, 0.15, 0.3)),
        exponent("beta", (0.05, 0.1, 0.2, 0.4)),
    ),
    source="Kaplan et al. 2020, arXiv 2001.08361, Eq. 1.5",
)

ALL = (
    Formula(
        name="log",
        text="a * log10(C) + b",
        inputs=("C",),
        parameters=(
            Parameter(name="a", meaning="change per decade of compute", unit="nats"),
            Parameter(name="b", meaning="loss at one FLOP", unit="nats"),
        ),
        source="ScaMo, arXiv 2412.14559, Eq. 14",
    ),
    Formula(
        name="power",
        text="A / C**alpha",
        inputs=("C",),
        parameters=(amplitude("A", "nats C**alpha"), exponent("alpha")),
        source="Kaplan et al. 2020, arXiv 2001.08361, Eq. 1.1",
    ),
    Formula(
        name="power-floor",
        text="E + A / C**alpha",
        inputs=("C",),
        parameters=(floor(), amplitude("A", "nats C**alpha"), exponent("alpha")),
        source="Henighan et al. 2020, arXiv 2010.14701, Eq. 1.1",
    ),
    CHINCHILLA,
    Formula(
        name="chinchilla-tied",
        text=CHINCHILLA.text,
        inputs=CHINCHILLA.inputs,
        parameters=CHINCHILLA.parameters,
        tied={"beta": "alpha"},
        source=CHINCHILLA.source,
    ),
    KAPLAN,
    Formula(
        name="kaplan-floor",
        text=f"E + {KAPLAN.text}",
        inputs=KAPLAN.inputs,
        parameters=(floor(), *KAPLAN.parameters),
        source=KAPLAN.source,
    ),
    Formula(
        name="skaling",
        text="E + A * (N**-a + R * D**-b)**k",
        inputs=("N", "D"),
        parameters=(
            floor(),
            amplitude("A", "nats N**(a k)"),
            Parameter(
                name="R",
                meaning="weight of data beside size",
                unit="D**b / N**a",
                scale=True,
                starts=(0.1, 1.0, 10.0),
                per="D**b / N**a",
            ),
            exponent("a", FEW_EXPONENTS),
            exponent("b", FEW_EXPONENTS),
            Parameter(
                name="k",
                meaning="coupling of the two terms; 1 adds them",
                lower=1e-3,
                upper=10.0,
                starts=(0.3, 1.0, 2.0),
            ),
        ),
        source="the coupled law of public isoFLOP studies; k = 1 is chinchilla",
    ),
    CODEBOOK,
    Formula(
        name="codebook-tied",
        text=CODEBOOK.text,
        inputs=CODEBOOK.inputs,
        parameters=CODEBOOK.parameters,
        tied={"alpha1": "beta"},
        source="Tao et al. 2024, arXiv 2407.13623, Eq. 7",
    ),
    Formula(
        name="codebook-saturating",
        text="-E + A1 / N_nv**alpha1 + A2 * (1/N_v + 1/S)**alpha2 + B / D**beta",
        inputs=CODEBOOK.inputs,
        parameters=(
            *CODEBOOK.parameters,
            Parameter(
                name="S",
                meaning="vocabulary parameters beyond which more bring nothing",
                unit="N_v",
                scale=True,
                starts=(0.3, 3.0, 30.0),
                per="N_v",
            ),
        ),
        source="codebook, with the harmonic mean of N_v and S in place of N_v",
    ),
    Formula(
        name="codebook-data",
        # N_v / N_nv**q stands for V: vocabulary parameters over what grows as the width
        text="-E - c * log(N_v / N_nv**q) + A / N_nv**alpha"
        " + B * (N_v / N_nv**q)**g / D**beta",
        inputs=CODEBOOK.inputs,
        parameters=(
            Parameter(name="E", meaning="normalised loss of one code, negated"),
            Parameter(name="c", meaning="what a code more brings", unit="nats"),
            amplitude("A", "nats N_nv**alpha"),
            amplitude("B", "nats D**beta"),
            Parameter(
                name="q",
                meaning="exponent of the width in N_nv",
                lower=0.0,
                upper=1.0,
                starts=(0.3, 0.5),
            ),
            exponent("alpha", FEW_EXPONENTS),
            exponent("g", FEW_EXPONENTS),
            exponent("beta", FEW_EXPONENTS),
        ),
        source="this project, docs/studies: more codes hold more to be learnt, and "
        "take more data",
    ),
    Formula(
        name="repetition",
        # of U only what a run has come to see counts: Min(U, D)
        text="E + A / N**alpha"
        " + B / (Min(U, D) * (1 + R * (1 - exp((1 - D / Min(U, D)) / R))))**beta",
        inputs=("N", "D", "U"),
        parameters=(
            *CHINCHILLA.parameters,
            Parameter(
                name="R",
                meaning="repetitions after which data is worth 1 / e as much",
                unit="epochs",
                scale=True,
                starts=(1.0, 5.0, 25.0),
            ),
        ),
        source="Muennighoff et al. 2023, arXiv 2305.16264, Eq. 5, for the data alone",
    ),
    Formula(
        name="bnsl",
        text="E + A * C**-c0 * (1 + (C / d)**(1 / f))**(-c1 * f)",
        inputs=("C",),
        parameters=(
            floor(),
            amplitude("A", "nats C**c0"),
            exponent("c0", (0.02, *FEW_EXPONENTS)),
            exponent("c1", (-0.2, -0.01, 0.05, 0.3)),
            Parameter(
                name="d",
                meaning="compute at the break",
                unit="C",
                scale=True,
                starts=(0.01, 0.1, 1.0, 10.0, 100.0),
                per="C",
            ),
            Parameter(
                name="f",
                meaning="width of the break, in powers of e of compute",
                scale=True,
                lower=0.02,
                upper=20.0,
                starts=(0.05, 0.3, 1.5),
            ),
        ),
        source="Caballero et al. 2022, arXiv 2210.14891, Eq. 1, one break",
    ),
)

LAWS = {law.name: law for law in ALL}
"""The laws by name."""


def law(name: str | Formula) -> Formula:
    """Find a law by its name, or in a Python file that declares one.

    Raises
    ------
    ScalingError
        If there is no such law, or the file declares none, or several.

    >>> law("power-floor").written()
    'E + A / C^alpha'
    """
    if isinstance(name, Formula):
        return name
    if name.endswith(".py"):
        return _from_file(name)
    if name not in LAWS:
        raise ScalingError(f"there is no law {name!r}; {suggestion(name, LAWS)}")
    return LAWS[name]


def _from_file(path: str) -> Formula:
    if not Path(path).exists():
        raise ScalingError(
            f"{path} does not exist; expected a Python file that declares a law"
        )
    try:
        names = runpy.run_path(path)
    except ScalingError:
        raise
    except (Exception, SystemExit) as error:
        raise ScalingError(
            f"{path} cannot be run: {type(error).__name__}: {error}; expected a Python "
            "file that declares one Formula (scaling.analysis.formula)"
        ) from error
    laws = {id(each): each for each in names.values() if isinstance(each, Formula)}
    declared = [each for each in laws.values() if each.name not in LAWS]
    if len(declared) != 1:
        raise ScalingError(
            f"{path} declares {len(declared)} laws of its own; expected one "
            "scaling.Formula with a name that is not taken"
        )
    return declared[0]
