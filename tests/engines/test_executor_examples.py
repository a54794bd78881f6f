"""The examples of engines of other makes run tasks."""

from __future__ import annotations

import asyncio
import os
import select
import sys
from pathlib import Path

import pytest

from afield.endpoint import assemble
from afield.endpoint.manager.template import Template, render
from afield.testing.engines import running
from afield.testing.jobs import echo, packed_job, value_of

pytestmark = pytest.mark.anyio

EXAMPLES = Path(__file__).parents[2] / "examples" / "engines"


def engine_of(name: str, directory: Path, **options: object):
    path = EXAMPLES / name
    made = render(Template(path.read_text(), path), options, parent_config={}, user_runtime={}, mapped_identity={})
    assert made.warnings == []
    return assemble.engine(made.settings.engine, directory)


@pytest.mark.parametrize(("template", "package"), [("dask.yaml.j2", "distributed"), ("mpi4py.yaml.j2", "mpi4py")])
async def test_tasks_run_in_processes_of_its_own(template, package, tmp_path, monkeypatch):
    pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES))
    # mpiexec of the same environment
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    async with running(engine_of(template, tmp_path, workers=2)) as engine:
        assert engine.status().total_workers == 2
        pids = {
            value_of(answer)
            for answer in await asyncio.gather(*(engine.submit(packed_job(os.getpid)) for _ in range(8)))
        }
        assert os.getpid() not in pids
        processes = [os.pidfd_open(pid) for pid in pids]
        answers = await asyncio.gather(*(engine.submit(packed_job(echo, n)) for n in range(50)))
        assert [value_of(answer) for answer in answers] == list(range(50))
    for process in processes:
        assert select.select([process], [], [], 20)[0], "a worker did not end with its executor"
        os.close(process)
