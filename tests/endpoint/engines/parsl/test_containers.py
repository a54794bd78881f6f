"""The command that starts workers, and what it is wrapped in."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from afield.endpoint.engines.parsl.containers import CONTAINERS, pool_command, wrapped
from afield.errors import ConfigurationError

PARSL = "process_worker_pool.py {debug} -a {addresses} --block_id={{block_id}}"


def test_without_a_prepared_environment_it_is_the_endpoint_s_python_and_no_path():
    command = pool_command(PARSL, "/opt/my env/bin/python", contained=False, prepared=False)
    assert shlex.split(command)[:4] == [
        "/opt/my env/bin/python", "-P", "-m", "parsl.executors.high_throughput.process_worker_pool",
    ]  # fmt: skip
    assert command.format(debug="", addresses="a").format(block_id=3).endswith("--block_id=3")


def test_in_a_container_it_is_the_container_s():
    assert pool_command(PARSL, "/opt/python", contained=True, prepared=True).startswith("python3 -P -m parsl.")


@pytest.mark.parametrize(("first_in_path", "chosen"), [(True, "python3"), (False, "/opt/python")])
def test_a_prepared_environment_s_python_if_it_has_what_is_needed(tmp_path, first_in_path, chosen):
    # A Python that has nothing, or ours, which has all.
    python = sys.executable if first_in_path else "/bin/false"
    (tmp_path / "python3").write_text(f'#!/bin/sh\nexec {python} "$@"\n')
    (tmp_path / "python3").chmod(0o755)
    command = pool_command(PARSL, "/opt/python", contained=False, prepared=True)
    line = command.format(debug="", addresses="a").format(block_id=1).partition(" -P ")[0]
    told = subprocess.run(
        ["/bin/bash", "-c", f"echo {line}"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.strip() == chosen


def test_somebody_s_own_command_is_left_alone():
    assert pool_command("start_pool {debug}", "/opt/python", contained=False, prepared=False) == "start_pool {debug}"


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("docker", "--rm", "docker run --rm -v /run/here:/run/here -t image:1 CMD"),
        ("podman-hpc", None, "podman-hpc run -v /run/here:/run/here -t image:1 CMD"),
        ("apptainer", "--nv", "apptainer run --nv image:1 CMD"),
        ("singularity", None, "singularity run image:1 CMD"),
        ("custom", "my {EXECUTOR_RUNDIR} -- {EXECUTOR_LAUNCH_CMD}", "my /run/here -- CMD"),
    ],
)
def test_each_kind(kind, options, expected):
    assert wrapped("CMD", kind, "image:1", options, "/run/here") == expected


@pytest.mark.parametrize(
    ("kind", "uri", "options", "told"),
    [
        ("dokcer", "image", None, "engine.container_type dokcer is not one of docker"),
        ("docker", None, None, "needs engine.container_uri"),
        ("custom", None, "my wrapper", "{EXECUTOR_LAUNCH_CMD}"),
        ("custom", None, None, "engine.container_cmd_options"),
    ],
)
def test_what_is_missing_is_named(kind, uri, options, told):
    with pytest.raises(ConfigurationError) as caught:
        wrapped("CMD", kind, uri, options, "/run")
    assert told in str(caught.value)
    assert len(CONTAINERS) == 6
