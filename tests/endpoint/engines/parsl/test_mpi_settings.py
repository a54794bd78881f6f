"""What an owner writes for MPI becomes Parsl's objects, or a complaint with file and line."""

from __future__ import annotations

import pytest

pytest.importorskip("parsl", reason="Parsl is not installed: pip install 'afield[parsl]'")

from afield.endpoint.engines.dry_run import dry_run
from afield.endpoint.engines.parsl.mpi import MpiEngine
from afield.endpoint.engines.parsl.mpi_executor import make_mpi
from afield.endpoint.settings.engines import MpiSettings
from afield.errors import ConfigurationError

pytestmark = pytest.mark.anyio

PLACES = {
    "engine": "template, line 1",
    "engine.mpi_launcher": "template, line 2",
    "engine.max_workers_per_node": "template, line 3",
    "engine.provider": "template, line 4",
    "engine.provider.type": "template, line 5",
    "engine.provider.launcher.type": "template, line 6",
}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"mpi_launcher": "mpirun"}, "line 2: engine.mpi_launcher .*mpirun.* is not one of srun, aprun, mpiexec"),
        ({"max_workers_per_node": 2}, "line 3: .* is no key of GlobusMPIEngine.*: write max_workers_per_block"),
        ({"available_accelerators": 2}, "line 1: engine.available_accelerators is no key .*launcher_options"),
        (
            {"provider": {"type": "SlurmProvider", "launcher": {"type": "SrunLauncher"}}},
            "line 6: engine.provider.launcher should be SimpleLauncher .* and is .*SrunLauncher",
        ),
        ({"provider": {"type": "KubernetesProvider", "image": "x"}}, "line 5: .*KubernetesProvider has no launchers"),
        ({"provider": {"type": "SlurmProvder"}}, r"line 5: engine.provider.type .*did you mean SlurmProvider\?"),
    ],
)
async def test_a_slip_of_the_pen(tmp_path, keys, told):
    """Told at a start, and before."""
    settings = MpiSettings(**keys)
    with pytest.raises(ConfigurationError, match=f"(?s){told}"):
        dry_run(settings, PLACES)
    engine = MpiEngine(settings, tmp_path, PLACES)
    with pytest.raises(ConfigurationError, match=f"(?s){told}"):
        await engine.start()
    await engine.stop(0)


async def test_published_keys_reach_parsl(tmp_path):
    provider = {"type": "SlurmProvider", "partition": "debug", "nodes_per_block": 4, "init_blocks": 0, "max_blocks": 3}
    keys = {"provider": provider, "address": "127.0.0.1", "mpi_launcher": "srun"}
    made = make_mpi(MpiSettings(**keys, max_workers_per_block=2), tmp_path, {}, None)  # type: ignore[arg-type]
    assert type(made).__mro__[2].__name__ == "MPIExecutor"
    assert (made.mpi_launcher, made.max_workers_per_block, made.enable_mpi_mode) == ("srun", 2, True)
    assert made.provider.launcher("begin", 1, 4) == "begin", "on the first node"
    # A block is one pool; scaling counts nodes.
    assert (made.pools_per_block, made.workers_per_pool, made.workers_per_node) == (1, 2, 1)
    assert " -P -m afield.worker.mpi_pool 4 " in made.launch_cmd
    made = make_mpi(MpiSettings(**keys), tmp_path, {}, None)  # type: ignore[arg-type]
    assert made.max_workers_per_block == 4, "one for each node"
    assert dry_run(MpiSettings(**keys), {}) == []
