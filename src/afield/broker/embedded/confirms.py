"""PURE: which publishes of a channel were answered, and how to answer many of them in few frames."""

from __future__ import annotations

from afield.broker.embedded import frames

__all__ = ["Confirms"]


class Confirms:
    """Publisher confirms of one channel.

    Rules, because clients depend on both: no tag is answered twice; "all up to this tag" is said only when the tag
    itself is answered by it, and everything below it has been answered or is answered by it too.

    :param channel: number of the channel
    """

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self._last = 0
        # Everything up to here was answered.
        self._floor = 0
        # Answered, above the floor.
        self._early: set[int] = set()
        self._safe: list[int] = []
        self._dropped: list[int] = []

    def next_tag(self) -> int:
        """The number of the next publish, from 1."""
        self._last += 1
        return self._last

    def answer(self, tag: int, *, ok: bool) -> None:
        """One publish is safe, or was dropped; :meth:`flush` says so."""
        (self._safe if ok else self._dropped).append(tag)

    def flush(self) -> list[bytes]:
        """The frames that say what was answered since the last time."""
        if not self._safe and not self._dropped:
            return []
        safe, dropped = self._safe, self._dropped
        self._safe, self._dropped = [], []
        before = self._floor
        top = self._raise_floor(safe, dropped)
        out = [frames.nack(self._channel, tag) for tag in dropped]
        if top:
            out.append(frames.ack(self._channel, top, multiple=top - before > 1))
        if len(safe) > 1 or not top:
            out += [frames.ack(self._channel, tag, multiple=False) for tag in safe if tag > top]
        return out

    def _raise_floor(self, safe: list[int], dropped: list[int]) -> int:
        """The highest safe tag below which all is answered; 0: none."""
        early = self._early
        early.update(safe)
        early.update(dropped)
        before = self._floor
        while self._floor + 1 in early:
            self._floor += 1
            early.remove(self._floor)
        return max((tag for tag in safe if before < tag <= self._floor), default=0)
