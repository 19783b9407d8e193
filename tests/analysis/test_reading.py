"""Files as tables: what is read, and what is refused rather than guessed."""

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from scaling.analysis.columns import BLOCK
from scaling.analysis.records import read
from scaling.errors import ScalingError


def write(folder, text, name="runs.csv"):
    path = folder / name
    path.write_text(text)
    return path


def test_csv_and_jsonl_give_the_same_records(table, tmp_path):
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    from_csv, from_jsonl = read([tmp_path / "t.csv"]), read([tmp_path / "t.jsonl"])
    assert_frame_equal(from_csv.points(), from_jsonl.points())
    assert from_csv.data_hash == from_jsonl.data_hash


def test_parquet_is_read_or_its_reader_is_named(table, tmp_path):
    path = tmp_path / "t.parquet"
    try:
        table.to_parquet(path)
    except ImportError:
        path.write_bytes(b"PAR1")
        with pytest.raises(ScalingError, match=r"needs pyarrow.*pip install pyarrow"):
            read([path])
    else:
        assert len(read([path]).frame) == len(table)


def test_jsonl_without_a_last_newline_is_whole(tmp_path):
    path = write(
        tmp_path, '{"flops": 1e9, "loss": 2}\n{"flops": 2e9, "loss": 1}', "t.jsonl"
    )
    assert len(read([path]).frame) == 2
    assert not any("cut short" in note for note in read([path]).notes)


def test_jsonl_cut_short_is_kept_up_to_there(tmp_path):
    path = write(tmp_path, '{"flops": 1e9, "loss": 2}\n{"flops": 2e9, "lo', "t.jsonl")
    records = read([path])
    assert len(records.frame) == 1
    assert f"{path}: line 2 is cut short; kept the 1 before it" in records.notes


ROW = '{"flops": 1e9, "loss": 2}\n'


@pytest.mark.parametrize("at", [1, BLOCK, BLOCK + 1, 2 * BLOCK])
def test_jsonl_of_many_lines_names_the_broken_one(tmp_path, at):
    lines = [ROW] * (2 * BLOCK + 5)
    lines[at - 1] = "[2]\n"
    path = write(tmp_path, "".join(lines), "t.jsonl")
    with pytest.raises(ScalingError, match=rf"t\.jsonl:{at} is not a JSON object"):
        read([path])


@pytest.mark.parametrize("count", [3, BLOCK, BLOCK + 1])
def test_jsonl_of_many_lines_may_be_cut_short_or_have_blank_ones(tmp_path, count):
    path = write(tmp_path, ROW * count + "\n" + ROW + '{"fl', "t.jsonl")
    records = read([path])
    assert len(records.frame) == count + 1
    cut = f"{path}: line {count + 3} is cut short; kept the {count + 1} before it"
    assert cut in records.notes


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "", "t.csv is empty; expected a header and one row per evaluation"),
        ("t.csv", "flops,loss\n", "t.csv is empty; expected a header"),
        (
            "t.csv",
            "flops,loss\n1,2\n1,2,3\n",
            "t.csv is not a CSV table: .*as many fiel",
        ),
        ("t.jsonl", "", "t.jsonl is empty"),
        ("t.jsonl", "x\n{}\n", "t.jsonl:1 is not a JSON object"),
        (
            "t.txt",
            "flops,loss\n1,2\n",
            "t.txt is of no known kind; expected a run store",
        ),
    ],
)
def test_files_that_cannot_be(tmp_path, name, text, message):
    with pytest.raises(ScalingError, match=message):
        read([write(tmp_path, text, name)])


# --- CSV ----------------------------------------------------------------------------


def test_a_comma_at_the_end_of_every_row_shifts_nothing(tmp_path):
    text = "flops,normalised_loss,seconds,x\n1e15,5,3,7,\n1e16,4,3,7,\n"
    points = read([write(tmp_path, text)]).points()
    assert points["C"].tolist() == [1e15, 1e16]
    assert points["L_u"].tolist() == [5, 4]


@pytest.mark.parametrize("rows", ["1e15,5,9\n1e16,4,9\n", "1e15,5,9\n1e16,4\n"])
def test_fields_beyond_the_header_are_refused(tmp_path, rows):
    message = r"runs.csv has rows with more fields than its header; .*: name all col"
    with pytest.raises(ScalingError, match=message):
        read([write(tmp_path, f"flops,loss\n{rows}")])


