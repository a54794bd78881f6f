"""Workers with another Python: what can be read there goes there, and nothing else is sent."""

from __future__ import annotations

import platform
import uuid

import pytest

from afield import Client, Executor
from afield.errors import TaskExecutionFailed, VersionMismatch, WorkerLost
from afield.wire.messages import ErrorDetails, Result
from afield.wire.rest import EndpointSummary

ENDPOINT = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
WAIT = 20
HERE = platform.python_version()
THERE = "3.4.9"


def double(x):
    """Twice as much."""
    return 2 * x


def no_source():
    """A function that was never written down."""
    namespace = {"__name__": "__main__"}
    exec("def unwritten(x):\n    return 3 * x\n", namespace)
    return namespace["unwritten"]


@pytest.fixture
def elsewhere(service):
    service.pythons[ENDPOINT] = THERE
    return service


def identifiers(submit):
    return [each.meta["serde_identifier"] for each in (submit.functions or {}).values()]


def test_a_compiled_function_is_sent_again_as_source(executor, elsewhere):
    assert executor.submit(double, 4).result(WAIT) == 8
    assert elsewhere.requests == ["submit", "submit"]
    (registered,) = elsewhere.functions.values()
    assert registered.meta["serde_identifier"] not in {"01", "02"}


def test_what_is_known_is_used_at_once(executor, elsewhere):
    assert executor.submit(double, 4).result(WAIT) == 8
    elsewhere.requests.clear()
    assert executor.submit(double, 5).result(WAIT) == 10
    assert executor.submit(len, "abc").result(WAIT) == 3
    assert elsewhere.requests == ["submit", "submit"]
    assert len(elsewhere.functions) == 2


def test_the_same_function_goes_compiled_to_one_endpoint_and_as_source_to_another(executor, elsewhere):
    assert executor.submit(double, 4).result(WAIT) == 8
    executor.endpoint_id = other = uuid.uuid4()
    elsewhere.pythons[str(other)] = HERE
    assert executor.submit(double, 5).result(WAIT) == 10
    executor.endpoint_id = ENDPOINT
    assert executor.submit(double, 6).result(WAIT) == 12
    assert identifiers(elsewhere.submits[1]) == ["01"]
    assert len(elsewhere.functions) == 2


def test_the_same_minor_version_is_no_trouble(executor, service):
    service.pythons[ENDPOINT] = ".".join([*HERE.split(".")[:2], "99"])
    assert executor.submit(double, 4).result(WAIT) == 8
    assert service.requests == ["submit"]
    assert identifiers(service.submits[0]) == ["01"]


def test_a_function_without_a_source_fails_with_both_versions_and_the_way_out(executor, elsewhere):
    future = executor.submit(no_source(), 4)
    with pytest.raises(VersionMismatch) as caught:
        future.result(WAIT)
    said = str(caught.value)
    for part in (HERE, THERE, "unwritten", ENDPOINT, "Nothing was sent", "define it in a file"):
        assert part in said
    assert elsewhere.tasks_by_id == {}
    assert executor.submit(double, 4).result(WAIT) == 8


def test_a_compiled_argument_fails_and_is_named_and_the_rest_goes(executor, elsewhere, new_gate):
    def apply(fn, x):
        return fn(x)

    elsewhere.pause = gate = new_gate("submit")
    blocked = executor.submit(double, 1)
    assert gate.reached.wait(WAIT)
    good = executor.submit(double, 2)
    bad = executor.submit(double, lambda: 1)
    also = executor.submit(no_source(), 1)
    elsewhere.pause = None
    gate.open()
    assert blocked.result(WAIT) == 2
    assert good.result(WAIT) == 4
    with pytest.raises(VersionMismatch, match=r"argument 1 of double holds a function or class"):
        bad.result(WAIT)
    with pytest.raises(VersionMismatch, match="unwritten"):
        also.result(WAIT)
    assert len(elsewhere.tasks_by_id) == 2


