"""GlobusMPIEngine on a real Slurm, whose srun starts the ranks."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from afield.endpoint.settings.engines import MpiSettings
from afield.errors import TaskCancelled, WorkerLost
from afield.shell import MPIFunction
from afield.testing.jobs import packed_job, value_of

pytest.importorskip("parsl", reason="Parsl is not installed: pip install 'afield[parsl]'")

#: Slurm itself gives what it ends up to 64 seconds (KillWait, and the wait of srun).
pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

#: Nothing here takes longer; it only bounds a hang.
PATIENCE_S = 200
WHERE = "sh -c 'echo $SLURM_PROCID of $SLURM_NTASKS on $SLURMD_NODENAME'"
#: Nobody finds its ranks by their environment, as nobody would on another machine than this test's.
ENDLESS = "env -i sleep 601"
COUNT = """
from mpi4py import MPI
world = MPI.COMM_WORLD
ranks = world.gather(world.rank, 0)
if not world.rank:
    print(world.size, *ranks)
"""


@asynccontextmanager
async def running(directory, **provider):
    from afield.endpoint.engines.parsl.mpi import MpiEngine
    from afield.endpoint.engines.parsl.watch import Watch

    settings = MpiSettings(
        mpi_launcher="srun",
        provider={
            "type": "SlurmProvider", "walltime": "00:05:00", "nodes_per_block": 2, "init_blocks": 0, "max_blocks": 1,
            "exclusive": False, "worker_init": f"export PATH={Path(sys.executable).parent}:$PATH", **provider,
        },
        address="127.0.0.1",
        block_status_period=0.2,
        job_status_kwargs={"strategy_period": 0.2, "max_idletime": 300.0},
    )  # fmt: skip
    engine = MpiEngine(settings, directory, watch=Watch(settings, directory))
    await engine.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield engine
    finally:
        await engine.stop(0)


def asked(command, **specification):
    import msgspec

    job = packed_job(MPIFunction(command, snippet_lines=100))
    return msgspec.structs.replace(job, resource_specification=specification)


def lines(outcome):
    result = value_of(outcome)
    assert result.returncode == 0, result.stderr
    return sorted(result.stdout.splitlines())


async def test_ranks_run_on_the_nodes_of_a_job(cluster, tmp_path):
    """Each on its own, and those of a cancelled task do not stay: Slurm's daemons hold them, not srun. Nor do those of
    a task whose process has died.
    """
    (tmp_path / "count.py").write_text(COUNT)
    async with running(tmp_path / "endpoint") as engine:
        both = asked(WHERE, num_nodes=2, ranks_per_node=1)
        assert lines(await engine.submit(both)) == ["0 of 2 on n1", "1 of 2 on n2"]
        one_each = await asyncio.gather(*(engine.submit(asked(WHERE, num_nodes=1)) for _ in range(2)))
        assert sorted(line for each in one_each for line in lines(each)) == ["0 of 1 on n1", "0 of 1 on n2"]
        # This machine's MPI knows Slurm's pmi2.
        world = asked(f"{sys.executable} {tmp_path / 'count.py'}", num_nodes=2, launcher_options="--mpi=pmi2")
        assert lines(await engine.submit(world)) == ["2 0 1"]

        for error in (TaskCancelled, WorkerLost):
            endless = asked(ENDLESS, num_nodes=2)
            future = engine.submit(endless)
            while ranks() < 2:
                await asyncio.sleep(0.1)  # Slurm tells nobody when something has happened
            if error is TaskCancelled:
                assert engine.cancel(endless.task_id) == ""
            else:
                process_of(endless.task_id).kill()
            with pytest.raises(error):
                await future
            while "env" in steps(cluster):
                await asyncio.sleep(0.1)
        assert cluster.jobs(), "the job itself goes on, for the next task"
        assert lines(await engine.submit(asked(WHERE, num_nodes=2))) == ["0 of 2 on n1", "1 of 2 on n2"]


def process_of(task_id):
    """The one in which the task's function runs."""
    for process in psutil.process_iter(["name", "environ"]):
        if process.info["name"] == "srun" and (process.info["environ"] or {}).get("GC_TASK_UUID") == task_id:
            return next(one for one in process.parents() if "afield.worker" in one.cmdline())
    raise AssertionError("its srun does not run")


def ranks():
    """How many ranks run, on both nodes, which are this machine. Slurm knows of a step before it has any."""
    return sum(one.info["cmdline"] == ENDLESS.split()[2:] for one in psutil.process_iter(["cmdline"]))


def steps(cluster):
    """The names of the parts of jobs that run."""
    return cluster.run("squeue", "--steps", "--noheader", "--format=%j").split()
