"""What every engine promises, on Parsl's HighThroughputExecutor with workers on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from afield.endpoint.engines.base import Engine
from afield.endpoint.engines.parsl.engine import HtexEngine
from afield.endpoint.settings.engines import HtexSettings
from afield.testing.engines import EngineContract
from afield.testing.engines import running as run_one
from afield.testing.jobs import packed_job, value_of

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for all tests of this file: the engines that they share belong to it."""
    return "asyncio"


def make(directory: Path, workers: int, **more: Any) -> HtexEngine:
    """An engine with one block of so many workers on this machine."""
    settings = {
        "max_workers_per_node": workers,
        "address": "127.0.0.1",
        "provider": {"type": "LocalProvider", "init_blocks": 1, "max_blocks": 1},
        # Two workers on a machine with one processor.
        "cores_per_worker": 0.5,
    }
    return HtexEngine(HtexSettings(**{**settings, **more}), directory)


class TestHtexEngine(EngineContract):
    engines: dict[int, Engine]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    async def shared(cls, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[None]:
        """An engine takes seconds to start, so tests that leave it as it was share one."""
        one = make(tmp_path_factory.mktemp("one"), 1)
        two = make(tmp_path_factory.mktemp("two"), 2)
        cls.engines = {1: one, 2: two}
        async with run_one(one), run_one(two):
            yield

    @pytest.fixture(autouse=True)
    def directory(self, tmp_path: Path) -> None:
        self._directory = tmp_path

    def make(self, workers: int) -> HtexEngine:
        return make(self._directory / "endpoint", workers)

    @asynccontextmanager
    async def running(self, workers: int) -> AsyncIterator[Engine]:  # type: ignore[override]
        engine = self.engines[workers]
        yield engine
        assert engine.status().outstanding_tasks == 0

    async def test_submitted_at_once_after_start(self) -> None:
        """As in the tests of stopping, whose engines were just started: another start would take seconds."""

    async def test_tasks_know_where_they_are(self) -> None:
        """By the published variables; and the status has the published fields."""
        job = packed_job(surroundings)
        async with self.running(1) as engine:
            seen = value_of(await engine.submit(job))
            assert (seen["PARSL_WORKER_RANK"], seen["PARSL_WORKER_COUNT"]) == ("0", "1")
            assert seen["PARSL_WORKER_BLOCK_ID"] == "0"
            assert seen["PARSL_WORKER_POOL_ID"]
            assert seen["GC_TASK_UUID"] == job.task_id
            status = engine.status()
            assert status.extra["provider_type"] == "LocalProvider"
            assert (status.managers, status.active_managers, status.max_blocks) == (1, 1, 1)
            assert (status.scaling_enabled, status.max_workers_per_node, status.nodes_per_block) == (True, 1, 1)


def surroundings() -> dict[str, str]:
    """The variables that a task can ask."""
    import os

    return {name: value for name, value in os.environ.items() if name.startswith(("PARSL_WORKER", "GC_TASK"))}