def test_what_is_compiled_in_arguments_is_said(executor, service):
    executor.submit(double, 1).result(WAIT)
    executor.submit(callable, lambda: 1).result(WAIT)
    assert [submit.compiled for submit in service.submits] == [False, True]


def test_an_id_of_compiled_code_has_no_other_form(client, executor, elsewhere):
    found = client.register_function(double)
    with pytest.raises(VersionMismatch, match=f"{found}.*register it again"):
        executor.submit_to_registered_function(found, (4,)).result(WAIT)


def test_a_refusal_without_a_reason_to_go_on_ends(executor, service):
    from afield.sdk.transport.base import Refusal

    service.troubles["submit"].extend(Refusal(422, "PYTHON_MISMATCH", "just so", (THERE,)) for _ in range(3))
    with pytest.raises(VersionMismatch, match="just so"):
        executor.submit(double, 1).result(WAIT)
    assert service.requests == ["submit"]


def test_an_endpoint_that_was_updated_is_believed(executor, elsewhere):
    assert executor.submit(double, 4).result(WAIT) == 8
    elsewhere.pythons[ENDPOINT] = HERE
    assert executor.submit(double, 5).result(WAIT) == 10  # as source; the answer says the new version
    fn = no_source()
    assert executor.submit(fn, 5).result(WAIT) == 15
    assert identifiers(elsewhere.submits[-1]) == ["01"]


# -- what is said of failures ----------------------------------------------------------------------------------------


def test_a_worker_that_died_under_another_python_has_the_hint(executor, service):
    service.work = lambda function, task: Result(task.id, b"it died", ErrorDetails("WorkerLost", "it died"))
    service.pythons[ENDPOINT] = HERE
    with pytest.raises(WorkerLost) as caught:
        executor.submit(double, 1).result(WAIT)
    assert "Python" not in str(caught.value)
    service.pythons[ENDPOINT] = THERE
    with pytest.raises(WorkerLost, match="it died") as caught:
        executor.submit(double, 1).result(WAIT)
    assert f"run Python {THERE}" in str(caught.value)
    assert HERE in str(caught.value)


def test_a_missing_module_is_named_with_its_endpoint(client, executor, service):
    def need():
        import a_module_that_is_nowhere  # noqa: F401

    service.registered[ENDPOINT] = EndpointSummary(ENDPOINT, "cluster", None, "somebody")
    with pytest.raises(ModuleNotFoundError) as caught:
        executor.submit(need).result(WAIT)
    assert isinstance(caught.value, TaskExecutionFailed)
    assert f"'a_module_that_is_nowhere' is missing on endpoint {ENDPOINT}" in str(caught.value)
    client.get_endpoints()
    with pytest.raises(ModuleNotFoundError, match=rf"missing on endpoint 'cluster' \({ENDPOINT}\)"):
        executor.submit(need).result(WAIT)


def test_another_failure_has_no_hint(executor):
    with pytest.raises(ZeroDivisionError) as caught:
        executor.submit(divmod, 1, 0).result(WAIT)
    assert "endpoint" not in str(caught.value)


def test_a_reloaded_failure_names_the_endpoint_that_it_came_from(service, executor):
    text = "Traceback …\nModuleNotFoundError: No module named 'gone'"
    service.work = lambda function, task: Result(
        task.id, text.encode(), ErrorDetails("RemoteExecutionError", "x"), {"endpoint_id": ENDPOINT}
    )
    future = executor.submit(double, 1)
    with pytest.raises(TaskExecutionFailed, match=ENDPOINT):
        future.result(WAIT)
    with Client(transport=service, connector=service.broker) as other:
        (again,) = Executor(client=other).reload_tasks(executor.task_group_id)
        with pytest.raises(TaskExecutionFailed, match=f"'gone' is missing on endpoint {ENDPOINT}"):
            again.result(WAIT)
