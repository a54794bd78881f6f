"""What the page about Slurm clusters says works on one."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from afield.endpoint.assemble import engine
from afield.endpoint.manager.template import Template, render
from afield.testing.jobs import echo, packed_job, value_of

pytest.importorskip("parsl", reason="Parsl is not installed: pip install 'afield[parsl]'")

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "machine" / "slurm.md"
PATIENCE_S = 60


# Parsl leaves sockets open when it looks for this machine's addresses.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_the_template_on_the_page_runs_tasks_in_jobs(cluster, tmp_path):
    text = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)[0]
    around = {"parent_config": {}, "user_runtime": {}, "mapped_identity": {}}
    made = render(Template(text, PAGE, None), {"walltime": "00:05:00"}, **around)
    assert made.warnings == []
    running = engine(made.settings.engine, tmp_path, made.places)
    await running.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert value_of(await running.submit(packed_job(echo, 7))) == 7
        [job] = cluster.jobs()
        assert "TimeLimit=00:05:00" in cluster.run("scontrol", "show", "job", job)
        assert running.status().extra["queue"] == "short"
    finally:
        await running.stop(0)
