"""Blocks of a real Slurm whose workers run in containers of podman."""

from __future__ import annotations

import asyncio

import psutil
import pytest
from tests.endpoint.engines.parsl.podman_place import PATIENCE_S, Place

from afield.errors import WorkerLost
from afield.testing.jobs import Gate

pytest.importorskip("parsl", reason="Parsl is not installed: pip install 'afield[parsl]'")

pytestmark = pytest.mark.anyio


async def test_a_cancelled_job_takes_its_container_along(cluster, container_root, tmp_path):
    place = Place(tmp_path, container_root)
    # Whose script a shell reads once more when it writes it to a file for srun.
    provider = {
        "type": "SlurmProvider", "walltime": "00:05:00", "exclusive": False, "max_blocks": 1,
        "launcher": {"type": "SrunLauncher"},
    }  # fmt: skip
    async with place.engine(provider=provider) as engine:
        gate = Gate(tmp_path)
        lost = engine.submit(gate.job())
        await gate.has_begun()
        (name,) = place.containers()
        block = place.processes()
        [job] = cluster.jobs()
        cluster.run("scancel", job)
        with pytest.raises(WorkerLost, match="block 0"):
            await lost
        await asyncio.to_thread(psutil.wait_procs, block, PATIENCE_S)
        assert name not in place.containers()
