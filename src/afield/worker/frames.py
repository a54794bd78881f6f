"""PURE: the frames between an engine and one of its workers on the same machine.

A frame is a header of twelve bytes and a body: a mark, the body's length, one word, the body. All are big-endian. The
mark tells a frame from what else may come through the channel: user code that writes to every file it finds would
otherwise be read as a length, and waited for.

=========  ==========================  ===============================================
direction  word                        body
=========  ==========================  ===============================================
down       the job's epoch             an encoded :class:`~afield.wire.jobs.Job`
up, first  0                           an encoded :class:`Hello`
up, then   microseconds the job ran    an encoded :class:`~afield.wire.jobs.Outcome`
=========  ==========================  ===============================================

Permits travel in a pipe of their own: one :data:`PERMIT` for each job, with the job's epoch. What they are for is
written in ``afield.endpoint.engines.schedule``.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

import msgspec

__all__ = ["BODY_MOST", "FUNCTIONS_KEPT", "PERMIT", "WORD_MOST", "Frames", "Hello", "header"]

#: The mark, the length of the body, the word.
_HEADER: Final = Struct(">III")
_SIZE: Final = _HEADER.size
#: No text begins so, nor do zeros or small numbers.
_MARK: Final = 0xAF1E1D5E
#: An epoch. Four bytes are written and read at once, so that no permit is ever torn.
PERMIT: Final = Struct(">I")
#: The largest word.
WORD_MOST: Final = (1 << 32) - 1
#: The longest body. A length beyond it is not a length.
BODY_MOST: Final = 1 << 31
#: Functions that a worker keeps. The engine counts on it: see ``afield.endpoint.engines.known``.
FUNCTIONS_KEPT: Final = 512
#: One read takes at most this much; about what a socket holds.
_ROOM: Final = 1 << 18
#: A buffer that grew beyond this for one frame shrinks again.
_KEEP: Final = 1 << 22


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """The first thing a worker says."""

    job_version: int
    pid: int
    #: such as ``3.11.7``
    python: str


def header(length: int, word: int) -> bytes:
    """What stands before a body of this length."""
    return _HEADER.pack(_MARK, length, word)


class Frames:
    """Bytes in, whole frames out.

    Read into :meth:`space`, then say how much with :meth:`filled`.

    :param most: bytes of the longest body; room is made for as much as a header says, before it is there
    """

    __slots__ = ("_buffer", "_end", "most")

    def __init__(self, most: int = BODY_MOST) -> None:
        self.most = most
        self._buffer = bytearray(_ROOM)
        self._end = 0

    def space(self) -> memoryview:
        """Where the next bytes go; never empty. Let go of it before calling :meth:`filled`."""
        return memoryview(self._buffer)[self._end :]

    def filled(self, count: int) -> list[tuple[int, bytes]]:
        """``count`` bytes were written into the space. Returns the frames that are whole now: word and body.

        :raises ValueError: this is no frame; nothing after it can be understood
        """
        buffer, start, end = self._buffer, 0, self._end + count
        found: list[tuple[int, bytes]] = []
        wanted = 0
        with memoryview(buffer) as view:
            while end - start >= _SIZE:
                mark, length, word = _HEADER.unpack_from(buffer, start)
                if mark != _MARK:
                    raise ValueError(f"it begins with {bytes(view[start : start + _SIZE])!r}")
                if length > self.most:
                    raise ValueError(f"a frame of {length} bytes")
                stop = start + _SIZE + length
                if stop > end:
                    wanted = _SIZE + length
                    break
                found.append((word, bytes(view[start + _SIZE : stop])))
                start = stop
        if start:
            buffer[: end - start] = buffer[start:end]
        self._end = end - start
        self._fit(wanted)
        return found

    def _fit(self, wanted: int) -> None:
        """Have room for a frame of ``wanted`` bytes, and not much more than that."""
        size = len(self._buffer)
        if wanted > size:
            self._buffer.extend(bytes(wanted - size))
        elif size > _KEEP and self._end <= _ROOM > wanted:
            self._buffer = bytearray(self._buffer[: self._end]).ljust(_ROOM, b"\0")
