"""What an owner writes becomes Parsl's objects, or a complaint with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from afield.endpoint.engines.parsl.engine import HtexEngine
from afield.endpoint.settings.engines import HtexSettings
from afield.errors import ConfigurationError

pytestmark = [
    pytest.mark.anyio,
    # A helper of Parsl that looks up the address of an interface leaves its socket open.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PLACES = {
    "engine": "template, line 1",
    "engine.provider": "template, line 3",
    "engine.provider.type": "template, line 4",
    "engine.provider.partiton": "template, line 5",
    "engine.provider.launcher.type": "template, line 7",
    "engine.address.ifname": "template, line 9",
    "engine.job_status_kwargs": "template, line 11",
    "engine.job_status_kwargs.max_idle": "template, line 12",
    "engine.container_type": "template, line 13",
}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"provider": {"type": "SlurmProvder"}}, r"line 4: engine.provider.type .*did you mean SlurmProvider\?"),
        ({"provider": {"partition": "debug"}}, r"line 3: engine.provider should say its type: one of .*SlurmProvider"),
        (
            {"provider": {"type": "SlurmProvider", "partiton": "debug"}},
            r"line 5: nobody knows the key engine.provider.partiton: SlurmProvider .* did you mean partition\?",
        ),
        ({"provider": {"type": "LocalProvider", "launcher": {"type": "SrunLauncer"}}}, "line 7: .*SrunLauncher"),
        ({"provider": {"type": "LocalProvider", "max_blocks": "many"}}, "line 3: .*max_blocks should be a number"),
        ({"provider": {"type": "SlurmProvider", "walltime": 3600}}, "line 3: .*walltime should be a text: .*quotes"),
        ({"provider": {"type": "LocalProvider", "init_blocks": 2, "max_blocks": 1}}, "line 3: .*0, 2 and 1"),
        ({"provider": {"type": "SlurmProvider", "worker_init": "a", "cores_per_node": "x"}}, "line 3: SlurmProvider"),
        ({"address": {"type": "address_by_interface", "ifname": "nothere0"}}, "line 1: address_by_interface does not"),
        ({"job_status_kwargs": {"max_idle": 3}}, "line 12: nobody knows the key .*max_idletime"),
        ({"job_status_kwargs": {"max_idletime": "long"}}, "line 11: .*number of seconds"),
        ({"strategy": "simpel"}, "line 1: .*simpel.*write simple"),
        ({"cpu_affinity": "block", "cores_per_worker": 0.5}, "line 1: .*processors of its own.*0.5 several share one"),
        ({"heartbeat_threshold": 20.0}, r"line 1: engine.heartbeat_threshold \(20 s\) .*heartbeat_period \(30 s\)"),
        ({"cpu_affinity": "none", "container_type": "dokcer"}, "dokcer is not one of docker"),
    ],
)
async def test_a_slip_of_the_pen(tmp_path: Path, keys, told):
    engine = HtexEngine(HtexSettings(**keys), tmp_path, PLACES)
    with pytest.raises(ConfigurationError, match=f"(?s){told}"):
        await engine.start()
    await engine.stop(0)


async def test_published_keys_reach_parsl(tmp_path: Path):
    from afield.endpoint.engines.parsl.htex import make_htex

    settings = HtexSettings(
        provider={
            "type": "SlurmProvider", "partition": "debug", "account": "project", "walltime": "01:00:00",
            "init_blocks": 0, "max_blocks": 3, "nodes_per_block": 2, "worker_init": "module load python",
            "launcher": {"type": "SrunLauncher", "overrides": "--mpi=none"},
        },
        address={"type": "address_by_interface", "ifname": "lo"},
        available_accelerators=2, cores_per_worker=4.0, mem_per_worker=1.5, cpu_affinity="block",
        worker_port_range=(54100, 54200), heartbeat_period=15.0, encrypted=False, label="mine",
        container_type="apptainer", container_uri="/images/mine.sif", container_cmd_options="--nv",
    )  # fmt: skip
    htex = make_htex(settings, tmp_path, {}, None)  # type: ignore[arg-type]
    provider = htex.provider
    assert (provider.partition, provider.account, provider.max_blocks) == ("debug", "project", 3)
    assert type(provider.launcher).__name__ == "SrunLauncher"
    assert provider.launcher.overrides == "--mpi=none"
    assert htex.address == "127.0.0.1"
    assert htex.available_accelerators == ["0", "1"]
    assert (htex.cores_per_worker, htex.mem_per_worker, htex.cpu_affinity) == (4.0, 1.5, "block")
    assert (htex.worker_port_range, htex.heartbeat_period, htex.encrypted) == ((54100, 54200), 15, False)
    assert htex.label == "mine"
    assert htex.launch_cmd.startswith("apptainer run --nv /images/mine.sif python3 -P -m parsl.")
