"""Submits that wait for a user endpoint to come up: who learns what, when a report arrives.

Theory. A submit that needs a process which is not there sends the start command and waits. Three things may happen:

- the user endpoint reports: everybody who waits for it goes on;
- an error is reported under its id: everybody who waits for it is refused with that reason;
- neither comes in time: whoever waited gives up waiting, and the task waits instead. That is the waiter's own clock.

One trap. A published core endpoint, when a start fails after its fork, tells it twice: under the user endpoint's id,
then under its *own* id (reference: wire contract section 8.3). The second must not fail other starts that are under
way. So each error under a user endpoint's id is remembered for a while, and takes one error under its core endpoint's
id with it. An error under a core endpoint's id that has no such companion fails what waits there, for then it is all
the news there is.

Another trap. The process that failed speaks while it still runs, and a published core endpoint that is told to start
one that it believes to run does nothing at all. So for a moment after a failure its reason is the answer to the next
submit, too.

And tasks that wait while no submit does, because they were accepted when the core endpoint was away, hear of no
failure. So failures in a row are counted. After a few of them, the tasks fail as the submit would have.
"""

from __future__ import annotations

from typing import Final

__all__ = ["COMPANION_S", "ECHO_S", "FAILURES", "Failures", "Starts"]

#: How long, in seconds, the second telling of an error may take.
COMPANION_S: Final = 30.0

#: How long, in seconds, the process that failed may take to end: published core endpoints look once a second.
ECHO_S: Final = 5.0

#: Failures in a row after which tasks do not wait for another start.
FAILURES: Final = 3

#: User endpoints whose failures are remembered; the oldest is forgotten first.
_MOST: Final = 1000


class Failures:
    """Starts that failed, with nothing between them that came up."""

    def __init__(self) -> None:
        # user endpoint -> how many in a row, when the last one was, and why
        self._last: dict[str, tuple[int, float, str]] = {}

    def failed(self, user_endpoint_id: str, reason: str, now: float) -> None:
        """One more."""
        count, _, _ = self._last.pop(user_endpoint_id, (0, 0.0, ""))
        if len(self._last) >= _MOST:
            del self._last[next(iter(self._last))]
        self._last[user_endpoint_id] = (count + 1, now, reason)

    def came_up(self, user_endpoint_id: str) -> None:
        """A start did not fail."""
        self._last.pop(user_endpoint_id, None)

    def are_enough(self, user_endpoint_id: str) -> bool:
        """Whether its tasks should not wait for another start. Then it is counted anew."""
        if self._last.get(user_endpoint_id, (0,))[0] < FAILURES:
            return False
        del self._last[user_endpoint_id]
        return True

    def just_now(self, user_endpoint_id: str, now: float) -> str | None:
        """Why it failed a moment ago; None: it did not."""
        _, moment, reason = self._last.get(user_endpoint_id, (0, -ECHO_S, ""))
        return reason if now - moment < ECHO_S else None


class Starts:
    """Pending starts. A waiter is a number that the caller gets and resolves as told."""

    def __init__(self) -> None:
        self._count = 0
        # user endpoint -> who waits for it
        self._waiting: dict[str, set[int]] = {}
        # core endpoint -> its user endpoints that somebody waits for
        self._of_core: dict[str, set[str]] = {}
        # core endpoint -> when errors under its user endpoints' ids came
        self._told: dict[str, list[float]] = {}

    def is_pending(self, user_endpoint_id: str) -> bool:
        """Whether somebody waits for it, so that it was told to start a moment ago."""
        return user_endpoint_id in self._waiting

    def wait(self, endpoint_id: str, user_endpoint_id: str) -> int:
        """Somebody begins to wait; the number by which they are told."""
        self._count += 1
        self._waiting.setdefault(user_endpoint_id, set()).add(self._count)
        self._of_core.setdefault(endpoint_id, set()).add(user_endpoint_id)
        return self._count

    def give_up(self, endpoint_id: str, user_endpoint_id: str, number: int) -> None:
        """Stop waiting; when they were told already, nothing changes."""
        waiting = self._waiting.get(user_endpoint_id)
        if waiting is not None:
            waiting.discard(number)
            if not waiting:
                self._take(endpoint_id, user_endpoint_id)

    def came_up(self, endpoint_id: str, user_endpoint_id: str) -> set[int]:
        """The user endpoint reported; who goes on."""
        return self._take(endpoint_id, user_endpoint_id)

    def failed(self, endpoint_id: str, user_endpoint_id: str, now: float) -> set[int]:
        """Its start failed; who is refused."""
        self._told.setdefault(endpoint_id, []).append(now)
        return self._take(endpoint_id, user_endpoint_id)

    def core_failed(self, endpoint_id: str, now: float) -> set[int]:
        """An error came under the core endpoint's id; who is refused."""
        told = [moment for moment in self._told.pop(endpoint_id, []) if now - moment < COMPANION_S]
        if told:
            if told[1:]:
                self._told[endpoint_id] = told[1:]
            return set()
        refused: set[int] = set()
        for user_endpoint_id in list(self._of_core.get(endpoint_id, ())):
            refused |= self._take(endpoint_id, user_endpoint_id)
        return refused

    def _take(self, endpoint_id: str, user_endpoint_id: str) -> set[int]:
        of_core = self._of_core.get(endpoint_id)
        if of_core is not None:
            of_core.discard(user_endpoint_id)
            if not of_core:
                del self._of_core[endpoint_id]
        return self._waiting.pop(user_endpoint_id, set())
