"""PURE: the blocks of one engine, and whether further ones may be asked for.

Theory. Parsl asks its provider for another block whenever there are more tasks than workers. It does so for ever: a
block that dies before it is of use is asked for again at the next look, in vain, and uses up the owner's account with
the scheduler, while the submitter waits for a task that never begins. So this stands between:

1. A block *works* once its workers have been connected for a while (``soon_s``). It *dies* if it ends before that. One
   that the engine ends itself does neither.
2. Several deaths in a row open the breaker (:mod:`afield.endpoint.breaker`). No block is asked for until its owner has
   looked at the matter or a pause is over; then one is, to try. Deaths count in the order in which they are seen. Each
   block that works ends the row, but only once: that others have worked for hours does not help a node on which
   everything dies.
3. Blocks that live go on, and tasks wait for them. Only when none lives is there nothing to wait for: waiting tasks
   fail with the story of the last death, and so do new ones, at once.
4. A block counts as living from the moment it is asked for until the scheduler says that it ended: it may wait in the
   queue for days, and that is nobody's fault.

When a block was connected is known as finely as somebody looks; so ``soon_s`` should be some times the period of looks.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from afield.endpoint.breaker import Breaker, Open
from afield.endpoint.engines.parsl.phases import End, phase_of, story

__all__ = ["Blocks", "refusal"]


@dataclass(slots=True)
class _Block:
    asked_at: float
    #: the first and the last time that its workers were seen connected
    first_seen_at: float | None = None
    last_seen_at: float = 0.0
    works: bool = False


class Blocks:
    """Those that were asked for and have not ended.

    :param limit: deaths in a row after which none is asked for; 0: never
    :param soon_s: how long its workers must have been connected for a block to work, in seconds
    :param pause_s: how long none is asked for, in seconds
    """

    def __init__(self, limit: int, soon_s: float, pause_s: float) -> None:
        self.breaker = Breaker(limit, pause_s)
        self._soon_s = soon_s
        self._alive: dict[str, _Block] = {}
        self._tried: str | None = None
        self._last: dict[str, Any] | None = None

    @property
    def alive(self) -> tuple[str, ...]:
        """The ids of blocks that wait or run."""
        return tuple(self._alive)

    def may_ask(self, wanted: int, now: float) -> int:
        """How many of ``wanted`` further blocks may be asked for."""
        if self.breaker.refuses(now) is not None:
            return 0
        return wanted if self.breaker.open is None else min(wanted, 1)

    def asked(self, block_id: str, now: float) -> None:
        """One was asked for."""
        self._alive[block_id] = _Block(now)
        self._tried = block_id
        self.breaker.starts()

    def seen(self, connected: Collection[str], now: float) -> None:
        """Somebody looked which blocks' workers are connected."""
        for block_id in connected:
            block = self._alive.get(block_id)
            if block is None:
                continue
            if block.first_seen_at is None:
                block.first_seen_at = now
            block.last_seen_at = now
            if not block.works and now - block.first_seen_at >= self._soon_s:
                block.works = True
                self.breaker.works()
                self._last = None

    def released(self, block_id: str) -> None:
        """The engine itself ended it."""
        if self._alive.pop(block_id, None) is not None and block_id == self._tried:
            self.breaker.ended()

    def ended(self, block_id: str, end: End, now: float) -> bool:
        """It is over, by the word of the scheduler.

        :param end: what is known of it; whether it was connected is known here
        :return: whether no further one is asked for from now on
        """
        block = self._alive.pop(block_id, None)
        if block is None:
            return False
        if block.works:
            if block_id == self._tried:
                self.breaker.ended()
            return False
        end = replace(end, connected=block.first_seen_at is not None)
        self._last = {"block": block_id, "phase": str(phase_of(end)), "at": int(now)}
        return self.breaker.died(story(end), now, tried=block_id == self._tried)

    def hopeless(self, now: float) -> Open | None:
        """Why a task that waits will not run; None: it may."""
        return self.breaker.gave_up(now) if not self._alive else None

    def clear(self) -> None:
        """The owner has looked at the matter."""
        self.breaker.clear()
        self._last = None

    def status(self, now: float) -> dict[str, Any]:
        """For heartbeats: empty while all is well."""
        found: dict[str, Any] = {"last_block_death": self._last} if self._last is not None else {}
        reason = self.breaker.open
        if reason is not None:
            found["blocks_stopped"] = {
                "deaths": reason.deaths, "since": int(reason.since), "until": int(reason.until), "why": reason.why,
                "trying": self.breaker.gave_up(now) is None,
            }  # fmt: skip
        return found


def refusal(reason: Open) -> str:
    """What a submitter is told whose task has no block to wait for."""
    return (
        f"this endpoint cannot get workers: {reason.deaths} blocks in a row ended soon after they were asked for, the "
        f"last one {reason.why}\nIt asks for no further block until its owner clears that (afield endpoint clear) or a "
        "pause is over. Ask the owner to look at it, and submit again."
    )
