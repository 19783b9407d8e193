"""Tables of captions: both formats say the same, and a bad line is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling.errors import ScalingError
from scaling.runs.caption_table import Told, read


def table(folder: Path, *lines: str, name: str = "captions.csv") -> Path:
    (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return folder / name


def test_rows_of_a_name_add_up(tmp_path: Path) -> None:
    rows = ["name,caption,fps,lead,split,by", "a.bvh,walks,60,13,test,me", "a,goes,,,,"]
    expected = {"a": Told(captions=["walks", "goes"], split="test", fps=60.0, lead=13)}
    assert read(table(tmp_path, *rows)) == expected
    rows = [
        '{"name": "a.bvh", "captions": ["walks", "..."], "fps": 60, "lead": 13}',
        '{"name": "a", "caption": "goes", "split": "test"}',
    ]
    assert read(table(tmp_path, *rows, name="captions.jsonl")) == expected


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["name,text", "a,walks"], r"has no column caption; it has: name, text\."),
        ([], r"has no column caption and no name"),
        (["name,caption,split", "a,walks,trial"], r":2: split 'trial' is unknown; "),
        (["name,caption,fps", "a,walks,-1"], r":2: fps -1 is not above 0; "),
        (["name,caption,fps", "a,walks,fast"], r":2: could not convert .*'fast'; "),
        (["name,caption,lead", "a,walks,-3"], r":2: lead -3 is below 0; expected name"),
        (["name,caption", ",walks"], r":2: no name; expected name, caption"),
    ],
)
def test_a_bad_table_is_named_with_its_line(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(ScalingError, match=message):
        read(table(tmp_path, *lines))


def test_a_caption_may_hold_line_breaks(tmp_path: Path) -> None:
    path = tmp_path / "captions.csv"
    path.write_bytes(b'name,caption\r\na,"walks,\nthen sits"\r\nb,runs\r\n')
    found = read(path)
    assert found["a"].captions == ["walks,\nthen sits"]
    assert found["b"].captions == ["runs"]
    path = table(tmp_path, '{"name": "a", "caption": "x\u2028y"}', name="c.jsonl")
    assert read(path)["a"].captions == ["x\u2028y"]


def test_a_quote_that_never_ends_is_named(tmp_path: Path) -> None:
    lines = ["name,caption", 'a,"walks', "x" * 200_000]
    with pytest.raises(
        ScalingError, match=r"csv:\d: field larger .*; expected a quote"
    ):
        read(table(tmp_path, *lines))


def test_a_caption_that_no_file_can_hold_is_named(tmp_path: Path) -> None:
    path = table(tmp_path, r'{"name": "a", "caption": "w\ud800"}', name="c.jsonl")
    with pytest.raises(ScalingError, match=r"c.jsonl:1: 'utf-8' codec can't encode"):
        read(path)


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = table(tmp_path, '{"name": "a"}', "{", name="captions.jsonl")
    with pytest.raises(ScalingError, match=r"captions.jsonl:2: no name; expected name"):
        read(path)


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ScalingError, match=r"captions.csv cannot be read \(FileNotFound"
    ):
        read(tmp_path / "captions.csv")
