"""PURE: user endpoints that die soon after their start, and whether they may be started once more.

Theory. The service asks for a user endpoint with every submit, and one that dies later is started again without being
asked. So one that cannot live would be started for ever: each time a process, its imports, perhaps a job of a batch
scheduler, and each time in vain. Each name (an identity with a configuration) has a breaker
(:mod:`afield.endpoint.breaker`). One that has lived for :attr:`Runaways.soon_s` works. One that ends badly before that
has died. After a few deaths in a row the service's commands are answered at once, with the end of the last one's log,
until the owner clears it or a pause is over; then the next command starts it once, to try.

One that ends well, or is ended by its manager, says nothing. One whose configuration cannot even be rendered was never
started; it costs nothing, and whoever mends the template is not made to wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from afield.endpoint.breaker import Breaker, Open

__all__ = ["Runaways"]

#: Names of which something is remembered. Names come from the service; the oldest is forgotten first.
_MOST: Final = 1000


class Runaways:
    """The breakers of one manager.

    :param limit: deaths in a row after which one is not started; 0: never
    :param soon_s: how long one must live to work, in seconds
    :param pause_s: how long it is not started, in seconds
    """

    def __init__(self, limit: int = 3, soon_s: float = 60.0, pause_s: float = 300.0) -> None:
        self.soon_s = soon_s
        self._limit, self._pause_s = limit, pause_s
        self._breakers: dict[str, Breaker] = {}

    def restore(self, stopped: Mapping[str, Open]) -> None:
        """Be as an earlier manager was."""
        for name, record in stopped.items():
            self._breaker(name).restore(record)

    def clear(self, names: Iterable[str] | None = None) -> None:
        """The owner has looked at the matter.

        :param names: None: all
        """
        for name in list(self._breakers if names is None else names):
            self._breakers.pop(name, None)

    def refusal(self, name: str, now: float) -> str | None:
        """Why this one is not started now, for whoever submits; None: it may be."""
        breaker = self._breakers.get(name)
        reason = breaker.refuses(now) if breaker is not None else None
        if reason is None:
            return None
        return (
            f"this user endpoint died {reason.deaths} times in a row soon after its start, and is not started again "
            f"until the endpoint's owner clears that (afield endpoint clear) or a pause is over "
            f"({max(1, round(reason.until - now))} s). The last time: {reason.why}"
        )

    def starts(self, name: str) -> None:
        """It is started."""
        if name in self._breakers:
            self._breakers[name].starts()

    def ended(self, name: str, lived_s: float, why: str | None, now: float) -> bool:
        """It has ended.

        :param lived_s: how long after its start, in seconds
        :param why: what was bad about its end, for people; None: nothing
        :return: whether something changed about what is stopped
        """
        before = self.stopped.get(name)
        if lived_s >= self.soon_s:
            self._breakers.pop(name, None)
        elif why is not None:
            self._breaker(name).died(why, now)
        elif name in self._breakers:
            self._breakers[name].ended()
        return self.stopped.get(name) != before

    @property
    def stopped(self) -> dict[str, Open]:
        """What is not started at the moment, and why."""
        return {name: breaker.open for name, breaker in self._breakers.items() if breaker.open is not None}

    def _breaker(self, name: str) -> Breaker:
        found = self._breakers.get(name)
        if found is None:
            if len(self._breakers) >= _MOST:
                del self._breakers[next(iter(self._breakers))]
            found = self._breakers[name] = Breaker(self._limit, self._pause_s)
        return found
