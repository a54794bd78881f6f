"""PURE: how many may stand at the door: peers that are connected and have not logged in.

Theory. Whoever reaches the port can connect, and each connection costs a socket and a few kilobytes until it has
logged in or its time for that is over. So those at the door are counted, all together and those of one address. One too
many is sent away before a word is said, which clients take for "come again", while an end in the middle of a login
reads as a wrong password (see :mod:`.connection`, rule 4). Whoever is inside is not counted, and nobody at the door can
push them out.

An address of IPv6 is counted by its first half: the second is anybody's choice on their own network (RFC 4291).
"""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv6Address

__all__ = ["Door"]


class Door:
    """Those who have not logged in.

    :param most: connections, of everybody
    :param most_per_address: connections of one address
    """

    def __init__(self, most: int, most_per_address: int) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._here: Counter[str] = Counter()
        self._count = 0

    def come(self, address: str) -> bool:
        """Somebody comes; whether there is room. Who was let in leaves once by :meth:`leave`."""
        whose = _whose(address)
        if self._count >= self._most or self._here[whose] >= self._most_per_address:
            if not self._here[whose]:
                del self._here[whose]
            return False
        self._count += 1
        self._here[whose] += 1
        return True

    def leave(self, address: str) -> None:
        """Somebody whom there was room for has logged in, or is gone."""
        whose = _whose(address)
        self._count -= 1
        self._here[whose] -= 1
        if not self._here[whose]:
            del self._here[whose]


def _whose(address: str) -> str:
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return parsed.packed[:8].hex()