def test_two_columns_of_one_name_are_refused(tmp_path):
    message = "more than one column 'flops'; expected each name once: rename or remove"
    with pytest.raises(ScalingError, match=message):
        read([write(tmp_path, "flops,loss,flops\n1e9,2,3e9\n")])


def test_columns_without_a_name_do_not_matter(tmp_path):
    assert len(read([write(tmp_path, ",flops,loss,\n0,1e9,2,\n")]).frame) == 1


# --- Kinds --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("runs.CSV", "flops,loss\n1e9,2\n"),
        ("runs.JsonL", '{"flops": 1e9, "loss": 2}\n'),
    ],
)
def test_endings_count_in_either_case(tmp_path, name, text):
    assert len(read([write(tmp_path, text, name)]).frame) == 1


@pytest.mark.parametrize("end", ["\n", "\n\n", "\n \n\n"])
def test_blank_lines_in_jsonl_are_no_rows(tmp_path, end):
    text = '{"flops": 1e9, "loss": 2}\n\n{"flops": 2e9, "loss": 1}' + end
    records = read([write(tmp_path, text, "t.jsonl")])
    assert len(records.frame) == 2
    assert not any("cut short" in note for note in records.notes)


@pytest.mark.parametrize("line", ["5", '[["flops", 1]]'])
def test_a_last_line_that_is_no_object_is_refused(tmp_path, line):
    path = write(tmp_path, '{"flops": 1e9, "loss": 2}\n' + line, "t.jsonl")
    with pytest.raises(ScalingError, match=r"t\.jsonl:2 is not a JSON object"):
        read([path])


# --- DataFrames ---------------------------------------------------------------------


def test_a_dataframe_is_read_like_its_file_and_stays_as_it_is(table, tmp_path):
    table.to_csv(tmp_path / "t.csv", index=False)
    before = table.copy()
    from_frame, from_csv = read(table), read(tmp_path / "t.csv")
    assert_frame_equal(from_frame.points(), from_csv.points())
    assert from_frame.data_hash == from_csv.data_hash
    assert from_frame.sources == ("table",)
    assert_frame_equal(table, before)


def test_several_dataframes_and_files_are_one_table(table, tmp_path):
    half = len(table) // 2
    both = read([table[:half], table[half:]])
    assert both.sources == ("table 1", "table 2")
    assert both.data_hash == read(table).data_hash
    table[half:].to_csv(tmp_path / "t.csv", index=False)
    mixed = read([table[:half], tmp_path / "t.csv"])
    assert mixed.sources == ("table", str(tmp_path / "t.csv"))
    assert mixed.data_hash == both.data_hash


def test_columns_of_a_dataframe_can_be_mapped_and_need_not_be_text():
    table = pd.DataFrame([[1e9, 2.0], [2e9, 1.0]])
    assert read(table, {"C": "0", "L": "1"}).points()["C"].tolist() == [1e9, 2e9]


@pytest.mark.parametrize("kind", ["Int64", "Float64", "object", "str"])
def test_a_dataframe_s_types_do_not_matter(kind):
    table = pd.DataFrame({"flops": [10, 20], "loss": [2, 1], "tokens": [3, 4]})
    points = read(table.astype(kind)).points()
    assert points[["C", "D", "L_u"]].to_numpy().tolist() == [[10, 3, 2], [20, 4, 1]]


def test_missing_values_of_nullable_types_are_missing():
    table = pd.DataFrame({"flops": [10, 20], "loss": [2, None]}).astype("Int64")
    with pytest.raises(ScalingError, match=r"loss is not finite in row 2 of table"):
        read(table)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            pd.DataFrame(),
            "table is empty; expected a header and one row per evaluation",
        ),
        (pd.DataFrame({"flops": [], "loss": []}), "table is empty"),
        (
            pd.DataFrame([[1, 2, 3]], columns=["flops", "loss", "loss"]),
            "table has more than one column 'loss'; expected each name once",
        ),
        (pd.DataFrame({"a": [1]}), "table has no column 'flops'; it has: a; name it"),
    ],
)
def test_dataframes_that_cannot_be(table, message):
    with pytest.raises(ScalingError, match=message):
        read(table)


def test_a_source_that_is_given_twice_is_read_once_and_this_is_said(table, tmp_path):
    path = tmp_path / "t.csv"
    table.to_csv(path, index=False)
    records = read([path, path])
    assert len(records.frame) == len(table)
    assert f"{path} is given more than once, and read once" in records.notes
