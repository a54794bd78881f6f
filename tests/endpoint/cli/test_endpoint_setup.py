"""What an owner has done before the first task and after the last, and a directory of a published endpoint."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from afield import Executor
from afield.errors import ComputeError

pytestmark = pytest.mark.e2e

PATIENCE_S = 60
PUBLISHED = os.environ.get("AFIELD_TEST_PUBLISHED_PYTHON", "")


@contextmanager
def started(served, name):
    """An endpoint that runs; its id and its process."""
    line, process = served.begin("start", name)
    try:
        assert process.poll() is None, line
        yield served.listed()[name]["id"], process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)


@pytest.fixture
def me(served, monkeypatch):
    """Who submits on this machine."""
    monkeypatch.setenv("AFIELD_SERVICE_URL", served.url)
    monkeypatch.setenv("AFIELD_USER_DIR", str(served.user_dir))


def template(served, name):
    return served.user_dir / "endpoints" / name / "user_config_template.yaml.j2"


def test_a_setup_that_fails_is_told_to_who_submits_with_its_last_words(served, me):
    served("configure", "unready")
    template(served, "unready").write_text(
        "endpoint_setup: |\n  echo the scratch disk is not mounted >&2\n  exit 3\n"
        "endpoint_teardown: touch ../torn-down\n"
    )
    with started(served, "unready") as (one, _), Executor(endpoint_id=one) as executor:
        with pytest.raises(ComputeError) as caught:
            executor.submit(pow, 2, 5).result(timeout=PATIENCE_S)
        assert "the scratch disk is not mounted" in str(caught.value)
        assert "endpoint_setup ended with exit status 3" in str(caught.value)
    assert not (template(served, "unready").parent / "torn-down").exists(), "what was not set up is not torn down"


def test_teardown_runs_after_every_end_that_its_process_sees_coming(served, me):
    """After a time without tasks, a SIGTERM of the manager, and a SIGKILL of the manager."""
    served("configure", "tidy")
    seen = template(served, "tidy").parent / "seen"
    seen.with_name("config.yaml").write_text("mu_child_ep_grace_period_s: 0\n")  # what ended is not started again
    template(served, "tidy").write_text(
        f"heartbeat_period: 5\nidle_heartbeats_soft: {{{{ idle }}}}\nengine: {{max_workers: 1}}\n"
        f"endpoint_setup: echo up >> {seen}\nendpoint_teardown: echo down >> {seen}\n"
    )

    def user_endpoint(one, idle):
        with Executor(endpoint_id=one, user_endpoint_config={"idle": idle}) as executor:
            process = psutil.Process(executor.submit(os.getppid).result(timeout=PATIENCE_S))
        assert seen.read_text().split()[-1] == "up"
        return process

    with started(served, "tidy") as (one, manager):
        user_endpoint(one, 1).wait(PATIENCE_S)
        assert seen.read_text().split() == ["up", "down"]
        process = user_endpoint(one, 0)
        manager.send_signal(signal.SIGTERM)
        manager.communicate(timeout=PATIENCE_S)
        process.wait(PATIENCE_S)
        assert seen.read_text().split() == ["up", "down"] * 2
    with started(served, "tidy") as (one, manager):
        process = user_endpoint(one, 0)
        manager.kill()
        process.wait(PATIENCE_S)
        assert seen.read_text().split() == ["up", "down"] * 3


@pytest.mark.skipif(not PUBLISHED, reason="AFIELD_TEST_PUBLISHED_PYTHON names no published endpoint")
@pytest.mark.skipif(find_spec("parsl") is None, reason="parsl is not installed")
def test_the_directory_of_a_published_endpoint_runs_as_it_is_without_a_network(served, me, tmp_path):
    """Its template would install what its own workers need; ours use the endpoint's Python, and that is told."""
    configure = [Path(PUBLISHED).with_name("globus-compute-endpoint"), "configure", "theirs", "--multi-user", "false"]
    environment = os.environ | {"GLOBUS_COMPUTE_USER_DIR": str(tmp_path), "HOME": str(tmp_path)}
    subprocess.run(configure, env=environment, check=True, capture_output=True, timeout=PATIENCE_S)
    place = served.user_dir / "endpoints" / "theirs"
    shutil.copytree(tmp_path / "theirs", place)
    for command in ("curl", "uv"):
        (tmp_path / command).write_text("#!/bin/sh\necho there is no network >&2\nexit 6\n")
        (tmp_path / command).chmod(0o755)
    with (place / "user_environment.yaml").open("a") as file:
        file.write(f"\nHOME: {tmp_path}\nPATH: {tmp_path}:{os.environ['PATH']}\n")
    with started(served, "theirs") as (one, _), Executor(endpoint_id=one) as executor:
        assert executor.submit(pow, 2, 5).result(timeout=PATIENCE_S) == 32
    assert "worker_init installs globus-compute-endpoint, from a package index" in served("logs", "theirs")


def test_tasks_that_wait_for_a_user_endpoint_which_dies_at_each_start_fail_with_its_last_words(served, me):
    served("configure", "doomed")
    directory = template(served, "doomed").parent
    (directory / "config.yaml").write_text("start_deaths_most: 1\n")
    good = template(served, "doomed").read_text()
    with started(served, "doomed") as (one, _), Executor(endpoint_id=one) as executor:
        assert executor.submit(pow, 2, 5).result(timeout=PATIENCE_S) == 32
    with Executor(endpoint_id=one) as executor:
        waiting = executor.submit(pow, 2, 6)
        setup = "endpoint_setup: |\n  echo the licence has run out >&2\n  exit 3\n"
        template(served, "doomed").write_text(setup + good)
        with started(served, "doomed"):
            with pytest.raises(ComputeError) as caught:
                waiting.result(timeout=PATIENCE_S)
            assert "the licence has run out" in str(caught.value)
            assert "afield endpoint clear" in str(caught.value)
