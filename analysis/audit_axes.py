"""What the paper's axes hold: the units of N, V, D and C, and what its figures show."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from scaling.analysis.audit_claim import Claim, Number, judge, plainly
from scaling.analysis.audit_points import (
    best,
    beyond_the_plot,
    curves,
    data_rule,
    drawn,
    frontier,
    minima,
)
from scaling.analysis.reference import NOMINAL_PARAMS, load, records
from scaling.analysis.study import fit as fit_study
from scaling.models.flops import (
    PAPER_CONTEXT,
    TRAINING_FACTOR,
    Architecture,
    openai,
)
from scaling.models.levels import DOWNSAMPLING, LEVELS, codebook_size
from scaling.models.sizes import PAPER_SIZES

TOPIC = "The axes"
TRAINING_SHARE = 0.8
"""Of the sequences are for training (Sec. 5.1)."""
READ = 1e-4
"""Relative error within which points read off a figure are a formula's."""


def claims() -> Iterator[Claim]:
    """Lay what the axes are called beside what they hold."""
    yield _points()
    yield _parameters()
    yield _table_1()
    yield _compute()
    yield _data()
    yield _codebooks()
    yield _levels()
    yield _names()
    yield _isoflop()
    yield _undrawn()
    yield _twice_logarithmic()


def _error(values: pd.Series[float], formula: pd.Series[float]) -> float:
    return float(np.abs(values / formula - 1).max())


def _points() -> Claim:
    """Select the points of the laws from all evaluations."""
    study, printed = fit_study(records()), load("frontier19")
    pairs = zip(study.frontier["size"], study.frontier["V"], strict=True)
    same = list(pairs) == list(zip(printed["model"], printed["vocab"], strict=True))
    return Claim(
        name="selection",
        topic=TOPIC,
        where="Figs. 3b, 7",
        says="the laws rest on the runs with the lowest loss for their compute",
        found=(plainly("points", "running minimum", len(study.frontier)),),
        finding=f"Each run's best evaluation, in order of compute, kept if it is lower "
        f"than all before: {len(study.frontier)} of {len(study.minima)} runs, "
        f"{'the same and in the same order as' if same else 'not those of'} Fig. 3b.",
        verdict=judge(same),
        command="scaling fit scamo",
    )


def _parameters() -> Claim:
    """Tell parameters from FLOPs per token."""
    read, own = drawn().set_index("size"), best().set_index("size")
    flops = _error(read["N_nv"], own["N_nv"])
    # One of the six is not drawn at its best codebook: the median leaves it out.
    vocabulary = read["N_v"] / own["n_v"]
    size = read["N_nv"] / read["n_nv"]
    return Claim(
        name="units",
        topic=TOPIC,
        where="Sec. 4.3",
        says="N_nv and N_v are numbers of parameters, N_v = V d",
        found=(
            plainly("N_v / (V d)", "Fig. 3a, median", vocabulary.median()),
            plainly("N_nv / (12 L d^2)", "Fig. 3a, median", size.median()),
            plainly("relative error of 4 d + 24 L d^2 + 402 L d", "Fig. 3a", flops),
        ),
        finding="The figures hold forward FLOPs per token, twice as much: N_nv = 4 d + "
        f"24 L d^2 + 2 L {PAPER_CONTEXT} d and N_v = 2 d V, to the digits that can be "
        "read.",
        verdict=judge(abs(vocabulary.median() - 1) < READ),
    )


def _table_1() -> Claim:
    """Count forward FLOPs with the feed-forward row as the supplementary prints it."""
    table = beyond_the_plot(curves())
    counted = _forward(table)
    # The row is printed as 2 L x 2 d_ff, without the factor d.
    L, d = table["L"], table["d"]
    as_printed = counted - 16 * L * d**2 + 16 * L * d
    plotted = table["C"] / (TRAINING_FACTOR * data_rule(table) + PAPER_CONTEXT)
    ratio = as_printed / plotted
    return Claim(
        name="feed-forward",
        topic=TOPIC,
        where="supp. Table 1",
        says="the feed-forward costs 2 L x 2 d_ff FLOPs per token",
        found=(
            plainly("share of the plotted FLOPs, least", "as printed", ratio.min()),
            plainly("share of the plotted FLOPs, most", "as printed", ratio.max()),
            plainly("relative error, most", "with d", _error(counted, plotted)),
        ),
        finding="The printed row lost the factor d_model: as it stands it gives too "
        "little. With it all evaluations of Fig. 2 cost what is plotted.",
        verdict=judge(_error(as_printed, plotted) < READ),
        command="scaling flops --size 44M --codebook 256",
    )


