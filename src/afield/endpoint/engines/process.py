"""ProcessPoolEngine: jobs run in worker processes on this machine, and a worker that dies costs one job.

::

    submit(job) ──> schedule (PURE: who gets what) ──> WorkerProcess ──socket, permits──> python -m afield.worker
                                                            │
    future <────── answered, gone <─────────────────────────┘

``schedule`` says how jobs travel ahead of their turn, and why it is known of each job whether it had begun.

The time of a job counts from its beginning, and nobody has to tell when that is: a worker begins a job when it gets it,
if it was idle, else when it has answered the one before. So a job gets all of its time, and at most one turn of the
loop more; and jobs with a timeout travel ahead as all others do.

To stop a job, the engine first takes back all permits of its worker. From then on the worker begins nothing, so that
nothing else can be hit; and if the job has not begun by then, it never will. If it has, and its answer is not there
yet, the worker is killed with all that the job started (``trees``), and what it says from then on does not count. The
job's future fails when all that is over.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from afield.endpoint.engines.base import EngineStatus
from afield.endpoint.engines.births import PAUSE_S
from afield.endpoint.engines.calls import Call
from afield.endpoint.engines.deadlines import Deadlines
from afield.endpoint.engines.handover import bodies
from afield.endpoint.engines.known import KnownCode
from afield.endpoint.engines.losses import (
    cancelled,
    died_under_it,
    never_begun,
    no_worker,
    ran_too_long,
    stopped_under_it,
)
from afield.endpoint.engines.needs import needs_of, refuse_in_process
from afield.endpoint.engines.pinning import share_of
from afield.endpoint.engines.place import memory, numbers_of_processors, processors, time_limit
from afield.endpoint.engines.schedule import Batch, Schedule
from afield.endpoint.engines.staff import Staff
from afield.endpoint.engines.workers import COMMAND
from afield.errors import ConfigurationError
from afield.wire.jobs import Job
from afield.worker.allowance import PROCESSORS
from afield.worker.frames import BODY_MOST

__all__ = ["ProcessPoolEngine"]

#: Seconds that a killed process may need to vanish: one that hangs in a file system may never do so.
_VANISH_WITHIN_S: Final = 5.0
#: More permits than any worker has.
_ALL: Final = 1 << 14


class ProcessPoolEngine:
    """Runs jobs in processes of their own.

    :param max_workers: how many; None: one for each processor that this process may use
    :param max_tasks_per_child: a worker is replaced after so many jobs; None: never
    :param cpu_affinity: how workers are bound to processors: none, block or alternating (``pinning``)
    :param accelerators: the names of those that tasks may ask for, as ``CUDA_VISIBLE_DEVICES`` has them
    :param working_dir: where workers run, made if it is missing; None: where this process runs
    :param log: a file to which everything is appended that user code prints; None: this process's stderr
    :param environment: variables that workers have beside those of this process
    :param command: how a worker is started, without its arguments
    :param pause_s: seconds without a start of a worker after several could not be started
    """

    def __init__(
        self,
        *,
        max_workers: int | None = None,
        max_tasks_per_child: int | None = None,
        cpu_affinity: str = "none",
        accelerators: Sequence[str] = (),
        working_dir: Path | None = None,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = COMMAND,
        pause_s: float = PAUSE_S,
    ) -> None:
        if max_workers is not None and max_workers < 1:
            raise ConfigurationError(f"max_workers is {max_workers}: an engine needs at least one worker")
        if len(set(accelerators)) < len(accelerators):
            raise ConfigurationError(f"available_accelerators names one twice: {', '.join(accelerators)}")
        self._max_workers = max_workers or processors()
        self._environment = dict(environment or {})
        numbers = numbers_of_processors() if cpu_affinity != "none" else []
        if numbers:
            self._environment[PROCESSORS] = ",".join(map(str, numbers))
        share = partial(share_of, cpu_affinity, workers=self._max_workers, processors=numbers)
        share(0)  # an unknown word is told now
        self._accelerators = len(accelerators)
        self._memory = memory()
        # GC_TASK_TIMEOUT, for all tasks
        self._limit_s: float | None = None
        self._schedule: Schedule[Call] = Schedule(accelerators, max_tasks_per_child)
        self._deadlines = Deadlines(self._time_is_over)
        self._staff = Staff(
            self,
            self._max_workers,
            command=command,
            directory=working_dir,
            log=log,
            environment=self._environment,
            pause_s=pause_s,
            share=share,
        )
        # Of workers that are ready: the code that each has.
        self._known: dict[int, KnownCode] = {}
        # Workers that are being killed for the job that they run.
        self._condemned: set[int] = set()
        self._calls: dict[str, Call] = {}
        self._dispatch_due = False
        self._stopping = False

    # the seam

    async def start(self) -> None:
        """Start the workers; they say themselves when they are ready."""
        self._loop = asyncio.get_running_loop()
        self._limit_s = time_limit({**os.environ, **self._environment}.get("GC_TASK_TIMEOUT", ""))
        await self._staff.start()

    def submit(self, job: Job) -> asyncio.Future[bytes]:
        """See :class:`~afield.endpoint.engines.base.Engine`."""
        size = len(job.payload) + len(job.code or b"")
        if job.resource_specification or size >= BODY_MOST:
            refuse_in_process(job, size)
        needs = None
        if job.cores != 1 or job.gpus or job.memory is not None:
            needs = needs_of(job, workers=self._max_workers, accelerators=self._accelerators, memory=self._memory)
        limit_s = job.timeout_s
        if self._limit_s is not None and (limit_s is None or limit_s > self._limit_s):
            limit_s = self._limit_s
        future: asyncio.Future[bytes] = self._loop.create_future()
        call = Call(job, future, limit_s)
        if self._stopping:
            call.fail(never_begun(job.task_id))
            return future
        call.item = self._schedule.submit(call, size, needs)
        self._calls[job.task_id] = call
        if self._schedule.idle:
            self._dispatch()
            if self._schedule.blocked:
                self._staff.try_again()
        elif not self._dispatch_due:
            # With what else is submitted in this turn of the loop.
            self._dispatch_due = True
            self._loop.call_soon(self._dispatch)
            self._staff.try_again()
        return future

    def cancel(self, task_id: str) -> str:
        """See :class:`~afield.endpoint.engines.base.Engine`. A running job is always stopped."""
        call = self._calls.get(task_id)
        if call is None or call.sentence is not None:
            return ""
        error = cancelled(task_id)
        if call.item.worker is None or not self._interrupt(call, error):
            self._schedule.remove(call.item)
            del self._calls[task_id]
            call.fail(error)
        self._dispatch()
        return ""

    def running(self) -> list[str]:
        """See :class:`~afield.endpoint.engines.base.Engine`."""
        oldest = (self._schedule.oldest(number, self._staff[number].unused()) for number in self._known)
        return [call.job.task_id for call in oldest if call is not None]

    @property
    def capacity(self) -> int:
        """Grows when jobs are short, since they are sent ahead then; see ``pace``.

        Jobs that wait for accelerators do not count, as far as there are workers for others: or these would idle.
        """
        return self._max_workers * (1 + self._schedule.pace.ahead) + min(self._schedule.choosy, self._max_workers)

    def status(self) -> EngineStatus:
        """Right now."""
        schedule = self._schedule
        outstanding = schedule.waiting + schedule.sent
        return EngineStatus(
            engine_type="ProcessPoolEngine",
            total_workers=len(self._known),
            idle_workers=schedule.idle,
            pending_tasks=outstanding - schedule.begun,
            outstanding_tasks=outstanding,
            max_workers_per_node=self._max_workers,
        )

    async def stop(self, grace_s: float) -> None:
        """End all workers, after at most ``grace_s`` seconds for the jobs that they run."""
        self._stopping = True
        self._staff.stop()
        for number, process in self._staff:
            if number in self._known:
                self._take_all_back(number)
                process.finish()
            else:
                process.kill()
        self._fail_waiting()
        if not await self._staff.gone_within(grace_s):
            for number, process in self._staff:
                process.fail(f"it was not finished {grace_s:g} s later", self._task_of(number))
            await self._staff.gone_within(_VANISH_WITHIN_S)
        for number, _ in self._staff:
            # The kernel cannot end it now, but nobody needs to wait for it.
            self.worker_gone(number, 0, "it hangs in the operating system and could not be ended")
        self._deadlines.clear()
        self._staff.close()

    # beyond the seam

    @property
    def worker_pids(self) -> list[int]:
        """The process ids of the workers that are ready."""
        return [process.pid for number, process in self._staff if number in self._known]

    def kill_worker(self, pid: int) -> None:
        """End one worker at once, as a fault would."""
        next(process for _, process in self._staff if process.pid == pid).kill()

    # what workers tell

    def worker_ready(self, number: int) -> None:
        """It can take jobs."""
        self._staff.ready(number)
        if self._stopping:
            return
        self._known[number] = KnownCode()
        self._schedule.joined(number)
        self._dispatch()
        if self._schedule.blocked:
            # It cannot show what it can, for the job that is next waits for more workers: so it passes for useful.
            self._staff.works(number)

    def worker_answered(self, number: int, answers: Sequence[tuple[int, bytes]]) -> None:
        """Its oldest jobs are done."""
        if number in self._condemned:
            return
        schedule, known, calls = self._schedule, self._known[number], self._calls
        if len(answers) > schedule.held(number):
            answers = answers[: schedule.held(number)]
            self._staff[number].fail("it answered more often than it was asked: a task made a copy of it")
        now = self._loop.time()
        for run_us, outcome in answers:
            call = schedule.answered(number, run_us * 1e-6, now)
            known.answered(call.job.digest, outcome)
            if not call.future.done():
                call.future.set_result(outcome)
            if calls.get(call.job.task_id) is call:
                del calls[call.job.task_id]
        self._oldest_changed(number)
        self._staff.works(number)
        self._dispatch()

    def worker_gone(self, number: int, permits: int, why: str) -> None:
        """It has ended."""
        process = self._staff.get(number)
        if process is None:
            return  # stop() did not wait for it any longer
        begun = []
        if self._known.pop(number, None) is not None:
            begun = self._schedule.left(number, permits)
        self._deadlines.set(number, None)
        self._condemned.discard(number)
        useless = self._staff.gone(number, had_begun=bool(begun))
        for call in begun:
            process.clean_up(call.job.task_id)
            self._calls.pop(call.job.task_id, None)
            if call.sentence is not None:
                call.fail(call.sentence)
            elif self._stopping:
                call.fail(stopped_under_it(call.job.task_id, why))
            else:
                call.fail(died_under_it(call.job.task_id, process.pid, why, os.uname().nodename))
        self._replace(why, useless=useless)

    def worker_failed(self, why: str) -> None:
        """It could not be started."""
        self._replace(why, useless=True)

    # inside

    def _dispatch(self) -> None:
        """Do what the schedule says."""
        self._dispatch_due = False
        if self._stopping:
            return
        schedule, now = self._schedule, self._loop.time()
        for _ in range(2):
            while (recall := schedule.recall(now)) is not None:
                schedule.recalled(recall.worker, self._staff[recall.worker].take_back(recall.most))
            for batch in schedule.assign(now):
                self._send(batch)
            if not schedule.blocked:
                break
        if schedule.unfit is not None:
            self._retire(schedule.unfit)
        for number in schedule.worn:
            self._retire(number)

    def _retire(self, number: int) -> None:
        """End a worker that is idle, and will be: it ends at once, and when it has gone the next one comes."""
        if number not in self._condemned:
            self._condemned.add(number)
            process = self._staff[number]
            process.finish()
            self._loop.call_later(_VANISH_WITHIN_S, process.kill)

    def _send(self, batch: Batch[Call]) -> None:
        """Hand jobs to a worker, without the code that it has."""
        self._staff[batch.worker].send(batch.epoch, bodies(batch.items, self._known[batch.worker]))
        self._oldest_changed(batch.worker)

    def _oldest_changed(self, number: int) -> None:
        """A worker may have begun another job: have its time measured."""
        call = self._schedule.oldest(number)
        if call is None or call.limit_s is None:
            self._deadlines.set(number, None)
        else:
            self._deadlines.set(number, self._schedule.since(number) + call.limit_s)

    def _time_is_over(self, number: int) -> None:
        """Of the job that this worker runs."""
        call = self._schedule.oldest(number)
        assert call is not None
        assert call.limit_s is not None
        by_endpoint = call.limit_s != call.job.timeout_s
        # If it had not begun, for the worker stands still, it begins elsewhere, and its time with it.
        self._interrupt(call, ran_too_long(call.job.task_id, call.limit_s, by_endpoint=by_endpoint))
        self._dispatch()

    def _interrupt(self, call: Call, error: Exception) -> bool:
        """Stop a job that was sent to a worker. Its future fails with ``error``, unless it has just ended by itself.

        :returns: False: it had not begun, and waits again
        """
        number = call.item.worker
        assert number is not None
        process = self._staff[number]
        self._take_all_back(number)
        if call.item.worker is None:
            return False
        process.read()
        if self._schedule.oldest(number) is call:
            call.sentence = error
            self._condemned.add(number)
            self._deadlines.set(number, None)
            process.kill(call.job.task_id)
            # One that hangs in the operating system never ends; nobody shall wait for that.
            self._loop.call_later(_VANISH_WITHIN_S, call.fail, error)
        return True

    def _take_all_back(self, number: int) -> None:
        """Have a worker begin nothing more."""
        self._schedule.seal(number)
        self._schedule.recalled(number, self._staff[number].take_back(_ALL))
        self._oldest_changed(number)

    def _task_of(self, number: int) -> str | None:
        """What this worker runs."""
        call = self._schedule.oldest(number) if number in self._known else None
        return None if call is None else call.job.task_id

    def _replace(self, why: str, *, useless: bool) -> None:
        """A worker has ended, or could not begin.

        :param why: for people
        :param useless: it had never begun a job
        """
        if self._stopping:
            self._fail_waiting()
            return
        if useless and self._staff.hopeless:
            self._fail_waiting(why)
        elif self._schedule.waiting:
            self._staff.try_again()
        self._staff.fill()
        self._dispatch()

    def _fail_waiting(self, why: str | None = None) -> None:
        """Nobody will run what waits.

        :param why: what workers die of; None: the engine stops
        """
        for call in self._schedule.drain():
            self._calls.pop(call.job.task_id, None)
            call.fail(never_begun(call.job.task_id) if why is None else no_worker(call.job.task_id, why))
