"""What is chosen with a submit: the endpoint's configuration, what a task needs; and how wrong choices are refused."""

from __future__ import annotations

import pytest
from tests.interop.faulty_proxy import faulty_proxy

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_two_configurations_side_by_side(cell):
    """two configurations side by side: `user_endpoint_config`"""
    (two_places,) = cell.run("""
        def where():
            import os
            return os.getpid()
        with Executor(endpoint, user_endpoint_config={"workers": 1}) as one, \\
                Executor(endpoint, user_endpoint_config={"workers": 2}) as other:
            # Threads of one process each.
            said([one.submit(where).result(50) != other.submit(where).result(50),
                  one.submit(where).result(50) == one.submit(where).result(50)])
    """)
    assert two_places == [True, True]


def test_workers_that_are_processes(cell):
    """a GlobusComputeEngine: workers are processes, and one that dies costs its task only"""
    apart, lost, more = cell.run("""
        def where():
            import os
            return [os.getpid(), os.getppid()]
        def die():
            import os
            os._exit(9)
        with Executor(endpoint, user_endpoint_config={"processes": 1}) as ex:
            first, second = ex.submit(where).result(50), ex.submit(where).result(50)
            said([first == second, os.getpid() in first])
            said(outcome(ex.submit(die)))
            said(ex.submit(pow, 2, 3).result(50))
    """)
    assert apart == [True, False]
    assert "TaskExecutionFailed" in lost or "WorkerLost" in lost
    assert more == 8


def test_options_that_break_the_schema(cell):
    """options that break the schema are answered 422, with the reason"""
    wrong, more = cell.run("""
        ex = Executor(endpoint, user_endpoint_config={"workers": "many"})
        error = ex.submit(pow, 2, 3).exception(50)
        said([error.http_status, str(error)])
        ex.shutdown(wait=False, cancel_futures=True)
        with Executor(endpoint) as ex:
            said(ex.submit(pow, 2, 3).result(50))
    """)
    assert wrong[0] == 422
    assert "Request payload failed validation: " in wrong[1]
    assert "'many' is not of type 'integer'" in wrong[1]
    assert more == 8


def test_an_engine_that_cannot_start(cell):
    """an engine that cannot start is answered 422, with the reason"""
    ((status, told),) = cell.run("""
        ex = Executor(endpoint, user_endpoint_config={"broken": True})
        error = ex.submit(pow, 2, 3).exception(50)
        said([error.http_status, str(error)])
        ex.shutdown(wait=False, cancel_futures=True)
    """)
    assert status == 422
    assert "NoSuchEngine" in told


def test_a_thread_engine_refuses_a_resource_specification(cell):
    """a thread engine refuses a `resource_specification`"""
    told, more = cell.run("""
        ex = Executor(endpoint)
        ex.resource_specification = {"num_nodes": 1}
        said(outcome(ex.submit(pow, 2, 3)))
        ex.shutdown(wait=False, cancel_futures=True)
        with Executor(endpoint) as ex:
            said(ex.submit(pow, 2, 3).result(50))
    """)
    assert "resource_specification" in told
    assert more == 8


def test_a_submit_that_is_answered_with_an_error(cell, tmp_path):
    """a submit that a proxy answers with 503, and then with 502 after it has arrived: no task runs twice"""
    with faulty_proxy() as proxy:
        # Published clients know no other address, but believe a proxy.
        way = {"AFIELD_SERVICE_URL": proxy.url} if cell.client.whose == "ours" else {"http_proxy": proxy.url}
        said = cell.run(
            """
            def mark(path, i):
                with open(path, "a") as runs:
                    runs.write(f"{i}\\n")
                return i
            # One worker, so the last task runs after all that were queued before it.
            with Executor(endpoint, user_endpoint_config={"workers": 1}, api_burst_limit=1000) as ex:
                said([f.result(50) for f in [ex.submit(mark, sys.argv[1], i) for i in range(3)]])
                said(ex.submit(mark, sys.argv[1], 3).result(50))
            """,
            str(tmp_path / "runs"),
            **way,
        )
        assert proxy.submits > 3
    assert said == [[0, 1, 2], 3]
    assert sorted((tmp_path / "runs").read_text().split()) == ["0", "1", "2", "3"]
