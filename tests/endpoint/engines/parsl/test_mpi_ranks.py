"""MPI programs with real ranks, on a block whose nodes are three names of this machine."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

pytest.importorskip("parsl", reason="Parsl is not installed: pip install 'afield[parsl]'")
pytest.importorskip("mpi4py", reason="mpi4py is not installed")
if shutil.which("mpiexec", path=str(Path(sys.executable).parent)) is None:
    pytest.skip("no mpiexec beside this Python: pip install mpich", allow_module_level=True)

from afield.endpoint.engines.parsl.mpi import MpiEngine
from afield.errors import ConfigurationError, TaskCancelled, TaskTimeout, WorkerLost
from afield.shell import MPIFunction
from afield.testing.engines import running
from afield.testing.jobs import Gate, append, echo, packed_job, value_of

from .mpi_place import NODES, asking, mpi_job, settings

pytestmark = pytest.mark.anyio

#: Nothing here takes longer; it only bounds a hang.
PATIENCE_S = 60

#: Each rank tells the first what it is.
COUNT = """
from mpi4py import MPI
world = MPI.COMM_WORLD
ranks = world.gather(world.rank, 0)
if not world.rank:
    print(world.size, *ranks)
"""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[MpiEngine]:
    """One for all tests: it takes seconds to start."""
    directory = tmp_path_factory.mktemp("mpi")
    async with running(MpiEngine(settings(directory), directory)) as engine:
        yield engine


@pytest.fixture
def program(tmp_path: Path) -> str:
    (tmp_path / "count.py").write_text(COUNT)
    return f"{sys.executable} {tmp_path / 'count.py'}"


class Ranks:
    """Ranks that say who they are and then stay."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "ranks"
        os.mkfifo(self._path)
        self._file = os.open(self._path, os.O_RDWR | os.O_NONBLOCK)
        #: what starts one
        self.command = f"sh -c 'echo $$ > {self._path}; exec sleep 600'"

    async def begun(self, count: int) -> list[int]:
        """The process ids of so many, when all have begun."""
        loop, said = asyncio.get_running_loop(), bytearray()
        all_said = asyncio.Event()

        def read() -> None:
            said.extend(os.read(self._file, 4096))
            if said.count(b"\n") == count:
                all_said.set()

        loop.add_reader(self._file, read)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await all_said.wait()
        finally:
            loop.remove_reader(self._file)
            os.close(self._file)
        return [int(line) for line in said.split()]


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def run_ranks(command: str) -> tuple[str, str]:
    """Start ranks as any function may; what they print, and on which nodes they are."""
    import os
    import subprocess

    done = subprocess.run(f"$PARSL_MPI_PREFIX {command}", shell=True, check=True, capture_output=True, text=True)
    return done.stdout, os.environ["PARSL_MPI_NODELIST"]


def told() -> dict[str, str]:
    """What Parsl's worker says of the task."""
    import os

    return {name: value for name, value in os.environ.items() if name.startswith("PARSL_")}


def meet(path: str, mode: str) -> str:
    """Return when the other one, with the other mode, is here too; on which nodes this is."""
    import os
    from pathlib import Path

    with Path(path).open(mode):
        return os.environ["PARSL_MPI_NODELIST"]


async def test_real_ranks(engine: MpiEngine, program: str):
    """As many as were asked for, and each of them knows the others."""
    async with asyncio.timeout(PATIENCE_S):
        out, nodes = value_of(await engine.submit(mpi_job(run_ranks, program, num_nodes=3, ranks_per_node=2)))
    assert out == "6 0 1 2 3 4 5\n"
    assert sorted(nodes.split(",")) == sorted(NODES)


async def test_what_a_task_is_told(engine: MpiEngine):
    """The published variables; and nothing of it is left for the next."""
    async with asyncio.timeout(PATIENCE_S):
        first = mpi_job(told, num_nodes=2, num_ranks=4, launcher_options="-prepend-rank")
        seen = value_of(await engine.submit(first))
        second = value_of(await engine.submit(mpi_job(told, num_nodes=1)))
    nodes = seen["PARSL_MPI_NODELIST"]
    assert {name: seen[f"PARSL_{name}"] for name in ("NUM_NODES", "NUM_RANKS", "RANKS_PER_NODE")} == {
        "NUM_NODES": "2", "NUM_RANKS": "4", "RANKS_PER_NODE": "2",
    }  # fmt: skip
    assert seen["PARSL_MPI_PREFIX"] == f"mpiexec -n 4 -ppn 2 -hosts {nodes} -prepend-rank"
    assert seen["PARSL_MPIEXEC_PREFIX"] == seen["PARSL_MPI_PREFIX"]
    assert seen["PARSL_SRUN_PREFIX"].startswith(f"srun --ntasks 4 --ntasks-per-node 2 --nodelist {nodes} --nodes 2")
    assert seen["PARSL_APRUN_PREFIX"].startswith("aprun -n 4 -N 2 ")
    assert second["PARSL_LAUNCHER_OPTIONS"] == ""
    assert "-prepend-rank" not in second["PARSL_MPI_PREFIX"]
    assert second["PARSL_MPI_NODELIST"] in NODES


