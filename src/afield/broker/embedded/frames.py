"""PURE: AMQP 0-9-1 on the wire, as bytes (sections 2.3 and 4.2 of the specification).

Publish, deliver, ack, nack and content are packed here by hand: they are all of the traffic, and this costs a tenth of
what a general codec costs. A message's properties are never looked at: they come as bytes and leave as the same bytes.
All other methods go through pamqp.

::

    frame    type:1 channel:2 size:4 payload:size 0xCE
    method   class:2 method:2 arguments                          (type 1)
    header   class:2 weight:2 body size:8 property flags and list (type 2)
    body     as it is, at most frame_max - 8 a piece              (type 3)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from pamqp import commands, frame
from pamqp.base import Frame

from afield.broker.embedded.replies import Reply

__all__ = [
    "BODY",
    "FRAME_OVERHEAD",
    "HEADER",
    "HEARTBEAT",
    "HEARTBEAT_FRAME",
    "METHOD",
    "PROTOCOL_HEADER",
    "FrameReader",
    "Malformed",
    "ack",
    "append_content",
    "decode_acknowledgement",
    "decode_header",
    "decode_method",
    "decode_publish",
    "delivery",
    "method",
    "method_id",
    "nack",
    "raw_method",
    "shortstr",
]

PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
METHOD: Final = 1
HEADER: Final = 2
BODY: Final = 3
HEARTBEAT: Final = 8
#: bytes of a frame that are not its payload
FRAME_OVERHEAD: Final = 8
HEARTBEAT_FRAME: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"

_END: Final = 0xCE
_END_BYTE: Final = b"\xce"
#: Longest arguments of a method that goes through pamqp. Nobody's are near it, and pamqp's time for nested tables is
#: quadratic in their size.
_COLD_MAX: Final = 16 * 1024

_frame = struct.Struct(">BHI")
_two = struct.Struct(">HH")
_content = struct.Struct(">HHQ")
_content_frame = struct.Struct(">BHIHHQ")
_acknowledgement = struct.Struct(">QB")
_settled_frame = struct.Struct(">BHIHHQBB")

#: What pamqp raises on bytes that are not what they should be; found by fuzzing.
_PAMQP_ERRORS: Final = (ValueError, LookupError, TypeError, ArithmeticError, RecursionError, struct.error)


class Malformed(Exception):  # noqa: N818 - what came is wrong, not what we did
    """What came over the wire is not AMQP; the connection ends with this code (section 1.2).

    :param code: what is wrong with it
    :param text: for people
    """

    def __init__(self, code: Reply, text: str) -> None:
        super().__init__(code, text)
        self.code, self.text = code, text


class FrameReader:
    """Cuts a stream into frames, however it is chunked.

    :param frame_max: longest frame that may come, in bytes; may be changed at any time
    """

    def __init__(self, frame_max: int) -> None:
        self.frame_max = frame_max
        self._chunks: list[bytes] = []
        # How many bytes are certainly missing before anything can be read.
        self._missing = _frame.size

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """What is complete with this: (type, channel, payload). To be read to its end before the next call.

        :raises Malformed: after the good frames, that what follows them is none
        """
        if len(data) < self._missing:
            self._chunks.append(data)
            self._missing -= len(data)
            return
        if self._chunks:
            self._chunks.append(data)
            data = b"".join(self._chunks)
        at, available = 0, len(data)
        self._chunks = []
        self._missing = _frame.size
        while available - at >= _frame.size:
            kind, channel, size = _frame.unpack_from(data, at)
            if size > self.frame_max - FRAME_OVERHEAD or kind not in (METHOD, HEADER, BODY, HEARTBEAT):
                raise Malformed(Reply.FRAME_ERROR, f"a frame of type {kind} and {size} bytes cannot be")
            start = at + _frame.size
            end = start + size
            if end >= available:
                self._missing = end + 1 - at
                break
            if data[end] != _END:
                raise Malformed(Reply.FRAME_ERROR, "a frame does not end with 0xCE")
            at = end + 1
            yield kind, channel, data[start:end]
        rest = data[at:]
        self._chunks = [rest] if rest else []
        self._missing -= len(rest)


# In


def method_id(payload: bytes) -> int:
    """Class and method of a method frame, in one number.

    :raises Malformed: it is too short to have them
    """
    if len(payload) < _two.size:
        raise Malformed(Reply.SYNTAX_ERROR, "a method without a name")
    return int.from_bytes(payload[:4])


def decode_publish(payload: bytes) -> tuple[str, str, int]:
    """Basic.Publish: exchange, routing key and bits (1: mandatory, 2: immediate).

    :raises Malformed: it is not one
    """
    try:
        at = 7 + payload[6]  # after class, method and a reserved short
        end = at + 1 + payload[at]
        return payload[7:at].decode(), payload[at + 1 : end].decode(), payload[end]
    except (IndexError, UnicodeDecodeError) as error:
        raise Malformed(Reply.SYNTAX_ERROR, "basic.publish with bad arguments") from error


def decode_acknowledgement(payload: bytes) -> tuple[int, int]:
    """Basic.Ack, Nack, Reject: delivery tag and bits (1: multiple, or for Reject requeue; 2: requeue).

    :raises Malformed: it is none of them
    """
    try:
        tag, bits = _acknowledgement.unpack_from(payload, 4)
    except struct.error as error:
        raise Malformed(Reply.SYNTAX_ERROR, "an acknowledgement with bad arguments") from error
    return tag, bits


def decode_header(payload: bytes) -> tuple[int, bytes]:
    """A content header: the body's size, and the properties as they are.

    :raises Malformed: it is not one
    """
    if len(payload) < _content.size + 2:
        raise Malformed(Reply.FRAME_ERROR, "a content header that is too short")
    class_id, _weight, size = _content.unpack_from(payload)
    if class_id != commands.Basic.frame_id:
        raise Malformed(Reply.FRAME_ERROR, f"content of class {class_id}")
    return size, payload[_content.size :]


def decode_method(payload: bytes) -> Frame:
    """Any method, by pamqp.

    :raises Malformed: unknown, too long, or its arguments are not what they should be
    """
    kind: type[Frame] | None = commands.INDEX_MAPPING.get(method_id(payload))
    if kind is None or kind is commands.Basic.RecoverAsync:  # the specification deprecates it, and pamqp warns of it
        raise Malformed(Reply.NOT_IMPLEMENTED, f"unknown method {method_id(payload):#010x}")
    if len(payload) > _COLD_MAX:
        raise Malformed(Reply.SYNTAX_ERROR, f"method {method_id(payload):#010x} of {len(payload)} bytes")
    value = kind()
    try:
        value.unmarshal(payload[4:])
    except _PAMQP_ERRORS as error:
        raise Malformed(Reply.SYNTAX_ERROR, f"{value.name} with bad arguments") from error
    return value


# Out


def shortstr(text: str) -> bytes:
    """A short string; what does not fit in 255 bytes is cut."""
    raw = text.encode()
    if len(raw) > 255:
        raw = raw[:255].decode(errors="ignore").encode()
    return bytes((len(raw),)) + raw


def method(channel: int, value: Frame) -> bytes:
    """Any method, by pamqp."""
    return frame.marshal(value, channel)


def raw_method(channel: int, index: int, arguments: bytes) -> bytes:
    """A method whose arguments are packed already."""
    return b"".join(
        (_frame.pack(METHOD, channel, 4 + len(arguments)), index.to_bytes(4), arguments, _END_BYTE),
    )


def ack(channel: int, tag: int, *, multiple: bool) -> bytes:
    """Basic.Ack, the confirm of a publish."""
    return _settled_frame.pack(METHOD, channel, 13, 60, 80, tag, multiple, _END)


def nack(channel: int, tag: int) -> bytes:
    """Basic.Nack of one publish."""
    return _settled_frame.pack(METHOD, channel, 13, 60, 120, tag, 0, _END)


def delivery(channel: int, consumer: bytes, tag: int, address: bytes, *, redelivered: bool) -> bytes:
    """Basic.Deliver, without its content.

    :param consumer: the consumer tag as a short string
    :param address: exchange and routing key as short strings
    """
    arguments = consumer + _acknowledgement.pack(tag, redelivered) + address
    return _frame.pack(METHOD, channel, 4 + len(arguments)) + b"\x00\x3c\x00\x3c" + arguments + _END_BYTE


def append_content(out: list[bytes], channel: int, properties: bytes, body: bytes, frame_max: int) -> None:
    """A message's content header and its body, in as many frames as it needs.

    :param properties: flags and list, as they came
    """
    size = len(body)
    header = _content_frame.pack(HEADER, channel, _content.size + len(properties), 60, 0, size)
    room = frame_max - FRAME_OVERHEAD
    if size == 0:
        out.append(header + properties + _END_BYTE)
    elif size <= room:
        out += (header, properties, _END_BYTE + _frame.pack(BODY, channel, size), body, _END_BYTE)
    else:
        out.append(header + properties + _END_BYTE)
        whole = memoryview(body)
        for at in range(0, size, room):
            piece = whole[at : at + room]
            out += (_frame.pack(BODY, channel, len(piece)), piece, _END_BYTE)  # type: ignore[arg-type]  # join takes it
