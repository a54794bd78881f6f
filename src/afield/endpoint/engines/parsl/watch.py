"""Watches over an engine's blocks: performs what :mod:`afield.endpoint.engines.parsl.blocks` decides.

Parsl's thread that scales calls it, one call at a time; the event loop asks it for the reason why nothing runs.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Final

from parsl.executors.status_handling import BlockProviderExecutor
from parsl.jobs.states import JobStatus

from afield.endpoint.engines.parsl.blocks import Blocks, refusal
from afield.endpoint.engines.parsl.mended import mend
from afield.endpoint.engines.parsl.phases import End, complaint, marked
from afield.endpoint.engines.parsl.scheduler import question, said
from afield.endpoint.host.runaway import BLOCKS, RunawayFile
from afield.endpoint.settings.engines import HtexSettings

__all__ = ["Watch"]

logger = logging.getLogger("afield.endpoint")

#: How much of the beginning and of the end of a job's output is read, in bytes.
_HEAD: Final = 16 * 1024
_TAIL: Final = 64 * 1024
#: How many different complaints of worker_init are told.
_COMPLAINTS_MOST: Final = 20
#: Parsl's own words about every block whose workers never connected; they tell nobody anything.
_PARSL_SAYS: Final = "Job is marked as MISSING"

#: Parsl's own words before what the scheduler wrote about a job that it refused.
_SUBMIT_SAYS: Final = re.compile(r"^Failed to start block .*?stderr=", re.DOTALL)


class Watch:
    """Keeps an engine from asking for blocks that die, for ever.

    :param settings: of the engine
    :param directory: the user endpoint's
    :param clock: unix time in seconds
    """

    def __init__(self, settings: HtexSettings, directory: Path, *, clock: Callable[[], float] = time.time) -> None:
        limit = settings.block_deaths_most if settings.block_error_handler else 0
        if not limit:
            logger.warning(
                "blocks that die soon after their start are asked for again for ever, for engine.block_error_handler "
                "is false or engine.block_deaths_most is 0"
            )
        self._blocks = Blocks(limit, settings.block_proven_after, settings.block_pause)
        self._clock = clock
        self._executor: BlockProviderExecutor | None = None
        self._marks = False
        # Blocks that came up, while they are there, and what their worker_init complained of, as far as it was told.
        self._came_up: set[str] = set()
        self._complaints: set[str] = set()
        self._lock = Lock()
        self._file = RunawayFile(directory)
        stopped = self._file.load().get(BLOCKS)
        if stopped is not None and limit:
            self._blocks.breaker.restore(stopped)

    def mark(self, provider: Any) -> None:
        """Have the provider's jobs write how far they come. Before the first is asked for."""
        mend(provider)
        prepared = getattr(provider, "worker_init", None)
        if isinstance(prepared, str):
            provider.worker_init = marked(prepared)
            self._marks = True

    # what the thread that scales calls

    def may_ask(self, wanted: int) -> int:
        """How many of ``wanted`` further blocks may be asked for."""
        with self._lock:
            return self._blocks.may_ask(wanted, self._clock())

    def asked(self, executor: BlockProviderExecutor, block_ids: list[str]) -> None:
        """These were asked for."""
        self._executor = executor
        with self._lock:
            for block_id in block_ids:
                self._blocks.asked(block_id, self._clock())

    def released(self, block_ids: list[str]) -> None:
        """The engine itself ended these."""
        with self._lock:
            for block_id in block_ids:
                self._blocks.released(block_id)

    def looked(self, statuses: Mapping[str, JobStatus], connected: set[str]) -> None:
        """Somebody looked, as every few seconds.

        :param statuses: of all blocks that were ever asked for
        :param connected: blocks whose workers are connected now
        """
        for block_id in connected - self._came_up:
            self._hear_complaint(block_id, statuses.get(block_id))
        self._came_up = set(connected)
        ended = {
            block_id: self._end(block_id, status)
            for block_id in self._blocks.alive
            if (status := statuses.get(block_id)) is not None and status.terminal
        }
        with self._lock:
            before = self._blocks.breaker.open
            self._look_whether_cleared()
            now = self._clock()
            self._blocks.seen(connected, now)
            for block_id, end in ended.items():
                if self._blocks.ended(block_id, end, now):
                    assert self._blocks.breaker.open is not None
                    logger.error(refusal(self._blocks.breaker.open))
            after = self._blocks.breaker.open
        if after != before:
            self._file.keep({BLOCKS: after} if after is not None else {})

    # what the event loop asks

    def hopeless(self) -> str | None:
        """Why a task that waits will not run, for its submitter; None: it may. Cheap while all is well."""
        if self._blocks.breaker.open is None:
            return None
        with self._lock:
            self._look_whether_cleared()
            reason = self._blocks.hopeless(self._clock())
        return refusal(reason) if reason is not None else None

    def status(self) -> dict[str, Any]:
        """For heartbeats: empty while all is well."""
        with self._lock:
            return self._blocks.status(self._clock())

    def _look_whether_cleared(self) -> None:
        if self._file.was_cleared():
            logger.info("the owner has cleared what was stopped: blocks are asked for again")
            self._blocks.clear()

    def _hear_complaint(self, block_id: str, status: JobStatus | None) -> None:
        """Tell, once, what the job of a block whose workers run did not find: they may run with another Python."""
        path = status.stderr_path if status is not None else None
        complained = complaint(_read(path or self._output_of(block_id))) if self._marks else ""
        if complained and complained not in self._complaints and len(self._complaints) < _COMPLAINTS_MOST:
            self._complaints.add(complained)
            logger.warning(
                "engine.provider.worker_init went wrong in block %s, whose workers run without it, perhaps with "
                "another Python than was meant (interpreter): %s",
                block_id,
                complained,
            )

    def _end(self, block_id: str, status: JobStatus) -> End:
        """What can be found out about a block that is over."""
        assert self._executor is not None
        job_id = self._executor.blocks_to_job_id.get(block_id)
        message = (status.message or "").strip()
        if job_id is None:
            return End(refused=True, said=_SUBMIT_SAYS.sub("", message))
        told = [] if message.startswith(_PARSL_SAYS) else [message]
        told.append(self._asked_scheduler(str(job_id)))
        output = _read(status.stderr_path or self._output_of(block_id)) or _read(status.stdout_path)
        return End(
            output=output,
            marks=self._marks,
            exit_code=status.exit_code,
            said=", ".join(filter(None, told)),
        )

    def _output_of(self, block_id: str) -> str | None:
        """Where a job wrote its errors, of which some providers of Parsl say nothing: beside its script."""
        assert self._executor is not None
        scripts = getattr(self._executor.provider, "script_dir", None)
        found = sorted(Path(scripts).glob(f"*.block-{block_id}.*err")) if scripts else []
        return str(found[-1]) if found else None

    def _asked_scheduler(self, job_id: str) -> str:
        assert self._executor is not None
        provider = self._executor.provider
        name = type(provider).__name__
        command = question(name, job_id)
        ask = getattr(provider, "execute_wait", None)
        if command is None or ask is None:
            return ""
        try:
            _, answer, _ = ask(command)
        except Exception as error:  # noqa: BLE001 - whatever Parsl raises about a command; the block is over all the same
            logger.info("the scheduler does not tell how job %s ended: %s", job_id, error)
            return ""
        return said(name, answer or "")


def _read(path: str | None) -> str:
    """The beginning and the end of a file; empty: there is none."""
    if path is None:
        return ""
    with suppress(OSError), Path(path).open("rb") as file:
        head = file.read(_HEAD)
        file.seek(max(len(head), file.seek(0, 2) - _TAIL))
        return (head + file.read()).decode(errors="replace")
    return ""
