import json

import numpy as np
import pandas as pd
import pytest

from scaling.analysis.records import read
from scaling.analysis.study import fit
from scaling.errors import ScalingError


def csv(folder, text, name="runs.csv"):
    path = folder / name
    path.write_text(text)
    return path


def rows_of(store, run):
    return [
        {"step": 10 * k, "tokens": 1000 * k, "flops": 1e9 * k, "loss": 3.0 - k / 10,
         "normalised_loss": -k / 10 - run}
        for k in (1, 2, 3)
    ]  # fmt: skip


@pytest.fixture
def store(tmp_path):
    """Lay out a run store of two runs, as `scaling run --out` writes it."""
    out = tmp_path / "out"
    for number in (0, 1):
        folder = out / f"run{number}"
        folder.mkdir(parents=True)
        record = {"size": "2x2x16", "codebook_size": 64, "non_vocab_params": 12_000}
        config = {"kind": "transformer", "record": record}
        (folder / "config.json").write_text(json.dumps(config))
        lines = [json.dumps(row) + "\n" for row in rows_of(out, number)]
        (folder / "metrics.jsonl").write_text("".join(lines))
    (out / "run0" / "result.json").write_text('{"status": "finished"}')
    return out


# --- Sources ------------------------------------------------------------------------


def test_a_run_store_is_read_by_its_runs(store):
    records = read([store])
    assert records.frame.groupby("run").size().to_dict() == {"run0": 3, "run1": 3}
    assert set(records.quantities) == {"C", "N_nv", "D", "V", "L_u"}
    assert "vocab_params" not in records.frame
    assert records.notes == (
        "runs not finished, whose best evaluation so far counts: 1",
    )


def test_one_run_of_a_store_is_read_alone(store):
    assert read([store / "run1"]).frame["run"].unique().tolist() == ["run1"]


def test_a_torn_last_line_is_left_out_and_said(store):
    with (store / "run0" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "los')
    records = read([store])
    assert len(records.frame) == 6
    note = "run0/metrics.jsonl: line 4 is cut short; kept the 3 before it"
    assert note in records.notes
    assert note not in read([store / "run1"]).notes


def test_a_bad_value_in_a_store_is_found_by_run_and_line(store):
    path = store / "run1" / "metrics.jsonl"
    path.write_text(path.read_text() + '{"flops": 4e9, "normalised_loss": NaN}\n')
    with pytest.raises(
        ScalingError, match=r"not finite in run1 line 4 of \S+out \(nan"
    ):
        read([store])


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(
        ScalingError, match="holds no evaluated transformer run; expect"
    ):
        read([tmp_path])


def test_several_sources_are_one_table(table, tmp_path):
    half = len(table) // 2
    table[:half].to_csv(tmp_path / "a.csv", index=False)
    table[half:].to_csv(tmp_path / "b.csv", index=False)
    table.to_csv(tmp_path / "all.csv", index=False)
    both = read([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert both.data_hash == read([tmp_path / "all.csv"]).data_hash
    assert len(both.sources) == 2


def test_runs_of_one_name_in_two_sources_are_two_runs(tmp_path):
    a = csv(tmp_path, "run,flops,loss\nx,1e9,2\n", "a.csv")
    b = csv(tmp_path, "run,flops,loss,tokens\nx,2e9,1,10\n", "b.csv")
    records = read([a, b])
    assert records.frame["run"].tolist() == [f"{a}:x", f"{b}:x"]
    assert any("1 run names occur in several sources" in n for n in records.notes)
    assert f"D is left out: {a} has no column 'tokens'" in records.notes


def test_columns_of_other_meaning_do_not_get_in_the_way(tmp_path):
    text = "run,flops,loss,source,row,own_run\nx,1e9,2,web,7,no\ny,2e9,1,web,7,no\n"
    a, b = csv(tmp_path, text, "a.csv"), csv(tmp_path, text, "b.csv")
    assert read([a, b]).frame["run"].tolist() == [
        f"{a}:x",
        f"{a}:y",
        f"{b}:x",
        f"{b}:y",
    ]


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([], "no records given; pass a run store, a CSV file, or scamo"),
        (["none.csv"], "none.csv does not exist; expected a run store, a CSV"),
        (["scamo", "x.csv"], "scamo is fitted alone: .*write ./scamo if you mean"),
    ],
)
def test_sources_that_cannot_be(sources, message):
    with pytest.raises(ScalingError, match=message):
        read(sources)


# --- Columns ------------------------------------------------------------------------


def test_a_missing_column_names_those_present(tmp_path):
    path = csv(tmp_path, "compute,loss,seed\n1,2,3\n")
    with pytest.raises(ScalingError) as caught:
        read([path])
    assert str(caught.value) == (
        f"{path} has no column 'flops'; it has: compute, loss, seed; "
        "name it with --columns C=COLUMN, or N and D, which give C = 6 N D"
    )


def test_a_missing_loss_is_refused(tmp_path):
    path = csv(tmp_path, "flops\n1\n")
    with pytest.raises(ScalingError, match=r"no column 'normalised_loss'.*L_u=COLUMN"):
        read([path])


def test_columns_map_symbols_and_names(tmp_path):
    path = csv(tmp_path, "c,params,loss,val\n1e9,10,9,2\n2e9,20,9,1\n")
    columns = {"C": "c", "non_vocab_params": "params", "L": "val"}
    records = read([path], columns)
    assert records.points()["L_u"].tolist() == [2, 1]
    assert records.points()["N_nv"].tolist() == [10, 20]
    assert records.points()["size"].tolist() == ["10", "20"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"C": "kost"}, r"has no column 'kost'; it has: flops, loss; name .* C=COLUMN"),
        ({"flop": "flops"}, r"the record knows no 'flop'; did you mean 'flops'\?"),
    ],
)
def test_columns_that_cannot_be(tmp_path, columns, message):
    with pytest.raises(ScalingError, match=message):
        read([csv(tmp_path, "flops,loss\n1,2\n")], columns)


