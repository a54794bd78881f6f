"""Options of calls: what is checked, how views merge, and that they travel."""

from __future__ import annotations

import math
from datetime import timedelta
from fractions import Fraction

import pytest

from afield import Executor, TaskTimeout
from afield.wire.messages import CallOptions

ENDPOINT = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
WAIT = 20


def double(x):
    return 2 * x


class Mine(Exception):
    pass


def sent(service):
    """The options of all requests, in order."""
    return [submit.options for submit in service.submits]


def test_what_is_asked_for_travels_with_the_calls(executor, service):
    view = executor.options(
        timeout=timedelta(minutes=1),
        retries=2,
        retry_on=(OSError, TaskTimeout),
        backoff=0.5,
        priority=-3,
        resources={"cores": 4, "memory": "2 GB", "gpus": 1},
        user_endpoint_config={"partition": "long"},
        resource_specification={"num_nodes": 2},
        label="nightly",
    )
    assert view.submit(double, 2).result(WAIT) == 4
    (submit,) = service.submits
    assert submit.options == CallOptions(
        timeout_s=60,
        retries=2,
        retry_on=("builtins.OSError", "afield.errors.TaskTimeout"),
        backoff_s=0.5,
        priority=-3,
        cores=4,
        memory=2_000_000_000,
        gpus=1,
        label="nightly",
    )
    assert submit.user_endpoint_config == {"partition": "long"}
    assert submit.resource_specification == {"num_nodes": 2}


def test_the_executor_is_not_changed(executor, service):
    executor.user_endpoint_config = {"a": 1}
    executor.options(timeout=5, user_endpoint_config={"b": 2}).submit(double, 1).result(WAIT)
    executor.submit(double, 1).result(WAIT)
    assert sent(service) == [CallOptions(timeout_s=5), None]
    assert [submit.user_endpoint_config for submit in service.submits] == [{"b": 2}, {"a": 1}]
    assert executor.user_endpoint_config == {"a": 1}


def test_views_of_views_merge_and_the_later_value_wins(executor, service):
    outer = executor.options(timeout=5, retries=1, label="outer", resources={"cores": 2, "memory": "1 GiB"})
    inner = outer.options(timeout=None, label="inner", resources={"memory": "2 GiB", "gpus": 1})
    inner.submit(double, 1).result(WAIT)
    outer.submit(double, 1).result(WAIT)
    inner.options(resources={"cores": None}, label=None).submit(double, 1).result(WAIT)
    inner.options(resources=None, retries=0).submit(double, 1).result(WAIT)
    assert sent(service) == [
        CallOptions(retries=1, label="inner", cores=2, memory=2 << 30, gpus=1),
        CallOptions(timeout_s=5, retries=1, label="outer", cores=2, memory=1 << 30),
        CallOptions(retries=1, memory=2 << 30, gpus=1),
        CallOptions(label="inner"),
    ]


def test_what_the_executor_says_can_be_left_out_or_said_otherwise_for_a_call(executor, service):
    executor.user_endpoint_config = {"a": 1}
    executor.resource_specification = {"num_nodes": 2}
    executor.options(user_endpoint_config=None).submit(double, 1).result(WAIT)
    executor.options(resource_specification={"num_nodes": 1}).submit(double, 1).result(WAIT)
    executor.options(resource_specification=None).submit(double, 1).result(WAIT)
    assert [submit.user_endpoint_config for submit in service.submits] == [None, {"a": 1}, {"a": 1}]
    nodes = [submit.resource_specification for submit in service.submits]
    assert nodes == [{"num_nodes": 2}, {"num_nodes": 1}, None]
    assert executor.resource_specification == {"num_nodes": 2}


def test_a_view_follows_its_executors_settings(executor, service):
    view = executor.options(timeout=5)
    view.submit(double, 1).result(WAIT)
    executor.resource_specification = {"num_nodes": 2}
    view.submit(double, 1).result(WAIT)
    assert [submit.resource_specification for submit in service.submits] == [None, {"num_nodes": 2}]
    assert sent(service) == [CallOptions(timeout_s=5)] * 2


def test_calls_of_equal_views_share_requests_and_others_do_not(executor, service, new_gate):
    executor.submit(double, 1).result(WAIT)
    gate = new_gate("submit")
    service.pause = gate
    first = executor.submit(double, 1)
    assert gate.reached.wait(WAIT)
    futures = [executor.options(timeout=1 + x % 2).submit(double, x) for x in range(10)]
    gate.open()
    assert first.result(WAIT) == 2
    assert [future.result(WAIT) for future in futures] == [2 * x for x in range(10)]
    both = [submit for submit in service.submits if submit.options]
    assert {submit.options.timeout_s for submit in both} == {1, 2}
    assert sum(len(calls) for submit in both for calls in submit.tasks.values()) == 10
    assert len(both) < 10


def test_all_ways_to_submit_are_there(executor, service):
    view = executor.options(label="mine")
    function_id = executor.register_function(double)
    assert view.submit_to_registered_function(function_id, (3,)).result(WAIT) == 6
    assert list(view.map(double, range(5), chunksize=2)) == [0, 2, 4, 6, 8]
    assert list(view.starmap(pow, [(2, 3), (3, 2)])) == [8, 9]
    assert set(sent(service)) == {CallOptions(label="mine")}
    executor.shutdown()
    for way in (
        lambda: view.submit(double, 1),
        lambda: view.map(double, [1]),
        lambda: view.submit_to_registered_function(function_id, (3,)),
    ):
        with pytest.raises(RuntimeError, match="after shutdown"):
            way()


