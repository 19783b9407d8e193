"""A law of many rows as a declared object: its formula, its parameters, their bounds.

A `Formula` is what one would write on paper. Its gradient and its Hessian are derived
from the text, once, by sympy, and so is which parameters enter linearly; nothing about
a law is written twice. Inside, a scale parameter (A > 0) is carried as ln A and an
input as its logarithm, so that A / N**alpha is exp(ln A - alpha ln N).
"""

from __future__ import annotations

import keyword
import math
import numbers
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike, NDArray

from scaling.analysis.expression import FUNCTIONS, names, parse
from scaling.errors import ScalingError, suggestion

Array = NDArray[np.float64]
Bounds = tuple[float, float]

LARGEST_LOG = 690.0
"""Largest logarithm of a scale parameter: e^690 is 1e299."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One parameter of a law."""

    name: str
    """As the formula spells it."""
    meaning: str = ""
    """What it is, in a few words."""
    unit: str = ""
    """Unit, in those of the loss and the inputs, such as `nats N**alpha`."""
    floor: bool = False
    """What the loss tends to when all else grows, never below 0 for a plain loss."""
    scale: bool = False
    """Positive, and known by its order of magnitude: carried as its logarithm."""
    lower: float = -math.inf
    """Least value."""
    upper: float = math.inf
    """Greatest value."""
    starts: tuple[float, ...] = ()
    """Values to start from; a parameter that enters linearly needs none."""
    per: str = "1"
    """What the starts are multiples of, at the centre of the data: `D**b / N**a`."""

    def __post_init__(self) -> None:
        least = 0.0 if self.scale else -math.inf
        if not (self.lower < self.upper and self.upper > least):
            raise ScalingError(
                f"{self.name} cannot lie between {self.lower:g} and {self.upper:g}; "
                "expected the lower bound first"
                + (", and above 0" if self.scale else "")
            )

    @property
    def bounds(self) -> Bounds:
        """Bounds as the solver carries them; logarithms within what floats hold."""
        if not self.scale:
            return self.lower, self.upper
        low = math.log(self.lower) if self.lower > 0 else -LARGEST_LOG
        high = math.log(self.upper) if self.upper < math.inf else LARGEST_LOG
        return max(low, -LARGEST_LOG), min(high, LARGEST_LOG)


