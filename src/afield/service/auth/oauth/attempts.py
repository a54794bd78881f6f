"""How often somebody may try. PURE: time is handed in.

Theory. A *key* is what tries are counted for: a username, an address. At most ``most`` tries of a key lie within any
``per_s`` seconds. A try is counted when it begins, so that many at once are as many; a good one takes back what was
counted for its key. What is kept is bounded: of very many keys the one that was quiet for longest is forgotten.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

__all__ = ["Attempts", "network_of"]

_MOST_KEYS: Final = 20_000


def network_of(address: str) -> str:
    """What an address stands for when tries are counted: with IPv6 whoever has one has all that share its 64 bits."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        mapped = found.ipv4_mapped
        return str(ip_network((int(found) >> 64 << 64, 64))) if mapped is None else str(mapped)
    return address


class Attempts:
    """Counts tries, in one process.

    :param most: tries of one key
    :param per_s: seconds within which they are counted
    """

    def __init__(self, most: int, per_s: float) -> None:
        self._most, self._per_s = most, per_s
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, key: str, now: float) -> float:
        """Seconds until the key may try again; 0: now."""
        times = self._recent(key, now)
        return 0.0 if len(times) < self._most else max(0.0, times[0] + self._per_s - now)

    def count(self, key: str, now: float) -> None:
        """One more try begins."""
        times = self._recent(key, now)
        times.append(now)
        self._times[key] = times
        self._times.move_to_end(key)
        while len(self._times) > _MOST_KEYS:
            self._times.popitem(last=False)

    def forgive(self, key: str) -> None:
        """The key's try was a good one."""
        self._times.pop(key, None)

    def _recent(self, key: str, now: float) -> deque[float]:
        times = self._times.get(key, deque[float]())
        while times and times[0] <= now - self._per_s:
            times.popleft()
        return times
