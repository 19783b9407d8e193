"""Conventions side by side: exact FLOPs, and laws refitted by hand."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from scaling.analysis.conventions_figure import conventions_figure
from scaling.analysis.records import read
from scaling.analysis.study import fit
from scaling.errors import ScalingError
from scaling.models.flops import CONVENTIONS, Architecture
from scaling.models.sizes import size

from .figure_kit import assert_readable
from .store_kit import wsd_store


@pytest.fixture(scope="module")
def shaped(table):
    """The small study with the shapes of its models, d_model a multiple of two."""
    width = table["run"].str.extract(r"w(\d+)")[0].astype(int)
    return table.assign(d_model=width, n_layers=2, n_heads=1, flops_convention="6nd")


@pytest.fixture(scope="module")
def figure(scamo):
    return conventions_figure(scamo)


def of(figure, kind):
    return figure.table[figure.table["kind"] == kind]


def test_it_reads_well(figure):
    assert_readable(figure)


def test_flops_are_the_conventions_exactly(figure):
    models = of(figure, "model")
    assert len(models) == 3 * 42
    cheapest = models[models["V"] == 256].groupby("convention")["flops"].min()
    model = Architecture(size=size("44M"), codebook_size=256)
    assert cheapest.to_dict() == {n: count(model) for n, count in CONVENTIONS.items()}
    assert cheapest["openai"] == 52_242_432


def test_the_ratio_is_to_openai(figure):
    models = of(figure, "model")
    assert (models[models["convention"] == "openai"]["ratio"] == 1).all()
    by = models.pivot_table(index=["N", "V"], columns="convention", values="flops")
    ratio = models.pivot_table(index=["N", "V"], columns="convention", values="ratio")
    np.testing.assert_allclose(by["6nd"] / by["openai"], ratio["6nd"])


def test_the_laws_of_the_own_convention_are_the_studys(figure, scamo):
    own = of(figure, "law").set_index(["convention", "law"])["slope"]
    for name in ("L_u(C)", "N_nv(C)", "D(C)"):
        assert own["openai", name] == pytest.approx(fit(scamo).laws[name].slope)


def test_other_laws_are_those_of_converted_compute(shaped):
    table = of(conventions_figure(read(shaped)), "law").set_index(["convention", "law"])
    scale = [
        CONVENTIONS["matmul"](model) / CONVENTIONS["6nd"](model)
        for model in (
            Architecture(size=size(f"2x1x{d}"), codebook_size=V)
            for d, V in zip(shaped["d_model"], shaped["codebook_size"], strict=True)
        )
    ]
    converted = fit(read(shaped.assign(flops=shaped["flops"] * scale)))
    low, high = converted.laws["N_nv(C)"].slope_interval(0.95)
    found = table.loc[("matmul", "N_nv(C)")]
    assert (found["low"], found["high"]) == pytest.approx((low, high))


def test_stores_tell_context_and_text(tmp_path):
    store = wsd_store(tmp_path)
    figure = conventions_figure(read(store), [store])
    about = {"n_ctx": 101, "n_prefix": 20, "text_width": 8}
    real = Architecture(size=size("1x1x32"), codebook_size=15, **about)
    models = of(figure, "model").set_index(["convention", "N"])["flops"]
    N = 12 * 32**2
    assert models["matmul", N] == CONVENTIONS["matmul"](real)
    nominal = Architecture(size=size("1x1x32"), codebook_size=16, **about)
    assert models["openai", N] == CONVENTIONS["openai"](nominal)
    assert "assumed" not in figure.caption
    assert_readable(figure)


def test_what_is_assumed_is_said(shaped):
    caption = conventions_figure(read(shaped)).caption
    assert "201 positions and no text are assumed" in caption
    assert "openai is taken" not in caption
    bare = read(shaped.drop(columns="flops_convention"))
    assert "openai is taken for theirs" in conventions_figure(bare).caption


def test_without_shapes_there_is_nothing_to_count(small, isoflops):
    shapes_alone = isoflops.assign(n_layers=2, d_model=64)
    for records in (small, read(isoflops), read(shapes_alone)):
        with pytest.raises(ScalingError, match="shape of the models is not known"):
            conventions_figure(records)


def test_few_runs_leave_the_models_alone(shaped):
    first = shaped[shaped["run"] == "w16-v64"]
    figure = conventions_figure(read(pd.concat([first.iloc[-1:]])))
    assert of(figure, "law").empty
    assert "Laws are lacking" in figure.caption
    assert_readable(figure)


def test_it_needs_no_torch():
    code = (
        "import sys, scaling.analysis.conventions_figure, scaling.analysis.cost_figure,"
        "scaling.analysis.learning_figure, scaling.analysis.surface_figure,"
        "scaling.analysis.isoflop_figure; print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
