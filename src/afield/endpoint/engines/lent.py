"""An engine of a machine that is lent: it runs what another engine runs, as far as the owner's rules allow it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from datetime import date, datetime, tzinfo

from afield.endpoint.engines.base import Engine, EngineStatus, NeverBegun
from afield.endpoint.engines.lending import Lent, Use, zone_of
from afield.endpoint.engines.usage import Usage
from afield.endpoint.settings import LendingSettings
from afield.errors import ConfigurationError, WireError
from afield.wire.jobs import Job, decode_outcome

__all__ = ["LentEngine"]


class LentEngine:
    """Asks the rules before each job.

    :param engine: runs them
    :param settings: the rules
    :param usage: what the person has used
    :param clock: unix time in seconds
    """

    def __init__(self, engine: Engine, settings: LendingSettings, usage: Usage, clock: Callable[[], float]) -> None:
        self._engine, self._usage, self._clock = engine, usage, clock
        self._lent = Lent(settings)
        self._zone: tzinfo | None = zone_of(settings)
        self._digests: dict[bytes, str] = {}
        #: jobs that are with the engine: cores, and since when
        self._under_way: dict[str, tuple[int, float]] = {}

    async def start(self) -> None:
        """As its engine."""
        await self._engine.start()

    def submit(self, job: Job) -> asyncio.Future[bytes]:
        """As its engine.

        :raises ConfigurationError: the owner's rules do not let it begin; or as its engine
        """
        moment = self._now()
        digest = self._digest(job) if self._lent.wants_digest else ""
        try:
            used = self._usage.of(moment.date())
            why = self._lent.refusal(moment, self._with_running(used), digest)
            if why is None:
                self._usage.note(moment.date(), tasks=1)
        except OSError as error:
            why = f"this machine is lent by rules, and what was used today cannot be kept on its disk: {error}"
        if why is not None:
            raise ConfigurationError(why)
        future = self._engine.submit(job)
        self._under_way[job.task_id] = (max(job.cores, 1), self._clock())
        future.add_done_callback(lambda done: self._done(job.task_id, done))
        return future

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), self._zone).astimezone(self._zone)

    def _with_running(self, used: Use) -> Use:
        now = self._clock()
        running = (self._under_way[name] for name in self._engine.running() if name in self._under_way)
        return Use(used.tasks, used.core_s + sum(cores * max(now - since, 0.0) for cores, since in running))

    def _done(self, task_id: str, future: asyncio.Future[bytes]) -> None:
        cores, since = self._under_way.pop(task_id, (0, 0.0))
        error = future.exception() if not future.cancelled() else NeverBegun("cancelled")
        if isinstance(error, NeverBegun) or not cores:
            return
        seconds = max(self._clock() - since, 0.0)
        if error is None:
            try:
                outcome = decode_outcome(future.result())
            except WireError:
                pass  # it is told elsewhere; the time since it was handed over is the next best
            else:
                seconds = max(outcome.ended_ns - outcome.began_ns, 0) / 1e9
        try:
            self._usage.note(self._today(), core_s=cores * seconds)
        except OSError:
            return  # the next one is refused, and says why

    def _today(self) -> date:
        return self._now().date()

    def _digest(self, job: Job) -> str:
        found = self._digests.get(job.digest)
        if found is None:
            found = self._digests[job.digest] = hashlib.sha256(job.code or b"").hexdigest()
        return found

    def cancel(self, task_id: str) -> str:
        """As its engine."""
        return self._engine.cancel(task_id)

    def running(self) -> list[str]:
        """As its engine."""
        return self._engine.running()

    @property
    def capacity(self) -> int:
        """As its engine."""
        return self._engine.capacity

    def status(self) -> EngineStatus:
        """As its engine."""
        return self._engine.status()

    async def stop(self, grace_s: float) -> None:
        """As its engine."""
        await self._engine.stop(grace_s)
        self._usage.close()
