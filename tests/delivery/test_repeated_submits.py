"""The service is killed between the commit and the answer of a submit without a key, as published clients send it; it
comes back, and the same bytes come again.
"""

from __future__ import annotations

import json

import httpx2
import pytest

from afield.serialize import ComputeSerializer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

PATIENCE_S = 30


def leave_a_mark(place: str, number: int) -> int:
    """The task: write down that it runs, and say so."""
    import os
    from pathlib import Path

    with Path(place, "runs").open("a") as runs:
        runs.write(f"{number}\n")
    with Path(place, "marks").open("w") as marks:
        marks.write(f"{os.getpid()}\n")
    return number


@pytest.mark.parametrize(
    "step", ["service: tasks committed, not queued, not answered", "service: tasks queued, not answered"]
)
def test_what_was_committed_and_not_answered_runs_once(site, witness, step):
    serializer = ComputeSerializer()
    payload = serializer.pack_buffers([serializer.serialize((witness.place, 1)), serializer.serialize({})])
    body = {
        "tasks": {site.client.register_function(leave_a_mark): [payload]},
        "create_queue": True,
        "user_endpoint_config": {"max_workers": 1, "which": "keyless"},
    }
    request = {
        "url": f"{site.service.said['service_url']}/v3/endpoints/{site.manager.said['endpoint_id']}/submit",
        "content": json.dumps(body).encode(),
        "headers": {"Authorization": f"Bearer {site.service.said['token']}", "Content-Type": "application/json"},
        "timeout": PATIENCE_S,
    }
    site.arm(step)
    with pytest.raises(httpx2.TransportError):
        pytest.fail(f"it was answered: {httpx2.post(**request).text}")
    site.reached(step)
    site.service.died()
    site.service.start()
    answers = [httpx2.post(**request) for _ in range(2)]  # the second is meant: the first was answered
    assert [answer.status_code for answer in answers] == [200, 200], [answer.text for answer in answers]
    given = {task_id for answer in answers for tasks in answer.json()["tasks"].values() for task_id in tasks}
    assert len(given) == 2
    witness.saw(2)
    marker = site.executor("keyless")
    assert marker.submit(leave_a_mark, witness.place, 2).result(PATIENCE_S) == 2  # whatever was queued ran before it
    marker.shutdown()
    assert witness.runs() == {1: 2, 2: 1}
