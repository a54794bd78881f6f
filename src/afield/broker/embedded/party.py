"""PURE: what one party has with the broker, on all its connections together.

Theory. Everybody's messages pass through one process, and what peers send waits there until the program that carries
the broker has read it. Who sends faster than it reads would fill its memory and stand before everybody else. So each
message is charged to its sender from its arrival until it is done with, and who owes too much is not listened to until
half of it is paid. That is counted by party and not by connection: a connection is the cheapest thing to have more of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["MOST_BYTES", "Parties", "Party"]

#: What a party may owe by default, in bytes. A message that is larger passes alone.
MOST_BYTES: Final = 32 * 1024 * 1024

#: What a message costs beside its bytes, in bytes: reading an empty one is work as well.
_OVERHEAD: Final = 4_096


class Party:
    """One party.

    :param name: who it is
    :param most: bytes that it may owe
    :param home: where it is known by its name, for as long as it is here or owes something
    :ivar members: its sessions, and how each is woken
    :ivar begun: bytes of messages of which not all has come
    :ivar held: nothing more of it is to be read for now
    """

    __slots__ = ("_home", "_most", "begun", "held", "members", "name", "owed")

    def __init__(self, name: str, most: int, home: dict[str, Party]) -> None:
        self.name = name
        self._most = most
        self._home = home
        self.members: dict[object, Callable[[], None]] = {}
        self.owed = 0
        self.begun = 0
        self.held = False

    def charge(self, weight: int) -> int:
        """A message of so many bytes came from it; what is to be paid back for it."""
        size = weight + _OVERHEAD
        self.owed += size
        self.held = self.held or self.owed > self._most
        return size

    def pay(self, size: int) -> None:
        """A message of its is done with."""
        self.owed -= size
        if self.held and self.owed <= self._most // 2:
            self.held = False
            for wake in self.members.values():
                wake()
        self.forget_if_gone()

    def forget_if_gone(self) -> None:
        """Nobody is here, and nothing is owed: there is nothing to remember."""
        if not self.members and not self.owed:
            self._home.pop(self.name, None)


class Parties:
    """Those that have a connection, or owe something.

    :param most: bytes that each may owe
    """

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._here: dict[str, Party] = {}

    def join(self, name: str, member: object, wake: Callable[[], None]) -> Party:
        """Somebody came who belongs to this party."""
        party = self._here.get(name)
        if party is None:
            party = self._here[name] = Party(name, self._most, self._here)
        party.members[member] = wake
        return party

    def leave(self, party: Party, member: object) -> None:
        """Somebody left. What the party owes it goes on owing."""
        party.members.pop(member, None)
        party.forget_if_gone()
