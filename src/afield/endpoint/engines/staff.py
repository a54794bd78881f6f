"""The worker processes of one engine: started, replaced when they end, counted. ``births`` says when, this does it."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from afield.endpoint.engines.births import Births
from afield.endpoint.engines.place import bind, open_log, prepare
from afield.endpoint.engines.workers import Listener, WorkerProcess

__all__ = ["Employer", "Staff"]

#: Seconds after which a worker that did not say hello is given up: Python on a busy network file system is slow.
_READY_WITHIN_S: Final = 120.0


class Employer(Listener, Protocol):
    """Whom workers tell, and who is told of those that could not become one."""

    def worker_failed(self, why: str) -> None:
        """A process could not be started.

        :param why: for people
        """


class Staff:
    """Keeps as many workers as there should be.

    :param wanted: how many
    :param command: how one is started, without its arguments
    :param directory: where they run, made if it is missing; None: where this process does
    :param log: the file to which the output of user code goes; None: this process's stderr
    :param environment: variables that they have beside those of this process
    :param pause_s: seconds without a start after several could not be started
    :param share: the processors of the worker in one place; empty: all
    """

    def __init__(
        self,
        employer: Employer,
        wanted: int,
        *,
        command: Sequence[str],
        directory: Path | None,
        log: Path | None,
        environment: Mapping[str, str],
        pause_s: float,
        share: Callable[[int], frozenset[int]] = lambda _: frozenset(),
    ) -> None:
        self._employer = employer
        self._wanted = wanted
        self._command = tuple(command)
        self._directory = directory
        self._log_path, self._log = log, -1
        self._environment = environment
        self._births = Births(wanted, pause_s)
        self._share = share
        self._processes: dict[int, WorkerProcess] = {}
        self._late: dict[int, asyncio.TimerHandle] = {}
        self._useful: set[int] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._started = 0
        self._stopping = False
        self._all_gone = asyncio.Event()

    async def start(self) -> None:
        """Start all; they say themselves when they are ready.

        :raises ConfigurationError: their directory or their log cannot be used
        """
        self._loop = asyncio.get_running_loop()
        prepare(self._directory)
        self._log = open_log(self._log_path)
        while self._births.missing(self._loop.time()) > 0:
            self._spawn()
            # Starting a process takes a millisecond or two, and there may be a hundred.
            await asyncio.sleep(0)

    def close(self) -> None:
        """None of them writes to the log any more."""
        if self._log >= 0:
            os.close(self._log)
            self._log = -1

    def __getitem__(self, number: int) -> WorkerProcess:
        return self._processes[number]

    def get(self, number: int) -> WorkerProcess | None:
        """One of them; None: it has ended."""
        return self._processes.get(number)

    def __iter__(self) -> Iterator[tuple[int, WorkerProcess]]:
        return iter(tuple(self._processes.items()))

    @property
    def hopeless(self) -> bool:
        """None could be started lately, and none is on its way."""
        return self._births.given_up and not self._births.alive

    def ready(self, number: int) -> None:
        """One said hello."""
        self._late.pop(number).cancel()

    def works(self, number: int) -> None:
        """One has finished a job."""
        if number not in self._useful:
            self._useful.add(number)
            self._births.did_well()
            self.fill()

    def gone(self, number: int, *, had_begun: bool) -> bool:
        """One has ended.

        :param had_begun: a job
        :returns: whether it was useless: it never began one
        """
        del self._processes[number]
        late = self._late.pop(number, None)
        if late is not None:
            late.cancel()
        useless = not had_begun and number not in self._useful
        self._useful.discard(number)
        self._births.ended(self._loop.time(), useless=useless)
        if self._stopping and not self._processes:
            self._all_gone.set()
        return useless

    def fill(self) -> None:
        """Start as many as are missing."""
        while not self._stopping and self._births.missing(self._loop.time()) > 0:
            self._spawn()

    def try_again(self) -> None:
        """If workers could not be started: try one, now or when the pause is over."""
        if not self._births.given_up or self._stopping:
            return
        now = self._loop.time()
        if self._births.missing(now) > 0:
            self._spawn()
        elif self._retry is None and (pause := self._births.pause_s(now)) < math.inf:  # else one is being tried
            self._retry = self._loop.call_later(pause, self._pause_over)

    def stop(self) -> None:
        """Start no more."""
        self._stopping = True
        if self._retry is not None:
            self._retry.cancel()

    async def gone_within(self, seconds: float) -> bool:
        """Wait until all have ended, after :meth:`stop`; False: some have not."""
        if not self._processes:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._all_gone.wait()
        except TimeoutError:
            return False
        return True

    def _pause_over(self) -> None:
        self._retry = None
        self.try_again()

    def _spawn(self) -> None:
        """Start one."""
        number = self._started
        self._started += 1
        self._births.started()
        rank = min(set(range(self._wanted)) - {process.rank for process in self._processes.values()})
        try:
            process = WorkerProcess(
                number,
                self._employer,
                command=self._command,
                log=self._log,
                directory=self._directory,
                environment={**os.environ, **self._environment, **self._place(rank)},
            )
        except OSError as error:
            self._births.ended(self._loop.time(), useless=True)
            self._employer.worker_failed(f"{self._command[0]} could not be started: {error}")
            return
        process.rank = rank
        bind(process.pid, self._share(rank))
        self._processes[number] = process
        late = f"it was not ready {_READY_WITHIN_S:g} s after its start"
        self._late[number] = self._loop.call_later(_READY_WITHIN_S, process.fail, late)

    def _place(self, rank: int) -> dict[str, str]:
        """Variables by which a task can know its worker's place among the others, by their published names."""
        return {"PARSL_WORKER_RANK": str(rank), "PARSL_WORKER_COUNT": str(self._wanted)}
