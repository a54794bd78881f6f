"""Reading frames with pika, such that no message can end the connection of whoever reads it.

Whoever may write to a queue chooses a message's properties, and a broker passes on what it does not understand itself.
pika reads them while it cuts the stream into frames: a time that no calendar has, or tables in tables in tables, raise
there, and that ends the connection. The message is then delivered again on the next one, and ends that, too. So it is
handed on without its properties; whoever reads it finds out whether its body is of any use.
"""

from __future__ import annotations

import logging
import struct
from typing import Any, Final

from pika import frame, spec
from pika.adapters.asyncio_connection import AsyncioConnection

__all__ = ["SturdyConnection"]

logger = logging.getLogger("afield.broker")

#: Type, channel and size of a frame, then class, weight and size of the body that a header announces (AMQP 0-9-1,
#: sections 2.3.5 and 2.3.5.2).
_HEADER: Final = struct.Struct(">BHLHHQ")


class SturdyConnection(AsyncioConnection):
    """A connection that outlives properties which cannot be read."""

    #: messages whose properties could not be read
    _unreadable = 0

    def _read_frame(self) -> Any:
        try:
            return super()._read_frame()
        except Exception as error:
            # Whatever kind of error it is: what can be wrong with it is anybody's choice.
            data = self._frame_buffer
            if data[:1] != bytes((spec.FRAME_HEADER,)) or len(data) < _HEADER.size:
                raise
            _, channel, size, _, _, body_size = _HEADER.unpack_from(data)
            self._unreadable += 1
            if self._unreadable.bit_count() == 1:  # the 1st, 2nd, 4th, 8th …: a flood does not fill the log
                logger.warning(
                    "the properties of a message cannot be read, and it goes on without them (%d so far): %.200r",
                    self._unreadable,
                    error,
                )
            used = spec.FRAME_HEADER_SIZE + size + spec.FRAME_END_SIZE
            nothing = spec.BasicProperties()  # type: ignore[no-untyped-call]
            return used, frame.Header(channel, body_size, nothing)
