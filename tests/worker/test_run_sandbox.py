"""Where a task runs, and that nothing of it stays behind in the worker."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from afield.serialize import ComputeSerializer
from afield.wire.jobs import JOB_VERSION, Job, code_digest, decode_outcome, encode_job
from afield.worker.run import run
from afield.worker.sandbox import Surroundings


def job_of(function: Any, sandbox: Path | None) -> bytes:
    serializer = ComputeSerializer()
    code = serializer.pack_buffers([serializer.serialize(function)]).encode()
    payload = serializer.pack_buffers([serializer.serialize(()), serializer.serialize({})]).encode()
    where = None if sandbox is None else str(sandbox)
    return encode_job(Job(JOB_VERSION, "a-task", code_digest(code), code, payload, sandbox=where))


def result(function: Any, sandbox: Path | None = None, *, alone: bool = True) -> Any:
    outcome = decode_outcome(run(job_of(function, sandbox), alone=alone))
    assert outcome.error_code is None, outcome.data.decode()
    return ComputeSerializer().deserialize(outcome.data.decode())


def look() -> tuple[str, str | None, str | None]:
    return str(Path.cwd()), os.environ.get("GC_TASK_UUID"), os.environ.get("GC_TASK_SANDBOX_DIR")


def test_a_task_knows_its_id() -> None:
    here = str(Path.cwd())
    assert result(look) == (here, "a-task", None)
    assert look() == (here, None, None)


def test_a_task_with_a_directory_runs_there_and_what_it_wrote_stays(tmp_path: Path) -> None:
    here = str(Path.cwd())

    def write() -> tuple[str, str]:
        Path("made.txt").write_text("here")
        return str(Path.cwd()), os.environ["GC_TASK_SANDBOX_DIR"]

    place = tmp_path / "deep" / "a-task"
    assert result(write, place) == (str(place), str(place))
    assert (place / "made.txt").read_text() == "here"
    assert look() == (here, None, None)


def test_everything_is_put_back_after_a_failure_and_after_meddling(tmp_path: Path) -> None:
    here = str(Path.cwd())

    def meddle() -> None:
        os.chdir("/")
        os.environ.pop("GC_TASK_UUID")
        os.environ["GC_TASK_SANDBOX_DIR"] = "elsewhere"
        raise ValueError

    assert decode_outcome(run(job_of(meddle, tmp_path / "x"))).error_code
    assert look() == (here, None, None)


def test_methods_of_the_result_run_in_the_tasks_directory(tmp_path: Path) -> None:
    class Lazy:
        def __getstate__(self) -> dict[str, str]:
            return {"where": str(Path.cwd())}

    assert result(Lazy, tmp_path / "x").where == str(tmp_path / "x")


def test_where_tasks_share_a_process_it_is_left_alone(tmp_path: Path) -> None:
    here = str(Path.cwd())
    assert result(look, tmp_path / "x", alone=False) == (here, None, None)
    assert (tmp_path / "x").is_dir()


def test_a_directory_that_cannot_be_made_is_a_failed_task(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = decode_outcome(run(job_of(look, tmp_path / "file" / "x")))
    assert outcome.error_code == "RemoteExecutionError"
    assert "NotADirectoryError" in outcome.message
    assert str(tmp_path / "file") in outcome.message


def test_variables_that_were_there_before_are_there_afterwards(tmp_path: Path) -> None:
    program = """
import os, sys
from afield.wire.jobs import JOB_VERSION, Job
from afield.worker.sandbox import Surroundings
with Surroundings(Job(JOB_VERSION, "mine", b"", None, b"")):
    assert os.environ["GC_TASK_UUID"] == "mine" and "GC_TASK_SANDBOX_DIR" not in os.environ
assert os.environ["GC_TASK_UUID"] == "outer" and os.environ["GC_TASK_SANDBOX_DIR"] == "/outer"
"""
    environment = os.environ | {"GC_TASK_UUID": "outer", "GC_TASK_SANDBOX_DIR": "/outer"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_a_worker_whose_own_directory_is_gone_goes_on(tmp_path: Path) -> None:
    program = """
import os, sys
from afield.wire.jobs import JOB_VERSION, Job
from afield.worker.sandbox import Surroundings
gone, place = sys.argv[1:]
os.mkdir(gone), os.chdir(gone), os.rmdir(gone)
with Surroundings(Job(JOB_VERSION, "mine", b"", None, b"", sandbox=place)):
    assert os.getcwd() == place
"""
    subprocess.run([sys.executable, "-c", program, tmp_path / "gone", tmp_path / "place"], check=True)
    assert Surroundings.__slots__