@dataclass(frozen=True, kw_only=True)
class Formula:
    """A scaling law before it meets data."""

    name: str
    """As `--law` spells it."""
    text: str
    """The loss as a function of inputs and parameters, in Python's spelling."""
    inputs: tuple[str, ...]
    """Symbols of the columns it needs, such as `("N", "D")`: positive quantities."""
    parameters: tuple[Parameter, ...]
    """All of its parameters."""
    arms: tuple[str, ...] = ()
    """Further inputs that are 0 or 1: which of two sets a row belongs to."""
    fixed: Mapping[str, float] = field(default_factory=dict)
    """Parameters held at a value."""
    tied: Mapping[str, str] = field(default_factory=dict)
    """Parameters that are set equal to another."""
    source: str = ""
    """Where the law was proposed."""

    def __post_init__(self) -> None:
        names = [p.name for p in self.parameters]
        _refuse_names(self.name, [*names, *self.all_inputs])
        for held in (*self.fixed, *self.tied, *self.tied.values()):
            self._parameter(held, "hold")
        used = {str(symbol) for symbol in parse(self.text).free_symbols}
        known = {*names, *self.all_inputs}
        for name in sorted(used - known):
            raise ScalingError(
                f"law {self.name}: its formula uses {name!r}, which is neither a "
                f"parameter nor an input; {suggestion(name, known)}"
            )
        for name in sorted(known - used):
            raise ScalingError(
                f"law {self.name}: {name!r} does not occur in its formula "
                f"{self.text!r}; use it or leave it out"
            )

    @property
    def all_inputs(self) -> tuple[str, ...]:
        """Inputs and arms."""
        return (*self.inputs, *self.arms)

    @property
    def free(self) -> tuple[Parameter, ...]:
        """The parameters that a fit determines."""
        held = {*self.fixed, *self.tied}
        return tuple(p for p in self.parameters if p.name not in held)

    def fix(self, values: Mapping[str, float]) -> Formula:
        """Hold parameters at values.

        Raises
        ------
        ScalingError
            If there is no such parameter, or the value lies outside its bounds.
        """
        for name, value in values.items():
            parameter = self._parameter(name, "fix")
            self._refuse_tied(name)
            low = max(parameter.lower, 0.0) if parameter.scale else parameter.lower
            number = isinstance(value, numbers.Real) and math.isfinite(value)
            inside = number and low <= value <= parameter.upper
            if not inside or (parameter.scale and value == 0):
                shown = f"{value:g}" if isinstance(value, numbers.Real) else repr(value)
                raise ScalingError(
                    f"{name} cannot be fixed at {shown} in law {self.name}; expected "
                    f"a number {'above' if parameter.scale else 'of at least'} "
                    f"{low:g} and at most {parameter.upper:g}"
                )
        return replace(self, fixed={**self.fixed, **values})

    def tie(self, pairs: Mapping[str, str]) -> Formula:
        """Set parameters equal to others.

        Raises
        ------
        ScalingError
            If there is no such parameter, or the other is itself tied or fixed.
        """
        for name, other in pairs.items():
            self._parameter(name, "tie")
            self._parameter(other, "tie")
            held = {*self.fixed, *self.tied, *pairs}
            if name == other or other in held or name in self.fixed:
                raise ScalingError(
                    f"{name} cannot be tied to {other} in law {self.name}; expected a "
                    "parameter that is neither fixed nor tied: tie to one that is free"
                )
        return replace(self, tied={**self.tied, **pairs})

    def bound(self, bounds: Mapping[str, Bounds]) -> Formula:
        """Replace the bounds of parameters.

        Raises
        ------
        ScalingError
            If there is no such parameter, or the lower bound is not the lower.
        """
        for name in bounds:
            self._parameter(name, "bound")
            self._refuse_tied(name)
        parameters = tuple(
            replace(p, lower=bounds[p.name][0], upper=bounds[p.name][1])
            if p.name in bounds
            else p
            for p in self.parameters
        )
        return replace(self, parameters=parameters)

    def _refuse_tied(self, name: str) -> None:
        if name in self.tied:
            other = self.tied[name]
            raise ScalingError(
                f"{name} is tied to {other} in law {self.name}; expected a parameter "
                f"of its own: hold {other}, or take a law without the tie"
            )

    def parameter(self, name: str) -> Parameter:
        """Find a parameter by its name."""
        return self._parameter(name, "give")

    def _parameter(self, name: str, verb: str) -> Parameter:
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        known = [parameter.name for parameter in self.parameters]
        raise ScalingError(
            f"law {self.name} has no parameter {name!r} to {verb}; its parameters are "
            f"{', '.join(known)}"
        )

    @property
    def compiled(self) -> Compiled:
        """Its functions for numpy, derived on first use."""
        ties = tuple(sorted(self.tied.items()))
        scales = tuple(p.name for p in self.parameters if p.scale)
        names = tuple(p.name for p in self.parameters)
        return _compile(self.text, self.all_inputs, self.arms, names, scales, ties)

    def written(self) -> str:
        """Write the formula for people: N^alpha, tied parameters put in.

        >>> from scaling.analysis.catalogue import LAWS
        >>> LAWS["chinchilla"].tie({"beta": "alpha"}).written()
        'E + A / N^alpha + B / D^alpha'
        """
        text = self.text.replace("**", "^").replace("*", "·")
        for name, other in self.tied.items():
            text = re.sub(rf"\b{name}\b", other, text)
        return text


@dataclass(frozen=True, kw_only=True, eq=False)
class Compiled:
    """A formula as functions of arrays; parameters as the solver carries them.

    theta has the shape (batch, parameters), inputs are logarithms of shape (rows,).
    """

    names: tuple[str, ...]
    """Parameters, in the order of theta."""
    scales: NDArray[np.bool_]
    """Which of them theta holds the logarithm of."""
    linear: tuple[int, ...]
    """Those that enter linearly, by position: all that are jointly linear."""
    _value: Callable[..., Any]
    _derivatives: Callable[..., list[Any]]
    _basis: Callable[..., list[Any]]
    pairs: tuple[tuple[int, int], ...]
    """Second derivatives that are not zero everywhere, by position."""

    def value(self, theta: Array, x: Sequence[Array]) -> Array:
        """Evaluate the law, shape (batch, rows)."""
        return self._shaped(self._value(*_columns(theta), *x), theta, x)

    def pointwise(self, theta: Sequence[Array], x: Sequence[Array]) -> Array:
        """Evaluate the law at one point for each set of parameters, shape (batch,)."""
        return np.asarray(np.broadcast_to(self._value(*theta, *x), x[0].shape), float)

    def derivatives(
        self, theta: Array, x: Sequence[Array]
    ) -> tuple[Array, Array, list[Array]]:
        """Evaluate the law, its gradient (batch, parameters, rows), and `pairs`."""
        found = self._derivatives(*_columns(theta), *x)
        count = len(self.names)
        gradient = np.empty((len(theta), count, len(x[0])))
        for j, column in enumerate(found[1 : 1 + count]):
            gradient[:, j] = column
        return self._shaped(found[0], theta, x), gradient, found[1 + count :]

    def basis(self, theta: Array, x: Sequence[Array]) -> tuple[Array, Array]:
        """Evaluate what stands beside each linear parameter, and the rest.

        Returns
        -------
        basis : Array, shape (batch, linear, rows)
        rest : Array, shape (batch, rows)
            The law is rest + sum of coefficient x basis.
        """
        rest, *found = self._basis(*_columns(theta), *x)
        basis = np.empty((len(theta), len(self.linear), len(x[0])))
        for k, column in enumerate(found):
            basis[:, k] = column
        return basis, self._shaped(rest, theta, x)

    def carried(self, values: ArrayLike) -> Array:
        """Turn parameters into theta."""
        theta = np.array(values, float)
        theta[..., self.scales] = np.log(theta[..., self.scales])
        return theta

    def plain(self, theta: Array) -> Array:
        """Turn theta into parameters."""
        values = np.array(theta, float)
        values[..., self.scales] = np.exp(values[..., self.scales])
        return values

    @staticmethod
    def _shaped(value: Any, theta: Array, x: Sequence[Array]) -> Array:
        shape = (len(theta), len(x[0]))
        return np.ascontiguousarray(np.broadcast_to(value, shape), dtype=float)


