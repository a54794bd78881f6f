"""What reading a foreign body may raise, in one place, so that nobody forgets a part of it.

Besides its own errors msgspec lets two others through: UnicodeDecodeError for text that is not UTF-8, and
RecursionError for values nested thousands deep. Both are made by whoever sent the body, and must not end the loop that
reads it.
"""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["MALFORMED"]

#: ``except MALFORMED as error`` around every decoder of bytes from elsewhere.
MALFORMED: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
