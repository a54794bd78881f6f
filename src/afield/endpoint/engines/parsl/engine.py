"""GlobusComputeEngine: jobs run in workers of Parsl's HighThroughputExecutor, in bundles.

``loads`` says which job is where, ``bundles`` how many travel together, ``crew`` how many workers there are. Everything
in here runs in the event loop, except what Parsl's own threads call; those only pass on what they know.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from afield.endpoint.engines.base import EngineStatus
from afield.endpoint.engines.calls import Call
from afield.endpoint.engines.losses import cancelled, died_under_it, never_begun, ran_too_long, stopped_under_it
from afield.endpoint.engines.parsl import losses
from afield.endpoint.engines.parsl.crew import Crew, Pool
from afield.endpoint.engines.parsl.doorkeeper import Doorkeeper, Guest
from afield.endpoint.engines.parsl.loads import Load, Loads
from afield.endpoint.engines.parsl.packing import pack, versions
from afield.endpoint.engines.parsl.report import Facts, report
from afield.endpoint.engines.place import memory
from afield.endpoint.settings.engines import HtexSettings
from afield.errors import ConfigurationError
from afield.wire.jobs import Job
from afield.worker.bundle_records import Answer, Door, Entry, Fate, Go, Part, Say, StopOne
from afield.worker.child import how_it_ended
from afield.worker.environment import version_of

if TYPE_CHECKING:
    from parsl.jobs.job_status_poller import JobStatusPoller
    from parsl.jobs.states import JobStatus

    from afield.endpoint.engines.parsl.htex import BlockWatch, FedHtex

__all__ = ["HtexEngine"]

logger = logging.getLogger("afield.endpoint")

#: What HTEX calls with a bundle.
_CONTEXT: Final = {"task_executor": {"f": "afield.worker.bundle.run"}}
#: Seconds that Parsl may take to end its blocks and processes.
_END_WITHIN_S: Final = 60.0
#: Seconds that workers may take to end after their blocks were.
_LEAVE_WITHIN_S: Final = 5.0
#: More memory than any node has: where nobody knows how much one has.
_UNKNOWN_MEMORY: Final = 1 << 50

_encode = msgspec.msgpack.Encoder().encode
_answer = msgspec.msgpack.Decoder(Answer).decode
_part = msgspec.msgpack.Decoder(Part).decode
_number = msgspec.msgpack.Decoder(int).decode
_limit = msgspec.msgpack.Decoder(tuple[float, bool]).decode


class HtexEngine:
    """Runs jobs on Parsl's HighThroughputExecutor.

    :param settings: the ``engine`` block
    :param directory: the user endpoint's
    :param places: where keys of the block stand: key path -> ``file, line N``
    :param watch: may keep blocks from being asked for; None: nobody does
    """

    def __init__(
        self,
        settings: HtexSettings,
        directory: Path,
        places: Mapping[str, str] | None = None,
        watch: BlockWatch | None = None,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._places = places or {}
        self._watch = watch
        self._working_dir = str(directory / settings.working_dir)
        self._loads: Loads[Call] = Loads(lambda call: call.job.digest)
        self._calls: dict[str, Call] = {}
        # How often a job was lost with its worker.
        self._lost: dict[str, int] = {}
        self._keeper = Doorkeeper(self)
        self._door: Door | None = None
        self._no_channel = ""
        self._guests: dict[int, Guest] = {}
        self._all_left = asyncio.Event()
        # What Parsl's threads have reported, and whether the loop was told to look.
        self._done: deque[tuple[int, Future[bytes]]] = deque()
        self._woken = False
        self._dispatch_due = False
        self._stopping = False
        self._ended = ""
        self._facts = Facts()
        self._submitted = 0

    # the seam

    async def start(self) -> None:
        """Start Parsl's processes, and ask for the first blocks."""
        self._loop = asyncio.get_running_loop()
        start_poller = await asyncio.to_thread(self._make)
        htex = self._htex
        door = await self._keeper.open(
            bind=htex.address,
            addresses=sorted(htex.all_addresses),
            ports=self._settings.worker_port_range,
            encrypted=self._settings.encrypted,
        )
        if isinstance(door, str):
            self._give_up_channel(door)
        else:
            self._door = door
        try:
            await asyncio.to_thread(htex.start)
            self._poller: JobStatusPoller = await asyncio.to_thread(start_poller)
        except Exception as error:  # Parsl's, of any kind
            await self.stop(0)
            raise ConfigurationError(f"Parsl's executor cannot be started: {error}") from error

    def _make(self) -> Any:
        """Parsl is loaded here, which takes a while."""
        from afield.endpoint.engines.parsl import htex

        try:
            htex.tidy_up(self._directory)
        except OSError as error:
            raise ConfigurationError(f"the engine cannot use {error.filename}: {error.strerror}") from error
        self._htex: FedHtex = htex.make_htex(self._settings, self._directory, self._places, self)
        self._htex.watch = self._watch
        provider = self._htex.provider
        assert provider is not None
        self._versions = versions(htex.VERSION, version_of("afield"))
        self._crew = Crew(provider.max_blocks * provider.nodes_per_block, int(self._htex.workers_per_node))
        return htex.make_poller(self._settings, self._places, self._htex)

    def submit(self, job: Job) -> asyncio.Future[bytes]:
        """See :class:`~afield.endpoint.engines.base.Engine`."""
        if job.cores != 1 or job.gpus or job.memory is not None or job.resource_specification:
            self._refuse(job)
        future: asyncio.Future[bytes] = self._loop.create_future()
        call = Call(job, future, job.timeout_s)
        if self._stopping:
            call.fail(never_begun(job.task_id))
            return future
        if self._ended:
            call.fail(losses.interchange_ended(job.task_id, self._ended))
            return future
        call.item = self._loads.submit(call, len(job.payload) + len(job.code or b""))
        self._calls[job.task_id] = call
        self._submitted += 1
        self._dispatch_soon()
        return future

    def cancel(self, task_id: str) -> str:
        """See :class:`~afield.endpoint.engines.base.Engine`."""
        call = self._calls.get(task_id)
        if call is None or call.sentence is not None:
            return ""
        if self._loads.leave(call.item):
            self._forget(call)
            call.fail(cancelled(task_id))
            self._dispatch_soon()
            return ""
        if not self._say_stop(call):
            return losses.cannot_cancel(task_id, self._no_channel or "its worker is not heard at the moment")
        call.sentence = cancelled(task_id)
        return ""

    def running(self) -> list[str]:
        """See :class:`~afield.endpoint.engines.base.Engine`. Of a bundle, the oldest that may still run."""
        firsts = [load.first for load in self._loads.loads if load.taken and load.worker is not None]
        return [item.job.job.task_id for item in firsts if item is not None]

    @property
    def capacity(self) -> int:
        """As many as all workers that there may be can begin, as scaling counts them; more if jobs are short."""
        provider = self._htex.provider
        assert provider is not None
        possible = max(self._crew.possible, self._crew.workers)
        wanted = math.ceil(possible / provider.parallelism) if provider.parallelism > 0 else possible
        return wanted + (2 * self._crew.workers + 1) * self._loads.estimates.together

    def status(self) -> EngineStatus:
        """As published (reference: wire contract section 5.5), from what was last heard."""
        running = self._loads.begun
        return report(
            self._settings, self._htex, self._facts, self._crew,
            outstanding=self._loads.outstanding, running=running, submitted=self._submitted,
            no_channel=self._no_channel,
        )  # fmt: skip

    async def stop(self, grace_s: float) -> None:
        """Wait for running jobs, then end all blocks and Parsl's processes."""
        self._stopping = True
        for call in self._loads.drain():
            self._end(call, never_begun(call.job.task_id))
        if running := [call.future for call in self._calls.values()]:
            await asyncio.wait(running, timeout=grace_s)
        await self._stop_running(f"it was not finished {grace_s:g} s later")
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_WITHIN_S):
                await asyncio.to_thread(self._end_parsl)
        if self._guests:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LEAVE_WITHIN_S):
                    await self._all_left.wait()
        await self._keeper.close()

    async def _stop_running(self, why: str) -> None:
        """End the jobs that run, with all that they started."""
        calls = list(self._calls.values())
        for call in calls:
            call.sentence = call.sentence or stopped_under_it(call.job.task_id, why)
            self._say_stop(call)
        if self._guests and calls:
            await asyncio.wait([call.future for call in calls], timeout=_LEAVE_WITHIN_S)
        for call in calls:
            self._end(call, call.sentence or never_begun(call.job.task_id))

    def _say_stop(self, call: Call) -> bool:
        """Have its worker end a job. False: it is not heard."""
        load = self._load_of(call)
        guest = self._guests.get(load.worker) if load.worker is not None else None
        if guest is not None:
            guest.say(Say.STOP, _encode(StopOne(load.number, load.items.index(call.item))))
        return guest is not None

    def _end_parsl(self) -> None:
        """End the blocks, then what is here."""
        from afield.endpoint.engines.parsl.htex import forget_keys

        if not hasattr(self, "_htex"):
            return
        if hasattr(self, "_poller"):
            self._poller.close()
        self._htex.shutdown()
        forget_keys(self._htex)

    # bundles

    def _dispatch_soon(self) -> None:
        """With what else is submitted in this turn of the loop."""
        if not self._dispatch_due:
            self._dispatch_due = True
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """Hand to HTEX what may be handed to it."""
        self._dispatch_due = False
        while not self._stopping and not self._ended:
            load = self._loads.next_load(workers=self._crew.workers, possible=self._crew.possible)
            if load is None:
                return
            jobs = [item.job.job for item in load.items]
            data = pack(load.number, jobs, self._versions, self._door, self._working_dir)
            future: Future[bytes] = self._htex.submit_payload(_CONTEXT, data)
            future.add_done_callback(partial(self._bundle_done, load.number))

    def _bundle_done(self, number: int, future: Future[bytes]) -> None:
        """Called by HTEX's own thread."""
        self._done.append((number, future))
        if not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        """Take what HTEX has brought."""
        # In this order: what comes from here on wakes us again.
        self._woken = False
        while self._done:
            number, future = self._done.popleft()
            error = future.exception()
            if error is None:
                self._answered(number, future.result())
            else:
                self._failed(number, error)
        self._dispatch_soon()

    def _answered(self, number: int, data: bytes) -> None:
        """A worker is through with a bundle."""
        answer = _answer(data)
        if answer.unreachable and self._door is not None:
            self._give_up_channel(answer.unreachable)
        self._settle(number, answer.entries)
        if answer.refusal:
            for call in self._given_back(number, answer.given_back) + self._left_of(number):
                self._end(call, losses.refused_by_worker(call.job.task_id, answer.refusal))
            return
        self._given_back(number, answer.given_back)

    def _failed(self, number: int, error: BaseException) -> None:
        """HTEX could not run a bundle."""
        if isinstance(error, ImportError | AttributeError):
            lacks = losses.environment_lacks(error, self._versions.afield)
            for call in self._left_of(number):
                self._end(call, losses.refused_by_worker(call.job.task_id, lacks))
            return
        self._lose(number, f"{type(error).__name__}: {error}")

    def _settle(self, number: int, entries: Sequence[Entry]) -> None:
        """The fate of jobs is known."""
        for entry in entries:
            item = self._loads.settle(number, entry.index)
            if item is None:
                continue
            call = item.job
            task_id = call.job.task_id
            match entry.fate:
                case Fate.DONE:
                    self._loads.estimates.ran(call.job.digest, entry.run_us * 1e-6)
                    self._forget(call)
                    if not call.future.done():
                        call.future.set_result(entry.body)
                case Fate.DIED:
                    self._lost_one(call, died_under_it(task_id, entry.pid, entry.body.decode()))
                case Fate.STOPPED:
                    self._end(call, call.sentence or cancelled(task_id))
                case Fate.TIMEOUT:
                    limit_s, by_endpoint = _limit(entry.body)
                    self._end(call, ran_too_long(task_id, limit_s, by_endpoint=by_endpoint))

    def _given_back(self, number: int, places: Sequence[int]) -> list[Call]:
        """Jobs have not begun; those that somebody cancelled in the meantime never will."""
        wanted = []
        for call in self._loads.give_back(number, places):
            if call.sentence is not None or self._stopping:
                self._loads.leave(call.item)
                self._end(call, call.sentence or never_begun(call.job.task_id))
            else:
                wanted.append(call)
        return wanted

    def _left_of(self, number: int) -> list[Call]:
        """The jobs of a bundle whose fate is not known, taken out of it."""
        load = self._loads.get(number)
        items = [self._loads.settle(number, index) for index in tuple(load.open)] if load is not None else []
        return [item.job for item in items if item is not None]

    def _lose(self, number: int, why: str, where: str = "") -> None:
        """A bundle is lost; those of its jobs that cannot have begun wait again."""
        for call in self._loads.lose(number).begun:
            self._lost_one(call, losses.lost(call.job.task_id, where, why))

    def _lost_one(self, call: Call, error: Exception) -> None:
        """A job is lost with its worker: it runs again as often as the owner of the endpoint wants it."""
        task_id = call.job.task_id
        if call.sentence is not None or self._stopping:
            self._end(call, call.sentence or stopped_under_it(task_id, "its worker ended"))
            return
        count = self._lost.get(task_id, 0) + 1
        if count > self._settings.max_retries_on_system_failure:
            self._end(call, error)
            return
        self._lost[task_id] = count
        self._loads.come_back(call.item)
        self._dispatch_soon()

    def _end(self, call: Call, error: Exception) -> None:
        self._forget(call)
        call.fail(error)

    def _forget(self, call: Call) -> None:
        task_id = call.job.task_id
        if self._calls.get(task_id) is call:
            del self._calls[task_id]
        if self._lost:
            self._lost.pop(task_id, None)

    def _load_of(self, call: Call) -> Load[Call]:
        assert call.item.worker is not None
        load = self._loads.get(call.item.worker)
        assert load is not None
        return load

    def _give_up_channel(self, why: str) -> None:
        """Workers cannot say what they do: each job travels alone, and what runs cannot be ended."""
        self._no_channel = f"workers cannot report to this endpoint ({why})"
        self._door = None
        self._loads.heard = False
        logger.warning(
            "%s: tasks travel one by one, which is slow for short ones, and one that runs cannot be cancelled. Let "
            "workers reach this machine on ports %s to %s", self._no_channel, *self._settings.worker_port_range,
        )  # fmt: skip

    def _refuse(self, job: Job) -> None:
        """Refuse what no worker can be given."""
        most = self._facts.memory or (memory() if self._facts.local(self._htex) else _UNKNOWN_MEMORY)
        losses.refuse(
            job,
            cores=max(1, int(self._settings.cores_per_worker)),
            accelerators=min(1, len(self._htex.available_accelerators)),
            memory=most,
        )

    # what workers say

    def guest_came(self, guest: Guest) -> None:
        """A worker has introduced itself."""
        assert guest.who is not None
        self._guests[guest.number] = guest
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
            self._settle(part.number, part.entries)
            self._given_back(part.number, part.given_back)
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
                self._lose(load.number, "its process ended", f"host {who.host}, block {who.block}")
            else:
                load.worker = None  # HTEX says what becomes of it
        self._dispatch_soon()

    # what Parsl's thread says

    def demand(self) -> int:
        """For scaling; called by Parsl's thread."""
        return len(self._calls)

    def looked(self, managers: list[dict[str, Any]], statuses: Mapping[str, JobStatus]) -> None:
        """Called by Parsl's thread."""
        states = {block: status.state.name for block, status in statuses.items()}
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._take_facts, managers, states)

    def _take_facts(self, managers: list[dict[str, Any]], states: dict[str, str]) -> None:
        self._facts.managers = managers
        self._facts.blocks = states
        self._crew.told(Pool(m["manager"], m["worker_count"], m["block_id"], m["active"]) for m in managers)
        self._dispatch_soon()

    def interchange_ended(self, exit_code: int) -> None:
        """Called by Parsl's thread."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._interchange_is_gone, how_it_ended(exit_code))

    def _interchange_is_gone(self, how: str) -> None:
        if self._stopping or self._ended:
            return
        self._ended = how
        logger.error("Parsl's interchange has ended: %s. All tasks fail until this user endpoint is restarted", how)
        for call in list(self._calls.values()):
            self._end(call, losses.interchange_ended(call.job.task_id, how))
        self._loads = Loads(lambda call: call.job.digest)
