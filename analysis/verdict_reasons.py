"""Why to believe what a study comes to, what speaks against it, what would help."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd

from scaling.analysis.holdout import hold_out
from scaling.analysis.laws_file import Laws
from scaling.analysis.layout import count
from scaling.analysis.material import Material
from scaling.analysis.outlook import fitted_range
from scaling.analysis.prediction import FAR, Prediction, predict_budget
from scaling.analysis.study import Study
from scaling.analysis.study import fit as fit_envelope
from scaling.analysis.tested import by_its_law, misses, support
from scaling.errors import ScalingError
from scaling.words import duration, plain, short

HELD_OUT = 0.2
"""Share of the points that the check of the laws is made on, where none was asked."""
REPEATED = 4.0
"""Epochs from which repeated data are worth clearly less than new ones (Muennighoff et
al., arXiv 2305.16264)."""
REMEDIES: Mapping[tuple[str, ...], str] = {
    ("MOST DATA TRIED", "LEAST DATA TRIED", "VALUES OF D"): "Train the best sizes for "
    "longer, at more values of D: where the longest run wins, a longer one may too",
    ("CODEBOOK NOT TRIED",): "Keep to the codebooks that were tried, or train one as "
    "large on the sizes that there are first",
    ("AT THE EDGE", "LARGEST SIZE", "SMALLEST SIZE"): "Widen the grid where the best "
    "lies at its edge: larger or smaller codebooks and models",
    (
        "LOW R2",
        "DISTINGUISHABLE",
        "NOT DETERMINED",
        "UNBOUNDED",
        "FEW",
    ): "Add sizes and "
    "codebooks between and beyond those tried, over a wider range of compute",
    ("ONE SEED",): "Train the best runs again with a second seed (seeds: [0, 1]): that "
    "shows how far chance alone moves a loss",
    ("REPEATED DATA",): "Get more unique data before a longer run",
    (
        "HELD-OUT",
        "DELTA DECIDES",
        "JOINT LAW",
        "PREDICTION MISSED",
    ): "Look at the residuals: a law may have the wrong form here",
}
"""What to do about warnings that contain certain words."""


# --- What speaks against it ---------------------------------------------------------


def doubts(
    material: Material, found: Prediction, undetermined: Sequence[str]
) -> Iterator[str]:
    """Say what speaks against a prediction, the bad state in capitals."""
    yield from merged(found.warnings)
    if undetermined:
        names = ", ".join(f"{name}*" for name in undetermined)
        yield f"NOT DETERMINED: {names}; the interval reaches ten times off and further"
    yield from _missed(material)
    if material.loaded is None:
        yield from _of_data(material.records.frame, found)
        yield from _codebook(material, found)
        yield from _joint(material, found)


def _missed(material: Material) -> Iterator[str]:
    """Doubt laws whose predictions did not come true, and seals that do not hold."""
    try:
        yield from misses(by_its_law(material))
    except ScalingError as reason:
        yield f"BROKEN SEAL: {reason}"


def _came_true(material: Material) -> list[str]:
    try:
        return support(by_its_law(material))
    except ScalingError:  # said among the doubts
        return []


def merged(warnings: Iterable[str]) -> list[str]:
    """Put warnings together that differ in the law and in numbers alone.

    >>> merged(["D(C): LOW R2 0.4: wide", "N(C): LOW R2 0.7: wide", "FAR: 10 times"])
    ['D(C), N(C): LOW R2 0.4, 0.7: wide', 'FAR: 10 times']
    """
    alike: dict[str, list[tuple[str, str]]] = {}
    for warning in warnings:
        law, _, text = warning.rpartition("): ")
        law = f"{law})" if law else ""
        alike.setdefault(re.sub(r"\d[\d.]*", "#", text), []).append((law, text))
    return [_together(each) for each in alike.values()]


def _together(warnings: Sequence[tuple[str, str]]) -> str:
    laws = ", ".join(dict.fromkeys(law for law, _ in warnings if law))
    parts = [re.split(r"(\d[\d.]*)", text) for _, text in warnings]
    told = (", ".join(dict.fromkeys(each)) for each in zip(*parts, strict=True))
    return f"{laws}: {''.join(told)}" if laws else "".join(told)


def _of_data(frame: pd.DataFrame, found: Prediction) -> Iterator[str]:
    """Doubt what the design of the runs cannot tell: chance, and repeated data."""
    if "seed" in frame and len(frame["seed"].unique()) == 1:
        yield (
            "ONE SEED: every run was trained once; how far chance moves a loss is not "
            "known, and small differences between runs may be nothing else"
        )
    built, unique = found.configuration, frame.get("unique_tokens")
    if built is None or unique is None or unique.isna().all():
        return
    epochs = built.tokens / float(unique.max())
    if epochs > REPEATED:
        yield (
            f"REPEATED DATA: {short(built.tokens)} tokens are {epochs:.2g} epochs of "
            f"the {short(unique.max())} unique ones; the laws take them for new"
        )


def _codebook(material: Material, found: Prediction) -> Iterator[str]:
    """Doubt a codebook that no run had, beside the one that was best."""
    built, study = found.configuration, material.laws.study
    if built is None or study is None or not {"V", "N_nv"} <= set(study.minima):
        return
    tried, largest = study.minima["V"], study.minima["N_nv"].max()
    if tried.min() <= built.codebook_size <= tried.max():
        return
    there = study.minima[study.minima["N_nv"] == largest]
    best = there.sort_values("L_u")["V"].iloc[0]
    yield (
        f"CODEBOOK NOT TRIED: {built.codebook_size:,} codes, where runs had "
        f"{short(tried.min())} to {short(tried.max())}; at the largest size tried "
        f"V = {short(best)} was best"
    )


def _joint(material: Material, found: Prediction) -> Iterator[str]:
    """Ask the usual law of all rows, where the prediction is the envelope's."""
    if material.laws.fit is not None or "N_nv" not in found.quantities:
        return
    try:
        uncertain = material.uncertain
        other = predict_budget(uncertain.fit, uncertain, found.compute or math.nan)
    except ScalingError as reason:
        said = str(reason).partition(";")[0]
        yield f"NO JOINT LAW: one law of all evaluations gives no answer: {said}"
        return
    low, high = found.new_run
    if not low <= other.loss.value <= high:
        yield (
            f"JOINT LAW DISAGREES: law {other.law} of all evaluations predicts "
            f"{other.loss_symbol} {other.loss.value:.3g} at this budget"
        )


