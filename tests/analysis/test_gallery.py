"""A gallery has every figure and table that its sources allow, and reasons else."""

import pytest

from scaling.analysis.gallery import ALIASES, MAKERS, NAMES, figure_name, gallery
from scaling.analysis.material import Material
from scaling.analysis.study_figures import NAMES as OF_THE_PAPER
from scaling.analysis.tables import TABLES
from scaling.errors import ScalingError

from .figure_kit import assert_readable


@pytest.fixture(scope="module")
def losses(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("losses") / "runs.csv"
    table.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def of_paper():
    return gallery(Material(sources=["scamo"]), [*OF_THE_PAPER, "4", "6", *TABLES])


def test_the_paper_has_all_its_figures_of_data_and_its_tables(of_paper):
    names = [each.name for each in of_paper]
    assert names == [*OF_THE_PAPER, "data", "tokenizers"]
    assert [each.name for each in of_paper.tables] == list(TABLES)
    assert not of_paper.missing


@pytest.mark.parametrize("name", ["data", "tokenizers"])
def test_the_paper_s_other_figures_can_be_read(of_paper, name):
    assert_readable(of_paper[name])


def test_a_table_of_losses_has_what_it_allows(losses):
    made = gallery(Material(sources=[losses], law="power"), None)
    names = [each.name for each in made]
    assert names == [name for name in MAKERS if name in names]
    assert {*OF_THE_PAPER, "fit", "residuals", "profiles"} <= set(names)
    assert set(made.missing) == set(NAMES) - set(made.captions)
    assert made.missing["table5"] == "no source is a run store with a corpus of its own"
    said = [name for names in made.reasons.values() for name in names]
    assert sorted(said) == sorted(made.missing)
    with pytest.raises(ScalingError, match="table5 cannot be made: no source is"):
        made["table5"]


def test_only_those_asked_for_are_made(losses):
    made = gallery(Material(sources=[losses]), only=["8", "figure2", "fit"])
    assert [each.name for each in made] == ["figure2", "figure8", "fit"]
    with pytest.raises(ScalingError, match="figure3b cannot be made: it was not asked"):
        made["3b"]


def test_what_was_asked_for_and_cannot_be_is_refused(losses):
    with pytest.raises(ScalingError, match="table4 cannot be made: no run has scores"):
        gallery(Material(sources=[losses]), only=["table4"])


def test_of_many_rows_an_even_choice_is_drawn(losses, monkeypatch):
    monkeypatch.setattr("scaling.analysis.material.MOST_ROWS", 40)
    made = gallery(Material(sources=[losses], law="codebook"), only=["residuals"])
    assert made["residuals"].caption.endswith("an even 40 of 96 evaluations.")


@pytest.mark.parametrize(
    ("word", "name"),
    [("3b", "figure3b"), (" Figure8 ", "figure8"), ("4", "data"), ("isoflop",) * 2],
)
def test_names_may_be_short(word, name):
    assert figure_name(word) == name


@pytest.mark.parametrize("word", ["figure9", "tokenizer", "3c", "tabel3"])
def test_a_name_that_is_none_is_refused_with_the_nearest(word):
    with pytest.raises(ScalingError, match=f"no figure or table {word!r}; did"):
        figure_name(word)


def test_aliases_name_figures():
    assert set(ALIASES.values()) <= set(MAKERS)


def test_all_files_are_written_beside_one_another(losses, tmp_path):
    made = gallery(Material(sources=[losses]), only=["8"])
    paths = made.save(tmp_path, ["svg"])
    assert [path.name for path in paths] == ["figure8.svg", "figure8.csv"]


def test_a_file_of_laws_is_enough_for_what_needs_no_rows(losses, tmp_path, small_study):
    small_study.save(tmp_path / "laws.json")
    made = gallery(Material(sources=[str(tmp_path / "laws.json")]))
    names = {each.name for each in made}
    assert {*OF_THE_PAPER, "optima"} - {"figure2"} <= names
    assert "needs the records, not only the laws" in made.missing["isoflop"]
