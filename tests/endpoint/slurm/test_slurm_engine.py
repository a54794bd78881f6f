"""GlobusComputeEngine on a real Slurm: blocks come and go, and whatever happens to them, each task ends as promised."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from afield.endpoint.host.runaway import BLOCKS, RunawayFile
from afield.endpoint.settings.engines import HtexSettings
from afield.errors import NoWorkers, WorkerLost
from afield.testing.jobs import Gate, echo, packed_job, value_of

pytest.importorskip("parsl", reason="Parsl is not installed: pip install 'afield[parsl]'")

pytestmark = pytest.mark.anyio

#: Nothing here takes longer; it only bounds a hang.
PATIENCE_S = 90
#: Jobs find this Python by its name.
OWN_PYTHON = {"worker_init": f"export PATH={Path(sys.executable).parent}:$PATH"}


@asynccontextmanager
async def running(directory, provider=None, **keys):
    """An engine on the cluster that looks at everything some times a second."""
    from afield.endpoint.engines.parsl.engine import HtexEngine
    from afield.endpoint.engines.parsl.watch import Watch

    asked = {"type": "SlurmProvider", "walltime": "00:05:00", "exclusive": False, "init_blocks": 0, "min_blocks": 0}
    period = {"strategy_period": 0.2, "max_idletime": keys.pop("max_idletime", 300.0)}
    settings = HtexSettings(
        provider=asked | (provider or {}),
        address="127.0.0.1",
        max_workers_per_node=1,
        block_status_period=0.2,
        job_status_kwargs=period,
        heartbeat_period=1.0,
        heartbeat_threshold=4.0,
        **keys,
    )
    engine = HtexEngine(settings, directory, watch=Watch(settings, directory))
    await engine.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield engine
    finally:
        await engine.stop(0)


async def until(true):
    """Slurm tells nobody when something has happened, so it is asked."""
    while not true():
        await asyncio.sleep(0.1)


async def begun(engine, tmp_path, count=1):
    """So many jobs that run, each with its gate."""
    gates = [Gate(tmp_path) for _ in range(count)]
    futures = [engine.submit(gate.job()) for gate in gates]
    await asyncio.gather(*(gate.has_begun() for gate in gates))
    return list(zip(gates, futures, strict=True))


async def test_blocks_come_with_tasks_and_go_without(cluster, tmp_path):
    """As many as it may have, and as few; and what an administrator does to nodes meanwhile."""
    provider = {"exclusive": True, "init_blocks": 1, "min_blocks": 1, "max_blocks": 2}
    async with running(tmp_path, provider, max_idletime=0.5) as engine:
        await until(lambda: list(cluster.jobs().values()) == ["RUNNING"])
        jobs = await begun(engine, tmp_path, 2)
        waiting = engine.submit(packed_job(echo, 7))
        assert sorted(cluster.nodes_of_jobs()) == ["n1", "n2"]
        cluster.drain("n1")
        for gate, _ in jobs:
            gate.open()
        await asyncio.gather(*(future for _, future in jobs))
        assert value_of(await waiting) == 7, "what runs on a node that is drained goes on"
        await until(lambda: len(cluster.jobs()) == 1)
        cluster.cancel_all()
        [(gate, future)] = await begun(engine, tmp_path)
        assert cluster.nodes_of_jobs() == ["n2"], "nothing begins on a node that is drained"
        gate.open()
        await future
    await until(lambda: not cluster.jobs())


async def test_whatever_ends_a_block_its_task_is_lost_once_and_the_others_run(cluster, tmp_path):
    """An administrator's scancel, a node that fails, a walltime that is over: Slurm notices that twice a minute."""

    async def cancelled_then_failed():
        # Without no-requeue, Slurm itself would run the job again, some minutes after the node failed.
        provider = {"scheduler_options": "#SBATCH --no-requeue\n#SBATCH --nodelist=n1"}
        async with running(tmp_path / "a", provider, max_retries_on_system_failure=1) as engine:
            [(gate, lost)] = await begun(engine, tmp_path)
            waiting = engine.submit(packed_job(echo, 7))
            await cancel_on("n1")
            await gate.has_begun()  # again, as the owner allows once
            cluster.down("n1")
            with pytest.raises(WorkerLost, match="lost with the worker that had it"):
                await lost
            cluster.resume("n1")
            assert value_of(await waiting) == 7

    async def too_long():
        async with running(tmp_path / "b", {"scheduler_options": "#SBATCH --nodelist=n2"}) as engine:
            [(_, lost)] = await begun(engine, tmp_path)
            [job] = cluster.run("squeue", "--noheader", "--nodelist=n2", "--format=%i").split()
            cluster.run("scontrol", "update", f"JobId={job}", "TimeLimit=0")
            with pytest.raises(WorkerLost):
                await lost
            await until(lambda: "JobState=TIMEOUT" in cluster.run("scontrol", "show", "job", job))

    async def cancel_on(node):
        [job] = cluster.run("squeue", "--noheader", f"--nodelist={node}", "--format=%i").split()
        cluster.run("scancel", job)

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    await asyncio.gather(cancelled_then_failed(), too_long())


