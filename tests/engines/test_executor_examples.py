"""The examples of engines of other makes run tasks.

In a process of their own each: what these packages do when they are loaded is nothing for other tests.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "engines"

RUN = """
import asyncio, json, os, sys
from pathlib import Path
from afield.endpoint import assemble
from afield.endpoint.manager.template import Template, render
from afield.testing.engines import running
from afield.testing.jobs import echo, packed_job, value_of

async def main(path, directory):
    empty = {"parent_config": {}, "user_runtime": {}, "mapped_identity": {}}
    made = render(Template(path.read_text(), path), {"workers": 2}, **empty)
    async with running(assemble.engine(made.settings.engine, directory)) as engine:
        workers = engine.status().total_workers
        pids = {value_of(await engine.submit(packed_job(os.getpid))) for _ in range(8)}
        print(json.dumps([made.warnings, workers, sorted(pids - {os.getpid()})]), flush=True)
        sys.stdin.readline()
        answers = await asyncio.gather(*(engine.submit(packed_job(echo, n)) for n in range(50)))
        print(json.dumps([value_of(answer) for answer in answers]))

if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
"""


@pytest.mark.parametrize(("template", "package"), [("dask.yaml.j2", "distributed"), ("mpi4py.yaml.j2", "mpi4py")])
def test_tasks_run_in_processes_of_its_own(template, package, tmp_path):
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    script = tmp_path / "run.py"
    script.write_text(RUN)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # mpiexec of the same environment
    process = subprocess.Popen(
        [sys.executable, str(script), str(EXAMPLES / template), str(tmp_path / "place")],
        env=os.environ | {"PYTHONPATH": str(EXAMPLES), "PATH": path},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        warnings, workers, pids = json.loads(process.stdout.readline())
        assert (warnings, workers) == ([], 2)
        assert pids
        handles = [os.pidfd_open(pid) for pid in pids]
        said, _ = process.communicate("go\n", timeout=60)
        assert json.loads(said.splitlines()[-1]) == list(range(50))
        for handle in handles:
            assert select.select([handle], [], [], 20)[0], "a worker did not end with its executor"
            os.close(handle)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
