"""The words of the report: symbols explained, and formulas set as a page does."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

GLOSSARY = {
    "C": "Compute: floating-point operations (FLOPs) spent on training a run.",
    "D": "Data: tokens that a run was trained on, each time it saw them.",
    "U": "Unique data: different tokens that there were to train on.",
    "V": "Codebook size: how many different codes the tokenizer knows. A token is one "
    "of them.",
    "N_nv": "Non-vocabulary parameters: weights of the transformer's blocks, without "
    "the table of codes.",
    "N_v": "Vocabulary parameters: weights of that table, V times the model's width.",
    "N": "Parameters, all together.",
    "L_u": "Normalised test loss: how much better (below 0) the model foretells the "
    "next token of unseen data than the frequency of the codes alone, in nats per "
    "token. Lower is better.",
    "L": "Test loss: cross-entropy of the next token of unseen data, in nats per "
    "token. Lower is better.",
    "N*, V*, D*": "A star marks the best value at a given compute: the one that the "
    "laws say reaches the lowest loss.",
    "Envelope": "The best runs: those that no run of less or equal compute beats.",
    "95 % interval": "Where the truth is expected in 95 of 100 such studies, if the "
    "law has the right form. That of a new run is wider: runs scatter about the law.",
    "Extrapolated": "Outside the compute of the runs that the law was fitted to.",
    "Held out": "Runs kept from the fit, to see whether the law foretells them.",
}
"""Symbols and words, each for a reader who knows none of them."""

_MARKS = (
    (r"(?<![\w.)/-])-(?=\d)", "−"),
    (r"\b([A-Z])_(nv|v|u)\b(?!=)", r"\1<sub>\2</sub>"),
    (r"(?<![\w.])(\d+(?:\.\d+)?)e\+?(-?)0*(\d+)(?![\w.])", r"\1×10<sup>\2\3</sup>"),
    (r"(?:\^|\*\*)(alpha|beta)(\d?)\b", r"<sup>\1\2</sup>"),
    (r"(?<!>)\b(alpha|beta|A)([12])\b(?!=)", r"\1<sub>\2</sub>"),
    (r"\^\(([^()]*)\)", r"<sup>\1</sup>"),
    (r"\^([-−]?\d+(?:\.\d+)?)", r"<sup>\1</sup>"),
    (r"<sup>-", "<sup>−"),
    (r"\balpha(?![a-z=])", "α"),
    (r"\bbeta(?![a-z=])", "β"),
)


def formulas(text: str) -> Markup:
    """Set symbols and powers as a page does.

    >>> formulas("N_nv ~ C^0.5 <")
    Markup('N<sub>nv</sub> ~ C<sup>0.5</sup> &lt;')
    >>> formulas("A1 / N_nv^alpha1 + beta")
    Markup('A<sub>1</sub> / N<sub>nv</sub><sup>α1</sup> + β')
    >>> formulas("--bound alpha=0:5")
    Markup('--bound alpha=0:5')
    >>> formulas("3e12 FLOPs, -1.3e+09")
    Markup('3×10<sup>12</sup> FLOPs, −1.3×10<sup>9</sup>')
    """
    written = str(escape(text))
    for pattern, mark in _MARKS:
        written = re.sub(pattern, mark, written)
    return Markup(written)


def set_html(html: str) -> Markup:
    """Set the formulas of a piece of HTML that has no numbers in its tags.

    >>> set_html("<b>N_v</b><pre>N_v</pre>")
    Markup('<b>N<sub>v</sub></b><pre>N_v</pre>')
    """
    parts = re.split(r"(<pre>.*?</pre>)", html, flags=re.DOTALL)
    done = [p if p.startswith("<pre>") else formulas(Markup(p)) for p in parts]
    return Markup("".join(done))
