"""Several who use one task group: clients of one program, and programs that know nothing of each other."""

from __future__ import annotations

import pytest

from afield import Client, Executor
from afield.broker.base import Properties, Publication
from afield.errors import ServiceUnreachable
from afield.sdk.retry import TryAgain
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


def test_a_service_that_is_away_just_then_costs_nothing(executor, service, in_loop, in_turns, pending, finish_all):
    """Asking early is a precaution: what comes by the queue comes all the same."""
    futures = pending(executor, 2)
    service.troubles["tasks"].extend(TryAgain(ServiceUnreachable("nobody answers")) for _ in range(1000))
    stranger = v2.encode_results([Result("11111111-2222-4333-8444-555555555555", b"00\n")])
    in_loop(lambda: service.publish(str(executor.task_group_id), stranger))
    assert in_turns(lambda: service.requests.count("tasks") > 3)
    finish_all(futures)
    assert [future.result(WAIT) for future in futures] == [0, 2]


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


def test_of_several_programs_each_gets_what_is_its_own(executor, service, in_loop, in_turns):
    """What was put back for another one comes to the wrong one again where there are three."""
    assert executor.submit(double, 1).result(WAIT) == 2
    queue = f"somebody.{executor.task_group_id}"
    bodies = {v2.encode_results([Result(f"11111111-2222-4333-8444-5555555555{n:02}", b"00\n")]) for n in range(12)}
    got = set()

    async def consume(name, take):
        connection = await service.broker.connect(f"memory://{name}")
        consumer = await connection.consume(queue, lambda delivery: take(consumer, delivery))
        return connection

    def take(consumer, delivery):
        got.add(delivery.body)
        consumer.ack(delivery.tag)

    async def begin():
        wrong = await consume("wrong", lambda consumer, delivery: consumer.nack(delivery.tag))
        right = await consume("right", take)
        for body in bodies:
            await wrong.publish(Publication("", queue, body, Properties()))
        return wrong, right

    neighbours = in_loop(begin)
    assert in_turns(lambda: got == bodies)
    for each in neighbours:
        in_loop(each.close)
