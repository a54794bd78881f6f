"""PURE: submits that come again because their answer was lost, from clients that do not say so.

Published clients repeat a POST byte by byte, up to five times, when the connection breaks, when they lose patience
after 60 seconds, and on 5xx; they send no key that would tell (reference: wire contract section 3.1). But they also
send equal submits on purpose: an Executor that is given the same call twice may send two equal bodies one after the
other, and the processes of one job all send the same first one at the same moment. To take one of these for a
repetition would give two futures one task, and the second would wait for ever.

Theory. Nobody repeats what was answered. So each submit gets a key of its own, whatever its body, and what is kept in
the store with its tasks says which body it had and in which replica's *life* somebody waits for the answer. When the
answer was written that is forgotten. What is left belongs to submits whose answer did not arrive, if either

- it *went astray*: its connection was gone before there was one, or it was 5xx; or
- the life has ended: whoever should have answered was killed, or stopped.

The next equal body takes the key of one of these, once, and has with it the effect of the first one: if that is under
way it joins it, if it was accepted it gets the answer, and if it was refused it is tried anew. From then on the taker's
life stands there: if that answer does not arrive either, the key is there for the one after. Of several the latest goes
first: a service that was killed may have written an answer and not yet that it did, and such are older than those that
it was still working on.

What this cannot see: an answer that was written to a connection that looked alive and was not; that an answer was
written in the moment before its service was killed, and an equal submit followed on purpose; and a submit that was not
committed yet when its service was killed, which is no loss. A machine that lost its power holds its life until the
database notices.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

__all__ = ["ASTRAY", "Attempt", "Repeated", "Unanswered", "Unclear", "decide"]

#: Stands where the life does that somebody waits in, when nobody does.
ASTRAY: Final = ""


class Unanswered(msgspec.Struct, frozen=True):
    """A submit without a key of which it is not known that it was answered.

    :param key: under which it is made
    :param body: a digest of all that makes two submits equal
    :param life: of the replica in which somebody waits for the answer; :data:`ASTRAY`: it went astray
    :param since: unix seconds
    """

    key: bytes
    body: bytes
    life: str
    since: float


class Attempt(msgspec.Struct, frozen=True):
    """A submit without a key that is about to be committed, if it is none that repeats another.

    :param key: of its own
    :param body: a digest of all that makes two submits equal
    :param life: of the replica that works on it
    :param at: unix seconds
    :param since: unix seconds; what is from before is not repeated any more
    :param ended: lives that are known to have ended
    :param going_on: lives that are known to go on
    """

    key: bytes
    body: bytes
    life: str
    at: float
    since: float
    ended: frozenset[str] = frozenset()
    going_on: frozenset[str] = frozenset()


class Repeated(msgspec.Struct, frozen=True):
    """The attempt repeats the submit with this key, which is the attempt's from now on."""

    key: bytes


class Unclear(msgspec.Struct, frozen=True):
    """Whether the attempt repeats one depends on whether these lives have ended."""

    lives: frozenset[str]


def decide(attempt: Attempt, left: Iterable[Unanswered]) -> Unanswered | Unclear | None:
    """Which of those that are left an attempt repeats; None: it is a submit of its own."""
    equal = [one for one in left if one.body == attempt.body and one.key != attempt.key and one.since >= attempt.since]
    free = [one for one in equal if one.life == ASTRAY or one.life in attempt.ended]
    if free:
        return max(free, key=lambda one: (one.life == ASTRAY, one.since, one.key))
    unknown = {one.life for one in equal} - attempt.going_on - {attempt.life}
    return Unclear(frozenset(unknown)) if unknown else None
