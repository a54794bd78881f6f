"""ProcessPoolEngine: jobs run in worker processes on this machine, and a worker that dies costs one job.

::

    submit(job) ──> schedule (PURE: who gets what) ──> WorkerProcess ──socket, permits──> python -m afield.worker
                                                            │
    future <────── answered, gone <─────────────────────────┘

``schedule`` says how jobs travel ahead of their turn, and why it is known of each job whether it had begun.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from afield.endpoint.engines.base import EngineStatus
from afield.endpoint.engines.births import PAUSE_S, Births
from afield.endpoint.engines.known import KnownCode
from afield.endpoint.engines.losses import died_under_it, never_begun, no_worker, stopped_under_it
from afield.endpoint.engines.place import processors
from afield.endpoint.engines.schedule import Batch, Item, Schedule
from afield.endpoint.engines.workers import COMMAND, WorkerProcess
from afield.errors import ConfigurationError, TaskCancelled
from afield.wire.jobs import Job, encode_job
from afield.worker.frames import BODY_MOST

__all__ = ["ProcessPoolEngine"]

#: Seconds after which a worker that did not say hello is given up: Python on a busy network file system is slow.
_READY_WITHIN_S: Final = 120.0
#: Seconds that a killed process may need to vanish: one that hangs in a file system may never do so.
_VANISH_WITHIN_S: Final = 5.0
#: More permits than any worker has.
_ALL: Final = 1 << 14

_encode = msgspec.msgpack.Encoder().encode


class _Call:
    """A job and who waits for it."""

    __slots__ = ("future", "item", "job")

    item: Item[_Call]

    def __init__(self, job: Job, future: asyncio.Future[bytes]) -> None:
        self.job = job
        self.future = future

    def fail(self, error: Exception) -> None:
        """Unless its fate was decided before."""
        if not self.future.done():
            self.future.set_exception(error)


class ProcessPoolEngine:
    """Runs jobs in processes of their own.

    :param max_workers: how many; None: one for each processor that this process may use
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
        working_dir: Path | None = None,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = COMMAND,
        pause_s: float = PAUSE_S,
    ) -> None:
        if max_workers is not None and max_workers < 1:
            raise ConfigurationError(f"max_workers is {max_workers}: an engine needs at least one worker")
        self._max_workers = max_workers or processors()
        self._working_dir = working_dir
        self._log_path = log
        self._environment = dict(environment or {})
        self._command = tuple(command)
        self._schedule: Schedule[_Call] = Schedule()
        self._births = Births(self._max_workers, pause_s)
        self._processes: dict[int, WorkerProcess] = {}
        # Of workers that are ready: the code that each has.
        self._known: dict[int, KnownCode] = {}
        self._useful: set[int] = set()
        self._calls: dict[str, _Call] = {}
        self._late: dict[int, asyncio.TimerHandle] = {}
        self._retry: asyncio.TimerHandle | None = None
        self._dispatch_due = False
        self._started = 0
        self._log = -1
        self._stopping = False
        self._all_gone = asyncio.Event()

    # the seam

    async def start(self) -> None:
        """Start the workers; they say themselves when they are ready."""
        self._loop = asyncio.get_running_loop()
        try:
            if self._working_dir is not None:
                self._working_dir.mkdir(parents=True, exist_ok=True)
            self._log = _open_log(self._log_path)
        except OSError as error:
            raise ConfigurationError(f"the engine cannot use {error.filename}: {error.strerror}") from error
        while self._births.missing(self._loop.time()) > 0:
            self._spawn()
            # Starting a process takes a millisecond or two, and there may be a hundred.
            await asyncio.sleep(0)

    def submit(self, job: Job) -> asyncio.Future[bytes]:
        """See :class:`~afield.endpoint.engines.base.Engine`."""
        if job.resource_specification:
            raise ConfigurationError(
                f"task {job.task_id} has a resource_specification, and ProcessPoolEngine runs every task in one "
                "process on one machine: leave it out, or send the task to an endpoint with an MPI engine"
            )
        size = len(job.payload) + len(job.code or b"")
        if size >= BODY_MOST:
            raise ConfigurationError(f"task {job.task_id} is {size} bytes long, more than a worker can take")
        future: asyncio.Future[bytes] = self._loop.create_future()
        call = _Call(job, future)
        if self._stopping:
            call.fail(never_begun(job.task_id))
            return future
        call.item = self._schedule.submit(call, size)
        self._calls[job.task_id] = call
        if self._schedule.idle:
            self._dispatch()
        elif not self._dispatch_due:
            # With what else is submitted in this turn of the loop.
            self._dispatch_due = True
            self._loop.call_soon(self._dispatch)
        if self._births.given_up:
            self._try_again()
        return future

    @property
    def capacity(self) -> int:
        """Grows when jobs are short, since they are sent ahead then; see ``pace``."""
        return self._max_workers * (1 + self._schedule.pace.ahead)

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
        if self._retry is not None:
            self._retry.cancel()
        for number, process in self._processes.items():
            if number in self._known:
                self._schedule.recalled(number, process.take_back(_ALL))
                process.finish()
            else:
                process.kill()
        self._fail_waiting()
        if self._processes and not await self._gone_within(grace_s):
            for process in self._processes.values():
                process.fail(f"it was not finished {grace_s:g} s later")
            await self._gone_within(_VANISH_WITHIN_S)
        for number in tuple(self._processes):
            # The kernel cannot end it now, but nobody needs to wait for it.
            self.worker_gone(number, 0, "it hangs in the operating system and could not be ended")
        if self._log >= 0:
            os.close(self._log)
            self._log = -1

    # beyond the seam

    def cancel(self, task_id: str) -> bool:
        """Keep a job from running, or end the worker that runs it; its future fails with TaskCancelled.

        :returns: False: there is no such job, or it is finished
        """
        call = self._calls.get(task_id)
        if call is None or call.future.done():
            return False
        worker = call.item.worker
        if worker is not None:
            process = self._processes[worker]
            # From here on it begins nothing else, so that nothing else can be hit.
            self._schedule.recalled(worker, process.take_back(_ALL))
            if call.item.worker is not None:
                process.read()
                if call.future.done():
                    return False
                process.kill()
        if call.item.worker is None:
            self._schedule.remove(call.item)
        del self._calls[task_id]
        call.fail(TaskCancelled(f"task {task_id} was cancelled"))
        self._dispatch()
        return True

    @property
    def worker_pids(self) -> list[int]:
        """The process ids of the workers that are ready."""
        return [process.pid for number, process in self._processes.items() if number in self._known]

    def kill_worker(self, pid: int) -> None:
        """End one worker at once, as a fault would."""
        next(process for process in self._processes.values() if process.pid == pid).kill()

    # what workers tell

    def worker_ready(self, number: int) -> None:
        """It can take jobs."""
        self._late.pop(number).cancel()
        if self._stopping:
            return
        self._known[number] = KnownCode()
        self._schedule.joined(number)
        self._dispatch()

    def worker_answered(self, number: int, answers: Sequence[tuple[int, bytes]]) -> None:
        """Its oldest jobs are done."""
        schedule, known, calls = self._schedule, self._known[number], self._calls
        if len(answers) > schedule.held(number):
            answers = answers[: schedule.held(number)]
            self._processes[number].fail("it answered more often than it was asked: a task made a copy of it")
        now = self._loop.time()
        for run_us, outcome in answers:
            call = schedule.answered(number, run_us * 1e-6, now)
            known.answered(call.job.digest, outcome)
            if not call.future.done():
                call.future.set_result(outcome)
            if calls.get(call.job.task_id) is call:
                del calls[call.job.task_id]
        if number not in self._useful:
            self._useful.add(number)
            self._births.did_well()
            self._spawn_missing()
        self._dispatch()

    def worker_gone(self, number: int, permits: int, why: str) -> None:
        """It has ended."""
        process = self._processes.pop(number, None)
        if process is None:
            return  # stop() did not wait for it any longer
        late = self._late.pop(number, None)
        if late is not None:
            late.cancel()
        begun = []
        if self._known.pop(number, None) is not None:
            begun = self._schedule.left(number, permits)
        useless = not begun and number not in self._useful
        self._births.ended(self._loop.time(), useless=useless)
        self._useful.discard(number)
        for call in begun:
            self._calls.pop(call.job.task_id, None)
            if self._stopping:
                call.fail(stopped_under_it(call.job.task_id, why))
            else:
                call.fail(died_under_it(call.job.task_id, process.pid, why))
        self._replace(why, useless=useless)

    # inside

    def _dispatch(self) -> None:
        """Do what the schedule says."""
        self._dispatch_due = False
        if self._stopping:
            return
        schedule, now = self._schedule, self._loop.time()
        while (recall := schedule.recall(now)) is not None:
            schedule.recalled(recall.worker, self._processes[recall.worker].take_back(recall.most))
        for batch in schedule.assign(now):
            self._send(batch)

    def _send(self, batch: Batch[_Call]) -> None:
        """Hand jobs to a worker, without the code that it has."""
        known, bodies = self._known[batch.worker], []
        for item in batch.items:
            job = item.job.job
            if job.digest in known:
                # The fields of a Job in their order; a record without its code would cost twice as much to make.
                bodies.append(_encode((
                    job.version, job.task_id, job.digest, None, job.payload, job.result_serializers,
                    job.resource_specification, job.allowed_serializers, job.sandbox, job.result_limit,
                )))  # fmt: skip
            else:
                bodies.append(encode_job(job))
        self._processes[batch.worker].send(batch.epoch, bodies)

    def _spawn_missing(self) -> None:
        """Start as many as there should be."""
        while not self._stopping and self._births.missing(self._loop.time()) > 0:
            self._spawn()

    def _spawn(self) -> None:
        """Start one worker."""
        number = self._started
        self._started += 1
        self._births.started()
        rank = min(set(range(self._max_workers)) - {process.rank for process in self._processes.values()})
        try:
            process = WorkerProcess(
                number,
                self,
                command=self._command,
                log=self._log,
                directory=self._working_dir,
                environment={**os.environ, **self._environment, **self._place(rank)},
            )
        except OSError as error:
            self._births.ended(self._loop.time(), useless=True)
            self._replace(f"{self._command[0]} could not be started: {error}", useless=True)
            return
        process.rank = rank
        self._processes[number] = process
        late = f"it was not ready {_READY_WITHIN_S:g} s after its start"
        self._late[number] = self._loop.call_later(_READY_WITHIN_S, process.fail, late)

    def _place(self, rank: int) -> dict[str, str]:
        """Variables by which a task can know its worker's place among the others, by their published names."""
        return {"PARSL_WORKER_RANK": str(rank), "PARSL_WORKER_COUNT": str(self._max_workers)}

    def _replace(self, why: str, *, useless: bool) -> None:
        """A worker has ended, or could not begin.

        :param why: for people
        :param useless: it had never begun a job
        """
        if self._stopping:
            self._fail_waiting()
            if not self._processes:
                self._all_gone.set()
            return
        if self._births.given_up and not self._births.alive:
            if useless:
                self._fail_waiting(why)
            elif self._schedule.waiting:
                self._try_again()
        self._spawn_missing()
        self._dispatch()

    def _try_again(self) -> None:
        """Workers could not be started. Try one, now or when the pause is over."""
        if self._births.missing(self._loop.time()) > 0:
            self._spawn()
        elif not self._births.alive and self._retry is None:
            self._retry = self._loop.call_later(self._births.pause_s(self._loop.time()), self._pause_over)

    def _pause_over(self) -> None:
        self._retry = None
        self._try_again()

    def _fail_waiting(self, why: str | None = None) -> None:
        """Nobody will run what waits.

        :param why: what workers die of; None: the engine stops
        """
        for call in self._schedule.drain():
            self._calls.pop(call.job.task_id, None)
            call.fail(never_begun(call.job.task_id) if why is None else no_worker(call.job.task_id, why))

    async def _gone_within(self, seconds: float) -> bool:
        """Wait until all workers have ended."""
        try:
            async with asyncio.timeout(seconds):
                await self._all_gone.wait()
        except TimeoutError:
            return False
        return True


def _open_log(path: Path | None) -> int:
    """Where the output of user code goes."""
    if path is not None:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return os.dup(2)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)
