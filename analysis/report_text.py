"""The words of the report: symbols explained, and formulas set as a page does."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

GLOSSARY = {
    "C": "Compute: floating-point operations (FLOPs) spent on training a run.",
    "D": "Data: tokens that a run was trained on, each time it saw them.",
    "U": "Unique data: different tokens that there were to train on. D / U is the "
    "number of epochs.",
    "V": "Codebook size: how many different codes the tokenizer knows. A token is one "
    "of them. A nominal V is the power of two that names a codebook; the real one may "
    "be smaller.",
    "N_nv": "Non-vocabulary parameters: weights of the transformer's blocks, without "
    "the table of codes.",
    "N_v": "Vocabulary parameters: weights of that table, V times the model's width.",
    "N": "Parameters, all together: N_nv, N_v, and besides the head and what reads "
    "captions.",
    "L_u": "Normalised test loss: the loss on unseen data less that of guessing by how "
    "frequent each code is, in nats per token; 0 is no better, lower is better.",
    "L": "Test loss: cross-entropy of the next token of unseen data, in nats per "
    "token. Lower is better.",
    "N*, V*, D*": "A star marks the best value at a given compute: the one that the "
    "laws say reaches the lowest loss.",
    "Evaluation": "One measurement of a run's test loss as it was being trained; a row "
    "of the records is one evaluation.",
    "Envelope": "The best runs: those that no run of less or equal compute beats. Laws "
    "of the envelope go through these alone.",
    "Interval of the law": "Where the law itself would lie in 95 of 100 such studies, "
    "if it has the right form.",
    "Interval of one run": "Where a single new run is expected in 95 of 100 cases. It "
    "is wider: runs scatter about the law.",
    "R²": "Share of the variance of the points that a law explains: 1 is all of it.",
    "Extrapolated": "Outside the compute of the runs that the law was fitted to.",
    "Hold-out": "Runs kept from the fit, to see whether the law predicts them.",
    "FSQ": "Finite scalar quantization: a tokenizer that rounds a few numbers to a few "
    "levels each; every combination of levels is a code.",
    "Utilisation": "Share of the codebook's codes that test data use at all.",
    "Exponential entropy": "e to the entropy of the codes: how many codes, all equally "
    "frequent, would be as varied.",
    "L1": "Mean absolute error of a reconstruction, in normalised features.",
    "MPJPE": "Mean per-joint position error: how far reconstructed joints lie from the "
    "real ones, on average, in millimetres.",
    "ScaMo": "The paper whose laws, names and figures this follows: ScaMo, Exploring "
    "the Scaling Law in Autoregressive Motion Generation Model (2024).",
    "openai, matmul, 6nd": "Conventions of counting FLOPs: ScaMo's own; every matrix "
    "product that is run; six times parameters times tokens.",
}
"""Symbols and words, each for a reader who knows none of them."""
TITLES = {
    "figure2": "Training curves",
    "figure3a": "Best codebook against model",
    "figure3b": "Test loss against compute",
    "figure7a": "Vocabulary parameters against compute",
    "figure7b": "Non-vocabulary parameters against compute",
    "figure7c": "Training data against compute",
    "figure8": "Lowest test loss against codebook size",
    "data": "What the corpus is made of",
    "tokenizers": "Tokenizers by codebook size",
    "optima": "Best sizes and data against compute",
    "isoflop": "Loss against size at equal compute",
    "surface": "Loss over model size and codebook size",
    "fit": "The law over its rows",
    "residuals": "What the law leaves over",
    "extrapolation": "Error of predictions by how far they reach",
    "profiles": "How well the rows determine the law",
    "verification": "A prediction put to the test",
    "conventions": "FLOPs conventions side by side",
    "learning": "Learning curves",
    "cost": "Throughput and cost",
    "table3": "Scores of tokenizers",
    "table4": "Scores of generated motion",
    "table5": "Sources of the corpus",
    "table6": "FSQ levels by codebook size",
}
"""What figures and tables show, said also where they cannot be made."""

_MARKS = (
    (r"(?<![\w.)/-])-(?=\d)", "−"),
    (r"\b([A-Z])_(nv|v|u)\b(?!=)", r"\1<sub>\2</sub>"),
    (r"(?<![\w.])(\d+(?:\.\d+)?)e\+?(-?)0*(\d+)(?!\w|\.\d)", r"\1×10<sup>\2\3</sup>"),
    (r"(?:\^|\*\*)(alpha|beta)(\d?)\b", r"<sup>\1\2</sup>"),
    (r"(?<!>)\b(alpha|beta|A)([12])\b(?!=)", r"\1<sub>\2</sub>"),
    (r"\^\(([^()]*)\)", r"<sup>\1</sup>"),
    (r"\^([-−]?\d+(?:\.\d+)?)", r"<sup>\1</sup>"),
    (r"<sup>-", "<sup>−"),
    (r"\bR2\b", "R²"),
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
    >>> formulas("from 3.5e+11 to 3.5e11.")
    Markup('from 3.5×10<sup>11</sup> to 3.5×10<sup>11</sup>.')
    """
    written = str(escape(text))
    for pattern, mark in _MARKS:
        written = re.sub(pattern, mark, written)
    return Markup(written)


def titled(name: str) -> str:
    """Say what a figure or table shows, with its name; a section as it is.

    >>> titled("table4"), titled("Motions")
    ('Scores of generated motion (table4)', 'Motions')
    """
    return f"{TITLES[name]} ({name})" if name in TITLES else name


def set_html(html: str) -> Markup:
    """Set the formulas of a piece of HTML that has no numbers in its tags.

    >>> set_html("<b>N_v</b><pre>N_v</pre>")
    Markup('<b>N<sub>v</sub></b><pre>N_v</pre>')
    """
    parts = re.split(r"(<pre>.*?</pre>)", html, flags=re.DOTALL)
    done = [p if p.startswith("<pre>") else formulas(Markup(p)) for p in parts]
    return Markup("".join(done))
