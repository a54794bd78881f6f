"""Two services on one PostgreSQL and one RabbitMQ: any request, any report and any result may reach any."""

from __future__ import annotations

import asyncio

import pytest

from afield.broker.amqp import AmqpConnector
from afield.errors import BrokerRefused
from afield.wire import codec
from afield.wire.messages import Result

pytestmark = [pytest.mark.anyio, pytest.mark.rabbitmq, pytest.mark.postgres]

PATIENCE_S = 30.0


def success(task_id: str, data: bytes = b"00\nvalue\n") -> Result:
    return Result(task_id, data, details={"os": "Linux"})


async def results(watcher, count: int) -> list[str]:
    """The tasks of so many results, as they come."""
    found: list[str] = []
    while len(found) < count:
        delivery = await watcher.next()
        found += [one.task_id for one in codec.decode(delivery.body, delivery.properties.headers)]
    return found


@pytest.mark.parametrize("wire", [1, 2])
async def test_each_step_may_go_through_another(site, wire):
    one, two = await site(), await site()
    core = await one.core(wire=wire)
    await core.report()
    await two.until(core.id, "online")
    function_id = await one.function()
    # Which of the two reads the report that this waits for is not known.
    submitting = [asyncio.ensure_future(each.submit(core.id, function_id, 3, wire=wire)) for each in (one, two)]
    user = await core.start()
    await user.report()
    accepted = await asyncio.gather(*submitting)
    given = [task_id for each in accepted for task_id in each["tasks"][function_id]]
    tasks = await user.take(6)
    assert sorted(task.task_id for task in tasks) == sorted(given)
    watchers = [await each.watch(of) for each, of in zip((two, one), accepted, strict=True)]
    await user.send(*(success(task_id) for task_id in given), wire=wire)
    user.done()
    for watcher, of in zip(watchers, accepted, strict=True):
        assert sorted(await results(watcher, 3)) == sorted(of["tasks"][function_id])
    for each in (one, two):
        assert set((await each.states(given)).values()) == {"success"}


async def test_a_start_that_fails_refuses_the_submit_wherever_it_waits(site):
    one, two = await site(), await site()
    core = await one.core()
    await core.report()
    await asyncio.gather(one.until(core.id, "online"), two.until(core.id, "online"))
    function_id = await one.function()
    body = {"tasks": {function_id: ["2\nar2\nkw"]}, "create_queue": True}
    submitting = [
        asyncio.ensure_future(
            each.http.post(f"/v3/endpoints/{core.id}/submit", json=body | {"user_endpoint_config": {"n": number}})
        )
        for number, each in enumerate((one, two))
    ]
    for _ in submitting:
        user = await core.start()
        await user.report(active=False, error="no such queue on this cluster")
    for answer in await asyncio.gather(*submitting):
        assert answer.status_code == 422
        assert "no such queue on this cluster" in answer.text


async def test_tasks_wait_in_the_broker_through_a_restart_of_all(site):
    one = await site()
    core = await one.core()
    function_id = await one.function()
    accepted = await one.submit(core.id, function_id, 600)
    await one.stop()
    two = await site()
    await core.report()
    user = await core.start()
    await user.report()
    tasks = await user.take(600)
    assert [task.task_id for task in tasks] == accepted["tasks"][function_id]
    watcher = await two.watch(accepted)
    await user.send(*(success(task.task_id) for task in tasks))
    user.done()
    assert sorted(await results(watcher, 600)) == sorted(accepted["tasks"][function_id])
    # Nothing is there twice.
    await two.stop()
    assert user.peer.deliveries.empty()
    assert watcher.deliveries.empty()


async def test_what_was_revoked_by_one_lets_nobody_in_again(site):
    one, two = await site(), await site()
    core = await one.core()
    again = await two.core(endpoint_id=core.id)
    async with asyncio.timeout(PATIENCE_S):
        await core.peer.connection.closed
    with pytest.raises(BrokerRefused):
        await AmqpConnector().connect(core.registered.command_queue_info.connection_url)
    await again.report()
    await one.until(core.id, "online")


async def test_programs_of_one_person_that_begin_together_are_all_let_in(site):
    """RabbitMQ answers 400 to the second of two who make one login at once."""
    one, two = await site(), await site()
    for number in range(5):
        token = (await one.post("/afield/v1/tokens", {"label": f"program {number}"}))["token"]
        answers = await asyncio.gather(
            *(
                each.http.get("/v2/get_amqp_result_connection_url", headers={"Authorization": f"Bearer {token}"})
                for each in (one, two) * 4
            )
        )
        assert [answer.status_code for answer in answers] == [200] * 8, [answer.text for answer in answers]
        (url,) = {answer.json()["connection_url"] for answer in answers}
        await (await AmqpConnector().connect(url)).close()


async def test_a_service_with_another_secret_is_refused(site, tmp_path):
    await site()
    other = tmp_path / "data1"
    with pytest.raises(Exception, match="copy the file"):
        await site(secret="11" * 32)
    assert other.exists()
