"""TensorBoard event files: the scalars and hyperparameters of one folder, one run.

A file is a row of frames, each a length (8 bytes), its checksum (4), the data and its
checksum (4), all little-endian; the checksums are masked CRC-32C (TFRecord). The data
is an `Event`: step = 2, summary = 5; a summary's values = 1 have tag = 1 and a scalar
as simple_value = 2 or as tensor = 8 (tensorflow/core/util/event.proto, summary.proto).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from scaling.record import Row
from scaling.runs.logs import Log
from scaling.runs.logs_protobuf import fields, last, raw, text, varint, whole

FORMAT = "TensorBoard events"
HPARAMS = "_hparams_/session_start_info"
"""Tag under which the hyperparameters are."""
STEP = "step"
"""Our name of an event's step, among the tags."""

FLOAT, DOUBLE, INT32, INT64, HALF, BFLOAT16 = 1, 2, 3, 9, 19, 14
"""Types of a tensor that may be a scalar."""
CODES = {FLOAT: "f", DOUBLE: "d", INT32: "i", INT64: "q", HALF: "e"}
"""How `struct` calls them."""

SINGLE = struct.Struct("<f")
LENGTH = struct.Struct("<QI")
SUM = struct.Struct("<I")
"""A scalar; what is before a frame's data, and what is after it."""


class DamagedError(ValueError):
    """A frame that is not as it was written."""


# --- Frames -------------------------------------------------------------------------


@cache
def _table() -> tuple[int, ...]:
    """CRC-32C of each byte (Castagnoli's polynomial, reflected)."""
    found = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        found.append(crc)
    return tuple(found)


def crc32c(data: bytes) -> int:
    """Checksum of iSCSI (RFC 3720, B.4).

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    table = _table()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """Turn a checksum as TFRecord does, since data may hold checksums itself."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@cache
def _length_sum(length: int) -> int:
    return masked(crc32c(struct.pack("<Q", length)))


def frames(data: bytes) -> Iterator[bytes]:
    """Yield the data of each complete frame; one cut short at the end is left out.

    Raises
    ------
    DamagedError
        At the first frame whose checksum is wrong.
    """
    at = 0
    while at + LENGTH.size <= len(data):
        length, checksum = LENGTH.unpack_from(data, at)
        if checksum != _length_sum(length):
            raise DamagedError(f"a length with a wrong checksum at byte {at}")
        start = at + LENGTH.size
        end = start + length
        if end + SUM.size > len(data):
            return
        event = data[start:end]
        if SUM.unpack_from(data, end)[0] != masked(crc32c(event)):
            raise DamagedError(f"an event with a wrong checksum at byte {at}")
        yield event
        at = end + SUM.size


# --- Events -------------------------------------------------------------------------


def scalars(event: bytes) -> tuple[int, Row, Row]:
    """Give an event's step, its scalars by tag, and the run's hyperparameters in it."""
    step = 0
    found: Row = {}
    hparams: Row = {}
    for key, value in fields(event):
        if key == 2:
            step = whole(value)
        elif key == 5:
            for _, item in fields(raw(value)):
                _read_value(raw(item), found, hparams)
    return step, found, hparams


def _read_value(item: bytes, found: Row, hparams: Row) -> None:
    held = last(item)
    tag = text(held.get(1, b""))
    if 2 in held:
        (found[tag],) = SINGLE.unpack(raw(held[2]))
    elif tag == HPARAMS:
        hparams |= _hparams(raw(held.get(9, b"")))
    elif 8 in held:
        number = _scalar(raw(held[8]))
        if number is not None:
            found[tag] = number


def _scalar(tensor: bytes) -> float | None:
    """Read a tensor of one number; None for any other."""
    held = list(fields(tensor))
    kind = next((value for key, value in held if key == 1), 0)
    sides = [side for key, shape in held if key == 2 for side in _sides(raw(shape))]
    code = CODES.get(kind) if isinstance(kind, int) else None
    if code is None or any(side != 1 for side in sides):
        return None
    size = struct.calcsize(code)
    for key, value in held:
        if key == 4 and len(raw(value)) == size:
            return _number(code, raw(value))
        if key in (5, 6) and len(raw(value)) == size:
            return _number(code, raw(value))
        if key in (7, 10):
            return float(_varint(value))
    return None


def _number(code: str, data: bytes) -> float:
    return float(struct.unpack(f"<{code}", data)[0])


def _varint(value: int | bytes) -> int:
    """Read a whole number, packed or not."""
    if isinstance(value, int):
        return whole(value)
    return whole(varint(value, 0)[0])


def _sides(shape: bytes) -> Iterator[int]:
    for key, dim in fields(shape):
        if key == 2:
            yield whole(last(raw(dim)).get(1, 0))


def _hparams(metadata: bytes) -> Row:
    """Read the hyperparameters: plugin data, session start, a map of JSON values."""
    found: Row = {}
    plugin = last(raw(last(metadata).get(1, b"")))
    start = raw(last(raw(plugin.get(2, b""))).get(3, b""))
    for key, entry in fields(start):
        if key == 1:
            pair = last(raw(entry))
            value = _json_value(raw(pair.get(2, b"")))
            if value is not None:
                found[text(pair.get(1, b""))] = value
    return found


def _json_value(value: bytes) -> float | str | bool | None:
    held = last(value)
    if 2 in held:
        return float(struct.unpack("<d", raw(held[2]))[0])
    if 3 in held:
        return text(held[3])
    return bool(held[4]) if 4 in held else None


# --- Runs ---------------------------------------------------------------------------


def read(files: Sequence[Path], name: str, notes: list[str]) -> list[Log]:
    """Read the event files of one folder as one run, in the order they were begun.

    What follows a damaged place of a file is left out, with a note; so is an event that
    is cut short at the end, without one, since a run that goes on looks the same.
    """
    rows: list[Row] = []
    hparams: Row = {}
    for path in sorted(files):
        events = 0
        try:
            for event in frames(path.read_bytes()):
                step, found, more = scalars(event)
                hparams |= more
                events += 1
                if found:
                    rows.append({STEP: step, **found})
        except (ValueError, struct.error) as error:
            notes.append(f"{path}: {error}; kept the {events} events before it")
    if not rows:
        return []
    folder = files[0].parent
    return [
        Log(
            format=FORMAT,
            run=name,
            origin=str(folder),
            path=folder,
            rows=tuple(rows),
            constants=hparams,
        )
    ]
