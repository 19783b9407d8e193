"""Numbers and times as a person says them; imports nothing."""

from __future__ import annotations


def plain(value: float, digits: int = 2) -> str:
    """Write a number without padding in its power of ten.

    >>> plain(2.98e12), plain(10.0), plain(2.98e12, 3)
    ('3e12', '10', '2.98e12')
    """
    return f"{value:.{digits}g}".replace("e+0", "e").replace("e+", "e")


def short(value: float) -> str:
    """Write a count.

    >>> short(1_250_880), short(296_658), short(1600), short(2.5e13)
    ('1.25M', '297k', '1,600', '2.5e13')
    """
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if max(unit, 1e4) <= value < 1e12:
            return f"{value / unit:.3g}{letter}"
    return f"{value:,.0f}" if 100 <= value < 1e4 else plain(value)


def duration(seconds: float) -> str:
    """Say a time as a person would.

    >>> duration(42), duration(200), duration(9000), duration(1e6)
    ('42 s', '3 min', '2.5 h', '12 days')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h"
    days = seconds / 86400
    return f"{days:,.0f} days" if days < 1000 else f"{days / 365.25:,.0f} years"