def advice(warnings: Iterable[str]) -> Iterator[str]:
    """Say what to do about the warnings, each remedy once."""
    said = " ".join(warnings)
    for words, remedy in REMEDIES.items():
        if any(word in said for word in words):
            yield remedy


# --- What speaks for it -------------------------------------------------------------


def reasons(material: Material, laws: Laws, found: Prediction) -> Iterator[str]:
    """Say what a prediction rests on, and how well such predictions came true."""
    yield from _came_true(material)
    low, high = fitted_range(laws)
    decades = math.log10(high / low)
    over = f"from {plain(low)} to {plain(high)} FLOPs ({decades:.1f} decades)"
    if laws.study is not None:
        yield from _of_study(material, laws.study, over)
    else:
        yield from _of_law(material, laws, over)
    if material.loaded is None:
        yield from _time(material.records.frame, found)


def _of_study(material: Material, study: Study, over: str) -> Iterator[str]:
    loss, shown = study.laws["L_u(C)"], study.quantities["L_u"].shown
    yield (
        f"The laws stand on the {len(study.frontier)} best of "
        f"{count(len(study.minima), 'run')} (no cheaper run did better), {over}; "
        f"compute explains {100 * loss.r2:.0f} % of the variance of their loss"
    )
    best = study.minima.sort_values("L_u").iloc[0]
    yield f"Best so far: {best['run']}, {shown} {best['L_u']:.4g}, " + (
        f"at {plain(best['C'])} FLOPs" if best["C"] > 0 else "at unknown compute"
    )
    yield from _held_out(material, study)


def _held_out(material: Material, study: Study) -> Iterator[str]:
    """Say how well the most expensive points are predicted by the cheaper ones."""
    try:
        if study.holdout is None:
            study = fit_envelope(material.records, holdout=HELD_OUT)
        assert study.holdout is not None
        held = study.frontier[study.held_out(study.frontier)]
        law, error = study.laws["L_u(C)"], study.holdout.errors["L_u(C)"]
    except ScalingError as reason:
        yield f"No held-out check could be made: {reason}"
        return
    except KeyError:
        yield "No held-out check could be made: too few points are left for a law"
        return
    interval = law.interval(held["C"])
    inside = (interval.new_low <= held["L_u"]) & (held["L_u"] <= interval.new_high)
    reach = float(held["C"].max() / law.x_range[1])
    side = "worse" if error.mean > 0 else "better"
    yield (
        f"Held-out check: a law of the {law.n} cheaper points predicts the "
        f"{error.n} most expensive, up to {reach:.2g} times beyond: {inside.sum()} of "
        f"{error.n} within the 95 % interval, on average {abs(error.mean):.2g} {side} "
        f"than predicted; the run above reaches {FAR:g} times beyond"
    )


def _of_law(material: Material, laws: Laws, over: str) -> Iterator[str]:
    assert laws.fit is not None
    fit, found = laws.fit, laws.fit.certificate
    yield (
        f"The law {fit.formula.name} stands on {count(fit.sample.n, 'evaluation')} of "
        f"{count(fit.sample.clusters, 'run')}, {over}; it misses them by "
        f"{fit.residual_sd:.2g} {fit.residual_unit}"
    )
    yield (
        f"{found.agree} of {found.polished} starts of the fit, from different "
        "parameters, ended at the same minimum"
    )
    try:
        held = hold_out(fit, material.holdout or HELD_OUT)
        assert held is not None
        yield f"Held-out check: {held.sentence()}"
    except ScalingError as reason:
        yield f"No held-out check could be made: {reason}"


def _time(frame: pd.DataFrame, found: Prediction) -> Iterator[str]:
    """Say how long the next run would take at the speed of the largest one."""
    if not {"seconds", "flops"} <= set(frame) or found.compute is None:
        return
    known = frame[(frame["seconds"] > 0) & (frame["flops"] > 0)]
    if known.empty:
        return
    run, flops, seconds = known.sort_values("flops")[["run", "flops", "seconds"]].iloc[
        -1
    ]
    yield (
        f"At the speed of the largest run ({run}) the next would take about "
        f"{duration(found.compute / flops * seconds)}"
    )
