"""Figures at their real size: what they show, and that it can be read and redone."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from scaling.analysis.axes import canvas
from scaling.analysis.figure import save
from scaling.analysis.fit_drawing import short
from scaling.analysis.gallery import Gallery
from scaling.analysis.records import read
from scaling.analysis.study import Study, fit
from scaling.analysis.study_figures import NAMES, study_figure
from scaling.errors import ScalingError

from .figure_kit import assert_readable


def figures(records, study):
    """Make what can be made, as the gallery does."""
    made, missing = [], {}
    for name in NAMES:
        try:
            made.append(study_figure(name, records, study))
        except ScalingError as reason:
            missing[name] = str(reason)
    return Gallery(figures=tuple(made), tables=(), missing=missing)


@pytest.fixture(scope="module")
def galleries(small, small_study, scamo, table, tmp_path_factory):
    """Make the figures of two studies, of losses alone, of two runs, and of one."""
    path = tmp_path_factory.mktemp("bare") / "bare.csv"
    pd.DataFrame(
        {"flops": np.geomspace(1e10, 5e10, 5), "loss": [5, 4, 3, 2.1, 1]}
    ).to_csv(path, index=False)
    bare = read([path])
    last = table[table["codebook_size"] == 64].drop_duplicates("run", keep="last")
    last[:2].to_csv(path.with_name("tiny.csv"), index=False)
    tiny = read([path.with_name("tiny.csv")])
    last = table[table["run"] == "w16-v64"]
    last.to_csv(path.with_name("lone.csv"), index=False)
    lone = read([path.with_name("lone.csv")])
    return {
        "lone": figures(lone, fit(lone)),
        "small": figures(small, small_study),
        "scamo": figures(scamo, fit(scamo, holdout=1e18)),
        "bare": figures(bare, fit(bare)),
        "tiny": figures(tiny, fit(tiny)),
    }


ALL_FIGURES = [
    *((study, name) for study in ("small", "scamo") for name in NAMES),
    ("bare", "figure3b"),
    *(("lone", name) for name in ("figure2", "figure8")),
    *(("tiny", name) for name in ("figure2", "figure3a", "figure8")),
]


def find(galleries, study, name):
    return next(f for f in galleries[study].figures if f.name == name)


# --- What can be read ---------------------------------------------------------------


@pytest.mark.parametrize(("study", "name"), ALL_FIGURES)
def test_figures_can_be_read(galleries, study, name):
    assert_readable(find(galleries, study, name))


@pytest.mark.parametrize("name", ["figure3a", "figure3b", "figure7a"])
def test_the_law_is_in_the_figure_and_the_caption(galleries, name):
    figure = find(galleries, "scamo", name)
    title = figure.draw().get_title(loc="left")
    assert f"n = {figure.law.n} fitted, 1 held out" in title
    assert r"\pm" in title
    assert f"$R^2$ = {figure.law.r2:.3f}" in title
    for words in (figure.law.formula(), "ordinary least squares", "95 % intervals"):
        assert words in figure.caption


def test_a_doubtful_law_says_so_in_the_figure(galleries):
    title = find(galleries, "small", "figure7a").draw().get_title(loc="left")
    assert "SLOPE NOT DISTINGUISHABLE FROM ZERO" in title


# --- What is drawn ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["figure3a", "figure3b", "figure7a", "figure7b"])
def test_the_points_of_a_law_are_its_table(galleries, name):
    figure = find(galleries, "small", name)
    table, law = figure.to_frame(), figure.law
    ax = figure.draw()
    below = ax.get_figure().axes[1]
    scatters = [
        c for c in ax.collections if c.get_offsets().size and c.get_sizes().size
    ]
    drawn = np.vstack([np.asarray(c.get_offsets()) for c in scatters])
    expected = table.sort_values("held_out", kind="stable")[[law.x, law.y]]
    np.testing.assert_array_equal(drawn, expected)
    residuals = np.vstack(
        [np.asarray(c.get_offsets()) for c in below.collections if c.get_sizes().size]
    )
    np.testing.assert_array_equal(
        residuals[:, 1], table.sort_values("held_out", kind="stable")["residual"]
    )
    assert table["held_out"].sum() == 1


def test_the_line_is_solid_inside_the_fitted_range_and_dashed_outside(galleries):
    figure = find(galleries, "scamo", "figure3b")
    lines = {
        tuple(line.get_xdata()): line.get_linestyle() for line in figure.draw().lines
    }
    assert lines.pop(figure.law.x_range) == "-"
    assert set(lines.values()) == {"--"}
    ends = {x for ends in lines for x in ends}
    assert set(figure.law.x_range) <= ends


def test_every_run_is_a_curve(galleries):
    figure = find(galleries, "scamo", "figure2")
    table = figure.to_frame()
    lines = figure.draw().lines
    assert len(lines) == table["run"].nunique() == 37
    assert sum(len(line.get_xdata()) for line in lines) == len(table) == 1043
    assert table["on_envelope"].sum() == 19


def test_minima_mark_each_sizes_best_codebook(galleries):
    table = find(galleries, "scamo", "figure8").to_frame()
    assert len(table) == 42
    best = table[table["best"]].set_index("size")["V"]
    powers = {"44M": 10, "111M": 12, "343M": 14, "775M": 14, "1B": 16, "3B": 16}
    assert best.to_dict() == {size: 2**power for size, power in powers.items()}


@pytest.mark.parametrize("name", ["figure2", "figure3b", "figure8"])
def test_axes_given_are_drawn_on(galleries, name):
    ax = canvas(3)[0]
    assert find(galleries, "small", name).draw(ax) is ax
    assert len(ax.get_figure().axes) == 1


def test_labels_say_the_units_of_the_study(galleries):
    assert find(galleries, "scamo", "figure7b").draw().get_ylabel() == (
        r"Non-vocabulary FLOPs per token $N_\mathrm{nv}$"
    )
    assert find(galleries, "small", "figure7b").draw().get_ylabel() == (
        r"Non-vocabulary parameters $N_\mathrm{nv}$"
    )


# --- Which figures ------------------------------------------------------------------


def test_a_study_gives_all_figures_in_order(galleries):
    for study in ("small", "scamo"):
        assert [f.name for f in galleries[study].figures] == list(NAMES)
        assert not galleries[study].missing


def test_what_the_data_does_not_allow_has_a_reason(galleries):
    gallery = galleries["bare"]
    assert [figure.name for figure in gallery.figures] == ["figure3b"]
    assert gallery.missing["figure2"].startswith(
        "needs V, which the records do not hold"
    )
    assert gallery.missing["figure7b"].startswith("needs N_nv,")


def test_one_run_gives_the_figures_that_need_no_law(galleries):
    gallery = galleries["lone"]
    assert [figure.name for figure in gallery.figures] == ["figure2", "figure8"]
    assert gallery.missing["figure3b"].startswith("L_u(C) has 1 point; a line needs")


def test_intervals_wider_than_the_panel_are_said_and_not_shaded(small_study):
    """Three points about a line: Student's t of one degree of freedom is wide."""
    wide = replace(small_study.laws["N_nv(C)"], residual_sd=2.0)
    study = replace(small_study, laws={**small_study.laws, "N_nv(C)": wide})
    figure = study_figure("figure7b", None, study)
    ax = figure.draw()
    title = ax.get_title(loc="left")
    assert "INTERVAL OF A NEW RUN WIDER THAN THIS PANEL" in title
    before = len(study_figure("figure7b", None, small_study).draw().collections)
    assert len(ax.collections) == before - 1
    assert_readable(figure)


