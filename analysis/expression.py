"""A formula's text as an expression, and nothing else that a text could do.

Formulas come from people and from files that others wrote, so a text is never run: it
is read as Python reads it, and only arithmetic, known functions and names are taken.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import sympy as sp

from scaling.errors import ScalingError

FUNCTIONS: dict[str, Callable[..., sp.Expr]] = {
    "exp": sp.exp,
    "log": sp.log,
    "log10": lambda x: sp.log(x) / sp.log(10),
    "sqrt": sp.sqrt,
    "Min": sp.Min,
    "Max": sp.Max,
}
"""What a formula may call; log is natural."""


def _power(base: sp.Expr, exponent: sp.Expr) -> sp.Expr:
    if base.is_number and exponent.is_number:
        # Exact powers of numbers would be worked out to the last of their digits.
        return sp.Float(float(base) ** float(exponent))
    return base**exponent


OPERATORS: dict[type[ast.operator], Callable[[Any, Any], sp.Expr]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: _power,
}
LONGEST = 1_000
"""Characters of a formula."""


@lru_cache(maxsize=256)
def parse(text: str) -> sp.Expr:
    """Read an expression in Python's spelling.

    Raises
    ------
    ScalingError
        If it holds anything but numbers, names, + - * / ** and `FUNCTIONS`.

    >>> parse("E + A / N**alpha").free_symbols == set(names("E", "A", "N", "alpha"))
    True
    """
    try:
        if len(text) > LONGEST:
            raise ValueError(f"it has more than {LONGEST} characters")
        return _build(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, TypeError, ValueError, RecursionError, ArithmeticError) as e:
        reason = e.msg if isinstance(e, SyntaxError) else str(e)
        raise ScalingError(
            f"the formula {text[:80]!r} cannot be read: {reason}; expected Python's "
            f"spelling, such as E + A / N**alpha, with {', '.join(FUNCTIONS)}"
        ) from e


def names(*words: str) -> tuple[sp.Symbol, ...]:
    """Give the symbols of names, as `parse` does."""
    return tuple(sp.Symbol(word, real=True) for word in words)


def _build(node: ast.expr) -> sp.Expr:
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](_build(left), _build(right))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_build(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _build(operand)
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float() as number):
            return sp.sympify(number)
        case ast.Name(id=name) if name not in FUNCTIONS:
            return names(name)[0]
        case ast.Call(func=ast.Name(id=name), args=given, keywords=[]):
            if name in FUNCTIONS:
                return FUNCTIONS[name](*map(_build, given))
    raise ValueError(f"it holds {ast.unparse(node)[:40]!r}")
