"""Submits without a key: which of them are repetitions. Decided in :mod:`afield.service.domain.repeats`."""

from __future__ import annotations

from afield.ids import new_id
from afield.service.clock import Clock
from afield.service.domain.repeats import Astray

__all__ = ["Repeats"]


class Repeats:
    """What went astray in this process.

    :param within_s: for how long, in seconds, a repetition is expected
    """

    def __init__(self, clock: Clock, within_s: float) -> None:
        self._clock = clock
        self._astray = Astray(within_s)

    @property
    def expected(self) -> int:
        """How many submits are known whose answer went astray, and that were not repeated yet."""
        return len(self._astray)

    def key_for(self, digest: bytes) -> str:
        """Under which key to submit a body of this digest: a new one, or that of the submit that it repeats."""
        return self._astray.take(digest, self._clock.now()) or new_id()

    def went_astray(self, digest: bytes, key: str) -> None:
        """Whoever submitted it does not get the answer, and may ask once more."""
        self._astray.remember(digest, key, self._clock.now())