def test_the_caption_says_the_compute_of_every_law(galleries):
    figure = find(galleries, "scamo", "figure3a")
    low, high = figure.law.x_range
    expected = f"N_nv from {short(low)} to {short(high)}, C from 3.5e14 to "
    assert expected in figure.caption
    caption = find(galleries, "scamo", "figure3b").caption
    assert caption.count("C from ") == 1
    assert " FLOPs; R2" in caption


def test_of_equal_losses_the_smaller_codebook_is_ringed(small_study):
    rows = [("b", 64.0, "S"), ("a", 256.0, "S")]
    tied = pd.DataFrame(rows, columns=["run", "V", "size"])
    tied = tied.assign(C=1e9, L_u=-1.0, N_nv=1e4)
    study = replace(small_study, minima=tied)
    table = study_figure("figure8", None, study).to_frame()
    assert table[table["best"]]["V"].tolist() == [64]


def test_laws_alone_give_all_but_the_training_curves(scamo_study, tmp_path):
    scamo_study.save(tmp_path / "laws.json")
    gallery = figures(None, Study.load(tmp_path / "laws.json"))
    assert [figure.name for figure in gallery.figures] == list(NAMES[1:])
    assert gallery.missing == {
        "figure2": "training curves need the records, not only the laws"
    }
    both = zip(gallery.figures, figures(None, scamo_study).figures, strict=True)
    for loaded, fitted in both:
        assert_frame_equal(loaded.to_frame(), fitted.to_frame())


# --- Files --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "formats"), [("figure2", ("svg",)), ("figure3b", ("png", "svg", "pdf"))]
)
def test_files_are_the_same_bytes_every_time(galleries, name, formats, tmp_path):
    figure = find(galleries, "small", name)
    first = save(figure, tmp_path / "a", formats)
    second = save(figure, tmp_path / "b", formats)
    assert [path.name for path in first] == [f"{name}.{f}" for f in (*formats, "csv")]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    written = pd.read_csv(first[-1])
    assert_frame_equal(written, figure.to_frame(), check_dtype=False)


def test_an_unknown_format_is_refused(galleries, tmp_path):
    figure = find(galleries, "small", "figure8")
    message = "no format 'jpg'; expected some of png, svg, pdf: name them with commas"
    with pytest.raises(ScalingError, match=message):
        save(figure, tmp_path, formats=["png", " jpg"])
    assert not list(tmp_path.iterdir())


def test_blanks_around_formats_do_not_count(galleries, tmp_path):
    figure = find(galleries, "small", "figure8")
    paths = save(figure, tmp_path, formats=["svg", " svg", "png "])
    names = ["figure8.svg", "figure8.png", "figure8.csv"]
    assert [path.name for path in paths] == names
