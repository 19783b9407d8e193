"""`scaling watch` on a study that runs: in a real terminal, and where there is none.

The terminal's size is its own: COLUMNS and LINES, which a library of line editing sets
behind Python's back, are left out of the environment.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from scaling import cli_watch
from scaling.cli import main

if TYPE_CHECKING:
    from tests.conftest import CommandLine

LONG = (
    "--set",
    "transformers.tokens=[10000000]",
    "--set",
    "transformers.sizes=[2x2x64]",
)
"""What makes a grid outlast a test; it is stopped at its end."""


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, command: list[str], columns: int = 100, lines: int = 30) -> None:
        hidden = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")
        environment = {k: v for k, v in os.environ.items() if k not in hidden}
        self.process, self.end = pty.fork()
        if self.process == 0:
            os.execve(command[0], command, {**environment, "TERM": "xterm-256color"})
        self.resize(columns, lines)
        self.written = b""

    def resize(self, columns: int, lines: int) -> None:
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, size)

    def read(self, seconds: float) -> bool:
        """Take what is written within some time; False when the terminal is gone."""
        if select.select([self.end], [], [], seconds)[0]:
            with suppress(OSError):
                found = os.read(self.end, 65536)
                self.written += found
                return bool(found)
            return False
        return True

    def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert self.read(0.1), self.screen[-2000:]
            assert time.monotonic() < end, self.screen[-2000:]

    def press(self, keys: bytes) -> None:
        os.write(self.end, keys)

    def leave(self) -> int:
        """Wait for its end; gives the exit code."""
        end = time.monotonic() + 20
        while self.read(0.1):
            assert time.monotonic() < end, "it does not leave"
        _, status = os.waitpid(self.process, 0)
        os.close(self.end)
        return os.waitstatus_to_exitcode(status)

    @property
    def frames(self) -> list[str]:
        """Pictures so far, without colours."""
        text = self.written.decode(errors="replace").replace("\r", "")
        pictures = text.split("\x1b[H")
        return [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", each) for each in pictures]

    @property
    def screen(self) -> str:
        return self.frames[-1]


@pytest.fixture(scope="module")
def study(
    tmp_path_factory: pytest.TempPathFactory, scaling: CommandLine, tiny: Path
) -> Iterator[Path]:
    """A study that runs all the while."""
    out = tmp_path_factory.mktemp("watched") / "out"
    launcher = subprocess.Popen(
        scaling.command("run", tiny, "--out", out, "--jobs", 1, *LONG),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 120
    while not any(out.glob("2x2x64-*/checkpoint/*.json")):
        assert launcher.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
    yield out
    launcher.send_signal(signal.SIGINT)
    launcher.wait(60)


@pytest.mark.parametrize("keys", [b"q", b"\x03"], ids=["q", "Ctrl-C"])
def test_it_draws_what_runs_and_can_be_left(
    study: Path, scaling: CommandLine, keys: bytes
) -> None:
    terminal = Terminal(scaling.command("watch", study))
    terminal.until(lambda: len(terminal.frames) > 2 and "at work" in terminal.screen)
    assert "tiny" in terminal.screen
    assert re.search(r"\d of 5 jobs done, 1 running, \d waiting", terminal.screen)
    assert "2x2x64-v" in terminal.screen
    assert "q leaves; the study goes on" in terminal.screen
    terminal.press(keys)
    assert terminal.leave() == 0
    # the cursor is shown again, the screen of before is back, and how to come back said
    assert terminal.written.rindex(b"\x1b[?1049l") > terminal.written.rindex(b"at work")
    assert terminal.written.rindex(b"\x1b[?25h") > terminal.written.rindex(b"\x1b[?25l")
    assert terminal.screen.strip().endswith(
        f"left; scaling watch {study} opens it again"
    )


def test_killed_and_opened_again_it_goes_on(study: Path, scaling: CommandLine) -> None:
    before = {path for path in study.rglob("*") if "watch" in path.name}
    first = Terminal(scaling.command("watch", study))
    first.until(lambda: "at work" in first.screen)
    os.kill(first.process, signal.SIGKILL)
    assert first.leave() == -signal.SIGKILL
    again = Terminal(scaling.command("watch", study))
    again.until(lambda: "at work" in again.screen)
    os.kill(again.process, signal.SIGTERM)
    assert again.leave() == 0
    assert {path for path in study.rglob("*") if "watch" in path.name} == before


def test_a_terminal_may_change_its_size(study: Path, scaling: CommandLine) -> None:
    terminal = Terminal(scaling.command("watch", study, "--every", 0.2))
    for columns, lines in ((40, 12), (15, 5), (200, 60), (40, 20)):
        terminal.resize(columns, lines)
        seen = len(terminal.frames)
        terminal.until(lambda seen=seen: len(terminal.frames) > seen + 3)
        picture = terminal.frames[-2].strip("\n").split("\n")
        assert len(picture) <= lines
        assert max(len(line.rstrip()) for line in picture) <= columns
        assert "jobs" in terminal.frames[-2]
    terminal.press(b"q")
    assert terminal.leave() == 0


def test_colours_are_for_terminals_unless_asked_for(
    study: Path, scaling: CommandLine
) -> None:
    plain = {k: v for k, v in os.environ.items() if not k.endswith("_COLOR")}
    asked = scaling.run("watch", study, "--once", env={**plain, "FORCE_COLOR": "1"})
    assert "\x1b[" in asked.stdout
    piped = scaling.run("watch", study, "--once", env=plain)
    assert "\x1b[" not in piped.stdout
    both = {**plain, "FORCE_COLOR": "1", "NO_COLOR": "1"}
    refused = scaling.run("watch", study, "--once", env=both)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", refused.stdout)


def test_once_and_json_say_how_it_stands(study: Path, scaling: CommandLine) -> None:
    once = scaling.run("watch", study, "--once")
    assert once.returncode == 0
    assert "1 running" in once.stdout
    done = scaling.run("watch", study, "--json")
    shown = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    assert shown["counts"]["running"] == 1
    assert shown["running"][0]["job"].startswith("2x2x64-")
    assert shown["over"] is False


def test_lines_until_all_is_done(
    tmp_path: Path, scaling: CommandLine, tiny: Path
) -> None:
    out = tmp_path / "out"
    launcher = scaling.start("run", tiny, "--out", out, "--jobs", 1)
    while not (out / "grid.json").exists():
        assert launcher.poll() is None
        time.sleep(0.05)
    done = scaling.run("watch", out, "--every", 0.1)
    launcher.communicate()
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    first, *lines, last = done.stdout.splitlines()
    assert " of 7 jobs done" in first
    ends = [line for line in lines if re.match(r"\[\d/7\] \S+ finished", line)]
    done_before = int(first.split()[0])
    assert len(ends) == 7 - done_before
    assert re.fullmatch(r"\[7/7\] 1x\S+ finished  L_u -?\d+\.\d{3}", ends[-1])
    assert last == f"all 7 jobs of tiny are done: scaling fit {out}"


def test_it_ends_where_nothing_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_watch, "LULL", 0.2)
    (tmp_path / "grid.json").write_text('{"study": "a", "jobs": ["corpus-x"]}')
    (tmp_path / "corpus-x").mkdir()
    (tmp_path / "corpus-x" / "error.txt").write_text("it is not there")
    done = CliRunner().invoke(main, ["watch", str(tmp_path), "--every", "0.1"])
    assert done.exit_code == 1
    assert "corpus-x: FAILED: it is not there; mend that; scaling work" in done.stdout
    assert done.stderr == (
        "Error: nothing more runs: 0 of 1 jobs done, 1 failed; what is waiting needs "
        f"what failed: mend that, then scaling work {tmp_path}\n"
    )


def test_no_store_is_one_line(tmp_path: Path, scaling: CommandLine) -> None:
    done = scaling.run("watch", tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: {tmp_path} holds no grid.json; name a folder that scaling run wrote\n"
    )
