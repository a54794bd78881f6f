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