def test_an_explicit_loss_wins_over_the_normalised_loss(tmp_path):
    path = csv(tmp_path, "flops,normalised_loss,val_loss\n1e9,-1,2\n2e9,-2,1\n")
    records = read([path], {"L": "val_loss"})
    assert records.quantities["L_u"].column == "loss"
    assert records.points()["L_u"].tolist() == [2, 1]
    assert (
        f"{path}: its column 'normalised_loss' is left out, since --columns gives loss "
        "the column 'val_loss'"
    ) in records.notes
    both = read([path], {"L": "val_loss", "L_u": "normalised_loss"})
    assert both.points()["L_u"].tolist() == [-1, -2]


def test_a_mapped_column_takes_the_place_of_one_of_that_name(tmp_path):
    path = csv(tmp_path, "flops,compute,loss\n1,1e9,2\n2,2e9,1\n")
    records = read([path], {"C": "compute"})
    assert records.points()["C"].tolist() == [1e9, 2e9]
    assert (
        f"{path}: its column 'flops' is left out, since --columns gives flops the "
        "column 'compute'"
    ) in records.notes


def test_columns_can_change_places(tmp_path):
    path = csv(tmp_path, "loss,flops\n1e9,2\n2e9,1\n")
    records = read([path], {"C": "loss", "L": "flops"})
    assert records.points()["C"].tolist() == [1e9, 2e9]
    assert not any("left out" in note for note in records.notes)


def test_columns_that_no_source_needs_are_said(store):
    unused = "--columns is not used: run stores and scamo have names of their own"
    for source in (store, "scamo"):
        assert unused in read([source], {"C": "compute"}).notes
        assert unused not in read([source]).notes


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"N_nv": "a", "non_vocab_params": "b"},
            "gives non_vocab_params both 'a' and 'b'; expected one .*: leave one",
        ),
        ({"C": "a", "flops": "b"}, "gives flops both 'a' and 'b'"),
        (
            {"N_nv": "a", "N_v": "a"},
            "the column 'a' to both non_vocab_params and vocab_params; expected one",
        ),
        ({"M": "a"}, "the record knows no 'M'; "),
    ],
)
def test_columns_that_clash_are_refused(tmp_path, columns, message):
    path = csv(tmp_path, "flops,loss,a,b\n1,2,3,4\n")
    with pytest.raises(ScalingError, match=message):
        read([path], columns)


