"""Event files and .wandb files: what is written is read, whatever is cut or damaged.

The files are made by an encoder of our own here, and by the libraries where they are
installed.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.errors import ScalingError
from scaling.runs import logs_tensorboard, logs_wandb
from scaling.runs.logs_protobuf import fields, varint, whole

# --- An encoder ---------------------------------------------------------------------


def number(value: int) -> bytes:
    value &= (1 << 64) - 1
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def field(key: int, value: Any, kind: int = 2) -> bytes:
    if kind == 0:
        return number(key << 3) + number(value)
    value = value.encode() if isinstance(value, str) else value
    length = number(len(value)) if kind == 2 else b""
    return number(key << 3 | kind) + length + value


def crc32c(data: bytes) -> int:
    """Bit by bit, as the standard has it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 * (crc & 1))
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) % (1 << 32))


def frame(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def tensor(code: str, kind: int, value: float) -> bytes:
    return field(1, kind, 0) + field(2, b"") + field(4, struct.pack(code, value))


def event(step: int, **scalars: Any) -> bytes:
    """Encode one event; a tensor is given as bytes, a scalar as a float."""
    values = b""
    for tag, value in scalars.items():
        content = (
            field(8, value)
            if isinstance(value, bytes)
            else field(2, struct.pack("<f", value), 5)
        )
        values += field(1, field(1, tag) + content)
    time = field(1, struct.pack("<d", 1.5), 1)
    return frame(time + field(2, step, 0) + field(5, values))


def chunks(records: list[bytes]) -> bytes:
    """Encode records as LevelDB does, in blocks of 32 KiB."""
    found = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
    for record in records:
        first = True
        while True:
            left = 32768 - len(found) % 32768
            if left < 7:
                found += bytes(left)
                continue
            part, record = record[: left - 7], record[left - 7 :]
            kind = (1 if first else 4) if not record else (2 if first else 3)
            crc = zlib.crc32(bytes([kind]) + part)
            found += struct.pack("<IHB", crc, len(part), kind) + part
            first = False
            if not record:
                break
    return found


def items(**values: Any) -> bytes:
    return b"".join(
        field(1, field(2, key) + field(16, json.dumps(value)))
        for key, value in values.items()
    )


def wandb_run(*rows: dict[str, Any], code: int | None = 0) -> list[bytes]:
    config = items(model={"n_params": 5}, seed=3)
    run = field(1, "id7") + field(4, config) + field(8, "calm-sea-1")
    records = [field(17, run)]
    records += [field(1, n, 0) + field(2, items(**row)) for n, row in enumerate(rows)]
    return records if code is None else [*records, field(18, field(1, code, 0))]


def read_events(folder: Path, data: bytes, notes: list[str] | None = None) -> Any:
    path = folder / "events.out.tfevents.1"
    path.write_bytes(data)
    logs = logs_tensorboard.read([path], "run", [] if notes is None else notes)
    return logs[0].rows if logs else ()


def read_wandb(folder: Path, data: bytes, notes: list[str] | None = None) -> Any:
    path = folder / "run-id7.wandb"
    path.write_bytes(data)
    return logs_wandb.read([path], "run", [] if notes is None else notes)[0]


# --- Protocol buffers ---------------------------------------------------------------


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_whole_numbers_come_back(value: int) -> None:
    assert whole(varint(number(value), 0)[0]) == value


@given(st.lists(st.tuples(st.integers(1, 5000), st.binary(max_size=200))))
def test_fields_come_back(expected: list[tuple[int, bytes]]) -> None:
    data = b"".join(field(key, value) for key, value in expected)
    assert fields(data) == expected


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        found = fields(data)
    except ValueError:
        return
    assert all(key >= 0 for key, _ in found)


@pytest.mark.parametrize("data", [b"\x80", b"\xff" * 11, b"\x0a\x05ab", b"\x0b"])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"a (varint|field)"):
        fields(data)


