"""The unmodified published packages with a service of ours: their client on our endpoint, both clients on theirs.

Needs globus-compute-sdk and globus-compute-endpoint in the interpreter that AFIELD_TEST_PUBLISHED_PYTHON names, and
port 5000.
"""

from __future__ import annotations

import signal

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

# -- their client, our endpoint ---------------------------------------------------------------------------------------


def test_what_tasks_return_and_raise(service):
    values, failure, lost = service.theirs("""
        def double(x):
            return 2 * x
        def refuse(x):
            raise ValueError(f"not {x}")
        def die():
            import os
            os._exit(9)
        def adder(k):
            def add(x):
                return x + k
            return add
        with executor() as ex:
            fine = [ex.submit(double, 21), ex.submit(lambda a, b=1: [a, b], 3, b=4), ex.submit(adder(5), 1),
                    ex.submit(pow, 2, 10), ex.submit(len, "y" * 1_000_000)]
            large = ex.submit(lambda n: "x" * n, 1_000_000)
            refused, dead = ex.submit(refuse, 1), ex.submit(die)
            said([f.result(50) for f in fine] + [len(large.result(50))])
            said(outcome(refused))
            said(outcome(dead))
    """)
    assert values == [42, [3, 4], 6, 1024, 1_000_000, 1_000_000]
    assert failure.startswith("TaskExecutionFailed")
    assert 'raise ValueError(f"not {x}")' in failure
    assert "ValueError: not 1" in failure
    assert "ended with exit code 9" in lost


def test_five_hundred_at_once(service):
    results = service.theirs("""
        def square(x):
            return x * x
        with executor() as ex:
            said([f.result(50) for f in [ex.submit(square, i) for i in range(500)]])
    """)
    assert results == [[i * i for i in range(500)]]


def test_what_is_too_large_is_told(service):
    result, argument = service.theirs("""
        with executor() as ex:
            said(outcome(ex.submit(lambda: "x" * 12_000_000)))
        ex = executor()
        said(outcome(ex.submit(len, "x" * 12_000_000)))
        ex.shutdown(wait=False, cancel_futures=True)
    """)
    assert "MaxResultSizeExceeded" in result
    assert "413" in argument
    assert "TASK_PAYLOAD_TOO_LARGE" in argument


def test_another_process_reloads_the_tasks(service):
    (group,) = service.theirs("""
        ex = executor()
        def more(x):
            return x + 1
        futures = [ex.submit(more, i) for i in range(20)] + [ex.submit(lambda: 1 / 0)]
        futures[-1].exception(50)  # so all have been sent
        said(str(ex.task_group_id))
        os._exit(0)  # without a look at the rest
    """)
    fine, failed, more = service.theirs(
        """
        with executor(task_group_id=sys.argv[1]) as ex:
            outcomes = [outcome(f) for f in ex.reload_tasks()]
            said(sorted(one for one in outcomes if isinstance(one, int)))
            said([one for one in outcomes if isinstance(one, str)])
            said(ex.submit(lambda: "one more").result(50))
        """,
        group,
    )
    assert fine == list(range(1, 21))
    assert len(failed) == 1
    assert "ZeroDivisionError" in failed[0]
    assert more == "one more"


def test_a_batch_and_who_asks_after_it(service):
    results, single, again, pending = service.theirs("""
        def double(x):
            return 2 * x
        batch = client.create_batch()
        function = client.register_function(double)
        for i in range(10):
            batch.add(function, args=(i,))
        sent = client.batch_run(endpoint, batch)
        tasks = sent["tasks"][function]
        # The futures of an executor, to wait without looking again and again.
        with executor(task_group_id=sent["task_group_id"]) as ex:
            for future in ex.reload_tasks():
                future.result(50)
        found = client.get_batch_result(tasks)
        said([found[t]["result"] for t in tasks])
        said(client.get_result(tasks[3]))
        said(client.get_task(tasks[3])["status"])
        said(any(found[t]["pending"] for t in tasks))
    """)
    assert results == [2 * i for i in range(10)]
    assert single == 6
    assert again == "success"
    assert pending is False