def test_without_normalised_loss_the_loss_stands_in_and_this_is_said(tmp_path):
    rows = "run,flops,loss,codebook_size\na,1e9,2,16\nb,1e10,1,64\n"
    records = read([csv(tmp_path, rows)])
    assert records.quantities["L_u"].label == "Test loss L (nats per token)"
    assert records.notes[0].startswith("the loss is not normalised: it is not")


def test_sources_without_a_common_loss_are_refused(tmp_path):
    a = csv(tmp_path, "flops,loss\n1,2\n", "a.csv")
    b = csv(tmp_path, "flops,normalised_loss\n1,-2\n", "b.csv")
    with pytest.raises(ScalingError, match="expected one of them in all"):
        read([a, b])


def test_without_run_each_row_is_a_run_of_its_own_and_this_is_said(table, tmp_path):
    path = tmp_path / "unnamed.csv"
    table.drop(columns="run").to_csv(path, index=False)
    records = read([path])
    assert records.frame["run"].nunique() == len(table)
    assert records.notes[0].startswith(f"{path} has no column 'run': each row counts")
    assert records.notes[0].endswith("--columns run=COLUMN")


def test_naming_the_sizes_does_not_change_the_law_of_the_loss(tmp_path):
    """Four budgets of five sizes, one final loss a row, no `run`: 20 runs."""
    rows = ["compute,params,tokens,loss"]
    for N in (1e6, 3e6, 1e7, 3e7, 1e8):
        for D in (1e8, 3e8, 1e9, 3e9):
            loss = 1.7 + 400 / N**0.34 + 400 / D**0.28
            rows.append(f"{6 * N * D},{N},{D},{loss}")
    path = csv(tmp_path, "\n".join(rows) + "\n")
    alone = fit(read(path, {"C": "compute"}))
    named = fit(read(path, {"C": "compute", "N_nv": "params", "D": "tokens"}))
    assert len(named.minima) == 20
    assert named.laws["L_u(C)"] == alone.laws["L_u(C)"]
    assert 0.3 < named.laws["N_nv(C)"].slope < 0.7


def test_with_nothing_to_tell_runs_apart_each_row_is_one(tmp_path):
    records = read([csv(tmp_path, "flops,loss\n1e9,2\n1e10,1\n")])
    assert records.frame["run"].tolist() == ["row 1", "row 2"]
    assert any("each row counts as a run of its own" in note for note in records.notes)


# --- Values -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (
            "loss",
            "nan",
            r"loss is not finite in row 2 of .*runs.csv \(nan\); expected nu",
        ),
        ("loss", "", r"loss is not finite in row 2 of .* \(nan\)"),
        ("loss", "inf", r"row 2 of .* \(inf\).*mark them with status = diverged"),
        ("flops", "nan", r"flops is not finite in row 2 of"),
        ("flops", "0", r"flops is not positive in row 2 of .* \(0\); laws are fitted"),
        (
            "non_vocab_params",
            "-5",
            r"non_vocab_params is not positive in row 2 .*\(-5\)",
        ),
        ("tokens", "0", r"tokens is not positive in row 2"),
        (
            "loss",
            "2.1 nats",
            r"loss is '2.1 nats' in row 2 of .*runs.csv; expected a number; correct",
        ),
    ],
)
def test_values_that_no_law_can_use_are_refused(tmp_path, column, value, message):
    rows = [
        {"flops": 1e9, "loss": 2, "non_vocab_params": 10, "tokens": 5},
        {"flops": 2e9, "loss": 1, "non_vocab_params": 10, "tokens": 9},
    ]
    table = pd.DataFrame(rows).astype(object)
    table.loc[1, column] = value
    table.to_csv(tmp_path / "runs.csv", index=False)
    with pytest.raises(ScalingError, match=message):
        read([tmp_path / "runs.csv"])


