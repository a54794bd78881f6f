"""A published template with GlobusComputeEngine, from a user's script to Parsl's workers and back."""

from __future__ import annotations

TEMPLATE = """\
# As published endpoints have it.
endpoint_setup: {{ endpoint_setup|default() }}
engine:
  type: GlobusComputeEngine
  max_retries_on_system_failure: 1
  max_workers_per_node: {{ max_workers|default(2) }}
  address:
    type: address_by_interface
    ifname: lo
  job_status_kwargs:
    max_idletime: 60.0
    strategy_period: 1.0
  provider:
    type: LocalProvider
    min_blocks: 0
    init_blocks: 1
    max_blocks: 1
    launcher:
      type: SingleNodeLauncher
idle_heartbeats_soft: 10
idle_heartbeats_hard: 5760
"""

SCRIPT = """
import os
from afield import Executor

def where():
    import os
    return os.environ["PARSL_WORKER_BLOCK_ID"], os.environ["PARSL_WORKER_RANK"], os.environ["GC_TASK_UUID"]

def square(x):
    return x * x

def ends():
    import os
    os._exit(5)

with Executor() as executor:
    future = executor.submit(where)
    block, rank, task = future.result(100)
    print(block, rank in "01", task == future.task_id)
    print(sum(future.result(60) for future in [executor.submit(square, n) for n in range(500)]))
    error = executor.submit(ends).exception(60)
    print(type(error).__name__, "exit code 5" in str(error))
"""


def test_a_published_template(fresh):
    up = fresh()
    schema = up.data_dir / "endpoint" / "user_config_schema.json"
    schema.unlink(missing_ok=True)
    (up.data_dir / "endpoint" / "user_config_template.yaml.j2").write_text(TEMPLATE)
    assert up.script(SCRIPT).split("\n")[:3] == [
        "0 True True",
        str(sum(n * n for n in range(500))),
        "WorkerLost True",
    ]
