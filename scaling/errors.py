"""The one exception that a user's mistake raises; the command line prints it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ScalingError(ValueError):
    """A mistake in the input: what was wrong, what was expected, what to do."""


def plain(error: OSError | ScalingError) -> str:
    """Say an error in one line, with the file where there is one.

    >>> plain(FileNotFoundError(2, "No such file or directory", "losses.csv"))
    'losses.csv: No such file or directory'
    """
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return str(error)


def suggestion(word: str, known: Iterable[str]) -> str:
    """Say which known word was probably meant, or list them all.

    >>> suggestion("codebook", ["codebooks", "width"])
    "did you mean 'codebooks'?"
    >>> suggestion("zzz", ["codebooks", "width"])
    'known: codebooks, width'
    """
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(names)}"