def _forward(table: pd.DataFrame) -> pd.Series[float]:
    """Count forward FLOPs per token of each model by the paper's Code 1."""
    flops = [
        float(openai(Architecture(size=PAPER_SIZES[size], codebook_size=V)))
        for size, V in zip(table["size"], table["V"], strict=True)
    ]
    return pd.Series(flops, index=table.index)


def _compute() -> Claim:
    """Compare compute with C = 6 N D."""
    points, table = frontier(), curves()
    plotted = points["C"] / ((points["N_nv"] + points["N_v"]) * points["D"])
    six = points["C"] / ((points["n_nv"] + points["n_v"]) * points["D"])
    forward = _forward(table)
    every = _error(table["C"], forward * (TRAINING_FACTOR * table["D"] + PAPER_CONTEXT))
    return Claim(
        name="compute",
        topic=TOPIC,
        where="Eq. 7",
        says="C = 6 N D",
        printed=("6",),
        found=(
            Number(
                quantity="C / (N D)",
                how="N = 12 L d^2 + V d; least and most of 19",
                value=float(six.median()),
                low=float(six.min()),
                high=float(six.max()),
            ),
            Number(
                quantity="C / (N D)",
                how="N as plotted; least and most of 19",
                value=float(plotted.median()),
                low=float(plotted.min()),
                high=float(plotted.max()),
            ),
            plainly("error of f (3 D + 201)", "1,041 of Fig. 2", every),
        ),
        finding="C is 3 times the forward FLOPs of the data, f the FLOPs of a token. "
        "In the plotted unit that is 3 (N_nv + N_v) D, in parameters 6 N D and a "
        "little more for attention.",
        verdict=judge(abs(six.median() / 6 - 1) < 0.05),
    )


def _data() -> Claim:
    """Show that D is evaluations times a factor of the model's name."""
    points, corpus = frontier(), load("table5_motionunion")
    error = _error(points["D"], data_rule(points))
    table = curves()
    from_compute = (table["C"] / _forward(table) - PAPER_CONTEXT) / TRAINING_FACTOR
    frames, sequences = corpus["frames"].sum(), corpus["sequences"].sum()
    star = points.iloc[-1]
    epochs = star["seen"] / (TRAINING_SHARE * sequences)
    tokens = star["seen"] * frames / sequences / DOWNSAMPLING
    return Claim(
        name="data",
        topic=TOPIC,
        where="Eqs. 7, 13, Fig. 7c",
        says="D is the number of training tokens",
        found=(
            plainly("relative error of the rule", "19 of Fig. 7c", error),
            plainly(
                "relative error of the rule",
                "1,041 of Fig. 2",
                _error(from_compute, data_rule(table)),
            ),
            plainly("D of the star", "Fig. 7c", star["D"]),
            plainly("tokens of the star", "if k x 128,000 are sequences", tokens),
            plainly("epochs of the star", "if k x 128,000 are sequences", epochs),
        ),
        finding="D is k x 128,000 x N_nominal / 44e6 at evaluation k of any run: it "
        "was made to grow with the model. What all runs saw alike is k x 128,000, it "
        "seems sequences.",
        verdict=judge(error > READ),
        command="scaling fit scamo",
    )


def _codebooks() -> Claim:
    """Compare codebooks with the products of their levels."""
    used = sorted(set(curves()["V"]))
    codes = {V: codebook_size(LEVELS[V]) for V in used}
    ratio = pd.Series({V: n / V for V, n in codes.items()})
    off = 100 * (ratio - 1)
    numbers = [plainly(f"codes of {V}", "levels", n) for V, n in codes.items()]
    return Claim(
        name="codebooks",
        topic=TOPIC,
        where="Figs. 2, 8; supp. Table 6",
        says="codebooks have 2^8 to 2^16 codes",
        printed=tuple(map(str, used)),
        found=(plainly("largest deviation, %", "levels", off.abs().max()), *numbers),
        finding=f"The levels of the supplementary give {(ratio == 1).sum()} of "
        f"{len(used)} of them exactly; the others are off by {off.min():.1f} to "
        f"{off.max():+.1f} %. FLOPs, N_v and axes use the powers of two.",
        verdict=judge((ratio == 1).all()),
        command="scaling plot scamo --figure table6",
    )


