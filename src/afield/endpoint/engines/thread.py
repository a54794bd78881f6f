"""ThreadPoolEngine: jobs run in threads of the endpoint's own process.

For tasks that mostly wait, and for machines where no process may be started. Its tasks share one process: what one of
them does to the environment, the working directory or the memory is seen by all, a crash ends the endpoint, and a
thread cannot be ended from outside. For the first reason no task has its working directory or environment changed; a
task's sandbox is made, and that is all (see :func:`afield.worker.sandbox.surroundings`).
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import NamedTuple

from afield.endpoint.engines.base import EngineStatus
from afield.endpoint.engines.losses import cancelled, ended_its_worker, never_begun, stopped_under_it
from afield.endpoint.engines.needs import refuse_in_thread
from afield.endpoint.engines.pace import Pace
from afield.endpoint.engines.place import prepare, processors
from afield.errors import ConfigurationError
from afield.wire.jobs import Job, encode_job
from afield.worker.functions import FunctionCache
from afield.worker.run import run

__all__ = ["ThreadPoolEngine"]


class _Call:
    """A job and who waits for it."""

    __slots__ = ("_ticket", "begun", "future", "job")

    def __init__(self, job: Job, future: asyncio.Future[bytes]) -> None:
        self.job = job
        self.future = future
        #: a thread has taken it
        self.begun = False
        # Whoever takes it out may decide: a thread to run the job, or the loop to have it cancelled.
        self._ticket = [True]

    def claim(self) -> bool:
        """Have the say about this job; False: another has it."""
        try:
            return self._ticket.pop()  # which happens to one of two at once, never to both
        except IndexError:
            return False

    def fail(self, error: Exception) -> None:
        """Unless its fate was decided before."""
        if not self.future.done():
            self.future.set_exception(error)


class _Done(NamedTuple):
    """What a thread reports. ``outcome`` is an encoded Outcome, or how the thread was ended."""

    call: _Call
    outcome: bytes | BaseException
    run_s: float


class ThreadPoolEngine:
    """Runs jobs in threads.

    :param max_workers: how many; None: one for each processor that this process may use, and four
    :param working_dir: made if it is missing, for what tasks expect to find; threads cannot run in a place of their own
    :param prefix: what the names of threads begin with
    """

    def __init__(
        self, *, max_workers: int | None = None, working_dir: Path | None = None, prefix: str = "afield-worker"
    ) -> None:
        if max_workers is not None and max_workers < 1:
            raise ConfigurationError(f"max_workers is {max_workers}: an engine needs at least one worker")
        # Threads are there for tasks that wait, so rather some more than there are processors.
        self._max_workers = max_workers or processors() + 4
        self._working_dir = working_dir
        self._prefix = prefix
        self._queue: SimpleQueue[_Call | None] = SimpleQueue()
        self._done: deque[_Done] = deque()
        # The loop was told to look into _done, and has not yet begun to.
        self._woken = False
        self._calls: dict[str, _Call] = {}
        self._outstanding = 0
        self._running = 0
        self._pace = Pace()
        self._stopping = False

    async def start(self) -> None:
        """Start the threads."""
        self._loop = asyncio.get_running_loop()
        prepare(self._working_dir)
        for number in range(self._max_workers):
            # As daemons, since a task that never ends must not keep the endpoint's process from ending.
            threading.Thread(target=self._work, name=f"{self._prefix}-{number}", daemon=True).start()

    def submit(self, job: Job) -> asyncio.Future[bytes]:
        """See :class:`~afield.endpoint.engines.base.Engine`."""
        refuse_in_thread(job)
        future: asyncio.Future[bytes] = self._loop.create_future()
        call = _Call(job, future)
        if self._stopping:
            call.fail(never_begun(job.task_id))
            return future
        self._outstanding += 1
        self._calls[job.task_id] = call
        self._queue.put(call)
        return future

    @property
    def capacity(self) -> int:
        """Grows when jobs are short; see ``pace``."""
        return self._max_workers * (1 + self._pace.ahead)

    def status(self) -> EngineStatus:
        """Right now, as far as threads have reported."""
        running = min(self._outstanding, self._max_workers)
        return EngineStatus(
            engine_type="ThreadPoolEngine",
            total_workers=self._max_workers,
            idle_workers=self._max_workers - running,
            pending_tasks=self._outstanding - running,
            outstanding_tasks=self._outstanding,
            max_workers_per_node=self._max_workers,
        )

    def cancel(self, task_id: str) -> str:
        """See :class:`~afield.endpoint.engines.base.Engine`. A job that runs cannot be stopped."""
        call = self._calls.get(task_id)
        if call is None or call.future.done():
            return ""
        if not call.claim():
            return (
                f"task {task_id} runs in a thread of its endpoint (ThreadPoolEngine), and a thread cannot be ended "
                "from outside: it goes on to its end"
            )
        call.fail(cancelled(task_id))
        return ""

    def running(self) -> list[str]:
        """See :class:`~afield.endpoint.engines.base.Engine`."""
        return [task_id for task_id, call in self._calls.items() if call.begun]

    async def stop(self, grace_s: float) -> None:
        """Wait for running jobs. Those that do not end go on until the process ends, and nobody hears of them."""
        self._stopping = True
        with suppress(Empty):
            while (call := self._queue.get_nowait()) is not None:
                self._forget(call)
                call.fail(never_begun(call.job.task_id))
        for _ in range(self._max_workers):
            self._queue.put(None)
        if running := [call.future for call in self._calls.values()]:
            await asyncio.wait(running, timeout=grace_s)
        self._collect()
        for call in list(self._calls.values()):
            self._forget(call)
            why = f"it was not finished {grace_s:g} s later, and a thread cannot be ended"
            call.fail(stopped_under_it(call.job.task_id, why))

    # in the event loop

    def _collect(self) -> None:
        """Take what threads have reported."""
        # In this order: what is reported from here on wakes us again.
        self._woken = False
        done = self._done
        while done:
            call, outcome, run_s = done.popleft()
            if call.begun:  # of those that were cancelled nothing can be learned
                self._pace.ran(run_s)
            self._forget(call)
            if isinstance(outcome, BaseException):
                call.fail(ended_its_worker(call.job.task_id, outcome))
            elif not call.future.done():
                call.future.set_result(outcome)

    def _forget(self, call: _Call) -> None:
        self._outstanding -= 1
        if self._calls.get(call.job.task_id) is call:
            del self._calls[call.job.task_id]

    # in each thread

    def _work(self) -> None:
        """Run one job after the other."""
        functions = FunctionCache()
        while (call := self._queue.get()) is not None:
            began = perf_counter()
            outcome: bytes | BaseException = b""
            # Cancelled before it began: reported, for the count, and not run.
            if not call.future.done() and call.claim():
                call.begun = True
                try:
                    outcome = run(encode_job(call.job), functions, alone=False)
                except BaseException as error:  # noqa: BLE001 - user code ran; what would end a process ends a job here
                    outcome = error
            self._report(_Done(call, outcome, perf_counter() - began))

    def _report(self, done: _Done) -> None:
        """Tell the event loop, once for all that happened since it last looked."""
        self._done.append(done)
        if not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # the engine was stopped, and its loop is closed
                self._loop.call_soon_threadsafe(self._collect)
