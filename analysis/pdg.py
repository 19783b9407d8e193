"""Round a value and its error together, by the rule of the Particle Data Group.

The three leading digits of the error decide (Review of Particle Physics, Introduction,
section 5.3): 100 to 354 keeps two digits, 355 to 949 keeps one, 950 to 999 becomes 1000
and keeps two. The value is given to the same decimal place.
"""

from __future__ import annotations

import math

SMALLEST, LARGEST = -5, 7
"""Powers of ten from which, and up to which, numbers are written out."""


def plus_minus(value: float, error: float) -> str:
    """Write a value with its standard error.

    >>> plus_minus(0.827, 0.119), plus_minus(0.827, 0.367), plus_minus(1.5, 0.0096)
    ('0.83 ± 0.12', '0.8 ± 0.4', '1.500 ± 0.010')

    Without an error (NaN, or no more than rounding), the value has four digits:

    >>> plus_minus(0.56, math.nan)
    '0.56'

    Very large and very small ones have a power of ten:

    >>> plus_minus(3.21e-13, 4e-14)
    '(3.2 ± 0.4)e-13'
    """
    if not math.isfinite(error) or error <= 1e-9 * abs(value):
        return f"{value:.4g}"
    size = math.floor(math.log10(max(abs(value), error)))
    if not SMALLEST <= size < LARGEST:
        inner = plus_minus(value / 10.0**size, error / 10.0**size)
        return f"({inner})e{size:+03d}"
    error, places = _rounded(error)
    if places >= 0:
        return f"{value:.{places}f} ± {error:.{places}f}"
    return f"{round(value, places):.0f} ± {error:.0f}"


def _rounded(error: float) -> tuple[float, int]:
    """Round an error; give the number of decimal places that it keeps."""
    exponent = math.floor(math.log10(error))
    leading = round(error / 10.0 ** (exponent - 2))
    if leading >= 950:
        error, exponent, digits = 10.0 ** (exponent + 1), exponent + 1, 2
    else:
        digits = 2 if leading < 355 else 1
    places = digits - 1 - exponent
    return round(error, places), places