# --- TensorBoard --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "crc"),
    [(bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (b"", 0)],
)
def test_the_checksum_is_that_of_the_standard(data: bytes, crc: int) -> None:
    assert logs_tensorboard.crc32c(data) == crc == crc32c(data)  # RFC 3720, B.4


def test_scalars_of_both_kinds_are_read(tmp_path: Path) -> None:
    data = event(10, loss=2.5, double=tensor("<d", 2, 0.1), whole=tensor("<q", 9, -4))
    packed = field(1, 1, 0) + field(5, struct.pack("<f", 0.5))
    vector = field(1, 1, 0) + field(2, field(2, field(1, 3, 0))) + field(4, bytes(12))
    data += event(-1, packed=packed, vector=vector, text=field(1, 7, 0))
    assert read_events(tmp_path, data) == (
        {"step": 10, "loss": 2.5, "double": 0.1, "whole": -4.0},
        {"step": -1, "packed": 0.5},
    )


singles = st.floats(width=32)
events = st.lists(st.tuples(st.integers(0, 1 << 40), singles), max_size=8)


@given(events, st.data())
def test_a_file_cut_anywhere_gives_the_events_before(
    expected: list[tuple[int, float]], data: st.DataObject
) -> None:
    frames = [event(step, loss=value) for step, value in expected]
    whole_file = b"".join(frames)
    cut = data.draw(st.integers(0, len(whole_file)))
    kept, size = 0, 0
    for each in frames:
        size += len(each)
        kept += size <= cut
    with tempfile.TemporaryDirectory() as folder:
        notes: list[str] = []
        rows = read_events(Path(folder), whole_file[:cut], notes)
    assert notes == []
    assert repr(rows) == repr(
        tuple({"step": step, "loss": value} for step, value in expected[:kept])
    )


@given(st.data())
def test_a_byte_changed_anywhere_is_noticed(data: st.DataObject) -> None:
    frames = [event(step, loss=step / 2) for step in range(5)]
    at = data.draw(st.integers(0, sum(map(len, frames)) - 1))
    damaged = bytearray(b"".join(frames))
    damaged[at] ^= data.draw(st.integers(1, 255))
    before = at // len(frames[0])
    with tempfile.TemporaryDirectory() as folder:
        notes: list[str] = []
        rows = read_events(Path(folder), bytes(damaged), notes)
    assert [row["step"] for row in rows] == list(range(before))
    assert f"kept the {before} events before it" in notes[0]
    assert f"at byte {before * len(frames[0])}" in notes[0]


WRITE_EVENTS = """
import sys
from torch.utils.tensorboard import SummaryWriter
with SummaryWriter(sys.argv[1]) as writer:
    writer.add_text("args", "hello")
    for step in range(1, 5):
        writer.add_scalar("loss/val", 1 / step, step, new_style=step % 2 == 0)
        writer.add_scalar("tokens", 1000 * step, step)
    writer.add_hparams({"lr": 0.1, "act": "gelu", "tied": True}, {}, run_name=".")
"""