def _columns(theta: Array) -> list[Array]:
    return [theta[:, j : j + 1] for j in range(theta.shape[1])]


def _refuse_names(law: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ScalingError(
                f"law {law} declares {name!r} twice; expected each parameter and each "
                "input once: rename one"
            )
        if keyword.iskeyword(name) or name in FUNCTIONS or not name.isidentifier():
            raise ScalingError(
                f"law {law}: the formula cannot be read with the name {name!r}, which "
                "means something else to Python; rename it"
            )


@lru_cache(maxsize=64)
def _compile(
    text: str,
    inputs: tuple[str, ...],
    arms: tuple[str, ...],
    parameters: tuple[str, ...],
    scales: tuple[str, ...],
    ties: tuple[tuple[str, str], ...],
) -> Compiled:
    expression = parse(text)
    known = (*parameters, *inputs)
    symbol = dict(zip(known, names(*known), strict=True))
    expression = expression.subs({symbol[a]: symbol[b] for a, b in ties})
    logs = {symbol[n]: sp.exp(symbol[n]) for n in inputs if n not in arms}
    of_x = expression.subs(logs, simultaneous=True)
    tied = {name for name, _ in ties}
    linear = _linear([symbol[n] for n in parameters if n not in tied], of_x)
    carried = {symbol[n]: sp.exp(symbol[n]) for n in scales}
    law = of_x.subs(carried, simultaneous=True)
    zero = dict.fromkeys(linear, 0)
    basis = [of_x.subs(zero), *(sp.diff(of_x, c) for c in linear)]
    basis = [each.subs(carried, simultaneous=True) for each in basis]
    theta = [symbol[name] for name in parameters]
    gradient = [sp.diff(law, p) for p in theta]
    second = {
        (j, k): sp.diff(gradient[j], theta[k])
        for j in range(len(theta))
        for k in range(j + 1)
    }
    # A kink, as of Min, has no second derivative but at a point that no row is at.
    smooth = {k: each.replace(sp.DiracDelta, _zero) for k, each in second.items()}
    pairs = {pair: each for pair, each in smooth.items() if each != 0}
    arguments = [*theta, *(symbol[name] for name in inputs)]

    def numpy_of(expressions: Any) -> Callable[..., Any]:
        function: Callable[..., Any] = sp.lambdify(
            arguments, expressions, modules="numpy", cse=True
        )
        return function

    return Compiled(
        names=parameters,
        scales=np.array([name in scales for name in parameters]),
        linear=tuple(theta.index(c) for c in linear),
        _value=numpy_of(law),
        _derivatives=numpy_of([law, *gradient, *pairs.values()]),
        _basis=numpy_of(basis),
        pairs=tuple(pairs),
    )


def _zero(*_: sp.Expr) -> sp.Expr:
    return sp.Integer(0)


def _linear(candidates: Sequence[sp.Symbol], expression: sp.Expr) -> list[sp.Symbol]:
    """Find parameters that enter linearly, no two of them as a product."""
    found: list[sp.Symbol] = []
    for candidate in candidates:
        slope = sp.diff(expression, candidate)
        if not slope.has(candidate, *found):
            found.append(candidate)
    return found