async def test_two_small_ones_run_together_on_nodes_of_their_own(engine: MpiEngine, tmp_path: Path):
    """They wait for each other, so neither could end alone."""
    path = tmp_path / "meeting"
    os.mkfifo(path)
    async with asyncio.timeout(PATIENCE_S):
        both = [engine.submit(mpi_job(meet, str(path), mode, num_nodes=1)) for mode in ("r", "w")]
        nodes = [value_of(answer) for answer in await asyncio.gather(*both)]
    assert len(set(nodes) & set(NODES)) == 2


async def test_a_large_one_waits_for_all_its_nodes_and_is_not_overtaken(engine: MpiEngine, tmp_path: Path):
    """Parsl's own way of sharing out nodes comes to no end here, when the first small one ends."""
    gates, trace = [Gate(tmp_path), Gate(tmp_path)], tmp_path / "trace"
    async with asyncio.timeout(PATIENCE_S):
        small = [engine.submit(asking(gate.job(), num_nodes=1)) for gate in gates]
        for gate in gates:
            await gate.has_begun()
        large = engine.submit(mpi_job(append, str(trace), "large", num_nodes=3))
        late = engine.submit(mpi_job(append, str(trace), "late", num_nodes=1))
        gates[0].open()
        await small[0]
        # Two nodes are free, and as many workers.
        assert not large.done()
        assert not late.done()
        assert engine.status().idle_workers == 2
        gates[1].open()
        await asyncio.gather(*small, large, late)
    assert trace.read_text().split() == ["large", "late"]


async def test_many_of_all_sizes(engine: MpiEngine):
    """None is lost between the lines of the engine, of Parsl and of the block."""
    jobs = [mpi_job(echo, n, num_nodes=1 + n % 3) for n in range(60)]
    async with asyncio.timeout(PATIENCE_S):
        answers = await asyncio.gather(*(engine.submit(job) for job in jobs))
    assert [value_of(answer) for answer in answers] == list(range(60))
    assert engine.status().outstanding_tasks == 0


@pytest.mark.parametrize("end", ["cancel", "timeout", "death"])
async def test_all_ranks_end_with_their_task(engine: MpiEngine, tmp_path: Path, end: str):
    ranks = Ranks(tmp_path)
    job = mpi_job(run_ranks, ranks.command, num_nodes=2)
    if end == "timeout":
        job = msgspec.structs.replace(job, timeout_s=2.5)
    future = engine.submit(job)
    pids = await ranks.begun(2)
    if end == "cancel":
        assert all(map(lives, pids))
        assert engine.cancel(job.task_id) == ""
    elif end == "death":
        runs_it = next(one for one in psutil.Process(pids[0]).parents() if "afield.worker" in one.cmdline())
        runs_it.kill()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises({"cancel": TaskCancelled, "timeout": TaskTimeout, "death": WorkerLost}[end]):
            await future
    assert not any(map(lives, pids))
    # Its nodes are free for others.
    async with asyncio.timeout(PATIENCE_S):
        assert value_of(await engine.submit(mpi_job(echo, 1, num_nodes=2))) == 1


async def test_an_mpi_function(engine: MpiEngine, program: str):
    function = MPIFunction(program)
    async with asyncio.timeout(PATIENCE_S):
        result: Any = value_of(await engine.submit(mpi_job(function, num_nodes=2)))
    assert (result.returncode, result.stdout) == (0, "2 0 1\n")


async def test_what_it_cannot_do_is_refused_at_once(engine: MpiEngine):
    """In words, and nothing of it stays."""
    for job, words in (
        (packed_job(echo, 1), "has no resource_specification"),
        (mpi_job(echo, 1, num_nodes=4), "asks for 4 nodes, and a block of this endpoint has 3"),
        (msgspec.structs.replace(mpi_job(echo, 1, num_nodes=1), gpus=1), "1 accelerators"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            engine.submit(job)
    status = engine.status()
    assert status.outstanding_tasks == 0
    assert (status.engine_type, status.total_workers, status.max_workers_per_node) == ("GlobusMPIEngine", 3, 3)
    assert (status.managers, status.nodes_per_block, status.max_blocks) == (1, 3, 1)


async def test_scaling_counts_nodes(engine: MpiEngine, tmp_path: Path):
    gates = [Gate(tmp_path), Gate(tmp_path)]
    async with asyncio.timeout(PATIENCE_S):
        futures = [engine.submit(asking(gate.job(), num_nodes=2)) for gate in gates]
        assert engine.demand() == 4
        for gate in gates:
            gate.open()
        await asyncio.gather(*futures)
    assert engine.demand() == 0
