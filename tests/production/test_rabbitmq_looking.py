"""What a service sees, and takes away, in queues of a real RabbitMQ that nobody reads."""

from __future__ import annotations

from uuid import uuid4

import pytest

from afield.ids import new_id
from afield.service.clock import SystemClock
from afield.service.domain import names
from afield.service.use.queues import Queues
from afield.testing.broker.under_test import BrokerUnderTest, Inbox
from afield.wire.messages import Task

pytestmark = [pytest.mark.anyio, pytest.mark.rabbitmq]


@pytest.fixture
async def queues(broker: BrokerUnderTest) -> Queues:
    one = Queues(broker.admin, await broker.connect(), SystemClock(), survive=60.0)
    await one.prepare()
    return one


async def test_some_tasks_are_taken_out_and_the_others_stay_in_order(queues: Queues, broker: BrokerUnderTest) -> None:
    user_endpoint_id = str(uuid4())
    tasks = [Task(new_id(), new_id(), b"code", b"arguments") for _ in range(6)]
    ids = [task.task_id for task in tasks]
    await queues.declare_user(user_endpoint_id, 1)
    await queues.send_tasks(user_endpoint_id, 1, tasks)
    assert await queues.waiting_tasks(user_endpoint_id, but={*ids[::2], "another"}) == set(ids[1::2])
    assert await queues.waiting_tasks(user_endpoint_id) == set(ids[1::2])
    inbox = Inbox()
    await (await broker.connect()).consume(names.task_queue(user_endpoint_id), inbox)
    read = await inbox.wait_for(3)
    assert [delivery.properties.headers["task_uuid"] for delivery in read] == ids[1::2]


async def test_of_a_queue_that_is_not_there_nothing_waits(queues: Queues) -> None:
    assert await queues.waiting_tasks(str(uuid4())) == set()
