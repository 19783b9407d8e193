"""One owner at a time, whatever the clocks say, whoever dies, stops or comes back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.exit_codes import STOPPED
from scaling.runs import lease
from scaling.runs.lease import Look, Watch, acquire, guard, look, wait_for

TTL = 0.4

# Holds a lease, then writes each time it is told to, if it may.
HOLD = """
import sys
from pathlib import Path
from scaling.runs.lease import acquire, guard
folder, ttl = Path(sys.argv[1]), float(sys.argv[2])
with acquire(folder, ttl):
    print("held", flush=True)
    for line in sys.stdin:
        guard()
        (folder / "written").write_text(line)
        print("wrote", flush=True)
"""


@contextmanager
def holder(folder: Path, ttl: float = TTL) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(folder), str(ttl)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def leases(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(".lease-*"))


def move_to_another_machine(folder: Path) -> Path:
    """Have the lease say that its owner is elsewhere."""
    (path,) = folder.glob(".lease-??????")
    path.write_text(json.dumps({**json.loads(path.read_text()), "machine": "moon"}))
    return path


def test_a_lease_is_given_back_and_goes_with_the_result(tmp_path: Path) -> None:
    first = acquire(tmp_path)
    assert first is not None
    with first:
        assert leases(tmp_path) == [".lease-000001"]
        assert look(tmp_path).holder.endswith(f":{os.getpid()}")
        assert acquire(tmp_path) is None
    assert leases(tmp_path) == [".lease-000001-free"]
    assert not look(tmp_path).held
    second = acquire(tmp_path)
    assert second is not None
    with second:
        assert leases(tmp_path) == [".lease-000002"]
        (tmp_path / "result.json").touch()
    assert leases(tmp_path) == []


def test_of_many_one_gets_it(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for turn in range(1, 31):
            got = list(pool.map(lambda _: acquire(tmp_path), range(8)))
            (owner,) = [each for each in got if each is not None]
            assert owner.number == turn
            with owner:
                pass


def test_who_was_slow_withdraws(tmp_path: Path) -> None:
    old = look(tmp_path)

    def late() -> lease.Lease | None:
        with mock.patch.object(lease, "look", return_value=old):
            return acquire(tmp_path)

    for number in range(1, 4):
        taken = acquire(tmp_path)
        assert taken is not None
        with taken:  # its number is 1, and then no longer there
            assert late() is None
            assert leases(tmp_path) == [f".lease-{number:06d}"]
        assert late() is None
        assert leases(tmp_path) == [f".lease-{number:06d}-free"]


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.sampled_from(["look", "take", "give back", "end"])))
def test_an_old_view_never_makes_a_second_owner(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    """A process may sleep between its look and its grasp, as long as it likes."""
    folder = tmp_path_factory.mktemp("job")
    owner: lease.Lease | None = None
    views: list[Look] = [look(folder)]
    for step in steps:
        if step == "look":
            views.append(look(folder))
        elif step == "take" and not (folder / "result.json").exists():
            with mock.patch.object(lease, "look", return_value=views.pop(0)):
                taken = acquire(folder)
            views.append(look(folder))
            assert taken is None or owner is None
            owner = taken.__enter__() if taken else owner
        elif step in ("give back", "end") and owner:
            if step == "end":
                (folder / "result.json").touch()
            owner.__exit__(None, None, None)
            owner = None
    held = [name for name in leases(folder) if "free" not in name]
    assert len(held) == (owner is not None)
    if owner:
        owner.__exit__(None, None, None)


def test_an_owner_that_was_killed_is_seen_at_once(tmp_path: Path) -> None:
    with holder(tmp_path, ttl=3600) as process:
        assert acquire(tmp_path) is None
        process.kill()
        process.wait()
        _, free = Watch().look(tmp_path)
        assert free
        taken = acquire(tmp_path)
    assert taken is not None
    assert leases(tmp_path) == [".lease-000002"]


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        ({}, False),
        ({"started": "1"}, True),  # its id is used again
        ({"pid": 2**22 + 1}, True),
        ({"pid": 2**22 + 1, "machine": "moon"}, False),
    ],
)
def test_a_process_is_more_than_its_number(
    tmp_path: Path, change: dict[str, object], gone: bool
) -> None:
    taken = acquire(tmp_path)
    assert taken is not None
    taken.path.write_text(json.dumps({**json.loads(taken.path.read_text()), **change}))
    owner = look(tmp_path).owner
    assert owner is not None
    assert owner.gone == gone
    assert (acquire(tmp_path) is not None) == gone


@pytest.mark.parametrize("skew", [-1e9, 0.0, 1e9])
def test_clocks_are_not_compared(tmp_path: Path, skew: float) -> None:
    taken = acquire(tmp_path, TTL)
    assert taken is not None
    path = move_to_another_machine(tmp_path)
    watch = Watch(TTL)
    start = time.monotonic()
    for beat in range(8):  # its owner lives, in another age
        when = time.time() + skew + beat
        os.utime(path, (when, when))
        assert not watch.look(tmp_path)[1]
        time.sleep(TTL / 4)
    assert time.monotonic() - start > TTL
    assert not watch.look(tmp_path)[1]
    time.sleep(1.5 * TTL)  # its owner is gone
    found, free = watch.look(tmp_path)
    assert free
    assert acquire(tmp_path, TTL) is None  # without a watch's word it stays
    assert acquire(tmp_path, TTL, over=found.number) is not None


@pytest.mark.parametrize("content", [b"", b"\xff\0", b"[1]", b'{"pid": 3}', b'{"pi'])
def test_a_damaged_lease_has_an_unknown_owner(tmp_path: Path, content: bytes) -> None:
    with holder(tmp_path) as process:
        (path,) = tmp_path.glob(".lease-*")
        path.write_bytes(content)
        watch = Watch(TTL)
        end = time.monotonic() + 2 * TTL
        while time.monotonic() < end:  # it lives, and touches what is left
            found, free = watch.look(tmp_path)
            assert not free
            assert found.holder == "an unknown owner"
            time.sleep(TTL / 10)
        process.kill()
        process.wait()
    assert not watch.look(tmp_path)[1]
    time.sleep(1.5 * TTL)
    assert watch.look(tmp_path)[1]
    with wait_for(tmp_path, TTL):
        assert leases(tmp_path) == [".lease-000002"]


def test_the_owner_s_patience_counts_not_the_watcher_s(tmp_path: Path) -> None:
    taken = acquire(tmp_path, 3600)
    assert taken is not None
    move_to_another_machine(tmp_path)
    watch = Watch(0.01)
    watch.look(tmp_path)
    time.sleep(0.05)
    assert not watch.look(tmp_path)[1]


def test_who_comes_back_leaves_without_a_word(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        assert process.stdin is not None
        process.send_signal(signal.SIGSTOP)
        watch = Watch(TTL)
        while not watch.look(tmp_path)[1]:
            time.sleep(0.02)
        with wait_for(tmp_path, TTL):
            process.stdin.write("mine\n")
            process.stdin.flush()
            process.send_signal(signal.SIGCONT)
            assert process.wait(5) == STOPPED
            assert leases(tmp_path) == [".lease-000002"]
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("loss", ["taken", "removed"])
def test_a_guard_stands_before_a_write(tmp_path: Path, loss: str) -> None:
    with holder(tmp_path, ttl=2.0) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("mine\n")
        process.stdin.flush()
        assert process.stdout.readline() == "wrote\n"
        if loss == "taken":
            assert acquire(tmp_path, over=1) is not None
        else:
            (tmp_path / ".lease-000001").unlink()
        assert process.wait(5) == STOPPED
    assert (tmp_path / "written").read_text() == "mine\n"


def test_a_server_that_is_away_for_a_moment_is_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise OSError(5, "Input/output error")

    taken = acquire(tmp_path, TTL)
    assert taken is not None
    with taken, monkeypatch.context() as patch:
        patch.setattr(os, "utime", away)
        time.sleep(TTL)
        guard()  # would end this process
    assert leases(tmp_path) == [".lease-000001-free"]


def test_a_lease_is_touched_while_its_owner_is_busy(tmp_path: Path) -> None:
    taken = acquire(tmp_path, TTL)
    assert taken is not None
    with taken:
        seen = set()
        end = time.monotonic() + 2 * TTL
        while time.monotonic() < end:
            sum(range(10_000))
            seen.add(look(tmp_path).touched)
    assert len(seen) > 5


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system", "somewhere")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(OSError, match="Read-only") as raised:
        acquire(tmp_path)
    assert raised.value.filename == str(tmp_path)


def test_nothing_is_looked_for_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    found = look(tmp_path / "nowhere")
    assert (found.number, found.held, found.names) == (0, False, frozenset())
