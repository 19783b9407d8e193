"""The built-in reference study: ScaMo's published points, read as any other records.

The curves of Fig. 2 (1,041 points of 35 runs, read off the vector figure), the two
frontier points of the 775M model from Fig. 7, and its remaining minima from Fig. 8, for
which no compute is known. The paper is arXiv 2412.14559. Its plotted units differ from
what the text says; `notes` tells where, with numbers derived from the data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pandas as pd

from scaling.analysis.envelope import best_codebooks, best_evaluations, envelope
from scaling.analysis.laws import Law, fit
from scaling.analysis.table import PublishedLaw, Quantity, Records

NOMINAL_PARAMS = {
    "44M": 44e6,
    "111M": 111e6,
    "343M": 343e6,
    "775M": 775e6,
    "1B": 1e9,
    "3B": 3e9,
}
"""The sizes' names as numbers: the figures' D grows in proportion to them."""

QUANTITIES = (
    Quantity.of("C", "flops"),
    Quantity(
        symbol="N_nv",
        column="non_vocab_flops_per_token",
        label="Non-vocabulary FLOPs per token N_nv",
    ),
    Quantity(
        symbol="N_v",
        column="vocab_flops_per_token",
        label="Vocabulary FLOPs per token N_v",
    ),
    Quantity(symbol="D", column="plotted_data", label="Training data D (as plotted)"),
    Quantity.of("V", "codebook_size"),
    Quantity.of("L_u", "normalised_loss"),
)


def load(name: str) -> pd.DataFrame:
    """Load one of the published tables, such as `frontier19`."""
    with (files("scaling.analysis") / "scamo" / f"{name}.csv").open() as file:
        return pd.read_csv(file)


def records() -> Records:
    """Give the reference study in the units that the paper plots.

    Returns
    -------
    Records
        1,041 evaluations of Fig. 2, two of Fig. 7, five minima of Fig. 8 whose
        compute, and so D, is not known (NaN).
    """
    rows = pd.concat(
        [load("fig2_training_curves"), _undrawn_model()], ignore_index=True
    )
    frame = pd.DataFrame(
        {
            "run": rows["model"] + "-" + rows["vocab"].astype(str),
            "size": rows["model"],
            "codebook_size": rows["vocab"],
            "non_vocab_flops_per_token": rows["Nnv_paper"],
            "vocab_flops_per_token": rows["Nv_paper"],
            "plotted_data": rows["D_paper"],
            "flops": rows["C_digitised"],
            "normalised_loss": rows["Lu"],
        }
    )
    study = Records(
        frame=frame,
        quantities={quantity.symbol: quantity for quantity in QUANTITIES},
        sources=("scamo",),
        published=published(),
    )
    return replace(study, notes=notes(study))


def _undrawn_model() -> pd.DataFrame:
    """Give the 775M model: its curves are not drawn, its minima are."""
    frontier = load("frontier19").query("model == '775M'")
    frontier = frontier.rename(columns={"C": "C_digitised"})
    minima = load("fig8_min_loss").query("model == '775M'")
    minima = minima[~minima["vocab"].isin(frontier["vocab"])]
    # Both plotted sizes are per token: N_nv is the model's, N_v = 2 d V.
    per_code = (frontier["Nv_paper"] / frontier["vocab"]).iloc[0]
    minima = minima.assign(
        Nnv_paper=frontier["Nnv_paper"].iloc[0], Nv_paper=per_code * minima["vocab"]
    )
    return pd.concat([frontier, minima])


def published() -> tuple[PublishedLaw, ...]:
    """Give the laws that the paper prints, with exactly its digits."""
    drawn = load("fig3a_nv_vs_nnv").query("kind != 'line'")
    drawn_points = tuple(zip(drawn["Nnv"], drawn["Nv"], strict=True))
    return (
        PublishedLaw(
            equation="Eq. 10",
            law="N_v(N_nv)",
            slope="1.467",
            intercept="-5.604",
            note="least squares on the six points as Fig. 3a draws them, star included",
            points=drawn_points,
        ),
        PublishedLaw(
            equation="Eq. 10",
            law="N_v(N_nv)",
            slope="1.467",
            intercept="-5.604",
            note="least squares on each size's best codebook, the figure's own rule",
        ),
        *_by_both(
            "Eq. 11", "N_v(C)", "0.75", "-5.29", ", which stops short of its minimum"
        ),
        *_by_both("Eq. 12", "N_nv(C)", "0.57", "-0.52", "; its digits are truncated"),
        *_by_both("Eq. 13", "D(C)", "0.43", "-0.05", ""),
        PublishedLaw(
            equation="Eq. 14",
            law="L_u(C)",
            slope="-1.062",
            intercept="13.839",
            note="least squares on the 19 frontier points",
        ),
    )


def _by_both(
    equation: str, law: str, slope: str, intercept: str, remark: str
) -> Iterator[PublishedLaw]:
    """Lay a law that the paper fits by Huber's objective beside both of ours."""
    for delta, note in (
        (math.inf, "least squares, where the paper has Huber's"),
        (1e-3, f"Huber's with delta 1e-3 in ln, as the paper{remark}"),
    ):
        yield PublishedLaw(
            equation=equation,
            law=law,
            slope=slope,
            intercept=intercept,
            note=note,
            delta=delta,
        )