async def refused(engine):
    """What a submitter hears whose task cannot run."""
    with pytest.raises(NoWorkers) as raised:
        await engine.submit(packed_job(echo, 1))
    return str(raised.value)


@pytest.mark.parametrize(
    ("provider", "keys", "phase", "words"),
    [
        ({"worker_init": "echo the module is gone >&2; exit 1"}, {}, "node", "the module is gone"),
        ({"partition": "nowhere"}, {}, "queue", "invalid partition specified: nowhere"),
        ({"worker_init": "export PATH=/nowhere"}, {"container_type": "custom"}, "interpreter", "command not found"),
        ({"worker_init": "export PATH=/usr/bin:/bin"}, {"container_type": "custom"}, "import", "No module named"),
        (OWN_PYTHON, {"container_type": "custom", "address_probe_timeout": 1}, "connect", "No viable ZMQ url"),
    ],
)
async def test_blocks_that_die_tell_the_submitter_where(cluster, tmp_path, provider, keys, phase, words):
    if "container_type" in keys:
        # A network of its own, in which nobody is reached.
        alone = "unshare --map-root-user --net " if phase == "connect" else ""
        keys = keys | {"container_cmd_options": alone + "{EXECUTOR_LAUNCH_CMD}"}
    async with running(tmp_path, provider, block_deaths_most=1, **keys) as engine:
        told = await refused(engine)
        assert f'in the phase "{phase}"' in told
        assert words in told
        assert engine.status().extra["last_block_death"]["phase"] == phase
        assert engine.status().extra["blocks_stopped"]["deaths"] == 1
        assert cluster.jobs() == {}


async def test_dying_blocks_are_asked_for_no_more_until_the_owner_clears_it(cluster, tmp_path):
    flag = tmp_path / "mended"
    provider = {"worker_init": f"test -e {flag} || exit 1", "init_blocks": 2, "max_blocks": 2}
    async with running(tmp_path, provider) as engine:
        assert "3 blocks in a row" in await refused(engine)
        scripts = list((tmp_path / "parsl" / "submit_scripts").glob("*.stderr"))
        assert "3 blocks in a row" in await refused(engine), "at once, and without another block"
        assert list((tmp_path / "parsl" / "submit_scripts").glob("*.stderr")) == scripts
        flag.touch()
        assert RunawayFile(tmp_path).clear()[BLOCKS].deaths == 3
        assert value_of(await engine.submit(packed_job(echo, 7))) == 7
        assert "blocks_stopped" not in engine.status().extra


async def test_without_the_handler_blocks_are_asked_for_for_ever(cluster, tmp_path, caplog):
    async with running(tmp_path, {"worker_init": "exit 1"}, block_error_handler=False) as engine:
        future = engine.submit(packed_job(echo, 1))
        await until(lambda: len(list((tmp_path / "parsl" / "submit_scripts").glob("*.stderr"))) > 4)
        assert not future.done()
        assert "asked for again for ever" in caplog.text
