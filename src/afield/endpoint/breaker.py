"""PURE: whether what keeps dying may be started once more.

Theory. This is the circuit breaker of Nygard's *Release It!*. It is *closed* while all is well. Deaths in a row, with
nothing between them that worked, *open* it: nothing is started for a pause. When the pause is over one start is let
through, to try; if that one works the breaker is closed, if it dies the next pause begins. What works is said by
whoever holds the breaker, and said once for each thing that works: something that has worked for hours says nothing
about what is started now, perhaps elsewhere.

What it remembers of being open is a record, so that it can outlive its process. A record that is gone means that the
owner has looked at the matter.
"""

from __future__ import annotations

import msgspec

__all__ = ["Breaker", "Open"]


class Open(msgspec.Struct, frozen=True, kw_only=True):
    """Why nothing is started at the moment."""

    #: deaths in a row
    deaths: int
    #: of the last one, for people
    why: str
    #: unix time in seconds
    since: float
    #: unix time in seconds at which one start is let through
    until: float


class Breaker:
    """Counts deaths.

    :param limit: deaths in a row that open it; 0: none do
    :param pause_s: how long it stays open, in seconds
    """

    def __init__(self, limit: int, pause_s: float) -> None:
        self._limit, self._pause_s = limit, pause_s
        self._deaths = 0
        #: set from the moment it opens until something works, also while one start is tried
        self.open: Open | None = None
        self._trying = False

    def restore(self, record: Open) -> None:
        """Be as an earlier life was."""
        self._deaths, self.open = record.deaths, record

    def clear(self) -> None:
        """Its owner has looked at the matter: begin anew."""
        self._deaths, self.open, self._trying = 0, None, False

    def works(self) -> None:
        """Something that was started works."""
        self.clear()

    def refuses(self, now: float) -> Open | None:
        """Why nothing may be started now; None: something may."""
        if self.open is not None and (self._trying or now < self.open.until):
            return self.open
        return None

    def gave_up(self, now: float) -> Open | None:
        """Why nothing is started before the owner or time does something; None while something is, or may be, tried."""
        return self.open if self.open is not None and not self._trying and now < self.open.until else None

    def starts(self) -> None:
        """Something that it did not refuse is started."""
        self._trying = self.open is not None

    def ended(self) -> None:
        """The one that was tried ended, and neither worked nor died: that says nothing, so the next may try."""
        self._trying = False

    def died(self, why: str, now: float, *, tried: bool = True) -> bool:
        """Something that was started died.

        :param why: for people
        :param tried: it is the latest that was started; an older one that dies meanwhile changes only the count
        :return: whether that opened it, or opened it again
        """
        self._deaths += 1
        if not self._limit or self._deaths < self._limit:
            return False
        if self.open is not None and (not self._trying or not tried):
            self.open = msgspec.structs.replace(self.open, deaths=self._deaths, why=why)
            return False
        self._trying = False
        since = self.open.since if self.open is not None else now
        self.open = Open(deaths=self._deaths, why=why, since=since, until=now + self._pause_s)
        return True
