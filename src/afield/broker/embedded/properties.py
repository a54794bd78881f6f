"""PURE: a message's properties between bytes and :class:`~afield.broker.base.Properties`.

The bytes are a list of flags, then the values of those that are set, in the order of the flags (AMQP 0-9-1, sections
2.3.5.2 and 4.2.6). Only what somebody here reads is decoded; between two sockets properties stay bytes.

Field tables are written here rather than by pamqp, whose floats lose half their digits and whose time on hostile nested
tables is quadratic. Types are those that RabbitMQ and its clients use, which differ from the specification's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from afield.broker.base import Properties
from afield.errors import WireError

__all__ = ["EMPTY", "decode", "encode"]

#: no flags, no values
EMPTY: Final = b"\x00\x00"

_CONTENT_TYPE: Final = 1 << 15
_CONTENT_ENCODING: Final = 1 << 14
_HEADERS: Final = 1 << 13
_DELIVERY_MODE: Final = 1 << 12
_PRIORITY: Final = 1 << 11
#: correlation id, reply to, expiration, message id: short strings that nobody here reads
_UNREAD: Final = (1 << 10, 1 << 9, 1 << 8, 1 << 7)
_TIMESTAMP: Final = 1 << 6

#: Tables within tables within …: nobody needs more, and the decoder is recursive.
_DEPTH: Final = 16

_long = struct.Struct(">I")
_octets = struct.Struct(">Q")

#: type -> how to read a value of fixed size
_FIXED: Final[Mapping[int, struct.Struct]] = {
    ord(letter): struct.Struct(">" + code) for letter, code in zip("tbBUsuIilLfdT", "?bBhhHiIqqfdQ", strict=True)
}


def encode(properties: Properties) -> bytes:
    """Flags and values.

    :raises WireError: a header has a type that AMQP does not know
    """
    flags = _DELIVERY_MODE
    parts: list[bytes] = []
    if properties.content_type is not None:
        flags |= _CONTENT_TYPE
        raw = properties.content_type.encode()[:255]
        parts.append(bytes((len(raw),)) + raw)
    if properties.headers:
        flags |= _HEADERS
        parts.append(_encode_table(properties.headers))
    parts.append(bytes((properties.delivery_mode,)))
    if properties.timestamp is not None:
        flags |= _TIMESTAMP
        parts.append(_octets.pack(properties.timestamp))
    return flags.to_bytes(2) + b"".join(parts)


def decode(raw: bytes) -> Properties:
    """What we know of these flags and values.

    :raises WireError: they are not that
    """
    try:
        return _Reader(raw).properties()
    except (struct.error, LookupError, ValueError, ArithmeticError, OSError) as error:
        # An OSError is a time that no calendar has.
        raise WireError("a message whose properties are not AMQP's") from error


def _encode_table(table: Mapping[str, object]) -> bytes:
    parts = []
    for key, value in table.items():
        raw = key.encode()
        if len(raw) > 255:
            raise WireError(f"a header's name may have 255 bytes, not {len(raw)}: {key[:40]}…")
        parts.append(bytes((len(raw),)) + raw + _encode_value(value))
    packed = b"".join(parts)
    return _long.pack(len(packed)) + packed


def _sized(letter: bytes, raw: bytes) -> bytes:
    return letter + _long.pack(len(raw)) + raw


_ENCODERS: Final[dict[type, Callable[..., bytes]]] = {
    type(None): lambda _: b"V",
    bool: lambda value: b"t" + bytes((value,)),
    int: lambda value: b"l" + value.to_bytes(8, signed=True),
    float: lambda value: b"d" + struct.pack(">d", value),
    str: lambda value: _sized(b"S", value.encode()),
    bytes: lambda value: _sized(b"x", value),
    list: lambda value: _sized(b"A", b"".join(map(_encode_value, value))),
    tuple: lambda value: _sized(b"A", b"".join(map(_encode_value, value))),
    dict: lambda value: b"F" + _encode_table(value),
    datetime: lambda value: b"T" + _octets.pack(int(value.timestamp())),
}


def _encode_value(value: object) -> bytes:
    encoder = _ENCODERS.get(type(value))
    if encoder is None:
        raise WireError(f"a header cannot be a {type(value).__name__}; text, numbers, bytes, lists and dicts can")
    try:
        return encoder(value)
    except (OverflowError, struct.error) as error:
        raise WireError(f"a header's value is out of range: {value!r}") from error


class _Reader:
    """Walks through bytes; going over the end is an error, never a short answer."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def properties(self) -> Properties:
        flags = first = int.from_bytes(self._take(2))
        while flags & 1:  # there are more flags, for properties that do not exist
            flags = int.from_bytes(self._take(2))
        content_type = self._short() if first & _CONTENT_TYPE else None
        if first & _CONTENT_ENCODING:
            self._short()
        headers = self._table(0) if first & _HEADERS else {}
        delivery_mode = self._take(1)[0] if first & _DELIVERY_MODE else 1
        if first & _PRIORITY:
            self._take(1)
        for flag in _UNREAD:
            if first & flag:
                self._short()
        timestamp = _octets.unpack(self._take(8))[0] if first & _TIMESTAMP else None
        return Properties(headers, content_type, timestamp, delivery_mode)

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._raw):
            raise ValueError("it ends too early")
        taken = self._raw[self._at : end]
        self._at = end
        return taken

    def _short(self) -> str:
        return self._take(self._take(1)[0]).decode()

    def _until(self, depth: int) -> Iterator[None]:
        """Once for each element of a table or list, whose size comes first."""
        if depth > _DEPTH:
            raise ValueError("nested too deeply")
        end = _long.unpack(self._take(4))[0] + self._at
        while self._at < end:
            yield
        if self._at != end:
            raise ValueError("an element goes over the end of its table")

    def _table(self, depth: int) -> dict[str, object]:
        table: dict[str, object] = {}
        for _ in self._until(depth):
            key = self._short()
            table[key] = self._value(depth)
        return table

    def _value(self, depth: int) -> object:
        letter = self._take(1)[0]
        fixed = _FIXED.get(letter)
        if fixed is not None:
            value = fixed.unpack(self._take(fixed.size))[0]
            return datetime.fromtimestamp(value, UTC) if letter == ord("T") else value
        match chr(letter):
            case "S":
                return self._take(_long.unpack(self._take(4))[0]).decode()
            case "x":
                return self._take(_long.unpack(self._take(4))[0])
            case "F":
                return self._table(depth + 1)
            case "A":
                return [self._value(depth + 1) for _ in self._until(depth + 1)]
            case "V":
                return None
            case "D":
                scale = self._take(1)[0]
                return Decimal(int.from_bytes(self._take(4), signed=True)).scaleb(-scale)
            case other:
                raise ValueError(f"a header of unknown type {other!r}")
