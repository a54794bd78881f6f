"""Results of high assurance are not streamed: the client is told that they are there, and asks for them."""

from __future__ import annotations

import pytest

from afield.errors import ComputeAPIError

WAIT = 20


@pytest.fixture(params=[1, 2])
def service(service, request):
    service.high_assurance = True
    service.wire = request.param
    return service


def broken():
    """Fails."""
    raise ValueError("it broke")


def test_what_ended_later_is_asked_for(executor, pending, finish_all):
    futures = pending(executor, 5)
    finish_all(futures)
    assert [future.result(WAIT) for future in futures] == [0, 2, 4, 6, 8]


def test_what_ended_before_the_submit_was_answered_is_asked_for(executor):
    futures = [executor.submit(pow, 2, x) for x in range(20)]
    assert [future.result(WAIT) for future in futures] == [2**x for x in range(20)]


def test_a_failure_is_asked_for_too(executor):
    with pytest.raises(Exception, match="it broke"):
        executor.submit(broken).result(WAIT)


def test_no_question_for_each_of_many(executor, service, pending, finish_all):
    futures = pending(executor, 200)
    before = service.requests.count("tasks")
    finish_all(futures)
    assert [future.result(WAIT) for future in futures] == [2 * x for x in range(200)]
    assert service.requests.count("tasks") - before < 100


def test_who_must_log_in_again_is_told_so(executor, service, pending, finish_all):
    futures = pending(executor, 1)
    service.troubles["tasks"].append(ComputeAPIError(403, "AuthorizationRequired", "Log in again."))
    finish_all(futures)
    with pytest.raises(ComputeAPIError, match="Log in again"):
        futures[0].result(WAIT)
    again = executor.reload_tasks()
    assert [future.result(WAIT) for future in again] == [0]
