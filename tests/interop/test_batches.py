"""Batches, and who asks after tasks, endpoints and functions."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_a_batch(cell):
    """`batch_run`, `get_batch_result`, `get_result`, `get_task`"""
    results, single, status, pending, failed = cell.run("""
        client = Client()
        def double(x):
            return 2 * x
        batch = client.create_batch()
        function = client.register_function(double)
        for i in range(10):
            batch.add(function, args=(i,))
        refused = client.register_function(lambda: 1 / 0)
        batch.add(refused)
        sent = client.batch_run(endpoint, batch)
        tasks, (bad,) = sent["tasks"][function], sent["tasks"][refused]
        def is_pending(task):
            try:
                return client.get_task(task)["pending"]
            except Exception:  # theirs raises what the task has raised
                return False
        while is_pending(bad) or any(one["pending"] for one in client.get_batch_result(tasks).values()):
            time.sleep(0.05)
        found = client.get_batch_result(tasks)
        said([found[t]["result"] for t in tasks])
        said(client.get_result(tasks[3]))
        said(client.get_task(tasks[3])["status"])
        said(any(found[t]["pending"] for t in tasks))
        try:
            client.get_result(bad)
        except Exception as error:
            said(str(error))
    """)
    assert results == [2 * i for i in range(10)]
    assert single == 6
    assert status == "success"
    assert pending is False
    assert "ZeroDivisionError" in failed


def test_a_single_run(cell):
    """`Client.run`"""
    said = cell.run("""
        client = Client()
        task = client.run(2, 10, endpoint_id=endpoint, function_id=client.register_function(pow))
        while client.get_task(task)["pending"]:
            time.sleep(0.05)
        said(client.get_result(task))
    """)
    assert said == [1024]


def test_another_process_reloads_the_tasks(cell):
    """`reload_tasks` in another process"""
    (group,) = cell.run("""
        ex = Executor(endpoint)
        def more(x):
            return x + 1
        futures = [ex.submit(more, i) for i in range(20)] + [ex.submit(lambda: 1 / 0)]
        futures[-1].exception(50)  # so all have been sent
        said(str(ex.task_group_id))
        os._exit(0)  # without a look at the rest
    """)
    fine, failed, more = cell.run(
        """
        with Executor(endpoint, task_group_id=sys.argv[1]) as ex:
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


def test_what_is_unknown_is_told(cell):
    """what nobody knows is told, with the published codes"""
    said = cell.run("""
        import uuid
        client = Client()
        nothing = str(uuid.uuid4())
        function = client.register_function(pow)
        for ask in (
            lambda: client.get_task(nothing),
            lambda: client.get_function(nothing),
            lambda: client.get_endpoint_status(nothing),
            lambda: client.run(endpoint_id=nothing, function_id=function),
            lambda: client.run(endpoint_id=endpoint, function_id=nothing),
            lambda: list(Executor(endpoint, task_group_id=nothing).reload_tasks()),
        ):
            try:
                ask()
                said("it was found")
            except Exception as error:
                said([error.http_status, error.code])
    """)
    assert said == [
        [404, "TASK_NOT_FOUND"],
        [404, "FUNCTION_NOT_FOUND"],
        [404, "ENDPOINT_NOT_FOUND"],
        [404, "ENDPOINT_NOT_FOUND"],
        [404, "FUNCTION_NOT_FOUND"],
        [404, "TASK_GROUP_NOT_FOUND"],
    ]


def test_what_an_endpoint_says_of_itself(cell):
    """status, metadata, list and allowed functions of an endpoint"""
    status, about, listed, restricted = cell.run("""
        client = Client()
        with Executor(endpoint) as ex:
            ex.submit(pow, 2, 3).result(50)
        said(client.get_endpoint_status(endpoint)["status"])
        about = client.get_endpoint_metadata(endpoint)
        said([about["uuid"], about["name"], about["public"], "workers" in about["user_config_schema"]["properties"]])
        said([one["uuid"] for one in client.get_endpoints()])
        said(client.get_allowed_functions(endpoint)["restricted"])
    """)
    assert status == "online"
    assert about == [cell.endpoint.id, "shared", False, True]
    assert cell.endpoint.id in listed
    assert restricted is False


def test_the_hardware_of_a_worker(cell):
    """`get_worker_hardware_details`"""
    (report,) = cell.run("""
        client = Client()
        task = client.get_worker_hardware_details(endpoint)
        while client.get_task(task)["pending"]:
            time.sleep(0.05)
        said(client.get_result(task))
    """)
    assert "python" in report.lower()
