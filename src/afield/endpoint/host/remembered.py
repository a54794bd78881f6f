"""The last things that went wrong, kept in memory so that ``afield endpoint status`` can show them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from afield.endpoint.host.status import Said

__all__ = ["LastErrors"]

#: How many are kept, and how many characters of each.
_MOST: Final = 10
_LONGEST: Final = 600


class LastErrors(logging.Handler):
    """Remembers warnings and worse of whatever logger it hangs at."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: deque[Said] = deque(maxlen=_MOST)
        #: called after each
        self.changed: Callable[[], None] = lambda: None

    def emit(self, record: logging.LogRecord) -> None:
        """Remember one."""
        text = record.getMessage().strip()
        if record.exc_info and record.exc_info[1] is not None:
            text += f" ({type(record.exc_info[1]).__name__}: {record.exc_info[1]})"
        self.note(record.created, text)

    def note(self, at: float, text: str) -> None:
        """Remember something that is told elsewhere.

        :param at: unix time in seconds
        """
        self._said.append(Said(at, text[:_LONGEST]))
        self.changed()

    def said(self) -> list[Said]:
        """The oldest first."""
        return list(self._said)
