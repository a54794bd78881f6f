"""Several who use one task group: clients of one program, and programs that know nothing of each other."""

from __future__ import annotations

import pytest

from afield import Client, Executor
from afield.broker.base import Properties, Publication
from afield.sdk.transport.memory import call_here
from afield.wire import v2
from afield.wire.messages import Result

ENDPOINT = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
WAIT = 20


def double(x):
    """Twice as much."""
    return 2 * x


@pytest.fixture
def other(service, clock):
    with Client(transport=service, connector=service.broker, pace=clock.pace()) as made:
        yield made


def test_executors_of_several_clients_share_a_group(executor, other):
    assert executor.submit(double, 0).result(WAIT) == 0
    second = Executor(ENDPOINT, client=other, task_group_id=executor.task_group_id)
    futures = [(x, each.submit(double, x)) for x in range(50) for each in (executor, second)]
    assert all(future.result(WAIT) == 2 * x for x, future in futures)


def test_who_reloads_a_task_that_another_waits_for_gets_it_too(executor, other, pending, finish_all):
    futures = pending(executor, 5)
    again = Executor(ENDPOINT, client=other).reload_tasks(executor.task_group_id)
    finish_all(futures)
    assert [future.result(WAIT) for future in futures] == [0, 2, 4, 6, 8]
    assert [future.result(WAIT) for future in again] == [0, 2, 4, 6, 8]


def test_results_that_another_program_takes_are_asked_for_soon(executor, service, in_loop, pending):
    futures = pending(executor, 4)
    queue = f"somebody.{executor.task_group_id}"
    taken = []

    async def steal():
        # It gets every second message. What it takes it does not give back; what it puts in is for itself.
        thief = await service.broker.connect("memory://thief")
        consumer = await thief.consume(queue, lambda d: (taken.append(d), consumer.ack(d.tag)))
        for task in [service.tasks_by_id[future.task_id] for future in futures]:
            await service.finish(call_here(service.functions[task.function_id], task))
        for end in [service.tasks_by_id[future.task_id].result for future in futures]:
            stranger = v2.encode_results([Result("11111111-2222-4333-8444-555555555555", end.data)])
            await thief.publish(Publication("", queue, stranger, Properties()))
        return thief

    thief = in_loop(steal)
    assert [future.result(WAIT) for future in futures] == [0, 2, 4, 6]
    in_loop(thief.close)
    assert taken


def test_what_is_for_another_program_is_put_back_for_it(executor, service, in_loop, in_turns):
    assert executor.submit(double, 1).result(WAIT) == 2
    queue = f"somebody.{executor.task_group_id}"
    got = set()

    async def listen():
        connection = await service.broker.connect("memory://neighbour")
        consumer = await connection.consume(queue, lambda d: (got.add(d.body), consumer.ack(d.tag)))
        return connection

    neighbour = in_loop(listen)
    for number in range(6):
        body = v2.encode_results([Result(f"11111111-2222-4333-8444-55555555555{number}", b"00\n")])
        in_loop(lambda body=body: neighbour.publish(Publication("", queue, body, Properties())))
        assert in_turns(lambda body=body: body in got)
    in_loop(neighbour.close)
