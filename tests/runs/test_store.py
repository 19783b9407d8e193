"""Logs and files survive what kills their writer; two writers never meet."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scaling.files import write_aside, write_json, write_text
from scaling.runs.store import MetricsLog, derive_tables

if TYPE_CHECKING:
    from tests.conftest import CommandLine

# A real file system that is full, in a mount namespace of its own.
FULL = """
set -e
mount -t tmpfs -o size=64k none "$1"
exec "$2" -c "$3" "$1"
"""
READ_ONLY = """
set -e
mount -t tmpfs none "$1"
cp -r "$2" "$1/out"
mount -o remount,ro "$1"
shift 2
exec "$@"
"""
FILL = """
import sys
from pathlib import Path
from scaling.files import write_text
from scaling.runs.store import MetricsLog
folder = Path(sys.argv[1])
write_text(folder / "state", "whole" * 100)
log = MetricsLog(folder / "metrics.jsonl")
log.append({"step": 1, "loss": 0.5})
for what in (
    lambda: write_text(folder / "state", "x" * 1_000_000),
    lambda: [log.append({"step": n, "pad": "y" * 3000}) for n in range(2, 99)],
):
    try:
        what()
    except OSError as error:
        print(error.strerror)
print((folder / "state").read_text() == "whole" * 100)
again = MetricsLog(folder / "metrics.jsonl")
print(again.rows[0], [row["step"] for row in again.rows] == list(
    range(1, len(again.rows) + 1)))
print(sorted(path.name for path in folder.iterdir()))
"""


def unshared() -> list[str]:
    """Give the words that let a command mount file systems of its own."""
    command = [shutil.which("unshare") or "false"]
    command += ["--user", "--map-root-user", "--mount"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets no user mount a file system")
    return command


def test_a_full_disk_costs_nothing_that_was_there(tmp_path: Path) -> None:
    small = ["sh", "-c", FULL, "sh", str(tmp_path), sys.executable, FILL]
    command = [*unshared(), *small]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        "No space left on device",
        "No space left on device",
        "True",
        "{'step': 1, 'loss': 0.5} True",
        "['metrics.jsonl', 'state']",
    ], done.stderr


def test_a_read_only_store_is_said_in_one_line_and_still_read(
    straight: Path, tmp_path: Path, scaling: CommandLine, tiny: Path
) -> None:
    command = [*unshared(), "sh", "-c", READ_ONLY, "sh", str(tmp_path), str(straight)]

    def inside(*arguments: object) -> subprocess.CompletedProcess[str]:
        words = [*command, *scaling.command(*arguments)]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    out = tmp_path / "out"
    states = inside("status", out)
    assert states.stdout.endswith("7 of 7 jobs done\n"), states.stderr
    more = inside("run", tiny, "--out", out, "--set", "seeds=[0, 1]")
    assert more.returncode == 1
    assert more.stderr.splitlines()[-1] == f"Error: {out}: Read-only file system"
    assert "Traceback" not in more.stderr


def test_tables_that_several_derive_at_once_are_whole(straight: Path) -> None:
    tables = [straight / "runs.csv", straight / "tokenizers.csv"]
    before = [table.read_bytes() for table in tables]
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(derive_tables, straight) for _ in range(40)]
        while not all(future.done() for future in futures):
            assert [table.read_bytes() for table in tables] == before
        for future in futures:
            future.result()
    assert not list(straight.glob(".aside-*"))


def test_a_failed_write_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "earlier")

    def fail(aside: Path) -> None:
        aside.write_text("half")
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        write_aside(path, fail)
    assert path.read_text() == "earlier"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_json_refuses_what_json_cannot_say(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "file", {"loss": float("nan")})


def test_a_log_goes_on_after_a_line_that_was_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    log.append({"step": 1})
    log.append({"step": 2})
    path.write_bytes(path.read_bytes()[:-4])
    again = MetricsLog(path)
    assert again.torn_line == 2
    assert again.has(1)
    assert not again.has(2)
    again.append({"step": 2})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 1},
        {"step": 2},
    ]


def test_tables_are_derived_from_the_folders(tmp_path: Path) -> None:
    run = tmp_path / "a-run"
    run.mkdir()
    write_json(run / "config.json", {"kind": "transformer", "record": {"seed": 4}})
    MetricsLog(run / "metrics.jsonl").append({"step": 1, "loss": 2.5, "seconds": 9.0})
    tokenizer = tmp_path / "a-tokenizer"
    tokenizer.mkdir()
    config = {"kind": "tokenizer", "corpus": "a-corpus", "record": {"width": 8}}
    write_json(tokenizer / "config.json", config)
    write_json(
        tokenizer / "result.json", {"status": "finished", "metrics": {"l1": 1.0}}
    )
    for name, target, metrics in (
        ("scores-a", "a-run", {"fid": 3.0}),
        ("scores-b", "a-tokenizer", {"fid": 0.5}),
    ):
        (tmp_path / name).mkdir()
        config = {"kind": "scores", "target": target}
        write_json(tmp_path / name / "config.json", config)
        write_json(tmp_path / name / "result.json", {"metrics": metrics})
    derive_tables(tmp_path)
    with (tmp_path / "runs.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["run"], row["seed"], row["step"]) == ("a-run", "4", "1")
    assert row["status"] == "unfinished"
    assert row["fid"] == "3.0"
    assert "seconds" not in row
    assert (tmp_path / "tokenizers.csv").read_text() == (
        "tokenizer,corpus,width,l1,fid\na-tokenizer,a-corpus,8,1.0,0.5\n"
    )
