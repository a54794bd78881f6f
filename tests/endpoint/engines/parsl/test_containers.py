"""The command that starts workers, and what it is wrapped in."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from contextlib import suppress

import psutil
import pytest

from afield.endpoint.engines.parsl.containers import CONTAINERS, KEEPER, KEEPER_TEXT, keeps, pool_command, wrapped
from afield.endpoint.engines.parsl.losses import environment_lacks
from afield.endpoint.engines.parsl.phases import End, Phase, phase_of
from afield.errors import ConfigurationError

#: Parsl puts the block's id there, and formats the text once more before.
NAME = "afield-block-{{block_id}}"
KEPT = f"bash /run/here/{KEEPER} {NAME}"
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
        ("docker", "--rm", f"{KEPT} docker run --rm -v /run/here:/run/here -t --name {NAME} image:1 CMD"),
        ("podman-hpc", None, f"{KEPT} podman-hpc run -v /run/here:/run/here -t --name {NAME} image:1 CMD"),
        ("apptainer", "--nv", "apptainer run --nv image:1 CMD"),
        ("singularity", None, "singularity run image:1 CMD"),
        ("custom", "my {EXECUTOR_RUNDIR} -- {EXECUTOR_LAUNCH_CMD}", "my /run/here -- CMD"),
    ],
)
def test_each_kind(kind, options, expected):
    assert wrapped("CMD", kind, "image:1", options, "/run/here") == expected
    assert keeps(kind) == expected.startswith("bash")


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


#: Like docker: what it runs is in nobody's group, and stays when it ends itself.
DOCKER = """#!/bin/bash
cd "${0%/*}"
case $1 in
run)
    [[ " $* " != *" nowhere "* ]] || { echo "Unable to find image 'nowhere'" >&2; exit 125; }
    [[ " $* " != *" pulled "* ]] || read -r _ <pulled
    while [[ $1 != --name ]]; do shift; done
    setsid sleep 100 &
    echo $! >"$2"
    echo "$2" >begun
    wait ;;
kill) kill -KILL "$(<"$2")" ;;
rm) rm "$3" && echo "$3" >>removed ;;
esac
"""
#: Nothing here takes longer; it only bounds a hang.
PATIENCE_S = 60


@pytest.fixture
def block(tmp_path):
    """Starts a block whose docker is a stand-in, as a shell reads it that has read it before."""
    directory = tmp_path / "the endpoint"
    keeper = directory / KEEPER
    keeper.parent.mkdir(parents=True)
    keeper.write_text(KEEPER_TEXT)
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    os.mkfifo(tmp_path / "begun")
    os.mkfifo(tmp_path / "pulled")
    started = []

    def start(image="image:1", **environment):
        command = wrapped("CMD", "docker", image, None, str(directory)).format().format(block_id=3)
        script = f"block-{len(started)}.sh"
        started.append(subprocess.Popen(
            ["/bin/bash", "-c", f"cat << END > {script}\n{command}\nEND\nbash {script}"], cwd=tmp_path,
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", **environment}, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        ))  # fmt: skip
        return started[-1]

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(PATIENCE_S)
        process.stderr.close()


@pytest.mark.parametrize("how", ["told to end", "killed", "docker is killed"])
def test_however_a_block_ends_its_container_ends(block, tmp_path, how):
    process = block()
    name = (tmp_path / "begun").read_text().strip()
    assert name.startswith("afield-block-3-")
    contained = psutil.Process(int((tmp_path / name).read_text()))
    family = psutil.Process(process.pid).children(recursive=True)
    if how == "docker is killed":
        docker = contained.parent()
        assert docker.cmdline()[1:2] == [str(tmp_path / "docker")]
        docker.kill()
    else:
        os.killpg(process.pid, signal.SIGTERM if how == "told to end" else signal.SIGKILL)
    assert psutil.wait_procs([contained, *family], PATIENCE_S)[1] == []
    assert (tmp_path / "removed").read_text().split() == [name]


#: Has what holds a container told to end in the moment in which `docker run` was started, and nothing was noted yet.
TOLD_EARLY = """[[ $0 == */container.sh ]] && trap '[[ $BASH_COMMAND == running=* ]] && kill -TERM $$' DEBUG"""


def test_what_is_told_to_end_while_it_starts_leaves_nothing_behind(block, tmp_path):
    (tmp_path / "early").write_text(TOLD_EARLY)
    process = block("pulled", BASH_ENV=str(tmp_path / "early"))
    assert process.wait(PATIENCE_S) in {143, -signal.SIGTERM}
    place = f"{tmp_path}/"
    left = [one for one in psutil.process_iter(["cmdline"]) if any(place in word for word in one.info["cmdline"] or ())]
    assert psutil.wait_procs(left, PATIENCE_S)[1] == []


def test_containers_of_one_block_do_not_share_a_name(block, tmp_path):
    with (tmp_path / "begun").open("r+b", buffering=0) as begun:
        block(), block()
        assert begun.readline() != begun.readline()


def test_a_container_that_is_not_started_says_so(block):
    process = block("nowhere")
    told = process.stderr.read()
    assert process.wait(PATIENCE_S) == 125
    assert "Unable to find image 'nowhere'" in told
    assert phase_of(End(output=told, marks=False)) is Phase.INTERPRETER


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ImportError("libssl.so.3: cannot open shared object file", name="_ssl"), "cannot import _ssl, which afield"),
        (ModuleNotFoundError("No module named 'msgspec'", name="msgspec"), "cannot import msgspec, which afield"),
        (ModuleNotFoundError("No module named 'afield'", name="afield"), "pip install 'afield[parsl]==1.2'"),
        (ImportError("cannot import name 'run'", name="afield.worker.bundle"), "pip install 'afield[parsl]==1.2'"),
        (AttributeError("module has no attribute 'run'"), "pip install 'afield[parsl]==1.2'"),
    ],
)
def test_what_an_image_lacks_besides_afield_is_named(error, told):
    assert told in environment_lacks(error, "1.2")
    assert str(error) in environment_lacks(error, "1.2")
    assert ('"import"' in environment_lacks(error, "1.2")) == ("which afield" in told)