def test_every_way_to_send_code(service):
    said = service.theirs("""
        def triple(x):
            # \u20ac
            return 3 * x
        strategies = AllCodeStrategies, CombinedCode, DillCode, DillCodeSource, PureSourceDill, PureSourceTextInspect
        for strategy in strategies:
            with executor(serializer=ComputeSerializer(strategy_code=strategy())) as ex:
                said(ex.submit(triple, 2).result(50))
        source = "def times_four(x):\\n    # \u20ac \U0001f600\\n    return 4 * x\\n"
        function = client.register_source_code(source, "times_four")
        with executor() as ex:
            said(ex.submit_to_registered_function(function, args=(2,)).result(50))
        said(client.get_function(function)["function_name"])
    """)
    assert said == [6] * 6 + [8, "times_four"]


def test_results_as_the_client_wants_them(service):
    as_json, refused, either = service.theirs("""
        name = "globus_compute_sdk.serialize.%s"
        with executor(result_serializers=[name % "JSONData"]) as ex:
            said(type(ex.submit(lambda: (1, 2)).result(50)).__name__)
            said(outcome(ex.submit(lambda: {1, 2})))
        with executor(result_serializers=[name % "JSONData", name % "DillDataBase64"]) as ex:
            said(sorted(ex.submit(lambda: {1, 2}).result(50)))
    """)
    assert as_json == "list"
    assert "JSONData cannot serialize a set" in refused
    assert either == [1, 2]


def test_options_for_the_user_endpoint(service):
    fine, wrong, reserved = service.theirs("""
        with executor(user_endpoint_config={"max_workers": 1}) as ex:
            said(ex.submit(pow, 2, 3).result(50))
        for options in {"max_workers": "many"}, {"parent_config": 1}:
            ex = executor(user_endpoint_config=options)
            said(outcome(ex.submit(pow, 2, 3)))
            ex.shutdown(wait=False, cancel_futures=True)
    """)
    assert fine == 8
    assert "422" in wrong
    assert "Request payload failed validation: " in wrong
    assert "'many' is not of type 'integer'" in wrong
    assert "parent_config" in reserved


def test_what_is_unknown_is_told(service):
    said = service.theirs("""
        nothing = str(uuid.uuid4())
        function = client.register_function(pow)
        for ask in (
            lambda: client.get_task(nothing),
            lambda: client.get_function(nothing),
            lambda: client.get_endpoint_status(nothing),
            lambda: client.run(endpoint_id=nothing, function_id=function),
            lambda: client.run(endpoint_id=endpoint, function_id=nothing),
            lambda: list(executor(task_group_id=nothing).reload_tasks()),
            lambda: client.get_task("nothing"),
        ):
            try:
                ask()
                said("it was found")
            except globus_sdk.GlobusAPIError as error:
                said([error.http_status, error.code])
    """)
    assert said == [
        [404, "TASK_NOT_FOUND"],
        [404, "FUNCTION_NOT_FOUND"],
        [404, "ENDPOINT_NOT_FOUND"],
        [404, "ENDPOINT_NOT_FOUND"],
        [404, "FUNCTION_NOT_FOUND"],
        [404, "TASK_GROUP_NOT_FOUND"],
        [400, "INVALID_UUID"],
    ]


def test_what_an_endpoint_says_of_itself(service):
    status, about, listed, allowed = service.theirs("""
        said(client.get_endpoint_status(endpoint)["status"])
        said(client.get_endpoint_metadata(endpoint))
        said([one["uuid"] for one in client.get_endpoints()])
        said(client.get_allowed_functions(endpoint)["restricted"])
    """)
    assert status == "online"
    assert (about["uuid"], about["name"], about["public"]) == (service.known["endpoint_id"], "local", False)
    assert service.known["endpoint_id"] in listed
    assert allowed is False


def test_a_function_of_their_package_says_what_is_missing(service):
    (told,) = service.theirs("""
        with executor() as ex:
            said(outcome(ex.submit(ShellFunction("echo hello"))))
    """)
    assert "needs the module 'globus_compute_sdk', which is not installed" in told


# -- their endpoint ---------------------------------------------------------------------------------------------------


