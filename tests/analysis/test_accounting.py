"""Columns that follow from C = 6 N D, and doubts about units: said, never silent."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.analysis.records import read
from scaling.analysis.study import fit
from scaling.errors import ScalingError

DATA = os.environ.get("SCALING_DATA")
needs_data = pytest.mark.skipif(
    not DATA, reason="SCALING_DATA does not name the folder of published tables"
)


def frame(**changes):
    """Four runs in plain counts, C = 6 N D; None removes a column."""
    N, D = np.array([1e6, 4e6, 3e7, 2e8]), np.array([5e8, 1e9, 4e9, 2e10])
    columns = {"total_params": N, "tokens": D, "flops": 6 * N * D}
    columns |= {"loss": [4.0, 3.5, 3.0, 2.5]} | changes
    return pd.DataFrame({k: v for k, v in columns.items() if v is not None})


PARTS = {
    "total_params": None,
    "non_vocab_params": [1e6, 2e6, 3e6, 4e6],
    "vocab_params": [1e5, 2e5, 3e5, 4e5],
}


# --- Columns that follow from others ------------------------------------------------


def test_compute_is_taken_from_parameters_and_tokens_and_this_is_said():
    records = read(frame(flops=None))
    points = records.points()
    assert (points["C"] == 6 * points["N"] * points["D"]).all()
    assert "C = 6 N D is taken, since table has no compute column" in records.notes


def test_tokens_are_taken_from_compute_and_parameters_and_this_is_said():
    records = read(frame(tokens=None))
    points = records.points()
    np.testing.assert_allclose(points["D"], frame()["tokens"], rtol=1e-15)
    assert "D = C / (6 N) is taken, since table has no data column" in records.notes


@pytest.mark.parametrize("missing", ["flops", "tokens"])
def test_parameters_may_come_in_parts_and_no_total_is_made(missing):
    records = read(frame(**PARTS, **{missing: None}))
    points = records.points()
    np.testing.assert_allclose(
        points["C"], 6 * (points["N_nv"] + points["N_v"]) * points["D"], rtol=1e-15
    )
    assert "N" not in points
    assert any(
        "6 (N_nv + N_v)" in note and "is taken" in note for note in records.notes
    )


def test_the_parts_go_before_a_total():
    points = read(frame(**PARTS | {"total_params": 7e6}, flops=None)).points()
    np.testing.assert_allclose(
        points["C"], 6 * (points["N_nv"] + points["N_v"]) * points["D"], rtol=1e-15
    )
    assert (points["N"] == 7e6).all()


def test_nothing_is_taken_where_nothing_lacks():
    records = read(frame(flops=[1e18, 2e18, 3e18, 4e18]))
    assert records.points()["C"].tolist() == [1e18, 2e18, 3e18, 4e18]
    assert not any("is taken" in note for note in records.notes)


def test_non_vocabulary_parameters_alone_give_no_data():
    records = read(frame(**PARTS | {"vocab_params": None}, tokens=None))
    assert "D" not in records.quantities
    assert "needs D, which the records do not hold" in fit(records).skipped["D(C)"]


@pytest.mark.parametrize(
    "changes",
    [
        {"flops": None, "tokens": None},
        {"flops": None, "total_params": None},
        {"flops": None, **PARTS | {"vocab_params": None}},
    ],
)
def test_without_compute_and_what_gives_it_a_table_is_refused(changes):
    with pytest.raises(
        ScalingError,
        match=r"table has no column 'flops'; it has: .*loss.*; name it with --columns "
        r"C=COLUMN, or N and D, which give C = 6 N D$",
    ):
        read(frame(**changes))


def test_an_empty_cell_from_which_compute_would_follow_is_refused():
    with pytest.raises(ScalingError, match=r"tokens is not finite in row 2 of table"):
        read(frame(flops=None, tokens=[1e9, None, 1e9, 1e9]))


def test_unique_tokens_are_taken_from_epochs_and_this_is_said():
    tokens = np.array([8210.0, 16400.0, 24601.0, 99999.0])
    records = read(frame(tokens=tokens, epochs=tokens / 20528))
    assert records.points()["U"].tolist() == [20528.0] * 4
    assert any(note.startswith("U = D / epochs is taken") for note in records.notes)


def test_a_column_of_unique_tokens_goes_before_epochs():
    records = read(frame(epochs=2.0, unique_tokens=[1e8, 2e8, 3e8, 4e8]))
    assert records.points()["U"].tolist() == [1e8, 2e8, 3e8, 4e8]
    assert not any("epochs" in note for note in records.notes)


@pytest.mark.parametrize("epochs", [["many"] * 4, [0.0, 1.0, 1.0, 1.0]])
def test_epochs_that_give_no_count_give_no_unique_tokens(epochs):
    records = read(frame(epochs=epochs))
    assert "U" not in records.quantities
    assert any(note.startswith("U is left out: ") for note in records.notes)


@given(st.floats(1e-3, 1e3), st.integers(1, 10**12))
def test_unique_tokens_survive_the_division(epochs, unique):
    tokens = epochs * unique
    records = read(frame(tokens=tokens, epochs=tokens / unique))
    assert (records.points()["U"] == unique).all()


# --- Units --------------------------------------------------------------------------


def given_in(N=1.0, D=1.0, C=1.0, **changes):
    plain = frame()
    columns = {"total_params": plain["total_params"] / N}
    columns |= {"tokens": plain["tokens"] / D, "flops": plain["flops"] / C}
    return frame(**columns | changes)


@pytest.mark.parametrize(
    ("units", "says"),
    [
        ({"N": 1e6}, "N spans 1 to 200 in table: millions? C / (6 N D) is about 1e6;"),
        (
            {"N": 1e9},
            "N spans 0.001 to 0.2 in table: billions? C / (6 N D) is about 1e9",
        ),
        ({"D": 1e9}, "D spans 0.5 to 20 in table: billions? C / (6 N D) is about 1e9;"),
        (
            {"D": 1e12},
            "D spans 0.0005 to 0.02 in table: trillions? C / (6 N D) is about",
        ),
        (
            {"N": 1e6, "D": 1e9},
            "N spans 1 to 200 and D spans 0.5 to 20 in table: millions or billions? "
            "C / (6 N D) is about 1e15;",
        ),
        (
            {"C": 1e15},
            "C spans 3 to 2.4e+04 in table: units of 1e15 FLOPs? "
            "C / (6 N D) is about 1e-15;",
        ),
        ({"N": 1e6, "C": 1e15}, "N spans 1 to 200 in table: millions or billions? "),
    ],
)
def test_counts_in_other_units_are_suspected_and_left_as_they_are(units, says):
    table = given_in(**units)
    records = read(table)
    (suspicion,) = records.suspicions
    assert suspicion.startswith(f"UNITS? {says}")
    assert suspicion.endswith("; give parameters, tokens and FLOPs as plain counts")
    points = records.points()
    assert (points["N"] == table["total_params"]).all()
    assert (points["C"] == table["flops"]).all()


@pytest.mark.parametrize("factor", [1.0, 0.2, 30.0, 300.0, 4e3])
def test_another_convention_is_no_other_unit(factor):
    plain = frame()
    assert not read(frame(flops=factor * plain["flops"])).suspicions
    small = given_in(N=1e6)
    assert not read(small.assign(flops=small["flops"] / 1e6 * factor)).suspicions


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.5])
def test_a_unit_is_suspected_within_a_factor_of_three(factor):
    table = given_in(N=1e6)
    assert read(table.assign(flops=factor * table["flops"])).suspicions


def test_small_counts_are_suspected_where_nothing_can_be_compared():
    assert read(given_in(N=1e6, flops=None)).suspicions == (
        "UNITS? N spans 1 to 200 in table: millions? If so, give parameters, tokens "
        "and FLOPs as plain counts",
    )
    (suspicion,) = read(given_in(D=1e9, flops=None)).suspicions
    assert suspicion.startswith("UNITS? D spans 0.5 to 20 in table: billions? If so, ")
    assert not read(given_in(flops=None)).suspicions
    assert not read(given_in(tokens=None)).suspicions


def test_parts_are_suspected_under_their_own_names():
    small = {**PARTS, "vocab_params": None, "non_vocab_params": [1.0, 4.0, 30.0, 200.0]}
    (suspicion,) = read(frame(**small)).suspicions
    assert suspicion.startswith(
        "UNITS? N_nv spans 1 to 200 in table: millions? C / (6 N"
    )
    both = small | {"vocab_params": [0.1, 0.2, 0.3, 0.4]}
    (suspicion,) = read(frame(**both)).suspicions
    assert suspicion.startswith("UNITS? N_nv + N_v spans 1.1 to 200.4 in table: ")
    assert "C / (6 (N_nv + N_v) D) is about 1e6" in suspicion


def test_each_source_is_suspected_by_itself():
    records = read([frame(), given_in(N=1e6)])
    (suspicion,) = records.suspicions
    assert "N spans 1 to 200 in table 2: millions?" in suspicion


def test_the_reference_study_is_not_suspected(scamo, small):
    assert scamo.suspicions == small.suspicions == ()


@needs_data
def test_gigaflops_of_a_published_table_are_noticed():
    path = Path(str(DATA)) / "open_athena_isoflops" / "marin_raw_isoflop-comma.csv"
    columns = {
        "N": "parameter_count",
        "D": "throughput/total_tokens",
        "C": "throughput/total_gflops",
        "L": "eval/paloma/macro_loss",
    }
    (suspicion,) = read(path, columns).suspicions
    assert "units of 1e9 FLOPs? C / (6 N D) is about 1e-9" in suspicion


@needs_data
@pytest.mark.parametrize(
    ("path", "columns"),
    [
        (
            "epoch_chinchilla/svg_extracted_data.csv",
            {"N": "Model Size", "C": "Training FLOP"},
        ),
        ("steplaw/dense_lr_bs_loss.csv", {"N": "N", "D": "D"}),
        ("porian/isoflop_points.csv", {"N": "n", "D": "t", "C": "flops"}),
        (
            "open_athena_isoflops/isoflops.csv",
            {"N": "params", "D": "tokens", "C": "budget"},
        ),
        (
            "sail_vocab/exp_data.csv",
            {"N_nv": "Non_vocab_parameters", "C": "FLOPs", "L_u": "Lossu"},
        ),
    ],
)
def test_published_tables_in_plain_counts_are_not_suspected(path, columns):
    assert not read(Path(str(DATA)) / path, columns).suspicions
