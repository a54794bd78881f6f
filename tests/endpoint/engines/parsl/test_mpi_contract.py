"""What every engine promises, on Parsl's MPIExecutor with workers on this machine: each job gets one node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("parsl", reason="Parsl is not installed: pip install 'afield[parsl]'")

from afield.endpoint.engines.base import Engine
from afield.endpoint.engines.parsl.mpi import MpiEngine
from afield.testing.engines import EngineContract
from afield.testing.engines import running as run_one
from afield.wire.jobs import Job

from .mpi_place import asking, settings

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for all tests of this file: the engines that they share belong to it."""
    return "asyncio"


class OneNodeEach(MpiEngine):
    """Its jobs ask for a node if they say nothing."""

    def submit(self, job: Job) -> asyncio.Future[bytes]:
        return super().submit(job if job.resource_specification else asking(job, num_nodes=1))


def make(directory: Path, workers: int, **more: Any) -> MpiEngine:
    return OneNodeEach(settings(directory, workers, **more), directory)


class TestMpiEngine(EngineContract):
    refuses_resources = False
    engines: dict[int, Engine]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    async def shared(cls, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[None]:
        """An engine takes seconds to start, so tests that leave it as it was share one."""
        one, two = (make(tmp_path_factory.mktemp(f"with{count}"), count) for count in (1, 2))
        cls.engines = {1: one, 2: two}
        async with run_one(one), run_one(two):
            yield

    @pytest.fixture(autouse=True)
    def directory(self, tmp_path: Path) -> None:
        self._directory = tmp_path

    def make(self, workers: int) -> MpiEngine:
        return make(self._directory / "endpoint", workers)

    @asynccontextmanager
    async def running(self, workers: int) -> AsyncIterator[Engine]:  # type: ignore[override]
        engine = self.engines[workers]
        yield engine
        assert engine.status().outstanding_tasks == 0

    async def test_submitted_at_once_after_start(self) -> None:
        """As in the tests of stopping, whose engines were just started: another start would take seconds."""

    async def test_stop_waits_for_what_runs_and_gives_back_what_does_not(self, tmp_path: Path) -> None:
        """As on HTEX, by the same code; each would take another start."""

    async def test_stop_ends_what_does_not_end(self, tmp_path: Path) -> None:
        """Likewise."""