def test_tensorboard_s_own_files_are_read(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    subprocess.run([sys.executable, "-c", WRITE_EVENTS, tmp_path / "a"], check=True)
    (log,) = logs_tensorboard.read(list((tmp_path / "a").iterdir()), "a", [])
    losses = {row["step"]: row["loss/val"] for row in log.rows if "loss/val" in row}
    assert losses == pytest.approx({1: 1, 2: 1 / 2, 3: 1 / 3, 4: 1 / 4}, rel=1e-7)
    assert [row["tokens"] for row in log.rows if "tokens" in row] == [
        *(1000.0, 2000.0, 3000.0, 4000.0)
    ]
    assert log.constants == {"lr": 0.1, "act": "gelu", "tied": True}


# --- Weights & Biases ---------------------------------------------------------------


def test_an_offline_run_is_read(tmp_path: Path) -> None:
    rows = [{"eval/loss": 3.5, "_step": 1}, {"eval": {"acc": 1}, "_step": 2}]
    log = read_wandb(tmp_path, chunks(wandb_run(*rows)))
    assert (log.run, log.origin) == ("calm-sea-1", "id7")
    assert log.rows == ({"eval/loss": 3.5, "_step": 1}, {"eval.acc": 1, "_step": 2})
    assert log.constants == {"model.n_params": 5, "seed": 3, "status": "finished"}


@pytest.mark.parametrize(
    ("code", "status"), [(0, "finished"), (1, "failed"), (None, "unfinished")]
)
def test_how_a_run_ended_is_told(tmp_path: Path, code: int | None, status: str) -> None:
    log = read_wandb(tmp_path, chunks(wandb_run({"loss": 1}, code=code)))
    assert log.constants["status"] == status


def test_a_step_of_its_own_record_counts(tmp_path: Path) -> None:
    history = field(2, items(loss=2.0) + field(2, field(1, 40, 0)))
    log = read_wandb(tmp_path, chunks([history]))
    assert log.rows == ({"loss": 2.0, "_step": 40},)


def test_a_nested_key_is_joined(tmp_path: Path) -> None:
    item = field(2, "eval") + field(2, "loss") + field(16, "2.5")
    log = read_wandb(tmp_path, chunks([field(2, field(1, item))]))
    assert log.rows == ({"eval.loss": 2.5},)


@given(
    st.lists(st.integers(0, 70_000), min_size=1, max_size=6),
    st.floats(0, 1),
)
def test_records_of_any_length_come_back_and_cut_ones_do_not(
    lengths: list[int], share: float
) -> None:
    expected = [bytes([n % 251]) * length for n, length in enumerate(lengths)]
    data = chunks(expected)
    assert list(logs_wandb.records(data)) == expected
    cut = data[: int(share * len(data))]
    found = list(logs_wandb.records(cut))
    assert found == expected[: len(found)]
    assert len(found) == sum(
        len(chunks(expected[: n + 1])) <= len(cut) for n in range(len(expected))
    )


@given(st.data())
def test_a_damaged_run_keeps_what_is_before(data: st.DataObject) -> None:
    rows = [{"loss": n / 2, "_step": n} for n in range(6)]
    whole_file = chunks(wandb_run(*rows))
    at = data.draw(st.integers(7, len(whole_file) - 1))
    damaged = bytearray(whole_file)
    damaged[at] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as folder:
        notes: list[str] = []
        log = read_wandb(Path(folder), bytes(damaged), notes)
    assert log.rows == tuple(rows[: len(log.rows)])
    # a length that now reaches beyond the end looks like a file cut short
    assert log.constants["status"] == "unfinished"
    assert len(notes) <= 1
    assert all("records before it" in note for note in notes)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty; expected a run of W&B"),
        (b":W&B\xe1\xbe\x01...", r"is of version 1 .*expected .* version 0"),
        (b"PK\x03\x04....", r"begins with b'PK.*: export the run as CSV"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(ScalingError, match=message):
        read_wandb(tmp_path, data)


WRITE_RUN = """
import sys, wandb
config = {"model": {"n_params": 10}, "lr": 0.1}
with wandb.init(mode="offline", dir=sys.argv[1], name="calm", config=config) as run:
    for step in range(1, 4):
        run.log({"eval/loss": 1 / step, "tokens": 100 * step}, step=step)
    run.summary["total_params"] = 12
"""


def test_wandb_s_own_files_are_read(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    command = [sys.executable, "-c", WRITE_RUN, tmp_path]
    subprocess.run(command, check=True, capture_output=True)
    (log,) = logs_wandb.read(list(tmp_path.rglob("*.wandb")), "", [])
    assert log.run == "calm"
    found = [(row["_step"], row["eval/loss"], row["tokens"]) for row in log.rows]
    assert found == [(1, 1.0, 100), (2, 0.5, 200), (3, 1 / 3, 300)]
    expected = {"model.n_params": 10, "lr": 0.1, "total_params": 12}
    assert log.constants.items() >= {**expected, "status": "finished"}.items()
