"""Evaluations of one kind only: cooled ones, or those at a constant learning rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from scaling.analysis.approaches import approaches, approaches_text
from scaling.analysis.arms import compare_arms
from scaling.analysis.cooled import CONSTANT, NOT_CONSTANT, NOT_COOLED
from scaling.analysis.records import read
from scaling.analysis.study import fit
from scaling.cli import main
from scaling.errors import ScalingError

TOKENS = (1e6, 2e6, 4e6, 8e6)
SIZES = (1e4, 4e4, 2e5, 1e6)


def loss(N: float, D: float) -> float:
    return 1.5 + 20 / N**0.35 + 60 / D**0.4


def rows(
    N: float, D: float, schedule: str, *evaluations: tuple[float, float, Any]
) -> list[dict[str, Any]]:
    """Write one run's evaluations: share of its tokens, loss, whether cooled."""
    same = {"run": f"{schedule}-{N:g}-{D:g}", "N": N, "schedule": schedule}
    return [
        same | {"D": share * D, "L": at, "cooled": cooled, "status": "finished"}
        for share, at, cooled in evaluations
    ]


@pytest.fixture
def wsd() -> pd.DataFrame:
    """Lay out trunks whose loss is 10 % up, and branches that cool down."""
    found = []
    for N in SIZES:
        for D in TOKENS:
            best = loss(N, D)
            trunk = rows(N, 0.8 * D, "wsd", (1.0, 1.1 * best, False))
            branch = (0.9, 1.05 * best, False), (1.0, best, True)
            found += [*trunk, *rows(N, D, "wsd", *branch)]
    return pd.DataFrame(found)


@pytest.fixture
def cosine() -> pd.DataFrame:
    found = []
    for N in SIZES:
        for D in TOKENS:
            along = (0.5, 1.2 * loss(N, D), False), (1.0, 1.01 * loss(N, D), True)
            found += rows(N, D, "cosine", *along)
    return pd.DataFrame(found)


def test_of_trunks_and_branches_the_ends_of_the_branches_count(
    wsd: pd.DataFrame,
) -> None:
    records = read(wsd)
    assert len(records.frame) == len(SIZES) * len(TOKENS)
    assert dict(records.dropped) == {NOT_COOLED: 2 * len(SIZES) * len(TOKENS)}
    points = records.points()
    exact = [loss(N, D) for N, D in zip(points["N"], points["D"], strict=True)]
    assert points["L_u"].tolist() == pytest.approx(exact, rel=1e-12)


def test_uncooled_ones_are_those_of_trunks(wsd: pd.DataFrame) -> None:
    records = read(wsd, uncooled=True)
    assert CONSTANT in records.notes
    assert records.dropped[NOT_CONSTANT] == 2 * len(SIZES) * len(TOKENS)
    expected = wsd[~wsd["cooled"] & (wsd.groupby("run")["D"].transform("size") == 1)]
    assert records.frame["loss"].tolist() == expected["L"].tolist()


def test_a_branch_cut_short_is_of_neither_kind(wsd: pd.DataFrame) -> None:
    cut = wsd["cooled"] & (wsd["D"] == TOKENS[0])
    wsd = wsd[~cut]
    name = wsd.loc[wsd["D"] == 0.9 * TOKENS[0], "run"]
    wsd.loc[wsd["run"].isin(name), "status"] = "unfinished"
    assert len(read(wsd).frame) == len(SIZES) * (len(TOKENS) - 1)
    assert len(read(wsd, uncooled=True).frame) == len(SIZES) * len(TOKENS)


def test_cosine_runs_alone_are_taken_as_ever(cosine: pd.DataFrame) -> None:
    with_column = read(cosine)
    assert len(with_column.frame) == len(cosine)
    assert with_column.data_hash == read(cosine.drop(columns="cooled")).data_hash
    assert not with_column.dropped


def test_beside_branches_only_the_ends_of_cosine_runs_count(
    wsd: pd.DataFrame, cosine: pd.DataFrame
) -> None:
    records = read([wsd, cosine])
    assert records.frame["cooled"].all()
    assert set(records.frame["schedule"]) == {"wsd", "cosine"}
    trunks = read([wsd, cosine], uncooled=True).frame
    assert set(trunks["schedule"]) == {"wsd"}


@pytest.mark.parametrize(
    ("yes", "no"), [("True", "False"), ("true", "false"), (1, 0), (1.0, 0.0)]
)
def test_tables_say_it_in_many_ways(
    wsd: pd.DataFrame, tmp_path: Path, yes: Any, no: Any
) -> None:
    path = tmp_path / "runs.csv"
    said = wsd.assign(cooled=[yes if c else no for c in wsd["cooled"]])
    said.drop(columns="schedule").to_csv(path, index=False)
    assert read(path).data_hash == read(wsd).data_hash


def test_runs_that_do_not_say_count_with_their_last_row(
    wsd: pd.DataFrame, cosine: pd.DataFrame
) -> None:
    silent = cosine.drop(columns="cooled")
    records = read([wsd, silent])
    assert records.data_hash == read([wsd, cosine]).data_hash
    assert any("16 runs do not say where they are cooled" in n for n in records.notes)


def test_no_way_of_fitting_sees_the_others(wsd: pd.DataFrame) -> None:
    """Laws, approaches and a comparison are those of the branches alone."""
    branches = wsd[wsd["cooled"]]
    mixed, clean = read(wsd), read(branches)
    assert fit(mixed).laws == fit(clean).laws
    assert approaches_text(approaches(mixed)) == approaches_text(approaches(clean))
    assert repr(compare_arms(mixed, mixed)) == repr(compare_arms(clean, clean))


@pytest.mark.parametrize(
    ("change", "options", "text"),
    [
        ({"cooled": False}, {}, "let the runs finish, or add --rows uncooled"),
        ({"cooled": True}, {"uncooled": True}, "or leave --rows uncooled out"),
        ({"cooled": "perhaps"}, {}, "cooled is 'perhaps' in row 1 of table"),
    ],
)
def test_mistakes_say_what_to_do(
    wsd: pd.DataFrame, change: dict[str, Any], options: dict[str, Any], text: str
) -> None:
    with pytest.raises(ScalingError, match=text):
        read(wsd.assign(**change), **options)


@pytest.mark.parametrize("source", ["scamo", "cosine"])
def test_uncooled_needs_runs_that_say_so(cosine: pd.DataFrame, source: str) -> None:
    given = source if source == "scamo" else cosine.drop(columns="cooled")
    with pytest.raises(ScalingError, match="leave it out"):
        read(given, uncooled=True)


def test_the_commands_take_one_kind(wsd: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    wsd.to_csv(path, index=False)
    law = ("--law", "chinchilla")
    shown = CliRunner().invoke(main, ["fit", str(path), *law])
    assert shown.exit_code == 0, shown.output
    assert "32: not cooled" in shown.stdout
    trunks = CliRunner().invoke(main, ["fit", str(path), *law, "--rows", "uncooled"])
    assert "at a constant learning rate" in trunks.stdout
    envelope = CliRunner().invoke(main, ["fit", str(path), "--rows", "uncooled"])
    assert envelope.exit_code == 0, envelope.output
    drawn = ["plot", str(path), "--out", str(tmp_path / "f"), "--format", "svg"]
    assert CliRunner().invoke(main, drawn).exit_code == 0
    curves = pd.read_csv(tmp_path / "f" / "figure3b.csv")
    assert len(curves) <= len(SIZES) * len(TOKENS)
    assert min(curves["L_u"]) == pytest.approx(loss(SIZES[-1], TOKENS[-1]))
