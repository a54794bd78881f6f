"""What a manager says, to a broker that takes everything and answers nothing."""

from __future__ import annotations

import asyncio

import pytest

from afield.broker.base import Binding, Permissions, QueueSpec
from afield.broker.memory import MemoryBroker
from afield.endpoint.host.registration import Registered
from afield.endpoint.manager import commands as do
from afield.endpoint.manager.reports import Reports
from afield.endpoint.settings import ManagerSettings
from afield.wire.commands import ReadQueue
from afield.wire.rest import EndpointRegistered

pytestmark = pytest.mark.anyio

CEP = "0192d3a0-0000-7000-8000-00000000000c"
URL = "memory://cep@here"
#: Nothing here takes longer; it only bounds a hang.
PATIENCE_S = 30


async def let_in(login, _password):
    return Permissions(login, ("*",), (("*", "*"),), ("*",))


@pytest.fixture
async def reports(parts):
    broker = MemoryBroker(let_in)
    await broker.declare_exchange("heartbeats", "topic")
    # Whose messages count as said when a consumer has acknowledged them, and there is none.
    await broker.declare_queue(QueueSpec("slow", confirm_on_ack=True), Binding("slow", "heartbeats", "#"))
    beats = parts.credentials_for(URL, CEP).heartbeat_queue_info
    queues = EndpointRegistered(CEP, ReadQueue(URL, "commands", f"{CEP}.commands"), beats, beats)
    reports = Reports(Registered(CEP, queues, frozenset()), ManagerSettings(), broker, patience_s=0.01)
    reports.connection = await broker.connect(URL)
    yield reports
    await reports.connection.close()


async def test_nobody_waits_for_ever(reports, parts, caplog):
    credentials = parts.credentials_for(URL)
    with caplog.at_level("INFO", "afield.endpoint"):
        async with asyncio.timeout(PATIENCE_S):
            assert not await reports.heartbeat()
            await reports.goodbye()
            await reports.failure(do.ReportFailure(credentials, "it broke"))
    assert [record.getMessage() for record in caplog.records] == [
        "a heartbeat could not be sent: the broker did not answer in time",
        "the goodbye could not be sent: the broker did not answer in time",
        f"the service could not be told about {parts.UEP}: the broker did not answer in time",
    ]
