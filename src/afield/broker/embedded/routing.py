"""PURE: which queues does a message go to? (AMQP 0-9-1, section 3.1.3)

- direct: the queues bound with exactly the message's routing key;
- topic: those whose pattern matches it word by word; ``*`` stands for one word, ``#`` for any number of them;
- fanout: all.

A queue that is bound twice gets a message once.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from afield.broker.base import ExchangeKind

__all__ = ["Exchange", "matches"]

Q = TypeVar("Q")

#: Routing keys come from outside; a cache of what they lead to must not grow with them.
_CACHED_ROUTES: Final = 10_000


def matches(pattern: str, routing_key: str) -> bool:
    """Whether a topic binding's pattern matches this routing key."""
    return _match(tuple(pattern.split(".")), tuple(routing_key.split(".")))


def _match(pattern: tuple[str, ...], words: tuple[str, ...]) -> bool:
    # One row of the usual table for "#": reachable[i] says that pattern[:i] matches the words read so far. Linear in
    # both lengths, so that a hostile key of many words costs what its length says.
    reachable = [True]
    for part in pattern:
        reachable.append(reachable[-1] and part == "#")
    for word in words:
        following = [False]
        for i, part in enumerate(pattern):
            if part == "#":
                following.append(reachable[i + 1] or following[i])
            else:
                following.append(reachable[i] and part in ("*", word))
        reachable = following
    return reachable[-1]


class Exchange(Generic[Q]):
    """A name to publish to, and the bindings that lead from it to queues of any kind ``Q`` (hashable)."""

    def __init__(self, name: str, kind: ExchangeKind) -> None:
        self.name = name
        self.kind: Final = kind
        # pattern -> its queues, as an ordered set
        self._bindings: dict[str, dict[Q, None]] = {}
        self._routes: dict[str, tuple[Q, ...]] = {}

    def bind(self, queue: Q, pattern: str) -> None:
        """Let messages through to this queue; binding twice changes nothing."""
        self._bindings.setdefault(pattern, {})[queue] = None
        self._forget_routes(pattern)

    def unbind(self, queue: Q, pattern: str) -> None:
        """Take a binding back, if it is there."""
        queues = self._bindings.get(pattern)
        if queues is None:
            return
        queues.pop(queue, None)
        if not queues:
            del self._bindings[pattern]
        self._forget_routes(pattern)

    def _forget_routes(self, pattern: str) -> None:
        if self.kind == "direct":
            self._routes.pop(pattern, None)
        else:
            self._routes.clear()

    def route(self, routing_key: str) -> tuple[Q, ...]:
        """The queues that get a message with this key, in the order of their binding."""
        known = self._routes.get(routing_key)
        if known is None:
            known = self._find(routing_key)
            if len(self._routes) >= _CACHED_ROUTES:
                self._routes.clear()
            self._routes[routing_key] = known
        return known

    def _find(self, routing_key: str) -> tuple[Q, ...]:
        if self.kind == "direct":
            return tuple(self._bindings.get(routing_key, ()))
        found: dict[Q, None] = {}
        for pattern, queues in self._bindings.items():
            if self.kind == "fanout" or matches(pattern, routing_key):
                found.update(queues)
        return tuple(found)