def notes(study: Records) -> tuple[str, ...]:
    """Say where the paper contradicts itself, in numbers derived from its points."""
    points = study.points()
    minima = best_evaluations(points)
    drawn = load("fig3a_nv_vs_nnv").query("kind != 'line'")
    as_drawn, no_star = _size_law(drawn), _size_law(drawn.query("kind != 'largest'"))
    best = best_codebooks(minima)
    by_rule = fit("N_v(N_nv)", "power", best["N_nv"], best["N_v"])
    first = envelope(minima).iloc[0]
    smallest = best.iloc[0]
    unplaced = int(minima["C"].isna().sum())
    return (
        f"The {smallest['size']} point of Fig. 3a is drawn at V = {first['V']:.0f}, "
        f"first of the frontier; by the figure's own rule, each size's best codebook, "
        f"it is V = {smallest['V']:.0f}. The exponent of Eq. 10, {as_drawn.slope:.3f}, "
        f"becomes {by_rule.slope:.3f}.",
        f"The star of Fig. 3a, shown as a check, is in the fit of Eq. 10: without it "
        f"the exponent is {no_star.slope:.3f} and the intercept "
        f"{no_star.intercept:.3f}.",
        "D is not a token count: each plotted D is k x 128,000 x N_nominal / 44e6 for "
        f"evaluation k (to {_largest_data_error():.0e}), so the growth of D with "
        "the model, and with it the law D(C), is largely built in.",
        "N_nv and N_v as plotted are forward FLOPs per token, not parameters: "
        "N_nv = 4d + 24 L d^2 + 2 L 201 d and N_v = 2 d V, so that "
        f"C = {_compute_ratio(points):.3f} (N_nv + N_v) D.",
        "Eqs. 11 to 13 are not least squares but Huber fits, so least squares beside "
        "them differ by method, not by data; Eq. 11 is not at the minimum of its own.",
        "N_nv/D ~ C^1.325 and N_v/N_nv ~ C^1.315 in the text are quotients of "
        f"exponents (0.57/0.43, 0.75/0.57); the ratios grow as C^{0.57 - 0.43:.2f} "
        f"and C^{0.75 - 0.57:.2f}.",
        "The x axis of Fig. 3b is a log axis applied to log10 C, which bends its "
        "straight law; it is drawn here on an ordinary log axis.",
        f"The curves of 775M are not drawn in Fig. 2: two of its minima have compute "
        f"(Fig. 7), the other {unplaced} only a loss (Fig. 8), so that they cannot "
        "stand on the envelope.",
    )


def _size_law(drawn: pd.DataFrame) -> Law:
    return fit("N_v(N_nv)", "power", drawn["Nnv"], drawn["Nv"])


def _largest_data_error() -> float:
    """Compare the D of Fig. 7c with k x 128,000 x N_nominal / 44e6."""
    plotted = load("frontier19")
    scale = plotted["model"].map(NOMINAL_PARAMS) / 44e6
    expected = plotted["eval_index"] * 128_000 * scale
    return float(np.max(np.abs(plotted["D_paper"] / expected - 1)))


def _compute_ratio(points: pd.DataFrame) -> float:
    """Median of C / ((N_nv + N_v) D): 3 where training costs three forward passes."""
    ratio = points["C"] / ((points["N_nv"] + points["N_v"]) * points["D"])
    return float(ratio.median())
