"""What an engine on Parsl knows and tells of its workers."""

from __future__ import annotations

import pytest

from afield.endpoint.engines.parsl import losses
from afield.endpoint.engines.parsl.report import Facts
from afield.errors import ConfigurationError
from afield.wire.jobs import JOB_VERSION, Job


def manager(python):
    return {"manager": "a", "worker_count": 2, "block_id": "0", "active": True, "python_version": python}


def test_the_python_of_workers_is_known_once_they_are_connected_and_remembered_while_there_are_none():
    facts = Facts()
    facts.looked([], {"0": "PENDING"})
    assert facts.python == ""
    facts.looked([manager("3.12.1"), manager("3.12.1")], {"0": "RUNNING"})
    assert facts.python == "3.12.1"
    facts.looked([], {"0": "CANCELLED"})
    assert (facts.python, facts.blocks) == ("3.12.1", {"0": "CANCELLED"})


def test_of_workers_with_different_pythons_nothing_is_said():
    facts = Facts(python="3.12.1")
    facts.looked([manager("3.12.1"), manager("3.13.0")], {"0": "RUNNING"})
    assert facts.python == ""


@pytest.mark.parametrize(
    ("accelerators", "told"),
    [
        (0, "and this endpoint has none: its owner sets them with engine.available_accelerators. Ask for at most 0,"),
        (1, "and each worker of this endpoint has one. Ask for at most 1, or use another endpoint"),
    ],
)
def test_who_asks_for_too_many_accelerators_is_told_what_there_are(accelerators, told):
    job = Job(version=JOB_VERSION, task_id="t", digest=b"", code=None, payload=b"", gpus=2)
    with pytest.raises(ConfigurationError) as caught:
        losses.refuse(job, cores=1, accelerators=accelerators, memory=1)
    assert f"task t asks for 2 accelerators, {told}" in str(caught.value)