def test_the_representation_says_what_was_asked_for(client):
    view = Executor(ENDPOINT, client=client, label="ours").options(timeout=5, label="x", user_endpoint_config={"a": 1})
    assert repr(view).startswith("<Executor('ours', endpoint ")
    assert repr(view).endswith("with timeout_s=5.0, label='x', user_endpoint_config={\"a\":1}>")
    assert view.submit(double, 1).label == "x"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("2 GB", 2 * 10**9),
        ("2gb", 2 * 10**9),
        ("512MiB", 512 << 20),
        (" 1.5 GiB ", 3 << 29),
        ("1048576 B", 1 << 20),
        ("4 TB", 4 * 10**12),
        ("2048 kB", 2_048_000),
        (1 << 30, 1 << 30),
    ],
)
def test_memory_is_bytes_or_text_with_a_unit(executor, service, text, count):
    executor.options(resources={"memory": text}).submit(double, 1).result(WAIT)
    assert service.submits[0].options.memory == count


def test_exceptions_of_the_script_are_named_too(executor, service):
    executor.options(retries=1, retry_on=Mine).submit(double, 1).result(WAIT)
    assert service.submits[0].options.retry_on == (f"{__name__}.Mine",)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"timeout": 0}, ValueError, "timeout should be a number of seconds or a timedelta, greater than 0, and is 0"),
        ({"timeout": -1.5}, ValueError, "and is -1.5"),
        ({"timeout": timedelta(0)}, ValueError, "and is 0.0"),
        ({"timeout": math.nan}, ValueError, "greater than 0, and is nan"),
        ({"timeout": math.inf}, ValueError, r"timeout should be at most 1e\+09 seconds, and is inf"),
        ({"timeout": True}, TypeError, r"timeout .* is True \(a bool\)"),
        ({"timeout": "5 s"}, TypeError, r"timeout .* is '5 s' \(a str\)"),
        ({"timeout": Fraction(1, 2)}, TypeError, "timeout .* is Fraction"),
        ({"retries": -1}, ValueError, "retries should be a whole number from 0 to 1000, and is -1"),
        ({"retries": 1.0}, TypeError, r"retries .* is 1.0 \(a float\)"),
        ({"retries": True}, TypeError, "retries .* is True"),
        ({"retries": None}, TypeError, "retries .* is None"),
        ({"retry_on": "OSError"}, TypeError, r"retry_on should be an exception class .* is 'OSError'"),
        ({"retry_on": [OSError]}, TypeError, r"retry_on should be an exception class or a tuple of them"),
        ({"retry_on": (OSError, int)}, TypeError, r"retry_on .* holds <class 'int'>"),
        ({"retry_on": OSError()}, TypeError, "retry_on .* is OSError"),
        ({"backoff": -1}, ValueError, "backoff should be .* at least 0, and is -1"),
        ({"backoff": 1000}, ValueError, "backoff should be at most 300 seconds, and is 1000"),
        ({"backoff": math.nan}, ValueError, "backoff .* is nan"),
        ({"priority": 1001}, ValueError, "priority should be a whole number from -1000 to 1000, and is 1001"),
        ({"priority": "high"}, TypeError, "priority .* 'high'"),
        ({"resources": "2 GB"}, TypeError, "resources should be a dictionary of cores, memory and gpus"),
        ({"resources": {"core": 2}}, ValueError, "has 'core'; did you mean 'cores'"),
        ({"resources": {"nodes": 2}}, ValueError, "has 'nodes'$"),
        ({"resources": {"cores": 0}}, ValueError, r"resources\['cores'\] should be a whole number from 1"),
        ({"resources": {"cores": 1.5}}, TypeError, r"resources\['cores'\] .* is 1.5"),
        ({"resources": {"gpus": True}}, TypeError, r"resources\['gpus'\] .* is True"),
        ({"resources": {"gpus": -1}}, ValueError, r"resources\['gpus'\] .* is -1"),
        ({"resources": {"memory": 16}}, ValueError, "16 is 16 bytes; with a unit it reads '2 GB'"),
        ({"resources": {"memory": 2e9}}, TypeError, r"resources\['memory'\] should be bytes as a whole number"),
        ({"resources": {"memory": "2 G"}}, ValueError, "has the unit 'G': write GB or GiB"),
        ({"resources": {"memory": "2000000000"}}, ValueError, "has no unit: write B"),
        ({"resources": {"memory": "much"}}, ValueError, "is 'much'"),
        ({"resources": {"memory": "-2 GB"}}, ValueError, "is '-2 GB'"),
        ({"resources": {"memory": True}}, TypeError, r"resources\['memory'\] .* is True"),
        ({"user_endpoint_config": "long"}, TypeError, "user_endpoint_config should be a dictionary or None"),
        ({"user_endpoint_config": {"a": object()}}, TypeError, "user_endpoint_config cannot be written as JSON"),
        ({"resource_specification": [2]}, TypeError, "resource_specification should be a dictionary or None"),
        ({"label": 5}, TypeError, r"label should be text, and is 5"),
        ({"label": "x" * 201}, ValueError, "at most 200 characters, and has 201"),
        ({"time_out": 5}, TypeError, "time_out"),
    ],
)
def test_each_value_is_checked_at_once(executor, service, options, error, says):
    with pytest.raises(error, match=says):
        executor.options(**options)
    assert service.requests == []
