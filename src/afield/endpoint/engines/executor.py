"""ExecutorEngine: jobs run in any ``concurrent.futures.Executor``: of the standard library, Dask, mpi4py, loky, or one
that somebody wrote for the machine at hand.

Executors know little: not when a job begins, nor how to stop one. So the engine keeps the line itself and hands over no
more jobs than the executor runs at once. What it has handed over counts as begun; the rest can be cancelled, and has
certainly not begun when the engine is stopped.

An executor that says it is broken (``concurrent.futures.BrokenExecutor``), as a process pool does when a worker dies,
is thrown away with the jobs that it had, and the next job gets a new one.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from afield.endpoint.engines.base import EngineStatus
from afield.endpoint.engines.losses import cancelled, never_begun, stopped_under_it
from afield.endpoint.engines.needs import refuse_in_executor
from afield.endpoint.engines.place import prepare, processors
from afield.errors import ConfigurationError, WorkerLost
from afield.wire.jobs import Job, encode_job
from afield.worker.single import run_job

__all__ = ["ExecutorEngine", "Factory", "find_factory"]

logger = logging.getLogger("afield.endpoint")

#: What makes an executor.
Factory = Callable[..., Executor]

#: Seconds that an executor may take to shut down beyond the grace of its tasks.
_SHUTDOWN_S: Final = 5.0


def find_factory(name: str, group: str) -> Factory:
    """What makes an executor.

    :param name: ``package.module:name``, or the name of an entry point
    :param group: of entry points
    :raises ConfigurationError: there is no such thing, or it cannot be called
    """
    found: Factory
    try:
        found = _imported(name) if ":" in name else _entry_point(name, group)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"engine.executor {name} cannot be loaded: {error}. Install the package that has it where the endpoint "
            "runs, or correct the name"
        ) from error
    if not callable(found):
        raise ConfigurationError(f"engine.executor {name} is {type(found).__name__}, and makes no executor")
    return found


def _imported(name: str) -> Any:
    module, _, attribute = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found


def _entry_point(name: str, group: str) -> Any:
    from importlib.metadata import entry_points  # takes long, and few need it

    for point in entry_points(group=group, name=name):
        return point.load()
    raise ConfigurationError(
        f"engine.executor {name or 'is missing: it'} should be like concurrent.futures:ThreadPoolExecutor, or the name "
        f"of an entry point of the group {group}"
    )


class _Call:
    __slots__ = ("future", "job")

    def __init__(self, job: Job, future: asyncio.Future[bytes]) -> None:
        self.job, self.future = job, future

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class ExecutorEngine:
    """Runs jobs in an executor.

    :param factory: makes it
    :param arguments: what the factory is called with
    :param name: how people know it
    :param max_workers: how many jobs it runs at once; None: as many as it says, else one for each processor
    :param working_dir: made if it is missing, for what tasks expect to find
    """

    def __init__(
        self,
        factory: Factory,
        arguments: Mapping[str, Any] | None = None,
        *,
        name: str = "executor",
        max_workers: int | None = None,
        working_dir: Path | None = None,
    ) -> None:
        self._make = partial(factory, **(arguments or {}))
        self._name = name
        self._asked = max_workers
        self._workers = max_workers or 1
        self._working_dir = working_dir
        self._executor: Executor | None = None
        #: being made; a broken one is replaced in the background
        self._making: asyncio.Task[None] | None = None
        # In the order of submission, as dicts are.
        self._waiting: dict[str, _Call] = {}
        self._handed: dict[str, _Call] = {}
        self._stopping = False

    async def start(self) -> None:
        """Make the executor, in a thread: it may have to call others.

        :raises ConfigurationError: it cannot be made
        """
        self._loop = asyncio.get_running_loop()
        prepare(self._working_dir)
        self._executor = await self._made()

    async def _made(self) -> Executor:
        try:
            executor = await asyncio.to_thread(self._make)
        except Exception as error:  # somebody's program may raise whatever it likes
            raise ConfigurationError(
                f"the executor {self._name} of this endpoint could not be made: {type(error).__name__}: {error}. See "
                "engine.arguments"
            ) from error
        if not callable(getattr(executor, "submit", None)) or not callable(getattr(executor, "shutdown", None)):
            raise ConfigurationError(
                f"engine.executor {self._name} made a {type(executor).__name__}, no concurrent.futures.Executor"
            )
        self._workers = self._asked or _size(executor)
        return executor

    def submit(self, job: Job) -> asyncio.Future[bytes]:
        """See :class:`~afield.endpoint.engines.base.Engine`."""
        refuse_in_executor(job, self._name)
        future: asyncio.Future[bytes] = self._loop.create_future()
        call = _Call(job, future)
        if self._stopping:
            call.fail(never_begun(job.task_id))
            return future
        self._waiting[job.task_id] = call
        self._hand_over()
        return future

    def cancel(self, task_id: str) -> str:
        """See :class:`~afield.endpoint.engines.base.Engine`. A job that was handed over cannot be stopped."""
        call = self._waiting.pop(task_id, None)
        if call is not None:
            call.fail(cancelled(task_id))
        elif task_id in self._handed:
            return (
                f"task {task_id} runs in the executor {self._name} of its endpoint, and what runs there cannot be "
                "stopped from outside: it goes on to its end"
            )
        return ""

    def running(self) -> list[str]:
        """See :class:`~afield.endpoint.engines.base.Engine`."""
        return list(self._handed)

    @property
    def capacity(self) -> int:
        """As many as run at once, and one more for each, so that none of them is idle."""
        return 2 * self._workers

    def status(self) -> EngineStatus:
        """Right now."""
        return EngineStatus(
            engine_type="ExecutorEngine",
            total_workers=self._workers,
            idle_workers=max(0, self._workers - len(self._handed)),
            pending_tasks=len(self._waiting),
            outstanding_tasks=len(self._waiting) + len(self._handed),
            max_workers_per_node=self._workers,
            extra={"executor": self._name},
        )

    async def stop(self, grace_s: float) -> None:
        """Wait for jobs that were handed over. What does not end then is abandoned to its executor."""
        self._stopping = True
        waiting, self._waiting = self._waiting, {}
        for task_id, call in waiting.items():
            call.fail(never_begun(task_id))
        if self._making is not None:
            self._making.cancel()
            await asyncio.gather(self._making, return_exceptions=True)
        if running := [call.future for call in self._handed.values()]:
            await asyncio.wait(running, timeout=grace_s)
        left, self._handed = self._handed, {}
        for task_id, call in left.items():
            call.fail(stopped_under_it(task_id, f"it was not finished {grace_s:g} s later"))
        executor, self._executor = self._executor, None
        if executor is not None:
            await _shut_down(executor, wait=not left)

    def _hand_over(self) -> None:
        """Give the executor what it can run now."""
        while self._waiting and self._executor is not None and len(self._handed) < self._workers:
            task_id, call = next(iter(self._waiting.items()))
            try:
                future = self._executor.submit(run_job, encode_job(call.job))
            except (BrokenExecutor, RuntimeError) as error:  # the latter, from one that somebody shut down
                self._replace(error)
                return
            del self._waiting[task_id]
            self._handed[task_id] = call
            future.add_done_callback(partial(self._ended, self._executor, task_id))

    def _ended(self, executor: Executor, task_id: str, future: Future[bytes]) -> None:
        """In any thread: a future of the executor is done."""
        with suppress(RuntimeError):  # the engine was stopped, and its loop is closed
            self._loop.call_soon_threadsafe(self._take, executor, task_id, future)

    def _take(self, executor: Executor, task_id: str, future: Future[bytes]) -> None:
        call = self._handed.pop(task_id, None)
        if call is None:
            return
        error: BaseException | None
        try:
            error = future.exception()
        except CancelledError as caught:
            error = caught
        if error is None:
            if not call.future.done():
                call.future.set_result(future.result())
        else:
            call.fail(self._lost(task_id, error))
            if isinstance(error, BrokenExecutor) and executor is self._executor:
                self._replace(error)
        self._hand_over()

    def _lost(self, task_id: str, error: BaseException) -> WorkerLost:
        why = f"{type(error).__name__}: {error}".rstrip(": ")
        return WorkerLost(
            f"Task {task_id} is lost with the worker of {self._name} that may have run it: {why}. An executor of this "
            "kind does not say which task was at fault; the endpoint goes on."
        )

    def _replace(self, error: BaseException) -> None:
        """Throw a broken executor away and make another."""
        if self._stopping:
            return
        logger.warning("the executor %s is broken and is replaced: %s", self._name, error)
        broken, self._executor = self._executor, None
        self._making = self._loop.create_task(self._made_anew(broken))

    async def _made_anew(self, broken: Executor | None) -> None:
        if broken is not None:
            await _shut_down(broken, wait=False)
        try:
            self._executor = await self._made()
        except ConfigurationError as error:
            # Those that wait hear it; the next job tries once more.
            waiting, self._waiting = self._waiting, {}
            for task_id, call in waiting.items():
                call.fail(WorkerLost(f"Task {task_id} could not run: {error}"))
            logger.error("%s", error)  # noqa: TRY400 - it is told in one line
            return
        self._hand_over()


def _size(executor: Executor) -> int:
    """How many jobs an executor runs at once, if it says so in any of the usual ways."""
    for name in ("_max_workers", "num_workers"):
        number = getattr(executor, name, None)
        if isinstance(number, int) and number > 0:
            return number
    return processors()


async def _shut_down(executor: Executor, *, wait: bool) -> None:
    """End an executor, and the processes of one that does not end by itself."""
    before = list(getattr(executor, "_processes", None) or ())
    work = asyncio.to_thread(executor.shutdown, wait=wait, cancel_futures=True)
    try:
        async with asyncio.timeout(_SHUTDOWN_S):
            await work
    except (TimeoutError, TypeError) as error:  # the latter, from one that knows no cancel_futures
        if isinstance(error, TypeError):
            await asyncio.to_thread(executor.shutdown, wait=False)
    for child in multiprocessing.active_children():
        if child.pid in before:
            child.kill()
            await asyncio.to_thread(child.join, _SHUTDOWN_S)
