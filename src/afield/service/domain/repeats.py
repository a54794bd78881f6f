"""PURE: submits that come again because their answer was lost, from clients that do not say so.

Published clients repeat a POST byte by byte, up to five times, when the connection breaks, when they lose patience
after 60 seconds, and on 5xx; they send no key that would tell (reference: wire contract section 3.1). But they also
send equal submits on purpose: an Executor that is given the same call twice may send two equal bodies one after the
other, and the processes of one job all send the same first one at the same moment. To take one of these for a
repetition would give two futures one task, and the second would wait for ever.

Theory. Nobody repeats what was answered. So each submit gets a key of its own, whatever its body; and only if its
answer *went astray* (its connection was gone before there was one, or it was 5xx) is that key remembered under
the body's digest, for a while. The next equal body takes the key, once, and has with it the effect of the first one:
if that is under way it joins it, if it was accepted it gets the answer, and if it was refused it is tried anew. If
that answer goes astray, too, the key is there for the one after.

What this cannot see: an answer that was written to a connection that looked alive and was not, and what went astray
in another replica or before the service was killed. Then the tasks run twice, as with any service that knows no keys.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Astray"]

#: Keys that are remembered; the oldest go first. Many at once come only of an outage, and then of all clients.
_MOST: Final = 10_000


class Astray:
    """Keys of submits whose answer went astray. Times are unix seconds.

    :param within_s: for how long, in seconds, a repetition is expected
    """

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        # (digest, key) -> since when; the oldest first
        self._since: dict[tuple[bytes, str], float] = {}
        # digest -> keys, the oldest first
        self._keys: dict[bytes, list[str]] = {}

    def remember(self, digest: bytes, key: str, now: float) -> None:
        """The answer to a submit of this digest, made under this key, went astray."""
        self._forget_old(now)
        if (digest, key) not in self._since:
            self._keys.setdefault(digest, []).append(key)
            self._since[digest, key] = now

    def __len__(self) -> int:
        return len(self._since)

    def take(self, digest: bytes, now: float) -> str | None:
        """A submit of this digest has come: the key that it repeats; None: it is one of its own."""
        self._forget_old(now)
        keys = self._keys.get(digest)
        if not keys:
            return None
        key = keys[0]
        self._forget(digest, key)
        return key

    def _forget_old(self, now: float) -> None:
        while self._since:
            (digest, key), since = next(iter(self._since.items()))
            if now - since <= self._within_s and len(self._since) < _MOST:
                return
            self._forget(digest, key)

    def _forget(self, digest: bytes, key: str) -> None:
        del self._since[digest, key]
        keys = self._keys[digest]
        keys.remove(key)
        if not keys:
            del self._keys[digest]
