"""A job in an engine that hands it to others, and who waits for it."""

from __future__ import annotations

import asyncio

from afield.endpoint.engines.line import Item
from afield.wire.jobs import Job

__all__ = ["Call"]


class Call:
    """A job and who waits for it."""

    __slots__ = ("future", "item", "job", "limit_s", "sentence")

    #: where it is on its way; whoever schedules it sets this
    item: Item[Call]

    def __init__(self, job: Job, future: asyncio.Future[bytes], limit_s: float | None) -> None:
        self.job = job
        self.future = future
        #: seconds that it may run
        self.limit_s = limit_s
        #: its worker is being killed for it: what it ends with
        self.sentence: Exception | None = None

    def fail(self, error: Exception) -> None:
        """Unless its fate was decided before."""
        if not self.future.done():
            self.future.set_exception(error)