def test_their_client_on_their_endpoint(service, published_endpoint):
    values, failure, shell, wrong = service.theirs(
        """
        def refuse(x):
            raise ValueError(f"not {x}")
        with executor() as ex:
            several = [ex.submit(pow, i, 2) for i in range(200)]
            large = ex.submit(lambda s: s + s, "y" * 1_000_000)
            refused, echo = ex.submit(refuse, 1), ex.submit(ShellFunction("echo {word}; exit 3"), word="hello")
            said([sum(f.result(50) for f in several), len(large.result(50))])
            said(outcome(refused))
            said([echo.result(50).returncode, echo.result(50).stdout])
        ex = executor(user_endpoint_config={"workers": "many"})
        said(outcome(ex.submit(pow, 2, 3)))
        ex.shutdown(wait=False, cancel_futures=True)
        """,
        endpoint=published_endpoint.id,
    )
    assert values == [sum(i * i for i in range(200)), 2_000_000]
    assert "ValueError: not 1" in failure
    assert shell == [3, "hello\n"]
    assert "422" in wrong
    assert "'many' is not of type 'integer'" in wrong


OURS = """
import json, os
from afield import Executor
from afield.errors import ComputeError
def refuse(x):
    raise ValueError(f"not {x}")
def outcome(future):
    error = future.exception(50)
    return future.result() if error is None else f"{type(error).__name__}: {error}"
with Executor(os.environ["ENDPOINT"]) as ex:
    several = [ex.submit(pow, i, 2) for i in range(200)]
    large, too_large = ex.submit(lambda s: s + s, "y" * 1_000_000), ex.submit(lambda: "x" * 12_000_000)
    refused = ex.submit(refuse, 1)
    print(json.dumps([sum(f.result(50) for f in several), len(large.result(50))]))
    print(json.dumps(outcome(refused)))
    print(json.dumps(outcome(too_large)))
with Executor(os.environ["ENDPOINT"], user_endpoint_config={"workers": "many"}) as ex:
    print(json.dumps(outcome(ex.submit(pow, 2, 3))))
"""


def test_our_client_on_their_endpoint(service, published_endpoint):
    values, failure, too_large, wrong = service.ours(OURS, endpoint=published_endpoint.id)
    assert values == [sum(i * i for i in range(200)), 2_000_000]
    assert "ValueError: not 1" in failure
    assert too_large.startswith("MaxResultSizeExceeded")
    assert "Request payload failed validation: " in wrong
    assert "'many' is not of type 'integer'" in wrong


def test_tasks_wait_for_their_endpoint(service, published_endpoint):
    service.theirs("with executor() as ex: ex.submit(pow, 2, 3).result(50)", endpoint=published_endpoint.id)
    published_endpoint.stop()
    status = f"/v2/endpoints/{published_endpoint.id}/status"
    assert service.ask("GET", status)["status"] == "offline"
    script = """
        batch = client.create_batch()
        batch.add(client.register_function(pow), args=(2, 10))
        sent = client.batch_run(endpoint, batch)
        ((task,),) = sent["tasks"].values()
        said(client.get_task(task)["status"])
        with executor(task_group_id=sent["task_group_id"]) as ex:
            (future,) = ex.reload_tasks()
            said(future.result(50))
    """
    with service.theirs_beside(script, published_endpoint.id) as client:
        assert client.stdout.readline() == '"waiting-for-ep"\n'
        published_endpoint.start()
        assert client.stdout.readline() == "1024\n"
    assert service.ask("GET", status)["status"] == "online"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_service_comes_back_to_their_client_and_their_endpoint(service, published_endpoint, held, number):
    with service.theirs_beside(held.script, published_endpoint.id) as client:
        held.tell(client, held.place)
        held.wait_until_they_run(client)
        service.end(number)
        service.start()
        held.let_go()
        held.tell(client, "go on")
        assert client.stdout.readline() == "[0, 1]\n"
        assert client.stdout.readline() == "8\n"


def test_what_runs_there_while_the_service_restarts_runs_once(service, published_endpoint, held):
    with service.theirs_beside(held.script, published_endpoint.id) as client:
        held.tell(client, held.place)
        held.wait_until_they_run(client)
        service.end(signal.SIGINT)
        service.start()
        held.let_go()
        held.tell(client, "go on")
        assert client.stdout.readline() == "[0, 1]\n"
        # It was sent after whatever was queued again.
        assert client.stdout.readline() == "8\n"
    assert held.ran_again() == ""


def test_stopped_from_afar_their_endpoint_ends_and_stays_out(service, published_endpoint):
    service.theirs("client.stop_endpoint(endpoint)", endpoint=published_endpoint.id)
    published_endpoint.process.wait(60)
    refused = published_endpoint.run("start", "theirs")
    assert refused.returncode == 69
    assert "stays locked" in refused.stdout + refused.stderr