def _levels() -> Claim:
    """Check the rule of the levels."""
    table = load("table6_fsq_levels")
    least = table["levels"].str.split().map(lambda levels: min(map(int, levels)))
    below = table.loc[least < 5]
    named = ", ".join(f"2^{r.target_bits} has {r.levels}" for r in below.itertuples())
    return Claim(
        name="levels",
        topic=TOPIC,
        where="text, supp. Table 6",
        says="every level is at least 5",
        printed=("5",),
        found=(plainly("least level", "supp. Table 6", least.min()),),
        finding=f"Of {len(table)} sets {len(below)} has a lower one: {named}.",
        verdict=judge(below.empty),
        command="scaling plot scamo --figure table6",
    )


def _names() -> Claim:
    """Compare the models' names with their parameters."""
    shapes = beyond_the_plot(
        pd.DataFrame({"size": list(NOMINAL_PARAMS), "V": 2**14})
    ).set_index("size")
    total = shapes["built_nv"] + 2 * shapes["built_v"]
    ratio = total / pd.Series(NOMINAL_PARAMS)
    return Claim(
        name="names",
        topic=TOPIC,
        where="Figs. 2, 3, 8",
        says="the models have 44M, 111M, 343M, 775M, 1B and 3B parameters",
        found=tuple(
            plainly("parameters over name", f"{name} as built, 2^14", ratio[name])
            for name in reversed(NOMINAL_PARAMS)
        ),
        finding="With 2^14 codes they nearly do, but for "
        + " and ".join(
            f"{k} ({v:.2f} of its name)" for k, v in ratio.items() if abs(v - 1) > 0.1
        )
        + "; Table 1 prints 1.4B, all else 1B. The plotted D is scaled by the names.",
        verdict=judge((abs(ratio - 1) < 0.1).all()),
    )


def _isoflop() -> Claim:
    """Ask whether Fig. 2 shows isoFLOP curves."""
    table = curves()
    runs = table.groupby(["size", "V"])
    last, lowest = (
        runs["k"].max(),
        table.loc[runs["L_u"].idxmin()].set_index(["size", "V"]),
    )
    early = (lowest["k"] < last).sum()
    rise = runs["L_u"].last() - lowest["L_u"]
    worst = rise.reset_index().iloc[rise.argmax()]
    grown = runs["C"].last() / runs["C"].first()
    return Claim(
        name="isoflop",
        topic=TOPIC,
        where="Fig. 2",
        says="the curves are isoFLOP curves",
        found=(
            plainly("growth of C along a curve", "Fig. 2, median", grown.median()),
            plainly("curves", "Fig. 2", runs.ngroups),
            plainly("lowest before their end", "Fig. 2", early),
            plainly(
                "most risen since, nats",
                f"{worst['size']} at V = {worst['V']}",
                rise.max(),
            ),
        ),
        finding="They are training curves: along each, size and codebook stay and "
        f"compute grows {grown.median():.0f}-fold. "
        f"{early} of {runs.ngroups} are lowest before their end, so the points of all "
        "laws are those of early stopping on a schedule that goes on.",
        verdict=judge((grown < 1.1).all()),
        command="scaling plot scamo --figure figure2",
    )


def _undrawn() -> Claim:
    """Count the runs that are not drawn."""
    sizes = set(minima()["size"]) - set(curves()["size"])
    unknown = int(records().frame["flops"].isna().sum())
    return Claim(
        name="undrawn",
        topic=TOPIC,
        where="Fig. 2",
        says="the training curves of all models are shown",
        found=(
            plainly("runs drawn", "Fig. 2", curves().groupby(["size", "V"]).ngroups),
            plainly("runs without compute", "Figs. 2, 7, 8", unknown),
        ),
        finding=f"{', '.join(sizes)} is not drawn: two of its runs are in Fig. 7, the "
        f"other {unknown} have a loss (Fig. 8) but no compute.",
        verdict=judge(not sizes),
        command="scaling plot scamo --figure figure2",
    )


def _twice_logarithmic() -> Claim:
    """Say what the points cannot: how the ticks of Fig. 3b stand."""
    return Claim(
        name="fig3b-axis",
        topic=TOPIC,
        where="Fig. 3b",
        says="the axis of compute is logarithmic",
        finding="In the PDF its ticks draw together to the right: a logarithmic axis "
        "of log10 C, which bends the straight law. Points do not show it; we draw it "
        "once.",
        verdict="cannot be told",
        command="scaling plot scamo --figure figure3b",
    )
