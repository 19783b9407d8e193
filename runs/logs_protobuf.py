"""The wire format of protocol buffers, read without their library.

A message is a list of fields: a key, number << 3 | kind, then a varint (kind 0), eight
bytes (1), a length and as many bytes (2), or four bytes (5). Source: the encoding page
of protobuf.dev.
"""

from __future__ import annotations

Value = int | bytes

VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5
"""Kinds of a field."""
LONGEST_VARINT = 10
"""Bytes of a varint of 64 bits."""


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Read a varint; give it and the place after it.

    >>> varint(bytes([0x96, 0x01]), 0)
    (150, 2)

    Raises
    ------
    ValueError
        If it does not end.
    """
    value = shift = 0
    for byte in data[at : at + LONGEST_VARINT]:
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a varint that does not end")


def fields(data: bytes) -> list[tuple[int, Value]]:
    """Give the fields of a message: number, and a whole number or the bytes.

    Raises
    ------
    ValueError
        If the bytes are no message.
    """
    found: list[tuple[int, Value]] = []
    at, end = 0, len(data)
    while at < end:
        key = data[at]  # one byte, nearly always
        key, at = (key, at + 1) if key < 0x80 else varint(data, at)
        kind = key & 7
        if kind == VARINT:
            value, at = varint(data, at)
            found.append((key >> 3, value))
            continue
        if kind == BYTES:
            length = data[at] if at < end else 0x80
            length, at = (length, at + 1) if length < 0x80 else varint(data, at)
        elif kind in (EIGHT, FOUR):
            length = 8 if kind == EIGHT else 4
        else:
            raise ValueError(f"a field of kind {kind}")
        after = at + length
        if after > end:
            raise ValueError("a field beyond the end of its message")
        found.append((key >> 3, data[at:after]))
        at = after
    return found


def last(data: bytes) -> dict[int, Value]:
    """Give the last value of each field, as is the rule for fields that are single."""
    return dict(fields(data))


def whole(value: Value) -> int:
    """Read a signed 64-bit number of a varint; 0 where the field is another's.

    >>> whole(2**64 - 1)
    -1
    """
    if not isinstance(value, int):
        return 0
    return value - (1 << 64) if value >> 63 else value


def raw(value: Value) -> bytes:
    """Give the bytes of a field; none where the field is a number."""
    return value if isinstance(value, bytes) else b""


def text(value: Value) -> str:
    """Read a text."""
    return raw(value).decode("utf-8", errors="replace")
