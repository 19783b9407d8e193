"""Tokenizers by codebook size: what is drawn, what bounds it, and what is refused."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from scaling.analysis import reference
from scaling.analysis.axes import house_style
from scaling.analysis.figure import save
from scaling.analysis.tokenizer_drawing import BOUNDS, OTHER_STYLES, STYLES
from scaling.analysis.tokenizer_figure import tokenizer_figure
from scaling.errors import ScalingError

TITLES = ["L1", "MPJPE (mm)", "Codes used", "Exponential entropy", "FID"]


def tokenizers(seeds=2, **constant):
    """Make up the tokenizers of a store: three quantizers, three codebooks."""
    random = np.random.default_rng(0)
    rows = []
    for quantizer, stages in (("fsq", 1), ("vq", 1), ("rfsq", 2)):
        for size, seed in itertools.product((64, 1000, 64_000), range(seeds)):
            tokens = 16_471 * stages
            counts = np.bincount(random.integers(0, size, tokens), minlength=size)
            p = counts[counts > 0] / tokens
            rows.append(
                {
                    "quantizer": quantizer,
                    "stages": stages,
                    "codebook_size": size,
                    "seed": seed,
                    "l1": random.uniform(0.3, 0.5),
                    "mpjpe": random.uniform(80, 130),
                    "fid": random.uniform(0.5, 1.5),
                    "codebook_utilisation": (counts > 0).mean(),
                    "exponential_entropy": np.exp(-np.sum(p * np.log(p))),
                    "test_tokens": tokens,
                }
            )
    return pd.DataFrame(rows).assign(**constant)


def store(folder, table):
    folder.mkdir(exist_ok=True)
    table.to_csv(folder / "tokenizers.csv", index=False)
    return folder


def panel(page, title):
    return next(ax for ax in page.axes if ax.get_title(loc="left") == title)


def shown(page):
    """Give the boxes of the texts that are drawn, in pixels."""
    page.draw_without_rendering()
    hidden = set()
    for axis in (axis for ax in page.axes for axis in (ax.xaxis, ax.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not low <= tick.get_loc() <= high:
                hidden |= {tick.label1, tick.label2}
    texts = [t for t in page.findobj(Text) if t.get_visible() and t not in hidden]
    return [(t.get_text(), t.get_window_extent()) for t in texts if t.get_text()]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    few = tokenizers(seeds=1).query("codebook_size < 2000").drop(columns="fid")
    return {
        "scamo": ["scamo"],
        "seeds": [store(folder / "seeds", tokenizers())],
        "two": [store(folder / "seeds", tokenizers()), store(folder / "few", few)],
        "one codebook": [store(folder / "one", few[few["codebook_size"] == 64])],
    }


# --- What can be read ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["scamo", "seeds", "two", "one codebook"])
def test_texts_are_inside_and_apart(made, name):
    page = tokenizer_figure(made[name]).page()
    assert page.get_size_inches()[0] == 7.2
    with house_style():
        texts = shown(page)
    width, height = page.bbox.size
    for text, box in texts:
        inside = box.x0 >= -0.5, box.y0 >= -0.5, box.x1 <= width, box.y1 <= height
        assert all(inside), text
    for (one, first), (other, second) in itertools.combinations(texts, 2):
        common = Bbox.intersection(first, second)
        assert common is None or min(common.size) < 0.5, f"{one} overlaps {other}"


def contrast(colour):
    """Contrast with white (WCAG 2.1)."""
    parts = np.array(to_rgb(colour))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05)


def test_every_colour_stands_out_from_white():
    colours = [colour for _, _, colour in STYLES.values()]
    colours += [colour for _, colour in OTHER_STYLES]
    colours += [style["color"] for style in BOUNDS.values()]
    assert min(map(contrast, colours)) >= 3
    assert contrast("0.6") < 3


# --- What is drawn ------------------------------------------------------------------


def test_the_paper_has_two_rows_and_fid_for_one_corpus(made):
    figure = tokenizer_figure("scamo")
    page = figure.page()
    assert len(page.axes) == 10
    assert [ax.get_title(loc="left") for ax in page.axes[:5]] == TITLES
    assert [ax.get_ylabel() for ax in page.axes[::5]] == ["HumanML3D", "MotionUnion"]
    assert [t.get_text() for t in page.axes[9].texts] == ["not known"]
    said = "13 tokenizers on HumanML3D; 15 tokenizers on MotionUnion. "
    assert said in figure.caption
    assert "Dotted" not in figure.caption


def test_the_lines_of_fig_6_come_of_table_3():
    """Fig. 6 as measured, but where the paper's table and figure contradict."""
    figure = reference.load("fig6_tokenizers")
    drawn = tokenizer_figure("scamo").to_frame()
    for panel_name, column, corpus, slack in (
        ("HML_usage", "codes_used", "HumanML3D", 0.01 / 0.63),  # of printed digits
        ("HML_entropy", "exponential_entropy", "HumanML3D", 4e-4),  # of one decimal
        ("MU_MPJPE", "mpjpe", "MotionUnion", 1e-3),
        ("MU_L1", "l1", "MotionUnion", 0.01),
    ):
        measured = figure[figure["panel"] == panel_name]
        printed = drawn[drawn["corpus"] == corpus]
        both = measured.merge(
            printed,
            left_on=["tokenizer", "codebook"],
            right_on=["quantizer", "codebook_size"],
        )
        assert len(both) == len(measured) == len(printed)
        np.testing.assert_allclose(both["value"], both[column], rtol=slack)


