"""GlobusComputeEngine: jobs run in workers of Parsl's HighThroughputExecutor, in bundles.

``loads`` says which job is where, ``bundles`` how many travel together, ``crew`` how many workers there are, and
``register`` ends calls. Everything in here runs in the event loop, except what Parsl's own threads call; that only
passes on what they know.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from afield.endpoint.engines.base import EngineStatus
from afield.endpoint.engines.calls import Call
from afield.endpoint.engines.losses import cancelled, never_begun, stopped_under_it
from afield.endpoint.engines.parsl import losses
from afield.endpoint.engines.parsl.channel import Channel
from afield.endpoint.engines.parsl.crew import Crew, Pool
from afield.endpoint.engines.parsl.doorkeeper import Doorkeeper, Guest
from afield.endpoint.engines.parsl.packing import pack
from afield.endpoint.engines.parsl.plant import Plant
from afield.endpoint.engines.parsl.register import Register
from afield.endpoint.engines.parsl.report import Facts, report
from afield.endpoint.settings.engines import HtexSettings
from afield.errors import ConfigurationError
from afield.wire.jobs import Job
from afield.worker.bundle_records import Answer, Go, Introduction, Part, Say, StopOne
from afield.worker.child import how_it_ended

if TYPE_CHECKING:
    from parsl.jobs.states import JobStatus

    from afield.endpoint.engines.parsl.htex import BlockWatch

__all__ = ["HtexEngine"]

logger = logging.getLogger("afield.endpoint")

#: What HTEX calls with a bundle.
_CONTEXT: Final = {"task_executor": {"f": "afield.worker.bundle.run"}}
#: Seconds that Parsl may take to end its blocks and processes.
_END_WITHIN_S: Final = 60.0
#: Seconds that workers may take to end after their blocks were.
_LEAVE_WITHIN_S: Final = 5.0

_encode = msgspec.msgpack.Encoder().encode
_answer = msgspec.msgpack.Decoder(Answer).decode
_part = msgspec.msgpack.Decoder(Part).decode
_number = msgspec.msgpack.Decoder(int).decode


class HtexEngine:
    """Runs jobs on Parsl's HighThroughputExecutor.

    :param settings: the ``engine`` block
    :param directory: the user endpoint's
    :param places: where keys of the block stand: key path -> ``file, line N``
    :param watch: keeps blocks from being asked for in vain; None: nobody does
    """

    #: each job travels alone
    alone = False
    #: seconds that an interchange must have lived to be replaced when it ends
    lived_s = 30.0

    def __init__(
        self,
        settings: HtexSettings,
        directory: Path,
        places: Mapping[str, str] | None = None,
        watch: BlockWatch | None = None,
    ) -> None:
        self._settings = settings
        self._working_dir = str(directory / settings.working_dir)
        self._register = Register(settings.max_retries_on_system_failure, alone=self.alone)
        self._loads = self._register.loads
        self._plant = Plant(settings, directory, places or {}, self, watch)
        self._keeper = Doorkeeper(self)
        self._channel = Channel(settings.worker_port_range, self._loads)
        # Why nothing can run any more.
        self._ended = ""
        self._guests: dict[int, Guest] = {}
        self._all_left = asyncio.Event()
        # What Parsl's threads have reported, and whether the loop was told to look.
        self._done: deque[tuple[int, Future[bytes]]] = deque()
        self._woken = self._dispatch_due = self._stopping = False
        # Parsl's processes are there.
        self._up = False
        self._renewal: asyncio.Task[None] | None = None
        self._facts = Facts()

    # the seam

    async def start(self) -> None:
        """Start Parsl's processes, and ask for the first blocks."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._plant.make)
        self._crew = Crew(self._plant.pools_most, self._plant.htex.workers_per_pool)
        door = await self._keeper.open(
            bind=self._plant.htex.address,
            addresses=sorted(self._plant.htex.all_addresses),
            ports=self._settings.worker_port_range,
            encrypted=self._settings.encrypted,
        )
        if isinstance(door, str):
            self._channel.give_up(door)
        else:
            self._channel.open(door)
        try:
            await asyncio.to_thread(self._plant.start)
        except ConfigurationError:
            await self.stop(0)
            raise
        self._is_up()

    def submit(self, job: Job) -> asyncio.Future[bytes]:
        """See :class:`~afield.endpoint.engines.base.Engine`."""
        self._check(job)
        future: asyncio.Future[bytes] = self._loop.create_future()
        call = Call(job, future, job.timeout_s)
        if self._stopping:
            call.fail(never_begun(job.task_id))
        elif self._ended:
            call.fail(losses.refused_by_worker(job.task_id, self._ended))
        elif why := self._plant.hopeless():
            call.fail(losses.no_workers(job.task_id, why))
        else:
            self._register.add(call)
            self._dispatch_soon()
        return future

    def cancel(self, task_id: str) -> str:
        """See :class:`~afield.endpoint.engines.base.Engine`."""
        call = self._register.get(task_id)
        if call is None or call.sentence is not None:
            return ""
        if self._loads.leave(call.item):
            self._register.end(call, cancelled(task_id))
            self._dispatch_soon()
        elif self._say_stop(call):
            call.sentence = cancelled(task_id)
        else:
            return losses.cannot_cancel(task_id, self._channel.why_not or "its worker is not heard at the moment")
        return ""

    def running(self) -> list[str]:
        """See :class:`~afield.endpoint.engines.base.Engine`. Of a bundle, the oldest that may still run."""
        firsts = [load.first for load in self._loads.loads if load.taken and load.worker is not None]
        return [item.job.job.task_id for item in firsts if item is not None]

    @property
    def capacity(self) -> int:
        """As many as all workers that there may be can begin, as scaling counts them; more if jobs are short."""
        parallelism = self._plant.provider.parallelism
        possible = max(self._crew.possible, self._crew.workers)
        wanted = math.ceil(possible / parallelism) if parallelism > 0 else possible
        together = 1 if self.alone else self._loads.estimates.together
        return wanted + (2 * self._crew.workers + 1) * together

    def status(self) -> EngineStatus:
        """As published (reference: wire contract section 5.5), from what was last heard."""
        return report(
            self._settings,
            self._plant,
            self._facts,
            self._crew,
            outstanding=self._loads.outstanding,
            running=self._loads.begun,
            submitted=self._register.submitted,
            no_channel=self._channel.why_not,
            trouble=self._plant.trouble(),
        )

    async def stop(self, grace_s: float) -> None:
        """Wait for running jobs, then end all blocks and Parsl's processes."""
        self._stopping = self._register.stopping = True
        for call in self._loads.drain():
            self._register.end(call, never_begun(call.job.task_id))
        if running := [call.future for call in self._register.all()]:
            await asyncio.wait(running, timeout=grace_s)
        await self._stop_running(f"it was not finished {grace_s:g} s later")
        if self._renewal is not None:
            await asyncio.wait([self._renewal])
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_WITHIN_S):
                await asyncio.to_thread(self._plant.end)
        if self._guests:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LEAVE_WITHIN_S):
                    await self._all_left.wait()
        await self._keeper.close()

    async def _stop_running(self, why: str) -> None:
        """End the jobs that run, with all that they started."""
        calls = self._register.all()
        for call in calls:
            call.sentence = call.sentence or stopped_under_it(call.job.task_id, why)
            self._say_stop(call)
        if self._guests and calls:
            await asyncio.wait([call.future for call in calls], timeout=_LEAVE_WITHIN_S)
        for call in calls:
            self._register.end(call, call.sentence or never_begun(call.job.task_id))

    def _say_stop(self, call: Call) -> bool:
        """Have its worker end a job. False: it is not heard."""
        load = self._register.load_of(call)
        guest = self._guests.get(load.worker) if load is not None and load.worker is not None else None
        if load is None or guest is None:
            return False
        guest.say(Say.STOP, _encode(StopOne(load.number, load.items.index(call.item))))
        return True

    # bundles

    def _dispatch_soon(self) -> None:
        """With what else is submitted in this turn of the loop."""
        if not self._dispatch_due:
            self._dispatch_due = True
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """Hand to HTEX what may be handed to it."""
        self._dispatch_due = False
        while self._up and not self._stopping:
            load = self._loads.next_load(workers=self._crew.workers, possible=self._crew.possible)
            if load is None:
                return
            jobs = [item.job.job for item in load.items]
            data = pack(load.number, jobs, self._plant.versions, self._channel.door, self._working_dir)
            try:
                future: Future[bytes] = self._plant.htex.submit_payload(self._context(jobs), data)
            except losses.InterchangeGone:
                self._register.give_back(load.number, list(load.open))
                return  # as soon as it is noticed, another is started
            future.add_done_callback(partial(self._bundle_done, load.number))

    def _bundle_done(self, number: int, future: Future[bytes]) -> None:
        """Called by HTEX's own thread."""
        self._done.append((number, future))
        if not self._woken:
            self._woken = True
            self._from_thread(self._collect)

    def _collect(self) -> None:
        """Take what HTEX has brought."""
        # In this order: what comes from here on wakes us again.
        self._woken = False
        while self._done:
            number, future = self._done.popleft()
            error = future.exception()
            if error is None:
                self._answered(number, future.result())
            elif isinstance(error, ImportError | AttributeError):
                self._register.refuse(number, losses.environment_lacks(error, self._plant.versions.afield))
            else:
                self._register.lose(number, partial(losses.lost, where="", why=f"{type(error).__name__}: {error}"))
        self._dispatch_soon()

    def _answered(self, number: int, data: bytes) -> None:
        """A worker is through with a bundle."""
        answer = _answer(data)
        if answer.unreachable:
            self._channel.unreached(answer.unreachable, is_any_heard=bool(self._guests), later=self._loop.call_later)
        self._register.settle(number, answer.entries)
        if answer.refusal:
            self._register.refuse(number, answer.refusal)
        self._register.give_back(number, answer.given_back)

    def _context(self, _jobs: Sequence[Job]) -> dict[str, Any]:
        """What HTEX is to know of a bundle."""
        return _CONTEXT

    def _check(self, job: Job) -> None:
        """Refuse what no worker can be given.

        :raises ConfigurationError: with the reason
        """
        self._plant.check(job, self._facts.memory)

    # what workers say

    def guest_came(self, guest: Guest) -> None:
        """A worker has introduced itself."""
        assert guest.who is not None
        self._guests[guest.number] = guest
        self._channel.reached()
        who = guest.who
        self._crew.came(guest.number, Pool(who.pool, who.pool_size, who.block))
        self._facts.memory = max(self._facts.memory, who.memory)

    def guest_said(self, guest: Guest, word: int, body: bytes) -> None:
        """It has taken a bundle, or tells of one."""
        if word == Say.TAKEN:
            number = _number(body)
            load = None if self._stopping else self._loads.may_begin(number, guest.number)
            if load is None:
                guest.say(Say.BACK, _encode(number))
            else:
                guest.say(Say.GO, _encode(Go(number, load.stopped)))
        elif word == Say.PART:
            part = _part(body)
            guest.say(Say.GOT, _encode(part.number))
            self._register.settle(part.number, part.entries)
            self._register.give_back(part.number, part.given_back)
        self._dispatch_soon()

    def guest_left(self, guest: Guest, *, died: bool) -> None:
        """It is gone: what it had begun is lost."""
        self._guests.pop(guest.number, None)
        self._crew.left(guest.number, died=died)
        if not self._guests:
            self._all_left.set()
        for load in [load for load in self._loads.loads if load.worker == guest.number]:
            if died:
                who = guest.who
                assert who is not None
                self._register.lose(load.number, partial(losses.lost, where=_where(who), why="its process ended"))
            else:
                load.worker = None  # HTEX says what becomes of it
        self._dispatch_soon()

    # what Parsl's thread says

    def demand(self) -> int:
        """For scaling; called by Parsl's thread."""
        return len(self._register)

    def looked(self, managers: list[dict[str, Any]], statuses: Mapping[str, JobStatus]) -> None:
        """Called by Parsl's thread."""
        states = {block: status.state.name for block, status in statuses.items()}
        self._from_thread(self._take_facts, managers, states)

    def _take_facts(self, managers: list[dict[str, Any]], states: dict[str, str]) -> None:
        self._facts.looked(managers, states)
        self._crew.told(Pool(m["manager"], m["worker_count"], m["block_id"], m["active"]) for m in managers)
        if self._crew.workers > self._loads.begun:
            for load in self._loads.overdue():
                self._register.give_back(load.number, list(load.open))
        if len(self._register) and (why := self._plant.hopeless()):
            self._register.fail_waiting(partial(losses.no_workers, why=why))
        self._dispatch_soon()

    def interchange_ended(self, exit_code: int) -> None:
        """Called by Parsl's thread."""
        self._from_thread(self._interchange_is_gone, how_it_ended(exit_code))

    def _interchange_is_gone(self, how: str) -> None:
        """Nothing that was on its way arrives any more. Another is started, unless that seems to be in vain."""
        if self._stopping or not self._up:
            return
        self._up = False
        self._register.lose_all(partial(losses.interchange_ended, how=how))
        if self._loop.time() - self._up_since < self.lived_s:
            self._give_up(f"the process through which this endpoint reaches workers ends soon after its start: {how}")
            return
        logger.error("Parsl's interchange has ended: %s. Another is started, with new blocks", how)
        self._renewal = asyncio.create_task(self._renew(), name="renewal of Parsl's interchange")

    async def _renew(self) -> None:
        try:
            await asyncio.to_thread(self._plant.end)
            if not self._stopping:
                await asyncio.to_thread(self._plant.make)
                await asyncio.to_thread(self._plant.start)
        except (ConfigurationError, OSError) as error:
            self._give_up(str(error))
        else:
            self._is_up()

    def _is_up(self) -> None:
        self._up = True
        self._up_since = self._loop.time()
        self._dispatch_soon()

    def _give_up(self, why: str) -> None:
        """Nothing can run any more."""
        logger.error("%s. All tasks fail until this user endpoint is restarted", why)
        self._ended = why
        self._register.fail_waiting(partial(losses.refused_by_worker, why=why))

    def _from_thread(self, call: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(call, *arguments)


def _where(who: Introduction) -> str:
    return f"host {who.host}, block {who.block}"
