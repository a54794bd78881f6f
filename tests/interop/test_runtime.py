"""A template that looks at whoever submits"""

from __future__ import annotations

import pytest
from tests.interop.endpoints import Files

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TEMPLATE = """\
engine:
  type: GlobusComputeEngine
  max_workers_per_node: 1
  address: 127.0.0.1
  provider:
    type: LocalProvider
    init_blocks: 1
    min_blocks: 1
    max_blocks: 1
    worker_init: |
      export SUBMITTED_FROM="{{ user_runtime.python.version_tuple | join('.') }}"
      export SUBMITTED_BY="{{ user_runtime.globus_compute_sdk_version }}"
heartbeat_period: 5
"""


def test_a_template_that_uses_user_runtime(deployment, whose_endpoint):
    """a template that uses `user_runtime`: the Python of whoever submits"""
    one = deployment.new_endpoint(whose_endpoint, Files(template=TEMPLATE, schema='{"type": "object"}'), name="looks")
    one.configure()
    one.start()
    try:
        for whose in ("ours", "theirs"):
            (seen, python) = deployment.scripts(whose).run(
                """
                def look():
                    import os
                    return [os.environ["SUBMITTED_FROM"], os.environ["SUBMITTED_BY"]]
                with Executor(endpoint) as ex:
                    said(outcome(ex.submit(look)))
                said(sys.version.split()[0])
                """,
                ENDPOINT=one.id,
            )
            assert (seen[0], bool(seen[1])) == (python, True)
    finally:
        one.stop()
