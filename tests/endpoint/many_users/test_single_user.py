"""Without a mapping, tasks run as whoever started the endpoint: for them, and for whom they let in, and nobody else."""

from __future__ import annotations

import msgspec
import pytest

from afield.endpoint.manager import commands as do
from afield.endpoint.manager import events as on
from afield.endpoint.manager.core import ManagerCore
from afield.wire.commands import CONTENT_TYPE, StartCommand, StartOptions

NOW = 1_800_000_000.0
OWNER = "0192d3a0-0000-7000-8000-0000000000aa"
LINKED = "0192d3a0-0000-7000-8000-0000000000ab"
OTHER = "0192d3a0-0000-7000-8000-0000000000bb"


def started(parts, who, identities, **more):
    """Whether the command starts something."""
    options = StartOptions("uep.c.u", {}, parts.credentials_for("memory://x"))
    command = StartCommand(options, "somebody", who, identities)
    body = msgspec.json.encode({**msgspec.to_builtins(command), **more})
    core = ManagerCore(frozenset({OWNER.upper()}), 30.0)
    done = core.handle(on.CommandArrived(1, body, CONTENT_TYPE, int(NOW), NOW))
    assert done[0] == do.Acknowledge(1)
    spawned = any(isinstance(one, do.Spawn) for one in done)
    assert spawned == bool(core.children)
    reported = [one for one in done if isinstance(one, do.ReportFailure)]
    assert spawned or not reported or "only its owner may do that" in reported[0].text
    return spawned


@pytest.mark.parametrize(
    ("who", "identities", "more", "served"),
    [
        (OWNER, [{"sub": OWNER}], {}, True),
        (OWNER, [], {}, True),
        (LINKED, [{"sub": LINKED}, {"sub": OWNER}], {}, True),
        (LINKED, [{"sub": OWNER.upper()}], {}, True),
        (OTHER, [{"sub": OTHER}], {}, False),
        (OTHER, [], {}, False),
        (OTHER, [{"id": OWNER, "username": OWNER, "email": OWNER}], {}, False),
        (OTHER, [{"sub": [OWNER]}, {"sub": None}, {"sub": {"x": OWNER}}], {}, False),
        (OTHER, [{"sub": f" {OWNER}"}, {"sub": f"{OWNER}\n"}], {}, False),
        ("", [{"sub": ""}], {}, False),
        (OTHER, [{"sub": OTHER}], {"shared_by": OWNER}, True),
        (OTHER, [{"sub": OTHER}], {"shared_by": OTHER}, False),
        (OTHER, [{"sub": OTHER}], {"shared_by": LINKED}, False),
        (OTHER, [{"sub": OTHER}], {"shared_by": ""}, False),
        (OTHER, [{"sub": OTHER}], {"shared_by": [OWNER]}, False),
        (OTHER, [{"sub": OTHER}], {"shared_by": None}, False),
        (OTHER, [{"sub": OTHER}], {"groups": [OWNER]}, False),
        (OTHER, [{"sub": OTHER}], {"groups": "x", "shared_by": OWNER}, False),
    ],
)
def test_whom_it_serves(parts, who, identities, more, served):
    assert started(parts, who, identities, **more) is served