def test_millimetres_everywhere():
    drawn = tokenizer_figure("scamo").to_frame()
    fsq = drawn[(drawn["corpus"] == "HumanML3D") & (drawn["quantizer"] == "FSQ")]
    assert fsq["mpjpe"].tolist() == pytest.approx([57, 53, 52, 49, 44, 42])


def test_seeds_are_averaged_and_shown_singly(made):
    figure = tokenizer_figure(made["seeds"])
    ax = panel(figure.page(), "MPJPE (mm)")
    mean, single = (line for line in ax.lines if line.get_color() == STYLES["vq"][2])
    table = figure.to_frame().query("quantizer == 'vq'")
    np.testing.assert_array_equal(single.get_ydata(), table["mpjpe"])
    expected = table["mpjpe"].to_numpy().reshape(3, 2).mean(axis=1)
    np.testing.assert_allclose(mean.get_ydata(), expected)
    assert single.get_markersize() < mean.get_markersize()
    assert "Small points are single tokenizers" in figure.caption


def test_codes_are_bounded_by_codebook_and_tokens(made):
    figure = tokenizer_figure(made["seeds"])
    table = figure.to_frame()
    most = table[["codebook_size", "test_tokens"]].min(axis=1)
    assert (table["codes_used"] <= most).all()
    page = figure.page()
    for title in TITLES[2:4]:
        ax = panel(page, title)
        assert [t.get_text() for t in ax.texts] == ["16,471 tokens", "32,942 tokens"]
        lines = {tuple(np.ravel(line.get_ydata())) for line in ax.lines}
        left, right = ax.get_xlim()
        assert {(left, right), (left / 2, right / 2)} < lines
        assert {(16_471, 16_471), (32_942, 32_942)} < lines
    assert not panel(page, "L1").texts


def test_a_bound_out_of_reach_is_not_drawn(tmp_path):
    table = tokenizers(seeds=1, test_tokens=10**9)
    page = tokenizer_figure(store(tmp_path / "s", table)).page()
    assert not panel(page, "Codes used").texts


def test_other_names_of_columns(tmp_path):
    table = tokenizers(seeds=1, dataset="songs").rename(
        columns={"l1": "l1_loss", "codebook_size": "nominal_codebook_size"}
    )
    path = tmp_path / "t.csv"
    table.to_csv(path, index=False)
    figure = tokenizer_figure(path)
    assert "9 tokenizers on songs (16,471 or 32,942 test tokens)" in figure.caption
    assert len(figure.page().axes) == 5


