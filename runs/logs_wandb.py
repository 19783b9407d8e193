"""Offline runs of Weights & Biases: a `.wandb` file is one run.

After a head of 7 bytes (":W&B", 0xBEE1, version 0) follow blocks of 32 KiB, the first
7 bytes shorter, as in the log of LevelDB (doc/log_format.md): chunks of a CRC-32 (4
bytes), a length (2), a kind (1: whole, 2 to 4: first, middle, last part) and the data.
A record is a protocol buffer: history = 2, summary = 3, config = 5, run = 17, exit =
18 (wandb/proto/wandb_internal.proto); values are JSON.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scaling.errors import ScalingError
from scaling.record import Row
from scaling.runs.logs import Log, flat
from scaling.runs.logs_protobuf import fields, last, raw, text, whole

FORMAT = "W&B offline run"
HEAD = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
"""First bytes of a file of the one version there is."""
BLOCK = 32 * 1024
CHUNK_HEAD = struct.Struct("<IHB")
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
"""Kinds of a chunk."""


class DamagedError(ValueError):
    """A chunk that is not as it was written."""


def records(data: bytes) -> Iterator[bytes]:
    """Yield the complete records of a file; one cut short at the end is left out.

    Raises
    ------
    DamagedError
        At the first chunk that is out of order, or whose checksum is wrong.
    """
    at = len(HEAD)
    parts: list[bytes] = []
    while at + CHUNK_HEAD.size <= len(data):
        left = BLOCK - at % BLOCK
        if left < CHUNK_HEAD.size:  # too short for a chunk, and filled with zeros
            at += left
            continue
        checksum, length, kind = CHUNK_HEAD.unpack_from(data, at)
        start = at + CHUNK_HEAD.size
        if start + length > at + left:
            raise DamagedError(f"a chunk longer than its block at byte {at}")
        if start + length > len(data):
            return
        chunk = data[start : start + length]
        if zlib.crc32(chunk, zlib.crc32(bytes([kind]))) != checksum:
            raise DamagedError(f"a chunk with a wrong checksum at byte {at}")
        if (kind in (MIDDLE, LAST)) != bool(parts) or kind > LAST:
            raise DamagedError(f"a chunk out of order at byte {at}")
        parts.append(chunk)
        at = start + length
        if kind in (FULL, LAST):
            yield b"".join(parts)
            parts = []


@dataclass(slots=True)
class _Run:
    """What the records of a file have said so far."""

    name: str = ""
    id: str = ""
    rows: list[Row] = field(default_factory=list)
    config: Row = field(default_factory=dict)
    summary: Row = field(default_factory=dict)
    exit_code: int | None = None

    def heed(self, record: bytes) -> None:
        """Take in one record."""
        for kind, value in fields(record):
            message = raw(value)
            if kind == 2:
                self._heed_history(message)
            elif kind == 3:
                self.summary |= _items(message)
            elif kind == 5:
                self.config |= _items(message)
            elif kind == 17:
                self._heed_run(message)
            elif kind == 18:
                self.exit_code = whole(last(message).get(1, 0))

    def _heed_history(self, message: bytes) -> None:
        row = _items(message)
        step = last(message).get(2)
        if "_step" not in row and step is not None:
            row["_step"] = whole(last(raw(step)).get(1, 0))
        self.rows.append(row)

    def _heed_run(self, message: bytes) -> None:
        held = last(message)
        self.id = text(held.get(1, b""))
        self.name = text(held.get(8, b"")) or self.id
        self.config |= _items(raw(held.get(4, b"")))

    @property
    def status(self) -> str:
        """How the run ended, in the record's words."""
        if self.exit_code is None:
            return "unfinished"
        return "failed" if self.exit_code else "finished"


def _items(message: bytes) -> Row:
    """Read the items of a history, config or summary: key or nested key, JSON value.

    In all three, items (or updates) are field 1.
    """
    found: Row = {}
    for number, item in fields(message):
        if number != 1:
            continue
        keys: list[str] = []
        value = None
        for part, content in fields(raw(item)):
            if part in (1, 2):
                keys.append(text(content))
            elif part == 16:
                value = json.loads(raw(content))
        found |= flat({".".join(keys): value})
    return found


def read(files: Sequence[Path], name: str, notes: list[str]) -> list[Log]:
    """Read a `.wandb` file; what follows a damaged place is left out, with a note.

    A run's own name goes before `name`. A record cut short at the end is left out.

    Raises
    ------
    ScalingError
        If the file is empty or of another version.
    """
    (path,) = files
    data = path.read_bytes()
    if data[: len(HEAD)] != HEAD:
        raise ScalingError(_refusal(path, data))
    run = _Run()
    count = 0
    try:
        for record in records(data):
            run.heed(record)
            count += 1
    except ValueError as error:
        notes.append(f"{path}: {error}; kept the {count} records before it")
    # what a summary alone holds was set by hand, at the end of the run
    logged = {key for row in run.rows for key in row}
    alone = {key: value for key, value in run.summary.items() if key not in logged}
    constants = {**alone, **run.config, "status": run.status}
    return [
        Log(
            format=FORMAT,
            run=run.name or name,
            origin=run.id or str(path),
            path=path,
            rows=tuple(run.rows) or ((run.summary,) if run.summary else ()),
            constants=constants,
        )
    ]


def _refusal(path: Path, data: bytes) -> str:
    if not data:
        return f"{path} is empty; expected a run of W&B: remove it"
    if data[:4] == HEAD[:4] and len(data) >= len(HEAD):
        found = f"is of version {data[6]} ({data[:7].hex()})"
    else:
        found = f"begins with {data[:7]!r}"
    return (
        f"{path} {found}; expected a .wandb file of version 0 ({HEAD.hex()}): export "
        "the run as CSV and import that"
    )
