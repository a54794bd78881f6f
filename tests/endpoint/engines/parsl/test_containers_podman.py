"""Workers in real containers, of podman."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest

from afield.errors import NoWorkers, WorkerLost
from afield.testing.jobs import Gate, crash, echo, packed_job, value_of

from .podman_place import PATIENCE_S, Place

pytest.importorskip("parsl", reason="Parsl is not installed: pip install 'afield[parsl]'")

pytestmark = pytest.mark.anyio


@pytest.fixture
def place(tmp_path: Path, container_root: Path) -> Place:
    return Place(tmp_path, container_root)


def whereabouts() -> tuple[str, int]:
    """What only the container has, and which process a worker's grandest parent is."""
    from pathlib import Path

    return Path("/marker").read_text(), len(list(Path("/proc").glob("[0-9]*")))


async def test_tasks_run_in_the_container_and_its_end_is_the_engine_s(place):
    async with place.engine() as engine:
        text, processes = value_of(await engine.submit(packed_job(whereabouts)))
        assert text == "only here"
        assert processes < len(psutil.pids())
        (name,) = place.containers()
        assert name.startswith("afield-block-0-")
        with pytest.raises(WorkerLost, match="SIGSEGV"):
            await engine.submit(packed_job(crash))
        assert value_of(await engine.submit(packed_job(echo, 7))) == 7
        assert place.containers() == [name], "a crash costs a task, and no container"
        gate = Gate(place.directory)
        stopped = engine.submit(gate.job())
        await gate.has_begun()
    assert isinstance(stopped.exception(), WorkerLost)


async def test_a_killed_block_takes_its_container_along(place):
    async with place.engine() as engine:
        gate = Gate(place.directory)
        lost = engine.submit(gate.job())
        await gate.has_begun()
        (name,) = place.containers()
        block = place.processes()
        os.killpg(os.getpgid(place.keeper().pid), signal.SIGKILL)
        with pytest.raises(WorkerLost, match="block 0"):
            await lost
        await asyncio.to_thread(psutil.wait_procs, block, PATIENCE_S)
        # The next block's may be on its way, and stays no longer than the engine.
        assert name not in place.containers()


async def test_an_image_that_is_not_there_is_told_in_podman_s_words(place):
    async with place.engine(root=place.directory / "nowhere", block_deaths_most=1) as engine:
        with pytest.raises(NoWorkers) as raised:
            await engine.submit(packed_job(echo, 1))
    assert 'in the phase "interpreter"' in str(raised.value)
    assert "or the container" in str(raised.value)
    assert f"{place.directory}/nowhere: no such file or directory" in str(raised.value)


async def test_a_library_that_the_image_lacks_is_named(place):
    import _ssl

    if getattr(_ssl, "__file__", None) is None:
        pytest.skip("this Python has no library that could be missing")
    (place.directory / "damaged").touch()
    async with place.engine(f"-v {place.directory}/damaged:{_ssl.__file__}:ro") as engine:
        with pytest.raises(WorkerLost) as raised:
            await engine.submit(packed_job(echo, 1))
    told = str(raised.value)
    assert 'in the phase "import"' in told
    assert "cannot import _ssl, which afield needs (ImportError: " in told
    assert "python3 -c 'import afield.worker.bundle'" in told


async def test_a_python_that_lacks_parsl_is_told_as_an_import(place):
    """Though it writes to a terminal, which is not the error output of the block."""
    async with place.engine("-e PYTHONHOME=/usr", block_deaths_most=1) as engine:
        with pytest.raises(NoWorkers) as raised:
            await engine.submit(packed_job(echo, 1))
    assert 'in the phase "import"' in str(raised.value)
