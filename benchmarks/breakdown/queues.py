"""What the queues cost: the embedded broker, a real socket, and our AMQP client at the other end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from afield.broker.amqp import AmqpConnection, AmqpConnector
from afield.broker.base import Binding, Consumer, Delivery, Permissions, Publication, QueueSpec
from afield.broker.embedded.server import EmbeddedBroker
from afield.ids import new_ids
from afield.wire import v2
from benchmarks.breakdown.parts import Amount, Figure, batches, results, tasks, timed_async

__all__ = ["hop"]

ENDPOINT = Permissions("endpoint", consume=("u.tasks",), publish=(("results", "u.results"),))


def hop(amount: Amount) -> Figure:
    """Tasks go out to an endpoint, which answers each message with one of results.

    The results queue confirms when its consumer acknowledges, as the service has it. Both ends are in one process here,
    so this is the sum of what the service and the endpoint spend.
    """
    return asyncio.run(_hop(amount))


async def _hop(amount: Amount) -> Figure:
    async def authenticate(_user: str, _password: str) -> Permissions:
        return ENDPOINT

    broker = EmbeddedBroker(authenticate)
    await broker.declare_exchange("tasks", "direct")
    await broker.declare_exchange("results", "topic")
    await broker.declare_queue(QueueSpec("u.tasks"), Binding("u.tasks", "tasks", "u.tasks"))
    await broker.declare_queue(QueueSpec("results", confirm_on_ack=True), Binding("results", "results", "*.results"))
    port = await broker.listen("127.0.0.1", 0)
    endpoint = await AmqpConnector().connect(f"amqp://endpoint:secret@127.0.0.1:{port}/%2F")
    try:
        return await _measured(amount, broker, endpoint)
    finally:
        await endpoint.close()
        await broker.close()


async def _measured(amount: Amount, broker: EmbeddedBroker, endpoint: AmqpConnection) -> Figure:
    loop = asyncio.get_running_loop()
    service = broker.connect_local()
    ids = new_ids(amount.batch)
    answers = {count: v2.encode_results(results(ids[:count])) for count in (1, amount.batch)}
    came, wanted = 0, loop.create_future()
    publishing: set[asyncio.Task[None]] = set()
    consumers: dict[str, Consumer] = {}

    def on_tasks(delivery: Delivery) -> None:
        # The size says which of the two messages it is; reading it is another part's business.
        body = answers[1] if len(delivery.body) == len(alone_body) else answers[amount.batch]
        task = loop.create_task(endpoint.publish(Publication("results", "u.results", body)))
        publishing.add(task)
        task.add_done_callback(publishing.discard)
        consumers["tasks"].ack(delivery.tag)

    def on_results(delivery: Delivery) -> None:
        nonlocal came
        consumers["results"].ack(delivery.tag)
        came -= 1
        if not came:
            wanted.set_result(None)

    async def send(bodies: Sequence[bytes]) -> None:
        nonlocal came, wanted
        came, wanted = len(bodies), loop.create_future()
        for body in bodies:
            await service.publish(Publication("tasks", "u.tasks", body))
        await wanted

    alone_body = v2.encode_tasks(tasks(ids[:1]))
    full_body = v2.encode_tasks(tasks(ids))
    messages = len(batches([""] * amount.tasks, amount.batch))
    consumers["tasks"] = await endpoint.consume("u.tasks", on_tasks, exclusive=True)
    consumers["results"] = await service.consume("results", on_results)
    figure = await timed_async(amount, lambda: send([full_body] * messages), lambda _: send([alone_body]))
    if publishing:
        await asyncio.wait(publishing)
    return figure
