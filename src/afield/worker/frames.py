"""PURE: the frames between an engine and one of its workers on the same machine.

A frame is a header of eight bytes and a body: the body's length, one word, the body. Both are unsigned and big-endian.

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

__all__ = ["BODY_MOST", "FUNCTIONS_KEPT", "HEADER", "PERMIT", "WORD_MOST", "Frames", "Hello"]

#: Length of the body, then the word.
HEADER: Final = Struct(">II")
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


class Frames:
    """Bytes in, whole frames out.

    Read into :meth:`space`, then say how much with :meth:`filled`.
    """

    __slots__ = ("_buffer", "_end")

    def __init__(self) -> None:
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
            while end - start >= 8:
                length, word = HEADER.unpack_from(buffer, start)
                if length > BODY_MOST:
                    raise ValueError(f"a frame of {length} bytes")
                stop = start + 8 + length
                if stop > end:
                    wanted = 8 + length
                    break
                found.append((word, bytes(view[start + 8 : stop])))
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