def test_many_bad_rows_are_counted(tmp_path):
    path = csv(tmp_path, "flops,loss\n" + "1e9,nan\n" * 8)
    with pytest.raises(
        ScalingError, match=r"row 5 of \S+ \(nan\) and 3 more; expected"
    ):
        read([path])


def test_evaluations_of_diverged_runs_are_dropped_and_counted(tmp_path):
    rows = ("run,flops,loss,status", "a,1e9,2,finished", "b,1e9,2,diverged")
    text = "\n".join((*rows, "b,2e9,nan,diverged"))
    records = read([csv(tmp_path, text)])
    assert records.dropped == {"loss not finite in a diverged run": 1}
    assert len(records.frame) == 2


def test_runs_that_did_not_finish_are_counted_by_status(tmp_path):
    rows = (
        "run,flops,loss,status",
        "a,1e9,2,finished",
        "b,1e9,2,diverged",
        "c,1e9,3,",
        "c,2e9,nan,diverged",
        "d,1e9,nan,diverged",
        "e,1e9,2,unfinished",
        "f,1e9,2,failed",
    )
    notes = read([csv(tmp_path, "\n".join(rows))]).notes
    assert [note for note in notes if note.startswith("runs ")] == [
        "runs not finished, whose best evaluation so far counts: 1",
        "runs that diverged, whose best evaluation before that counts: 2",
        "runs of status 'failed', whose best evaluation counts: 1",
    ]


def test_if_all_evaluations_diverged_there_is_nothing_to_fit(tmp_path):
    path = csv(tmp_path, "run,flops,loss,status\na,1e9,nan,diverged\n")
    with pytest.raises(ScalingError, match="no evaluation is left: loss not finite"):
        read([path])


# --- Names --------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["", "  "])
def test_an_empty_run_is_refused_with_its_row(tmp_path, cell):
    path = csv(tmp_path, f"run,flops,loss\na,1e9,2\n{cell},2e9,1\n")
    with pytest.raises(ScalingError, match=r"run is empty in row 2 of \S+; expected"):
        read([path])


def test_an_empty_size_is_named_after_its_parameters(tmp_path):
    text = "run,size,non_vocab_params,flops,loss\na,S,12e3,1e9,2\nb,,41e3,2e9,1\n"
    records = read([csv(tmp_path, text)])
    assert records.points()["size"].tolist() == ["S", "41k"]
    assert len(records.data_hash) == 16


def test_an_empty_size_without_parameters_stays_empty(tmp_path):
    records = read([csv(tmp_path, "run,size,flops,loss\na,S,1e9,2\nb,,2e9,1\n")])
    assert records.points()["size"].tolist() == ["S", ""]
    assert fit(records).laws["L_u(C)"].n == 2


def test_a_source_without_sizes_beside_one_with_them(tmp_path):
    a = csv(tmp_path, "run,size,non_vocab_params,flops,loss\na,S,12e3,1e9,2\n", "a.csv")
    b = csv(tmp_path, "run,non_vocab_params,flops,loss\nb,41e3,2e9,1\n", "b.csv")
    assert read([a, b]).points()["size"].tolist() == ["S", "41k"]


def test_a_column_of_empty_sizes_is_none(tmp_path):
    records = read([csv(tmp_path, "run,size,flops,loss\na,,1e9,2\nb,,2e9,1\n")])
    assert "size" not in records.points()


def test_quantities_are_float64(small):
    points = small.points()
    assert list(points.columns) == [
        "run", "size", "C", "N_nv", "N_v", "D", "V", "L_u"
    ]  # fmt: skip
    assert (points.dtypes.iloc[2:] == np.float64).all()