def test_stores_of_one_corpus_share_a_row(tmp_path):
    """As do the grids of FSQ and of VQ; another corpus has its own."""
    table = tokenizers(1)
    for name, corpus, quantizer in (
        ("a", "corpus-bvh-1", "fsq"),
        ("b", "corpus-bvh-1", "vq"),
        ("c", "corpus-bvh-2", "vq"),
    ):
        of = table[table["quantizer"] == quantizer].assign(corpus=corpus)
        store(tmp_path / name, of)
    figure = tokenizer_figure([tmp_path / name for name in "abc"])
    named = ["corpus-bvh-1"] * 6 + ["corpus-bvh-2"] * 3
    assert figure.to_frame()["corpus"].tolist() == named
    assert set(tokenizer_figure(tmp_path / "a").to_frame()["corpus"]) == {"bvh"}


def test_a_store_that_names_no_corpus_is_called_by_its_study(tmp_path):
    table = tokenizers(1).drop(columns="corpus", errors="ignore")
    path = store(tmp_path / "folder", table)
    assert set(tokenizer_figure(path).to_frame()["corpus"]) == {"folder"}
    (path / "grid.json").write_text('{"study": "walks"}', encoding="utf-8")
    assert set(tokenizer_figure(path).to_frame()["corpus"]) == {"walks"}


def test_fid_of_an_evaluator_of_one_s_own_is_said(made, tmp_path):
    table = tokenizers(1, evaluator="evaluator-1")
    words = "compares with no published one"
    assert words in tokenizer_figure(store(tmp_path / "s", table)).caption
    assert words not in tokenizer_figure("scamo").caption


def test_files_are_the_same_bytes_every_time(made, tmp_path):
    figure = tokenizer_figure(made["two"])
    first, second = (save(figure, tmp_path / name) for name in "ab")
    assert [path.name for path in first] == [
        f"tokenizers.{suffix}" for suffix in ("png", "svg", "pdf", "csv")
    ]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


# --- What is refused ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"codebook_utilisation": 99.8},
            r"is '99\.8' in row 1 of .* from 0 to 1: corr",
        ),
        ({"codebook_size": np.nan}, "codebook_size is 'nan' in row 1"),
        ({"mpjpe": "far"}, "mpjpe is 'far' in row 1"),
        ({"fid": np.inf}, "fid is 'inf' in row 1"),
        ({"test_tokens": 0}, r"test_tokens is '0' in row 1 .* from 1 upwards: correct"),
    ],
)
def test_what_is_no_measure_is_named(tmp_path, change, message):
    with pytest.raises(ScalingError, match=message):
        tokenizer_figure(store(tmp_path / "s", tokenizers(1, **change)))


def test_a_table_of_something_else_is_refused(tmp_path):
    path = tmp_path / "losses.csv"
    path.write_text("flops,loss\n1,2\n")
    with pytest.raises(ScalingError, match="no column 'quantizer'; expected a t"):
        tokenizer_figure(path)
    path.write_text("quantizer,codebook_size\nfsq,64\n")
    with pytest.raises(
        ScalingError, match=r"losses.csv measures nothing; .* l1, mpjpe"
    ):
        tokenizer_figure(path)


def test_a_store_without_tokenizers_is_refused(tmp_path):
    with pytest.raises(
        ScalingError, match=r"tokenizers.csv does not exist; expected a"
    ):
        tokenizer_figure(tmp_path)


def test_a_quantizer_that_is_not_named(tmp_path):
    table = tokenizers(1).assign(quantizer=[None, None, *["vq"] * 7], stages=1)
    table["levels"] = ["8 8", *[None] * 8]  # as version 0.1 wrote of FSQ
    figure = tokenizer_figure(store(tmp_path / "s", table))
    assert figure.table["series"].tolist() == ["FSQ", "unnamed", *["VQ"] * 7]
    figure.page()


def test_too_many_unknown_quantizers_are_refused(tmp_path):
    table = tokenizers(1).assign(quantizer=list("abcdefghi"), stages=1)
    with pytest.raises(
        ScalingError, match=r"too many kinds .* 'e' the last; .* 4 unkn"
    ):
        tokenizer_figure(store(tmp_path / "s", table)).page()
