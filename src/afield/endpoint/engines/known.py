"""PURE: which functions a worker surely has, so that their code need not be sent again.

The worker keeps a number of functions, its capacity, and forgets the one that was not used for longest. The engine
keeps its own list for each worker, first in, first out. It counts with what the worker *answered*, not with what was
sent, for what was sent may have been recalled.

How long may the list be? While a function stays in it, fewer than ``most`` others enter, and at most ``most`` were in
before; so the worker has used fewer than ``2 * most`` others since it answered. The jobs that are on their way may
bring another :data:`~afield.endpoint.engines.pace.AHEAD_MOST`. So ``2 * most + AHEAD_MOST`` must not exceed the
capacity, and what is in the list is in the worker when a job that is sent now begins.

Only a job that went well proves that its function could be loaded. One that failed may have entered the worker's
cache: it takes a place in the list, and its code is sent again.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from afield.endpoint.engines.pace import AHEAD_MOST
from afield.worker.frames import FUNCTIONS_KEPT

__all__ = ["KnownCode"]


class _Verdict(msgspec.Struct, array_like=True):
    """The beginning of an Outcome, which is enough here."""

    task_id: msgspec.Raw
    data: msgspec.Raw
    error_code: Any


_verdict: Final = msgspec.msgpack.Decoder(_Verdict).decode


class KnownCode:
    """What one worker has.

    :param capacity: how many functions it keeps
    """

    __slots__ = ("_known", "_most")

    def __init__(self, capacity: int = FUNCTIONS_KEPT) -> None:
        self._most = max(0, (capacity - AHEAD_MOST) // 2)
        # Digest to "it went well", in order of entry.
        self._known: dict[bytes, bool] = {}

    def __contains__(self, digest: bytes) -> bool:
        return self._known.get(digest, False)

    def answered(self, digest: bytes, outcome: bytes) -> None:
        """The worker answered a job with this function."""
        known = self._known
        if known.get(digest):
            return
        known[digest] = _verdict(outcome).error_code is None
        if len(known) > self._most:
            del known[next(iter(known))]
