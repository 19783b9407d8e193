"""The paper's tables against its figures and against what it says of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from scaling.analysis.audit_claim import Claim, Number, judge, per_doubling, plainly
from scaling.analysis.audit_points import curves
from scaling.analysis.laws import fit
from scaling.analysis.reference import load

TOPIC = "Tokenizers and data"
DATASETS = {"HML": "HumanML3D", "MU": "MotionUnion"}
COLUMN = {
    "L1": "l1_loss",
    "MPJPE": "mpjpe",
    "usage": "codebook_utilisation",
    "entropy": "exponential_entropy",
}
LAST_PLACE = {
    "HML_L1": 1e-3,
    "MU_L1": 1e-3,
    "HML_MPJPE": 1e-2,
    "MU_MPJPE": 1e-2,
    "HML_usage": 1e-2,
    "MU_usage": 1e-3,
    "HML_entropy": 1e-1,
    "MU_entropy": 1e-1,
}
"""Of Table 3, by panel of Fig. 6 (of the entropies, the last that the figure shows)."""


def claims() -> Iterator[Claim]:
    """Check what the paper says of tokenizers and of its data."""
    yield _fsq()
    yield _vq()
    yield _collapse()
    yield _figure_6()
    yield _millimetres()
    yield _corpus()
    yield _overfitting()
    yield _matching()


def _rows(quantizer: str, dataset: str) -> pd.DataFrame:
    table = load("table3_tokenizers")
    chosen = (table["quantizer"] == quantizer) & (table["dataset"] == dataset)
    return table[chosen].sort_values("codebook_size")


def _doubling(rows: pd.DataFrame, column: str, how: str) -> Number:
    law = fit("y(V)", "power", rows["codebook_size"], rows[column])
    words = {"l1_loss": "L1", "exponential_entropy": "entropy"}
    return per_doubling(law, how, f"{words[column]}, % per doubling of V")


def _fsq() -> Claim:
    """Ask whether FSQ improves with every step."""
    found, always = [], []
    for dataset in DATASETS.values():
        rows = _rows("FSQ", dataset)
        found.append(_doubling(rows, "l1_loss", f"FSQ, {dataset}"))
        always.append((np.diff(rows["l1_loss"]) < 0).all())
    found += [
        _doubling(_rows("FSQ", dataset), "exponential_entropy", f"FSQ, {dataset}")
        for dataset in DATASETS.values()
    ]
    falls = all(n.high is not None and n.high < 0 for n in found[:2])
    return Claim(
        name="fsq",
        topic=TOPIC,
        where="Fig. 6, supp. Table 3",
        says="FSQ goes on improving as its codebook grows",
        found=tuple(found),
        finding=f"L1 falls with every step on {sum(always)} of 2 data sets, and the "
        "codes in use keep pace: the entropy would double (+100 %) if all were used "
        "alike.",
        verdict=judge(falls and all(always)),
        command="scaling plot scamo --figure tokenizers",
    )


def _vq() -> Claim:
    """Find where VQ turns around."""
    found, turns = [], []
    for dataset in DATASETS.values():
        rows = _rows("VQ", dataset)
        lowest = rows["l1_loss"].min()
        best = rows.loc[rows["l1_loss"] == lowest, "codebook_size"].max()
        until = rows[rows["codebook_size"] <= best]
        found.append(_doubling(rows, "l1_loss", f"VQ, {dataset}, all"))
        found.append(_doubling(until, "l1_loss", f"VQ, {dataset}, up to {best}"))
        turns.append((dataset, best, rows["l1_loss"].iloc[-1] / lowest))
    rises = [
        plainly("L1 at the largest V over its least", f"VQ, {dataset}", times)
        for dataset, _, times in turns
    ]
    return Claim(
        name="vq",
        topic=TOPIC,
        where="Fig. 6, supp. Table 3",
        says="VQ stops improving, and gets worse, with large codebooks",
        found=(*rises, *found),
        finding="; ".join(
            f"{dataset}: L1 is lowest at {best} and {100 * (times - 1):.0f} % higher "
            "at the largest codebook"
            for dataset, best, times in turns
        )
        + ".",
        verdict=judge(all(times > 1 for *_, times in turns)),
        command="scaling plot scamo --figure tokenizers",
    )


def _collapse() -> Claim:
    """Ask whether VQ leaves codes unused, where figure and table differ."""
    both = compared()
    used = both[
        (both["measure"] == "codebook_utilisation") & (both["quantizer"] == "VQ")
    ]
    largest = used[used["codebook_size"] == used["codebook_size"].max()]
    found, said = [], []
    for row in largest.sort_values("dataset", ascending=False).to_dict("records"):
        quantity = f"share of {row['codebook_size']} codes in use, {row['dataset']}"
        found.append(plainly(quantity, "supp. Table 3", row["printed"]))
        found.append(plainly(quantity, "Fig. 6", row["drawn"]))
        said.append(
            f"{row['dataset']}: {100 * row['printed']:.0f} % are in use by the table, "
            f"{100 * row['drawn']:.0f} % by the figure."
        )
    differ = (largest["drawn"] - largest["printed"]).abs().max()
    return Claim(
        name="collapse",
        topic=TOPIC,
        where="Fig. 6",
        says="VQ leaves part of a large codebook unused",
        found=tuple(found),
        finding=" ".join(said),
        verdict=judge((largest["printed"] < 0.9).all())
        if differ < 0.01
        else "cannot be told",
        command="scaling plot scamo --figure tokenizers",
    )


# --- Figure 6 and Table 3 -------------------------------------------------------------


def compared() -> pd.DataFrame:
    """Lay every value of Fig. 6 (`drawn`) beside Table 3 (`printed`), in its unit."""
    figure = load("fig6_tokenizers").rename(columns={"tokenizer": "quantizer"})
    panel = figure["panel"].str.split("_", expand=True)
    figure = figure.assign(
        dataset=panel[0].map(DATASETS),
        measure=panel[1].map(COLUMN),
        codebook_size=figure["codebook"],
    )
    keys = ["quantizer", "dataset", "codebook_size"]
    table = load("table3_tokenizers").melt(
        keys, var_name="measure", value_name="printed"
    )
    both = figure.merge(table, on=[*keys, "measure"])
    # The figure counts codes in use, and has HumanML3D in millimetres as well.
    per = both["codebook_size"].where(both["measure"] == "codebook_utilisation", 1)
    per = per.mask(both["panel"] == "HML_MPJPE", 1000)
    return both.assign(drawn=both["value"] / per)


def differences() -> pd.DataFrame:
    """List the values of Fig. 6 that are off Table 3 by more than its last place."""
    both = compared()
    # Points are read to 4 digits, and the last place may be cut off.
    allowed = np.maximum(1.01 * both["panel"].map(LAST_PLACE), 1e-3 * both["printed"])
    return both[(both["drawn"] - both["printed"]).abs() > allowed]


def _figure_6() -> Claim:
    """Lay Fig. 6 beside Table 3."""
    differ = differences()
    shifted = differ[(differ["panel"] == "HML_L1") & (differ["quantizer"] == "FSQ")]
    table = _rows("FSQ", DATASETS["HML"])["l1_loss"].to_numpy()
    at_next = sum(bool((abs(table - v) < 5e-4).any()) for v in shifted["drawn"])
    other = differ.drop(shifted.index)
    said = [
        f"{r.quantizer} {r.panel} at {r.codebook_size}: {r.drawn:.5g} drawn, "
        f"{r.printed:.5g} printed"
        for r in other.itertuples()
    ]
    return Claim(
        name="fig6-table3",
        topic=TOPIC,
        where="Fig. 6, supp. Table 3",
        says="figure and table show the same measurements",
        found=(
            plainly("values that differ", f"of {len(compared())} drawn", len(differ)),
            plainly("of them FSQ's L1", "HumanML3D", len(shifted)),
        ),
        finding=f"FSQ's L1 on HumanML3D is drawn one codebook too early: {at_next} of "
        f"{len(shifted)} values stand in the table for the next. The others: "
        f"{'; '.join(said)}.",
        verdict=judge(differ.empty),
        command="scaling plot scamo --figure tokenizers --figure table3",
    )


def _millimetres() -> Claim:
    """Compare the units of MPJPE in the blocks of Table 3."""
    medians = {d: _rows("FSQ", d)["mpjpe"].median() for d in DATASETS.values()}
    times = max(medians.values()) / min(medians.values())
    return Claim(
        name="mpjpe",
        topic=TOPIC,
        where="supp. Table 3",
        says="both blocks have MPJPE in one unit",
        found=tuple(
            plainly("median MPJPE, FSQ", dataset, value)
            for dataset, value in medians.items()
        ),
        finding=f"One block is {times:.0f} times the other: HumanML3D is in metres, "
        "MotionUnion in millimetres.",
        verdict=judge(times < 10),
        command="scaling plot scamo --figure table3",
    )


# --- Data and scores ------------------------------------------------------------------


def _corpus() -> Claim:
    """Add Table 5 up."""
    table = load("table5_motionunion")
    frames, sequences = table["frames"].sum(), table["sequences"].sum()
    hours = {fps: frames / fps / 3600 for fps in (20, 30)}
    return Claim(
        name="corpus",
        topic=TOPIC,
        where="text, supp. Table 5",
        says="MotionUnion has 150k sequences, 30M frames and more than 260 hours",
        printed=("30e6", "150e3", "260"),
        found=(
            plainly("frames", "sum of Table 5", float(frames)),
            plainly("sequences", "sum of Table 5", float(sequences)),
            *(plainly("hours", f"at {fps} frames/s", h) for fps, h in hours.items()),
        ),
        finding=f"The table has {100 * (1 - frames / 30e6):.0f} % fewer frames; its "
        f"hours are {hours[30]:.0f} or {hours[20]:.0f}, by the frames of a second.",
        verdict=judge(abs(frames / 30e6 - 1) < 0.05),
        command="scaling plot scamo --figure table5",
    )


def _overfitting() -> Claim:
    """Find which model overfits a small codebook."""
    runs = curves().query("V == 256").groupby("size")["L_u"]
    rise = (runs.last() - runs.min()).sort_values()
    return Claim(
        name="overfitting",
        topic=TOPIC,
        where="supp., on overfitting",
        says="a small codebook and a large model (44M) overfit",
        printed=("44M",),
        found=tuple(
            plainly("rise of L_u, nats", f"{size} at V = 256", value)
            for size, value in rise[::-1].items()
        ),
        finding=f"44M is the smallest, and rises least: {rise['44M']:.2f} nats from "
        f"its lowest to its end. {rise.index[-1]} rises by {rise.iloc[-1]:.2f}.",
        verdict=judge(rise.index[-1] == "44M"),
        command="scaling plot scamo --figure figure2",
    )


def _matching() -> Claim:
    """Ask which direction of the matching score is the better."""
    table = load("table4_generation")
    ranks = table[["matching_score", "r_precision_top1", "fid"]].rank()
    found = tuple(
        _correlation(ranks["matching_score"], ranks[column], name, len(table))
        for column, name in (("r_precision_top1", "R-precision"), ("fid", "FID"))
    )
    return Claim(
        name="matching",
        topic=TOPIC,
        where="Table 2",
        says="a higher matching score is better (arrow up)",
        found=found,
        finding="Over the 42 models of the supplementary's Table 4 it falls as "
        "R-precision rises: it is a distance, and lower is better.",
        verdict=judge(found[0].value > 0),
        command="scaling plot scamo --figure table4",
    )


def _correlation(x: pd.Series[float], y: pd.Series[float], name: str, n: int) -> Number:
    """Correlate ranks, with Fisher's interval (Bonett and Wright 2000 for ranks)."""
    r = float(np.corrcoef(x, y)[0, 1])
    half = 1.96 * np.sqrt((1 + r**2 / 2) / (n - 3))
    low, high = np.tanh(np.arctanh(r) + np.array([-half, half]))
    quantity = f"rank correlation with {name}"
    return Number(
        quantity=quantity, how=f"{n} models", value=r, low=float(low), high=float(high)
    )
